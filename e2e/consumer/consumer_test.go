// Package consumer builds a program that requires the Go module as others get it: a zip from a
// module proxy, without cgo, for several machines. Each program runs against recorded responses.
package consumer

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

const (
	modulePath = "github.com/poolscope/poolscope/bindings/go"
	version    = "v0.0.0-consumer"
	root       = "../.."
	nodeName   = "hz-edge-1"
)

// How a program for a GOARCH is run where the machine cannot.
var emulators = map[string]string{
	"amd64": "qemu-x86_64-static",
	"arm64": "qemu-aarch64-static",
	"arm":   "qemu-arm-static",
	"386":   "qemu-i386-static",
	"s390x": "qemu-s390x-static",
}

func TestAProgramOutsideBuildsWithoutCgoAndSeesItsPoolOnEveryMachine(t *testing.T) {
	folder := t.TempDir()
	proxy := publish(t, filepath.Join(folder, "proxy"))
	source := filepath.Join(folder, "informer")
	environment := consumer(t, source, proxy, filepath.Join(folder, "modules"))

	server := httptest.NewServer(http.HandlerFunc(recorded))
	defer server.Close()
	kubeconfig := filepath.Join(folder, "kubeconfig")
	config := fmt.Sprintf(
		`{"clusters": [{"name": "a", "cluster": {"server": %q}}],
		"contexts": [{"name": "a", "context": {"cluster": "a"}}], "current-context": "a"}`,
		server.URL,
	)
	if err := os.WriteFile(kubeconfig, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	expected := view(t)

	for _, arch := range []string{"amd64", "arm64", "arm", "386", "s390x"} {
		t.Run(arch, func(t *testing.T) {
			program := filepath.Join(folder, "informer-"+arch)
			started := time.Now()
			run(t, source, append(environment, "GOARCH="+arch), "go", "build", "-o", program, ".")
			info, err := os.Stat(program)
			if err != nil {
				t.Fatal(err)
			}
			built := time.Since(started)
			started = time.Now()
			sees(t, arch, program, kubeconfig, expected)
			t.Logf(
				"%d MB, built in %.0f s, all slices after %.1f s",
				info.Size()/1e6, built.Seconds(), time.Since(started).Seconds(),
			)
		})
	}
}

// publish makes a module proxy with a zip of the module in the tree.
func publish(t *testing.T, proxy string) string {
	t.Helper()
	folder := filepath.Join(proxy, modulePath, "@v")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	var archive strings.Builder
	of := module.Version{Path: modulePath, Version: version}
	if err := zip.CreateFromDir(&archive, of, filepath.Join(root, "bindings/go")); err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(root, "bindings/go/go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	info, err := json.Marshal(map[string]string{"Version": version, "Time": "2026-01-01T00:00:00Z"})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		version + ".zip":  archive.String(),
		version + ".mod":  string(mod),
		version + ".info": string(info),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("the zip has %.1f MB", float64(archive.Len())/1e6)
	return proxy
}

// consumer makes a program outside of the tree of the informer example, and returns the environment
// that it is built in.
func consumer(t *testing.T, folder, proxy, modules string) []string {
	t.Helper()
	example := os.DirFS(filepath.Join(root, "bindings/go/examples/informer"))
	if err := os.CopyFS(folder, example); err != nil {
		t.Fatal(err)
	}
	absolute, err := filepath.Abs(proxy)
	if err != nil {
		t.Fatal(err)
	}
	environment := append(os.Environ(),
		"CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=mod -modcacherw -trimpath",
		"GONOSUMDB="+modulePath, "GOMODCACHE="+modules,
		// Modules that this machine has are not fetched again.
		fmt.Sprintf("GOPROXY=file://%s,file://%s/cache/download,%s",
			absolute, known(t, "GOMODCACHE"), known(t, "GOPROXY")),
	)
	run(t, folder, environment, "go", "mod", "edit",
		"-dropreplace="+modulePath, "-require="+modulePath+"@"+version)
	return environment
}

// known returns a setting of the Go command.
func known(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func run(t *testing.T, folder string, environment []string, name string, arguments ...string) {
	t.Helper()
	command := exec.Command(name, arguments...)
	command.Dir, command.Env = folder, environment
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(arguments, " "), err, out)
	}
}

// sees runs an informer until it has shown what is expected, and fails if it shows anything else.
func sees(t *testing.T, arch, program, kubeconfig string, expected []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	arguments := []string{program, "-node", nodeName, "-kubeconfig", kubeconfig}
	if own := known(t, "GOHOSTARCH"); own != arch && (own != "amd64" || arch != "386") {
		if _, err := exec.LookPath(emulators[arch]); err != nil {
			t.Fatalf("%v: install qemu-user-static", err)
		}
		arguments = slices.Insert(arguments, 0, emulators[arch])
	}
	command := exec.CommandContext(ctx, arguments[0], arguments[1:]...)
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 10 * time.Second
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	var seen []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if !strings.Contains(lines.Text(), "sees ") {
			continue
		}
		if seen = append(seen, lines.Text()); len(seen) == len(expected) {
			cancel()
		}
	}
	if err := command.Wait(); err != nil && ctx.Err() == nil {
		t.Error(err)
	}
	slices.Sort(seen)
	if !slices.Equal(seen, expected) {
		t.Errorf("%d lines:\n%s\nexpected %d:\n%s", len(seen), strings.Join(seen, "\n"),
			len(expected), strings.Join(expected, "\n"))
	}
}

type (
	object   = map[string]any
	resource struct {
		Metadata struct {
			Name, Namespace     string
			Annotations, Labels map[string]string
		}
		Status    struct{ Nodes []string }
		Endpoints []struct {
			Addresses []string
			NodeName  string
		}
	}
)

func load(t *testing.T, name string) (items []resource) {
	t.Helper()
	body, err := os.ReadFile(recording(name))
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Items []resource }
	if err := json.Unmarshal(body, &list); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// view is what the informer prints for the node, by the rules of OpenYurt in plain words: a Service
// with a key for pools keeps the endpoints on nodes that the status of the own pool lists, one with
// the key for nodes those of the own node.
func view(t *testing.T) (lines []string) {
	t.Helper()
	kept := map[string]func(string) bool{}
	for _, pool := range load(t, "nodepools") {
		if !slices.Contains(pool.Status.Nodes, nodeName) {
			continue
		}
		for _, key := range []string{"openyurt.io/nodepool", "kubernetes.io/zone"} {
			kept[key] = func(node string) bool { return slices.Contains(pool.Status.Nodes, node) }
		}
	}
	kept["kubernetes.io/hostname"] = func(node string) bool { return node == nodeName }
	keys := map[string]string{}
	for _, service := range load(t, "services") {
		name := service.Metadata.Namespace + "/" + service.Metadata.Name
		keys[name] = service.Metadata.Annotations["openyurt.io/topologyKeys"]
	}
	cut := 0
	for _, slice := range load(t, "endpointslices") {
		meta := slice.Metadata
		keep := kept[keys[meta.Namespace+"/"+meta.Labels["kubernetes.io/service-name"]]]
		var addresses []string
		for _, endpoint := range slice.Endpoints {
			if keep == nil || keep(endpoint.NodeName) {
				addresses = append(addresses, endpoint.Addresses...)
			} else {
				cut++
			}
		}
		lines = append(lines,
			fmt.Sprintf("sees %s/%s: %s", meta.Namespace, meta.Name, strings.Join(addresses, " ")))
	}
	if len(lines) < 40 || cut < 20 {
		t.Fatalf("%d slices, %d endpoints are cut", len(lines), cut)
	}
	slices.Sort(lines)
	return lines
}

func recording(resource string) string {
	return filepath.Join(root, "tests/data/recorded/list", resource+"-json.json")
}

// recorded answers lists with recorded ones. Watches are silent; one that begins with what there is
// is refused, as by a server that is too old for it.
func recorded(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	w.Header().Set("Content-Type", "application/json")
	refuse := func(code int, reason string) {
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(object{
			"kind": "Status", "apiVersion": "v1", "status": "Failure",
			"code": code, "reason": reason,
		})
	}
	switch {
	case query.Get("sendInitialEvents") != "":
		refuse(http.StatusUnprocessableEntity, "Invalid")
		return
	case query.Get("watch") != "":
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return
	}
	parts := strings.Split(r.URL.Path, "/")
	body, err := os.ReadFile(recording(parts[len(parts)-1]))
	if err != nil {
		refuse(http.StatusNotFound, "NotFound")
		return
	}
	name, only := strings.CutPrefix(query.Get("fieldSelector"), "metadata.name=")
	if !only {
		_, _ = w.Write(body)
		return
	}
	var list object
	if err := json.Unmarshal(body, &list); err != nil {
		refuse(http.StatusInternalServerError, "InternalError")
		return
	}
	items, _ := list["items"].([]any)
	list["items"] = slices.DeleteFunc(items, func(item any) bool {
		return item.(object)["metadata"].(object)["name"] != name
	})
	out, err := json.Marshal(list)
	if err != nil {
		refuse(http.StatusInternalServerError, "InternalError")
		return
	}
	_, _ = io.Copy(w, strings.NewReader(string(out)))
}

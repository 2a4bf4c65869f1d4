package deploy

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/poolscope/poolscope/e2e/apiserver"
)

// testStart runs the command line of each rendered DaemonSet with the rights of its ServiceAccount
// alone, and awaits its readiness by its own probes.
func testStart(t *testing.T, c *cluster) {
	program := programOf(t, "PROXY")
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name:   "node-1",
		Labels: map[string]string{"apps.openyurt.io/nodepool": "hangzhou"},
	}}
	_, err := c.clientset.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, objects := range golden(t) {
		t.Run(name, func(t *testing.T) {
			of := c.install(t, objects)
			pod := newPod(t, c, objects, c.token(t, of))
			pod.start(t, program)
			pod.awaitReady(t)
			pod.checkKubeconfig(t, c, objects)
		})
	}
}

// pod is the container of a DaemonSet, as a process with its folders below a temporary one.
type pod struct {
	container corev1.Container
	security  *corev1.PodSecurityContext
	folder    string
	arguments []string
	health    string
	command   *exec.Cmd
}

func newPod(
	t *testing.T, c *cluster, objects []*unstructured.Unstructured, token string,
) *pod {
	t.Helper()
	set := daemonSet(t, objects)
	p := &pod{
		container: set.Spec.Template.Spec.Containers[0],
		security:  set.Spec.Template.Spec.SecurityContext,
		folder:    t.TempDir(),
		health:    apiserver.FreeAddress(t),
	}
	maps := ofKind[corev1.ConfigMap](t, objects, "ConfigMap")
	if len(maps) != 1 {
		t.Fatalf("%d ConfigMaps, not one", len(maps))
	}
	for _, volume := range set.Spec.Template.Spec.Volumes {
		if volume.ConfigMap != nil && volume.ConfigMap.Name != maps[0].Name {
			t.Errorf("the volume %s names the ConfigMap %s", volume.Name, volume.ConfigMap.Name)
		}
	}
	for name, content := range maps[0].Data {
		p.write(t, filepath.Join("/etc/poolscope-proxy/config", name), content)
	}
	// The kubelet mounts both files here, where the proxy looks for them.
	account := "/var/run/secrets/kubernetes.io/serviceaccount"
	ca, err := os.ReadFile(c.server.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	certificate, key := authority(t)
	p.write(t, account+"/token", token)
	p.write(t, account+"/ca.crt", string(ca)+certificate)
	p.write(t, "/ca.crt", certificate)
	p.write(t, "/ca.key", key)
	sign := exec.Command(
		filepath.Join(folder, "cilium-edge/certificate.sh"), p.at("/ca.crt"), p.at("/ca.key"),
		p.at("/etc/poolscope-proxy/tls"),
	)
	if out, err := sign.CombinedOutput(); err != nil {
		t.Fatalf("certificate.sh: %v: %s", err, out)
	}

	for _, argument := range p.container.Args {
		option, value, _ := strings.Cut(argument, "=")
		value = strings.ReplaceAll(value, "$(NODE_IP)", "127.0.0.1")
		switch option {
		case "--server", "--listen":
			// Below, with the addresses of the test.
			continue
		case "--health-listen":
			value = p.health
		case "--client-dir", "--state-dir", "--config", "--tls-cert", "--tls-key":
			if option == "--client-dir" && !p.hasOption("--client-dir-as-seen") {
				// In the container both are the same path.
				p.arguments = append(p.arguments, "--client-dir-as-seen="+value)
			}
			if !p.isMounted(value) {
				t.Errorf("%s: nothing is mounted there", argument)
			}
			value = p.at(value)
		case "--check":
			// The set `everything` proves that `extraArgs` arrive.
			continue
		}
		if value != "" {
			option += "=" + value
		}
		p.arguments = append(p.arguments, option)
	}
	p.arguments = append(
		p.arguments, "--server="+c.server.Address(), "--listen="+apiserver.FreeAddress(t),
		"--token-file="+p.at(account+"/token"), "--ca-file="+p.at(account+"/ca.crt"),
	)
	return p
}

func (p *pod) at(path string) string { return filepath.Join(p.folder, path) }

func (p *pod) write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(p.at(path)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.at(path), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// isMounted returns true if a path is a mount of the container, or a file in one.
func (p *pod) isMounted(path string) bool {
	return slices.ContainsFunc(p.container.VolumeMounts, func(mount corev1.VolumeMount) bool {
		return path == mount.MountPath || filepath.Dir(path) == mount.MountPath
	})
}

func (p *pod) hasOption(option string) bool {
	return slices.ContainsFunc(p.container.Args, func(argument string) bool {
		return strings.HasPrefix(argument, option+"=")
	})
}

func (p *pod) start(t *testing.T, program string) {
	t.Helper()
	p.command = exec.Command(program, p.arguments...)
	if os.Geteuid() == 0 {
		p.restrict(t)
	}
	for _, variable := range p.container.Env {
		value := variable.Value
		if from := variable.ValueFrom; from != nil {
			value = map[string]string{
				"spec.nodeName": "node-1", "status.hostIP": "127.0.0.1",
			}[from.FieldRef.FieldPath]
		}
		p.command.Env = append(p.command.Env, variable.Name+"="+value)
	}
	output, err := os.Create(p.at("output"))
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	p.command.Stdout, p.command.Stderr = output, output
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.command.Process.Signal(syscall.SIGTERM)
		p.command.Wait()
		// A signal that arrives before the proxy handles signals ends it as well.
		status := p.command.ProcessState.Sys().(syscall.WaitStatus)
		if status.ExitStatus() != 0 && status.Signal() != syscall.SIGTERM {
			t.Error("the proxy ended with", p.command.ProcessState)
		}
		if written, err := os.ReadFile(p.at("output")); t.Failed() && err == nil {
			t.Logf("%s\n%s", strings.Join(p.arguments, " "), written)
		}
	})
}

// restrict has the container's user run the program, without capabilities and without new ones.
func (p *pod) restrict(t *testing.T) {
	t.Helper()
	drop := p.container.SecurityContext.Capabilities.Drop
	escalation := p.container.SecurityContext.AllowPrivilegeEscalation
	if len(drop) != 1 || drop[0] != "ALL" || escalation == nil || *escalation {
		t.Fatalf("capabilities %v are dropped, privilege escalation is %v", drop, escalation)
	}
	// As tmpfiles.d gives the folders to a user, and fsGroup the other files.
	user := int(*p.security.RunAsUser)
	for _, mount := range p.container.VolumeMounts {
		if err := os.MkdirAll(p.at(mount.MountPath), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	err := filepath.WalkDir(p.folder, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, user, user)
	})
	if err != nil {
		t.Fatal(err)
	}
	// The folder that the testing package makes is its user's alone.
	if err := os.Chmod(filepath.Dir(p.folder), 0o755); err != nil {
		t.Fatal(err)
	}
	p.command = exec.Command("setpriv", append([]string{
		fmt.Sprintf("--reuid=%d", user), fmt.Sprintf("--regid=%d", *p.security.RunAsGroup),
		"--clear-groups", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--",
	}, p.command.Args...)...)
}

func (p *pod) awaitReady(t *testing.T) {
	t.Helper()
	for _, probe := range []*corev1.Probe{p.container.LivenessProbe, p.container.ReadinessProbe} {
		url := fmt.Sprintf("http://%s%s", p.health, probe.HTTPGet.Path)
		eventually(t, url+" is 200", func() bool {
			response, err := http.Get(url)
			if err != nil {
				return false
			}
			response.Body.Close()
			return response.StatusCode == http.StatusOK
		})
	}
}

// checkKubeconfig proves that agents find the kubeconfig where the CiliumNodeConfigs say, and that
// it leads through the proxy to the API server.
func (p *pod) checkKubeconfig(t *testing.T, c *cluster, objects []*unstructured.Unstructured) {
	t.Helper()
	seen, written := "", ""
	for _, argument := range p.container.Args {
		if value, is := strings.CutPrefix(argument, "--client-dir="); is {
			written = value
			if seen == "" {
				seen = value
			}
		}
		if value, is := strings.CutPrefix(argument, "--client-dir-as-seen="); is {
			seen = value
		}
	}
	for _, object := range objects {
		if object.GetKind() != "CiliumNodeConfig" {
			continue
		}
		path, _, _ := unstructured.NestedString(
			object.Object,
			"spec",
			"defaults",
			"k8s-kubeconfig-path",
		)
		if path != seen+"/kubeconfig" {
			t.Errorf("agents look for %s, but the folder is %s", path, seen)
		}
	}
	// The proxy writes it last.
	eventually(t, "the kubeconfig is written", func() bool {
		_, err := os.Stat(p.at(written + "/kubeconfig"))
		return err == nil
	})
	file, err := clientcmd.LoadFromFile(p.at(written + "/kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	for _, known := range file.Clusters {
		if known.CertificateAuthority != seen+"/ca.crt" {
			t.Errorf("the kubeconfig names the CA %s", known.CertificateAuthority)
		}
		known.CertificateAuthority = p.at(written + "/ca.crt")
	}
	for _, user := range file.AuthInfos {
		user.TokenFile, user.Token = "", c.server.Config().BearerToken
	}
	config, err := clientcmd.NewDefaultClientConfig(*file, nil).ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kubernetes.NewForConfigOrDie(config).CoreV1().Namespaces().
		Get(t.Context(), "kube-system", metav1.GetOptions{}); err != nil {
		t.Error("an agent's first request failed:", err)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

package cilium

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// `poolscope verify` beside the real agent: POOLSCOPE names the command. With RECORD, a folder, the
// test writes the outputs of Cilium's tools and the facts there.
func TestVerifyComparesTheMapsWithTheView(t *testing.T) {
	command := os.Getenv("POOLSCOPE")
	debug := filepath.Join(filepath.Dir(chosen.program), "cilium-dbg")
	if _, err := os.Stat(debug); command == "" || err != nil {
		t.Skip("POOLSCOPE does not name the command, or there is no cilium-dbg beside the agent")
	}
	site := newSite(t)
	site.guide()
	site.moreServices()
	v := &verifier{t: t, site: site, command: command, debug: debug, facts: t.TempDir()}
	v.writeFacts()

	t.Log("an unfiltered agent")
	agent := site.startUnfiltered(hangzhou.node)
	line := &timeline{t: t, site: site, agent: agent, maps: openWritableMaps(t)}
	line.settles("every endpoint", hangzhou, beijing, cloud)
	v.settle(agent, 1, "unfiltered")
	for _, lists := range v.lists("unfiltered") {
		report := v.verify(1, "--from", lists)
		report.finds(t, "leak", beijing.v4(), beijing.node, "beijing")
		report.finds(t, "leak", beijing.v6(), beijing.node, "beijing")
		report.finds(t, "leak", cloud.v4(), cloud.node)
		if !strings.Contains(report.text, "does not go through poolscope") {
			t.Errorf("%s: it does not name the cause: %s", lists, report.text)
		}
	}
	agent.stop()

	t.Log("the same agent with poolscope")
	agent = site.startFiltered(hangzhou.node)
	line.agent = agent
	line.settles("the pool's endpoint", hangzhou)
	v.settle(agent, 0, "filtered")
	for _, list := range v.lists("filtered") {
		v.verify(0, "--from", list)
	}

	t.Log("a backend is added to the map by hand")
	service := line.maps.v4
	count := service.backendCount(t, tcp4)
	foreign := service.addBackend(t, tcp4, beijing)
	service.setSlot(t, tcp4, count+1, foreign)
	service.setCount(t, tcp4, count+1)
	report := v.verify(1, "--from", v.mapList("added"))
	report.finds(t, "leak", beijing.v4(), beijing.node, "beijing")
	if len(report.findings) != 1 {
		t.Errorf("more was found: %s", report.text)
	}
	v.verify(0, "--socket")

	t.Log("its entry in the backends' map is removed")
	if err := service.backends.Delete(foreign); err != nil {
		t.Fatal(err)
	}
	report = v.verify(1, "--from", v.mapList("dangling"))
	if !strings.Contains(report.text, "the backends' map does not have it") {
		t.Errorf("the dangling identifier is not found: %s", report.text)
	}
	service.deleteSlot(t, tcp4, count+1)
	service.setCount(t, tcp4, count)
	v.verify(0, "--from", v.mapList(""))

	t.Log("a backend is removed by hand")
	service.deleteSlot(t, tcp4, 1)
	service.setCount(t, tcp4, 0)
	report = v.verify(1, "--from", v.mapList("removed"))
	report.finds(t, "missing", hangzhou.v4(), hangzhou.node, "hangzhou")
	if len(report.findings) != 1 {
		t.Errorf("more was found: %s", report.text)
	}
}

// verifier runs the command and Cilium's tools.
type verifier struct {
	t                     *testing.T
	site                  *site
	command, debug, facts string
}

// report is the result of one run.
type report struct {
	text     string
	findings []finding
}

type finding struct {
	Verdict, Backend, Node string
	Pools                  []string
}

// verify runs the command, which has to end with a status.
func (v *verifier) verify(status int, arguments ...string) (r report) {
	v.t.Helper()
	arguments = append(
		[]string{"verify", "--node", hangzhou.node, "--facts", v.facts, "-o", "json"}, arguments...,
	)
	run := exec.Command(v.command, arguments...)
	var stderr strings.Builder
	run.Stderr = &stderr
	out, _ := run.Output()
	r.text = stderr.String() + string(out)
	if run.ProcessState.ExitCode() != status {
		v.t.Errorf("%v: %v, not %d: %s", arguments, run.ProcessState, status, r.text)
	}
	var document struct {
		DataPlanes []struct {
			Compared    int
			Differences []struct{ Backends []finding }
		}
	}
	if err := json.Unmarshal(out, &document); err != nil {
		v.t.Fatalf("%v: %v: %s", arguments, err, r.text)
	}
	for _, plane := range document.DataPlanes {
		if plane.Compared < 8 {
			v.t.Errorf("%v: only %d frontends were compared", arguments, plane.Compared)
		}
		for _, difference := range plane.Differences {
			r.findings = append(r.findings, difference.Backends...)
		}
	}
	return r
}

func (r report) finds(t *testing.T, verdict, address, node string, pools ...string) {
	t.Helper()
	for _, each := range r.findings {
		if each.Verdict == verdict && each.Node == node && slices.Equal(each.Pools, pools) &&
			(strings.HasPrefix(each.Backend, address+":") || strings.HasPrefix(each.Backend, "[")) {
			return
		}
	}
	t.Errorf("no %s of %s on %s in %v: %s", verdict, address, node, pools, r.text)
}

// settle reads the agent's socket until the view is held, or once for an agent that differs.
func (v *verifier) settle(agent *agent, status int, what string) {
	v.t.Helper()
	seconds := "30"
	if status != 0 {
		seconds = "0"
	}
	v.verify(status, "--socket", agentSocket, "--settle", seconds)
	body, err := agent.get("/v1/service")
	v.site.must(nil, err)
	v.record("services-"+what+".api.json", body)
}

// lists writes what each of Cilium's tools prints, and returns the files.
func (v *verifier) lists(what string) (files []string) {
	v.t.Helper()
	for name, arguments := range map[string][]string{
		"services-" + what + ".json": {"service", "list", "-o", "json"},
		"services-" + what + ".txt":  {"service", "list"},
		"maps-" + what + ".json":     {"bpf", "lb", "list", "-o", "json"},
		"maps-" + what + ".txt":      {"bpf", "lb", "list"},
	} {
		files = append(files, v.list(name, arguments...))
	}
	return files
}

func (v *verifier) mapList(what string) string {
	v.t.Helper()
	return v.list("maps-"+what+".json", "bpf", "lb", "list", "-o", "json")
}

func (v *verifier) list(name string, arguments ...string) string {
	v.t.Helper()
	out, err := exec.Command(v.debug, arguments...).Output()
	if err != nil {
		v.t.Fatalf("cilium-dbg %v: %v", arguments, err)
	}
	file := filepath.Join(v.t.TempDir(), name)
	v.site.must(nil, os.WriteFile(file, out, 0o600))
	if !strings.HasPrefix(name, "maps-.") {
		v.record(name, out)
	}
	return file
}

// writeFacts writes lists as `kubectl get --raw` prints them, without managedFields.
func (v *verifier) writeFacts() {
	v.t.Helper()
	for name, path := range map[string]string{
		"nodes":          "/api/v1/nodes",
		"services":       "/api/v1/services",
		"endpointslices": "/apis/discovery.k8s.io/v1/endpointslices",
		"nodepools":      "/apis/apps.openyurt.io/v1beta2/nodepools",
	} {
		body, err := v.site.typed.RESTClient().Get().AbsPath(path).DoRaw(v.t.Context())
		v.site.must(nil, err)
		var list map[string]any
		v.site.must(nil, json.Unmarshal(body, &list))
		for _, item := range list["items"].([]any) {
			delete(item.(map[string]any)["metadata"].(map[string]any), "managedFields")
		}
		body, err = json.Marshal(list)
		v.site.must(nil, err)
		v.site.must(nil, os.WriteFile(filepath.Join(v.facts, name+".json"), body, 0o600))
		v.record(filepath.Join("facts", name+".json"), body)
	}
}

func (v *verifier) record(name string, content []byte) {
	v.t.Helper()
	folder := os.Getenv("RECORD")
	if folder == "" {
		return
	}
	file := filepath.Join(folder, chosen.version, name)
	v.site.must(nil, os.MkdirAll(filepath.Dir(file), 0o755))
	v.site.must(nil, os.WriteFile(file, content, 0o644))
}

// moreServices writes Services whose frontends Cilium treats in other ways.
func (w *world) moreServices() {
	pool := map[string]string{keysAnnotation: "openyurt.io/nodepool"}
	web := []corev1.ServicePort{{Name: "web", Port: 80, Protocol: corev1.ProtocolTCP}}
	services := w.typed.CoreV1().Services(namespace)
	for name, spec := range map[string]corev1.ServiceSpec{
		"node-port": {
			Type: corev1.ServiceTypeNodePort, ClusterIP: "10.96.0.21",
			ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal,
			Ports: []corev1.ServicePort{
				{Name: "web", Port: 80, NodePort: 30080, Protocol: corev1.ProtocolTCP},
			},
		},
		"inner": {
			ClusterIP: "10.96.0.22", Ports: web,
			InternalTrafficPolicy: ptr.To(corev1.ServiceInternalTrafficPolicyLocal),
		},
		"outer": {
			Type: corev1.ServiceTypeLoadBalancer, ClusterIP: "10.96.0.23", Ports: web,
			ExternalIPs: []string{"203.0.113.7"},
		},
		"draining": {ClusterIP: "10.96.0.24", Ports: web},
		"empty":    {ClusterIP: "10.96.0.25", Ports: web},
	} {
		service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
		if name != "inner" {
			service.Annotations = maps.Clone(pool)
		}
		written, err := services.Create(w.t.Context(), service, metav1.CreateOptions{})
		w.must(nil, err)
		if name == "outer" {
			written.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "203.0.113.8"}}
			w.must(services.UpdateStatus(w.t.Context(), written, metav1.UpdateOptions{}))
		}
		slice := &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{
				Name:   name + "-v4",
				Labels: map[string]string{discoveryv1.LabelServiceName: name},
			},
			AddressType: discoveryv1.AddressTypeIPv4,
			Ports: []discoveryv1.EndpointPort{
				{Name: ptr.To("web"), Port: ptr.To[int32](port), Protocol: ptr.To(corev1.ProtocolTCP)},
			},
		}
		ready := discoveryv1.EndpointConditions{Ready: ptr.To(true)}
		for _, pod := range []pod{hangzhou, beijing, client} {
			endpoint := discoveryv1.Endpoint{
				Addresses: []string{pod.v4()}, NodeName: ptr.To(pod.node), Conditions: ready,
			}
			switch {
			case name == "empty" && pod != beijing, name != "draining" && pod == client:
				continue
			case pod == client:
				endpoint.Conditions = discoveryv1.EndpointConditions{
					Ready: ptr.To(false), Serving: ptr.To(true), Terminating: ptr.To(true),
				}
			}
			slice.Endpoints = append(slice.Endpoints, endpoint)
		}
		slices := w.typed.DiscoveryV1().EndpointSlices(namespace)
		w.must(slices.Create(w.t.Context(), slice, metav1.CreateOptions{}))
	}
}

// openWritableMaps opens the maps of IPv4 so that the test can change them.
func openWritableMaps(t *testing.T) bothMaps {
	t.Helper()
	all := openMaps(t)
	for name, pointer := range map[string]**ebpf.Map{
		"cilium_lb4_services_v2": &all.v4.services, "cilium_lb4_backends_v3": &all.v4.backends,
	} {
		loaded, err := ebpf.LoadPinnedMap(pinned+name, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { loaded.Close() })
		*pointer = loaded
	}
	return all
}

// The value of a slot has the backend's identifier, or in slot 0 the session affinity, then the
// count of backends.
func (m familyMaps) backendCount(t *testing.T, service frontend) uint16 {
	t.Helper()
	return binary.NativeEndian.Uint16(m.mustSlot(t, service, 0)[4:])
}

func (m familyMaps) setCount(t *testing.T, service frontend, count uint16) {
	t.Helper()
	value := m.mustSlot(t, service, 0)
	binary.NativeEndian.PutUint16(value[4:], count)
	m.put(t, m.services, slotKey(service, 0), value)
}

// setSlot leads a slot to a backend.
func (m familyMaps) setSlot(t *testing.T, service frontend, slot uint16, backend []byte) {
	t.Helper()
	value := m.mustSlot(t, service, 1)
	copy(value, backend)
	m.put(t, m.services, slotKey(service, slot), value)
}

func (m familyMaps) deleteSlot(t *testing.T, service frontend, slot uint16) {
	t.Helper()
	if err := m.services.Delete(slotKey(service, slot)); err != nil {
		t.Fatal(err)
	}
}

// addBackend copies the first backend of a Service, with the address of a pod, and returns the
// identifier of the copy.
func (m familyMaps) addBackend(t *testing.T, service frontend, pod pod) []byte {
	t.Helper()
	var backend []byte
	if err := m.backends.Lookup(m.mustSlot(t, service, 1)[:4], &backend); err != nil {
		t.Fatal(err)
	}
	copy(backend, netip.MustParseAddr(pod.v4()).AsSlice())
	id := binary.NativeEndian.AppendUint32(nil, 4242)
	m.put(t, m.backends, id, backend)
	return id
}

func (m familyMaps) mustSlot(t *testing.T, service frontend, slot uint16) []byte {
	t.Helper()
	value, err := m.slot(service, slot)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func (m familyMaps) put(t *testing.T, in *ebpf.Map, key, value []byte) {
	t.Helper()
	if err := in.Put(key, value); err != nil {
		t.Fatal(fmt.Errorf("%s: %w", in, err))
	}
}

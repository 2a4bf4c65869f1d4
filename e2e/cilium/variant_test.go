package cilium

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// variant is a cilium-agent and what filters its endpoints.
type variant struct {
	// Cilium's version.
	version string
	// An unmodified agent behind poolscope-proxy; if not, the agent with the cell in it.
	proxied bool
	// KUBERNETES_SERVICE_HOST leads the agent to the proxy; if not, a CiliumNodeConfig.
	inCluster bool
	// The agent.
	program string
	// Cilium's module: BPF programs, and definitions of its kinds.
	source string
}

// AGENT chooses the variant, AGENT_VERSION the version of Cilium; PROXY names poolscope-proxy. For
// the cell AGENT_VERSION is empty or 1.19.
func chooseVariant() (v variant, err error) {
	switch agent := os.Getenv("AGENT"); agent {
	case "", "cell":
		name := "cilium-agent"
		if older := os.Getenv("AGENT_VERSION"); older != "" {
			name += "-" + older
		}
		v.program = filepath.Join("../../target/cilium", name)
		v.version = moduleOfCell(name, "{{.Version}}")
		v.source = moduleOfCell(name, "{{.Dir}}")
	case "kubeconfig", "in-cluster":
		v.proxied, v.inCluster = true, agent == "in-cluster"
		v.version = os.Getenv("AGENT_VERSION")
		built := filepath.Join("../../target/cilium/stock", v.version)
		v.program = filepath.Join(built, "cilium-agent")
		source, err := os.ReadFile(filepath.Join(built, "source"))
		if err != nil {
			return v, fmt.Errorf("AGENT_VERSION: %w: `make cilium-agent-stock` builds it", err)
		}
		v.source = strings.TrimSpace(string(source))
		if os.Getenv("PROXY") == "" {
			return v, fmt.Errorf("PROXY does not name poolscope-proxy")
		}
	default:
		return v, fmt.Errorf("AGENT is %q: set cell, kubeconfig or in-cluster", agent)
	}
	if v.source == "" {
		return v, fmt.Errorf("Cilium's module is not known")
	}
	v.program, err = filepath.Abs(v.program)
	return v, err
}

// moduleOfCell is a property of Cilium's module as the agent's module requires it.
func moduleOfCell(name, format string) string {
	list := exec.Command("go", "list", "-m", "-f", format, "github.com/cilium/cilium")
	list.Dir = filepath.Join("../../bindings/go/cilium/cmd", name)
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(strings.TrimSpace(string(out)), "v")
}

func (v variant) String() string {
	switch {
	case !v.proxied:
		return "cilium-agent " + v.version + " with the cell"
	case v.inCluster:
		return "cilium-agent " + v.version + ", KUBERNETES_SERVICE_HOST names the proxy"
	default:
		return "cilium-agent " + v.version + ", a CiliumNodeConfig names the proxy"
	}
}

// canBeEager says whether Cilium's time for collecting events can be set.
func (v variant) canBeEager() bool { return !strings.HasPrefix(v.version, "1.19.") }

// settings are flags of an agent, or entries of its ConfigMap.
type settings map[string]string

// and adds settings; of two with one name the later one holds.
func (s settings) and(more ...settings) settings {
	all := maps.Clone(s)
	for _, each := range more {
		maps.Copy(all, each)
	}
	return all
}

func (s settings) flags() (flags []string) {
	for name, value := range s {
		flags = append(flags, "--"+name+"="+value)
	}
	return flags
}

// agentSettings are the settings of every agent here.
var agentSettings = settings{
	"cgroup-root": cgroupMount, "lib-dir": library,
	"enable-ipv6": "true", "routing-mode": "native",
	"ipv4-native-routing-cidr": "10.244.0.0/16", "ipv6-native-routing-cidr": "fd00:244::/48",
	"enable-ipv4-masquerade": "false", "enable-ipv6-masquerade": "false",
	"kube-proxy-replacement": "true", "ipam": "kubernetes",
	"identity-allocation-mode": "crd", "devices": "eth0",
	"enable-l7-proxy": "false", "enable-health-checking": "false",
	"enable-endpoint-health-checking": "false",
	"enable-xt-socket-fallback":       "false", "enable-hubble": "false",
	"prometheus-serve-addr": "127.0.0.1:9962", "cni-log-file": "/run/cni.log",
}

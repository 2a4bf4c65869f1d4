package cilium

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The ConfigMap names several API servers, and a CiliumNodeConfig leads the nodes of pools to the
// proxy: Cilium's own `cilium-dbg build-config` and agent decide what follows.
func TestACiliumNodeConfigLeadsTheAgentToTheProxyAndBack(t *testing.T) {
	if !chosen.proxied || chosen.inCluster {
		t.Skip("no CiliumNodeConfig leads this agent")
	}
	site := newSite(t)
	site.guide()
	kubeconfigOnly := settings{"k8s-kubeconfig-path": proxyKubeconfig}

	both := "https://" + site.server.Address() + " https://" + site.server.Address() + "/"
	for _, each := range []struct {
		what, node       string
		defaults         settings
		kubeconfig, urls string
		hasKubeconfig    bool
	}{
		{"no CiliumNodeConfig", hangzhou.node, nil, "", both, false},
		{"one with a kubeconfig", hangzhou.node, kubeconfigOnly, proxyKubeconfig, both, true},
		{"one with a kubeconfig that clears the URLs", hangzhou.node, toProxy, proxyKubeconfig, "", true},
		{"the same on a node in no pool", cloud.node, toProxy, "", both, false},
	} {
		site.nodeConfig(each.defaults)
		folder := site.resolve(each.node)
		urls, err := os.ReadFile(filepath.Join(folder, "k8s-api-server-urls"))
		if err != nil || string(urls) != each.urls {
			t.Errorf("%s: the URLs are %q, not %q (%v)", each.what, urls, each.urls, err)
		}
		kubeconfig, err := os.ReadFile(filepath.Join(folder, "k8s-kubeconfig-path"))
		if errors.Is(err, os.ErrNotExist) == each.hasKubeconfig || string(kubeconfig) != each.kubeconfig {
			t.Errorf("%s: the kubeconfig is %q, not %q (%v)",
				each.what, kubeconfig, each.kubeconfig, err)
		}
	}

	t.Log("with the kubeconfig and URLs the agent goes to the URLs, whose CA the kubeconfig lacks")
	site.proxy = newProxy(t, append([]string{"--node", hangzhou.node}, site.arguments...)...)
	site.proxy.start()
	site.nodeConfig(kubeconfigOnly)
	agent := site.launch(hangzhou.node)
	agent.eventually("is refused", func() error {
		log, err := os.ReadFile(agent.log)
		if err == nil && !strings.Contains(string(log), "x509: certificate signed by unknown authority") {
			err = fmt.Errorf("its log does not say so")
		}
		return err
	})
	if ports := agent.connections(); ports[proxyPort] > 0 {
		t.Errorf("it has %d connections to the proxy", ports[proxyPort])
	}
	agent.stop()

	t.Log("without URLs it goes to the proxy")
	agent = site.startFiltered(hangzhou.node)
	line := &timeline{t: t, site: site, agent: agent, maps: openMaps(t)}
	line.settles("the pool's endpoint", hangzhou)
	site.passesTheProxyAlone(agent)
	agent.stop()

	t.Log("and without the CiliumNodeConfig back to the API server")
	site.nodeConfig(nil)
	line.agent = site.startUnfiltered(hangzhou.node)
	line.settles("every endpoint", hangzhou, beijing, cloud)
	if ports := line.agent.connections(); ports[proxyPort] > 0 {
		t.Errorf("it has %d connections to the proxy", ports[proxyPort])
	}
}

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
	}{
		{"no CiliumNodeConfig", hangzhou.node, nil, "", both},
		{"one with a kubeconfig", hangzhou.node, kubeconfigOnly, proxyKubeconfig, both},
		{"one that clears the URLs, too", hangzhou.node, toProxy, proxyKubeconfig, ""},
		{"the same on a node in no pool", cloud.node, toProxy, "", both},
	} {
		site.nodeConfig(each.defaults)
		folder := site.resolve(each.node)
		for key, expected := range map[string]string{
			"k8s-kubeconfig-path": each.kubeconfig, "k8s-api-server-urls": each.urls,
		} {
			value, err := os.ReadFile(filepath.Join(folder, key))
			if err != nil && !errors.Is(err, os.ErrNotExist) || string(value) != expected {
				t.Errorf("%s: %s is %q, not %q (%v)", each.what, key, value, expected, err)
			}
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

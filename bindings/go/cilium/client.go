package poolscopecilium

import (
	"fmt"
	"net/http"

	"k8s.io/client-go/rest"

	"github.com/cilium/cilium/pkg/k8s/client"
)

// sharedClient returns the one HTTP client that all of the agent's Kubernetes clients use. Cilium
// does not promise that there is one, so that sharedClient checks it: no version of Cilium may go
// unfiltered.
func sharedClient(clientset client.Clientset) (*http.Client, error) {
	var shared *http.Client
	for _, each := range []struct {
		name string
		rest rest.Interface
	}{
		// The first one reads endpoints; the others read facts.
		{"Slim().DiscoveryV1()", clientset.Slim().DiscoveryV1().RESTClient()},
		{"Slim().CoreV1()", clientset.Slim().CoreV1().RESTClient()},
		{"CoreV1()", clientset.CoreV1().RESTClient()},
		{"CiliumV2()", clientset.CiliumV2().RESTClient()},
	} {
		client, ok := each.rest.(*rest.RESTClient)
		switch {
		case !ok || client == nil:
			return nil, unknownShape("%s has a %T instead of client-go's REST client", each.name, each.rest)
		case client.Client == nil || client.Client == http.DefaultClient:
			return nil, unknownShape("%s has no HTTP client of its own", each.name)
		case shared != nil && client.Client != shared:
			return nil, unknownShape("%s does not share the HTTP client of the others", each.name)
		}
		shared = client.Client
	}
	return shared, nil
}

func unknownShape(format string, arguments ...any) error {
	return fmt.Errorf(
		"poolscope: this version of Cilium keeps its Kubernetes clients otherwise: %s; "+
			"build it with a version that docs/cilium.md names, or switch poolscope off with "+
			"--poolscope-enable=false",
		fmt.Sprintf(format, arguments...),
	)
}

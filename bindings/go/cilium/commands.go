package poolscopecilium

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cilium/hive/script"
)

// The deadline of a command's requests to the API server.
const requestTimeout = 10 * time.Second

var errOff = errors.New(
	"poolscope is off: --poolscope-enable=false, or the agent has no Kubernetes",
)

// commands are those of `cilium-dbg shell`.
func (v *agentView) commands() map[string]script.Cmd {
	return map[string]script.Cmd{
		"poolscope/status": command("This node's pool, waiting responses, and all counters", "", 0,
			func(_ context.Context, out io.Writer, _ []string) error { return v.status(out) }),
		"poolscope/explain": command(
			"Every endpoint of a Service, whether this node may use it, and why",
			"namespace/name...",
			1,
			func(ctx context.Context, out io.Writer, services []string) error {
				return v.explain(ctx, out, services)
			},
		),
	}
}

func command(
	summary, arguments string,
	least int,
	run func(context.Context, io.Writer, []string) error,
) script.Cmd {
	return script.Command(
		script.CmdUsage{Summary: summary, Args: arguments},
		func(s *script.State, arguments ...string) (script.WaitFunc, error) {
			if len(arguments) < least {
				return nil, script.ErrUsage
			}
			return func(*script.State) (string, string, error) {
				var out strings.Builder
				err := run(s.Context(), &out, arguments)
				return out.String(), "", err
			}, nil
		},
	)
}

func (v *agentView) status(out io.Writer) error {
	if v == nil {
		return errOff
	}
	fmt.Fprintln(out, v.place())
	for _, waiting := range v.node.Waiting() {
		fmt.Fprintf(
			out,
			"waits for %.0f s: GET %s: %s\n",
			time.Since(waiting.Since).Seconds(),
			waiting.Target,
			waitFor(waiting.Missing),
		)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(
		table,
		"generation\t%d\nfetchFailures\t%d\n",
		v.node.Cluster().Generation(),
		v.failures.Load(),
	)
	counters := v.node.Cluster().Counters()
	for _, name := range slices.Sorted(maps.Keys(counters)) {
		fmt.Fprintf(table, "%s\t%d\n", name, counters[name])
	}
	return table.Flush()
}

// explain queries the API server, because the agent never receives endpoints that this node may not
// use.
func (v *agentView) explain(ctx context.Context, out io.Writer, services []string) error {
	if v == nil {
		return errOff
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	inventory, err := v.node.Cluster().NewInventory()
	if err != nil {
		return err
	}
	for _, service := range services {
		namespace, name, ok := strings.Cut(service, "/")
		if !ok || namespace == "" || name == "" {
			return fmt.Errorf("%q is not a Service: write namespace/name", service)
		}
		selector := url.Values{"labelSelector": {"kubernetes.io/service-name=" + name}}
		for _, target := range []string{
			"/api/v1/namespaces/" + url.PathEscape(namespace) + "/services/" + url.PathEscape(name),
			"/apis/discovery.k8s.io/v1/namespaces/" + url.PathEscape(namespace) +
				"/endpointslices?" + selector.Encode(),
		} {
			body, err := v.get(ctx, target)
			if err == nil {
				err = inventory.Load(body)
			}
			if err != nil {
				return err
			}
		}
	}
	all, err := inventory.View(v.node)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, v.place())
	for _, service := range all {
		fmt.Fprintf(
			out,
			"\n%s/%s has topology: %s\n",
			service.Namespace,
			service.Name,
			cmp.Or(service.Topology, "not known"),
		)
		table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "ADDRESS\tNODE\tPOOLS\tSTATE\t\tRULE\tWHY")
		for _, each := range service.Endpoints {
			verdict := "dropped"
			if each.Kept {
				verdict = "kept"
			}
			fmt.Fprintf(
				table,
				"%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
				each.Address,
				cmp.Or(each.Node, "-"),
				strings.Join(each.Pools, ","),
				each.State,
				verdict,
				each.Rule,
				each.Why,
			)
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// get returns the API server's whole response, unfiltered.
func (v *agentView) get(ctx context.Context, target string) ([]byte, error) {
	request, err := http.NewRequestWithContext(
		ctx,
		http.MethodGet,
		strings.TrimSuffix(v.server.String(), "/")+target,
		nil,
	)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	response, err := v.unfiltered.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s", target, response.Status)
	}
	return body, err
}

// lab shows the node proxy with real programs: a kube-apiserver and its etcd, poolscope-proxy for a
// node, and an unmodified client-go informer as the agent of that node. Everything is on loopback
// and in a temporary folder. `make lab` builds the programs.
//
// lab fails if the agent holds other endpoints than it should, or lists where it should not.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/poolscope/poolscope/e2e/apiserver"
)

func main() {
	program := flag.String("proxy", "", "the program poolscope-proxy")
	commandLine := flag.String("command", "", "the program poolscope, which shows the cluster, too")
	keep := flag.Bool("keep", false, "stay up until the program is interrupted")
	flag.Parse()
	r := newRun()
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		r.interrupt()
	}()
	show(r, *program, *commandLine, *keep)
	r.end(0)
}

func show(r *run, program, commandLine string, keep bool) {
	fmt.Println("kube-apiserver, poolscope-proxy for node hz-edge-1, and an informer as its agent")
	fmt.Println()
	if _, err := apiserver.Build(); err != nil {
		r.Fatal(err)
	}
	r.step("kube-apiserver and etcd are built")
	server := apiserver.Start(r)
	c := newCluster(r, server)
	r.step("kube-apiserver %s is ready", c.version())
	c.create()
	r.step("3 Nodes, 2 NodePools, 2 Services and their EndpointSlices are created")
	proxy := startProxy(r, program, server)
	r.step("poolscope-proxy is ready")
	admin := c.kubeconfig("direct", adminConfig(server))
	direct := startAgent(r, admin)
	poolscope := &command{r, commandLine, admin}
	written, err := clientcmd.LoadFromFile(proxy.kubeconfig())
	r.must(err)
	agent := startAgent(r, c.kubeconfig("agent", written))
	r.step("the informers have synced: one directly, one with the proxy's kubeconfig")

	v := &views{run: r, cluster: c, direct: direct, agent: agent}
	v.title("The agent's endpoints, directly and through the proxy")
	v.expect(seen{
		"cart": {"hz-edge-1", "hz-edge-2"},
		"web":  {"bj-edge-1", "hz-edge-1", "hz-edge-2"},
	})
	poolscope.show("2 of 3 endpoints kept", "view", "--node", "hz-edge-1", "shop/cart")

	began := v.title("Node hz-edge-2 moves to pool beijing")
	c.move("hz-edge-2", "beijing")
	v.expectEvents(began, seen{"cart": {"hz-edge-1"}})
	poolscope.show("hz-edge-2 is in beijing, not in hangzhou",
		"explain", "--node", "hz-edge-1", "shop/cart")

	began = v.title("Service shop/web gets the annotation")
	c.annotate("web")
	v.expectEvents(began, seen{"web": {"hz-edge-1"}})

	began = v.title("The proxy restarts, and meanwhile hz-edge-2 moves back")
	before := agent.requests.listed()
	proxy.stop()
	c.move("hz-edge-2", "hangzhou")
	proxy.run()
	v.line(began, time.Now(), "poolscope-proxy is ready again; client-go retries later")
	v.expectEvents(began, seen{
		"cart": {"hz-edge-1", "hz-edge-2"},
		"web":  {"hz-edge-1", "hz-edge-2"},
	})
	if lists := agent.requests.listed(); lists != before || lists != 1 {
		r.Fatalf("the agent listed EndpointSlices %d times, %d of them before the restart: want 1",
			lists, before)
	}
	fmt.Println("The agent listed EndpointSlices once, at its start. After the restart it did not")
	fmt.Println("list again: its watch resumed, because the proxy had saved the client state.")
	v.expectNoOtherEvents()

	fmt.Printf("\nAll as expected, after %.1f s.\n", time.Since(r.began).Seconds())
	if keep {
		c.explain(proxy)
		select {}
	}
	fmt.Println("KEEP=1 make lab stays up, for kubectl and curl.")
}

// informer prints the EndpointSlices as a node sees them, and every change: a client-go program
// with one more line.
//
//	informer -node hz-edge-1 -kubeconfig ~/.kube/config
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/poolscope/poolscope/bindings/go"
)

func main() {
	node := flag.String("node", os.Getenv("NODE_NAME"), "the node whose view is shown")
	kubeconfig := flag.String(
		"kubeconfig",
		os.Getenv("KUBECONFIG"),
		"how to reach the API server; empty: from inside a pod",
	)
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	check(err)
	cluster, err := poolscope.New(poolscope.Config{})
	check(err)
	view := cluster.Node(*node)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	// The facts that this program does not read itself.
	plain, err := rest.HTTPClientFor(config)
	check(err)
	server, _, err := rest.DefaultServerUrlFor(config)
	check(err)
	go syncFacts(ctx, view, poolscope.SyncOptions{Client: plain, Server: server})

	// The line.
	config.Wrap(view.WrapTransport)

	clients, err := kubernetes.NewForConfig(config)
	check(err)
	factory := informers.NewSharedInformerFactory(clients, 0)
	_, err = factory.Discovery().
		V1().
		EndpointSlices().
		Informer().
		AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(slice any) { show("sees", slice) },
			UpdateFunc: func(_, slice any) { show("now sees", slice) },
			DeleteFunc: func(slice any) { show("no longer sees", slice) },
		})
	check(err)
	factory.Start(ctx.Done())
	<-ctx.Done()
	factory.Shutdown()
	fmt.Printf("%v\n", cluster.Counters())
}

func syncFacts(ctx context.Context, view *poolscope.Node, options poolscope.SyncOptions) {
	options.Failed = func(kind poolscope.FactKind, err error) {
		log.Printf("fetching %s: %v", kind, err)
	}
	if err := view.Sync(ctx, options); ctx.Err() == nil && err != nil {
		log.Print(err)
	}
}

func show(what string, object any) {
	slice, ok := object.(*discoveryv1.EndpointSlice)
	if !ok {
		return
	}
	var addresses []string
	for _, endpoint := range slice.Endpoints {
		addresses = append(addresses, endpoint.Addresses...)
	}
	fmt.Printf("%s %s/%s: %s\n", what, slice.Namespace, slice.Name, strings.Join(addresses, " "))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// informer prints what a node sees of EndpointSlices, and every change of it: a client-go program with one line more.
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
	kubeconfig := flag.String("kubeconfig", os.Getenv("KUBECONFIG"), "how to reach the API server; empty: from inside a pod")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	check(err)
	cluster, err := poolscope.New(`{}`)
	check(err)
	view := cluster.Node(*node)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	// The facts that this program does not read itself.
	plain, err := rest.HTTPClientFor(config)
	check(err)
	server, _, err := rest.DefaultServerUrlFor(config)
	check(err)
	go learn(ctx, view, poolscope.Learner{Client: plain, Server: server})

	// The line.
	config.Wrap(view.WrapTransport)

	clients, err := kubernetes.NewForConfig(config)
	check(err)
	factory := informers.NewSharedInformerFactory(clients, 0)
	_, err = factory.Discovery().V1().EndpointSlices().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
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

func learn(ctx context.Context, view *poolscope.Node, learner poolscope.Learner) {
	learner.Failed = func(kind string, err error) { log.Printf("learning %s: %v", kind, err) }
	view.Learn(ctx, learner)
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

package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// agent is an unmodified informer of EndpointSlices, with its requests counted.
type agent struct {
	*run
	slices   discoverylisters.EndpointSliceLister
	requests *requests
	events   chan event
}

// event is a change that the informer reported.
type event struct {
	kind, service string
	before, after []endpoint
	at            time.Time
}

type endpoint struct{ address, node string }

func startAgent(r *run, kubeconfig string) *agent {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	r.must(err)
	a := &agent{run: r, requests: &requests{}, events: make(chan event, 100)}
	config.Wrap(func(base http.RoundTripper) http.RoundTripper {
		a.requests.base = base
		return a.requests
	})
	// As kube-proxy and cilium-agent ask.
	config.ContentType = "application/vnd.kubernetes.protobuf"
	factory := informers.NewSharedInformerFactory(kubernetes.NewForConfigOrDie(config), 0)
	slices := factory.Discovery().V1().EndpointSlices()
	registration, err := slices.Informer().AddEventHandler(cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(object any, isInitial bool) {
			if !isInitial {
				a.report("ADDED", nil, object)
			}
		},
		UpdateFunc: func(before, after any) { a.report("MODIFIED", before, after) },
		DeleteFunc: func(object any) { a.report("DELETED", object, nil) },
	})
	r.must(err)
	a.slices = slices.Lister()
	stop := make(chan struct{})
	factory.Start(stop)
	r.Cleanup(func() { close(stop) })
	r.await("the informer has synced", func() error {
		if !registration.HasSynced() {
			return fmt.Errorf("%d lists were requested", a.requests.listed())
		}
		return nil
	})
	return a
}

func (a *agent) report(kind string, before, after any) {
	old, _ := before.(*discoveryv1.EndpointSlice)
	now, _ := after.(*discoveryv1.EndpointSlice)
	e := event{kind: kind, at: time.Now()}
	for _, slice := range []*discoveryv1.EndpointSlice{old, now} {
		// The API server publishes its own address, in another namespace.
		if slice != nil && slice.Namespace == namespace {
			e.service = slice.Labels[discoveryv1.LabelServiceName]
		}
	}
	if e.service == "" {
		return
	}
	if old != nil {
		e.before = endpoints(old)
	}
	if now != nil {
		e.after = endpoints(now)
	}
	a.events <- e
}

func endpoints(slice *discoveryv1.EndpointSlice) (all []endpoint) {
	for _, each := range slice.Endpoints {
		all = append(all, endpoint{address: each.Addresses[0], node: *each.NodeName})
	}
	return all
}

// held returns the endpoints of the informer's cache, by Service.
func (a *agent) held() map[string][]endpoint {
	listed, err := a.slices.EndpointSlices(namespace).List(labels.Everything())
	a.must(err)
	held := map[string][]endpoint{}
	for _, slice := range listed {
		service := slice.Labels[discoveryv1.LabelServiceName]
		held[service] = append(held[service], endpoints(slice)...)
	}
	return held
}

// requests counts those that read all EndpointSlices.
type requests struct {
	base  http.RoundTripper
	lists atomic.Int64
}

func (r *requests) RoundTrip(request *http.Request) (*http.Response, error) {
	query := request.URL.Query()
	// client-go lists by a watch that begins with all objects.
	isList := query.Get("watch") == "" || query.Get("sendInitialEvents") == "true"
	if isList && strings.HasSuffix(request.URL.Path, "/endpointslices") {
		r.lists.Add(1)
	}
	return r.base.RoundTrip(request)
}

func (r *requests) listed() int64 { return r.lists.Load() }

package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientfeatures "k8s.io/client-go/features"
	clientfeaturestesting "k8s.io/client-go/features/testing"
	"k8s.io/client-go/tools/cache"

	"github.com/poolscope/poolscope/e2e/apiserver"
)

// resync is the period of every factory here. A handler with another one, zero, is not told of an
// object that comes again under the resourceVersion at which the informer has it.
const resync = 3 * time.Second

// handler holds what an informer has told it.
type handler struct {
	what  string
	mutex sync.Mutex
	held  map[string][]discoveryv1.Endpoint
}

func (h *handler) set(object any) {
	slice := object.(*discoveryv1.EndpointSlice)
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.held[slice.Name] = slice.Endpoints
}

func (h *handler) OnAdd(object any, _ bool) { h.set(object) }
func (h *handler) OnUpdate(_, object any)   { h.set(object) }
func (h *handler) OnDelete(object any) {
	if tombstone, is := object.(cache.DeletedFinalStateUnknown); is {
		object = tombstone.Obj
	}
	h.mutex.Lock()
	defer h.mutex.Unlock()
	delete(h.held, object.(*discoveryv1.EndpointSlice).Name)
}

// handle adds a handler that is resynced, and one that is not.
func (o *observer) handle(t *testing.T, informer cache.SharedIndexInformer) {
	for _, period := range []time.Duration{0, resync} {
		h := &handler{
			what: fmt.Sprintf("the handler with resync %v", period),
			held: map[string][]discoveryv1.Endpoint{},
		}
		if _, err := informer.AddEventHandlerWithResyncPeriod(h, period); err != nil {
			t.Fatal(err)
		}
		o.handlers = append(o.handlers, h)
	}
}

// behind says which handler does not hold what the store holds.
func (o *observer) behind(held []*discoveryv1.EndpointSlice) error {
	for _, h := range o.handlers {
		h.mutex.Lock()
		defer h.mutex.Unlock()
		if len(h.held) != len(held) {
			return fmt.Errorf("%s: %s holds %d slices, not %d", o.what, h.what, len(h.held), len(held))
		}
		for _, slice := range held {
			if has, known := h.held[slice.Name]; !known ||
				!apiequality.Semantic.DeepEqual(has, slice.Endpoints) {
				return fmt.Errorf(
					"%s: %s holds of %s@%s %s, not %s",
					o.what,
					h.what,
					slice.Name,
					slice.ResourceVersion,
					shown(has),
					shown(slice.Endpoints),
				)
			}
		}
	}
	return nil
}

// hold keeps requests for slices back until it is released.
func (l *line) hold() (release func()) {
	held := make(chan struct{})
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.held = held
	return func() { close(held) }
}

// wait returns when requests for slices may pass.
func (l *line) wait(path string) {
	l.mutex.Lock()
	held := l.held
	l.mutex.Unlock()
	if held != nil && strings.HasSuffix(path, "/endpointslices") {
		<-held
	}
}

// Facts change while the clients are cut off, and their watches are answered by 410, by the API
// server or by poolscope: the slices have not changed, so that the new list says them otherwise
// under the same resourceVersion.
func TestEveryHandlerIsToldWhatAListSaysOtherwise(t *testing.T) {
	server := apiserver.Start(t)
	w := newWorld(t, server.Config(), 3)
	allSettings, allKeys := []string{
		"{}",
		`{"retention":"topology"}`,
		`{"retention":"none"}`,
	}, []string{
		byNode,
		byPool,
		"",
	}
	if testing.Short() {
		allSettings, allKeys = []string{"{}", `{"retention":"none"}`}, allKeys[:1]
	}
	for _, watchList := range []bool{true, false} {
		if testing.Short() && !watchList {
			continue
		}
		t.Run(fmt.Sprintf("WatchList %v", watchList), func(t *testing.T) {
			clientfeaturestesting.SetFeatureDuringTest(t, clientfeatures.WatchListClient, watchList)
			var observers []*observer
			for _, settings := range allSettings {
				for _, contentType := range []string{protobuf, json} {
					observers = append(
						observers,
						observe(t, server.Config(), "hz-0", contentType, false, settings),
					)
				}
			}
			settle(t, "at first", w, observers)
			// Until then every handler is told of everything.
			time.Sleep(resync + time.Second)
			for round, keys := range allKeys {
				for _, forgets := range []bool{true, false} {
					var releases []func()
					for _, o := range observers {
						releases = append(releases, o.line.hold())
					}
					if forgets {
						server.Stop(t)
					}
					for _, o := range observers {
						o.line.cut()
					}
					if forgets {
						server.Compact(t)
						server.Resume(t)
					}
					w.annotateAll(keys)
					for _, o := range observers {
						eventually(t, "the Services are known", func() bool { return o.knows(w, keys) })
					}
					for _, release := range releases {
						release()
					}
					settle(t, fmt.Sprintf("round %d, by 410 of the API server: %v", round, forgets), w, observers)
				}
			}
			report(t, observers)
		})
	}
}

// annotateAll gives every Service the same keys.
func (w *world) annotateAll(keys string) {
	for _, service := range w.services {
		w.retried(func() error {
			object, err := w.typed.CoreV1().Services("default").Get(w.ctx, service, metav1.GetOptions{})
			if err != nil {
				return err
			}
			object.Annotations = map[string]string{keysAnnotation: keys}
			_, err = w.typed.CoreV1().Services("default").Update(w.ctx, object, metav1.UpdateOptions{})
			return err
		})
	}
}

// knows says whether every Service has come to a client with these keys.
func (o *observer) knows(w *world, keys string) bool {
	for _, service := range w.services {
		object, err := o.services.Services("default").Get(service)
		if err != nil || object.Annotations[keysAnnotation] != keys {
			return false
		}
	}
	return true
}

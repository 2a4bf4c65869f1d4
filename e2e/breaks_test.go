package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/poolscope/poolscope/e2e/apiserver"
)

// followedKind is a kind with the object that is changed to see whether a reflector follows.
type followedKind struct {
	resource  schema.GroupVersionResource
	object    string
	rewritten bool
}

var followedKinds = []followedKind{
	{corev1.SchemeGroupVersion.WithResource("configmaps"), "default/followed", false},
	{corev1.SchemeGroupVersion.WithResource("secrets"), "default/followed", false},
	{corev1.SchemeGroupVersion.WithResource("nodes"), "bj-1", false},
	{corev1.SchemeGroupVersion.WithResource("services"), "default/service-0", true},
	{corev1.SchemeGroupVersion.WithResource("endpoints"), "default/followed", true},
	{schema.GroupVersionResource{
		Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices",
	}, "default/service-0-0", true},
}

// reflector is that of an unmodified informer, with the requests that fetch everything.
type reflector struct {
	what  string
	kind  followedKind
	store cache.Store
	seen  *requestLog
}

// requestLog notes LISTs, and watches that begin with all objects.
type requestLog struct {
	next  http.RoundTripper
	mutex sync.Mutex
	full  []string
}

func (l *requestLog) RoundTrip(request *http.Request) (*http.Response, error) {
	query := request.URL.Query()
	if query.Get("watch") == "" || query.Get("sendInitialEvents") == "true" {
		l.mutex.Lock()
		l.full = append(l.full, request.URL.RequestURI())
		l.mutex.Unlock()
	}
	return l.next.RoundTrip(request)
}

func (l *requestLog) all() []string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return slices.Clone(l.full)
}

func startReflectors(t *testing.T, what string, of *rest.Config) (all []*reflector) {
	t.Helper()
	stop := make(chan struct{})
	var ended []func()
	for _, variant := range []struct {
		content  string
		protocol []string
	}{{protobuf, nil}, {json, []string{"http/1.1"}}} {
		for _, kind := range followedKinds {
			r := &reflector{
				what: fmt.Sprintf("%s, %s, %s", what, kind.resource.Resource, variant.content),
				kind: kind, seen: &requestLog{},
			}
			config := rest.CopyConfig(of)
			config.ContentType, config.NextProtos = variant.content, variant.protocol
			config.Wrap(func(next http.RoundTripper) http.RoundTripper {
				r.seen.next = next
				return r.seen
			})
			client := kubernetes.NewForConfigOrDie(config)
			factory := informers.NewSharedInformerFactory(client, resync)
			informer, err := factory.ForResource(kind.resource)
			if err != nil {
				t.Fatal(err)
			}
			r.store = informer.Informer().GetStore()
			factory.Start(stop)
			ended = append(ended, factory.Shutdown)
			if !cache.WaitForCacheSync(stop, informer.Informer().HasSynced) {
				t.Fatal(r.what, "did not sync")
			}
			all = append(all, r)
		}
	}
	t.Cleanup(func() {
		close(stop)
		for _, wait := range ended {
			wait()
		}
	})
	return all
}

// touch changes one object of each kind, and waits until every reflector has it.
func touch(t *testing.T, w *world, reflectors []*reflector, round string) {
	t.Helper()
	patch := []byte(`{"metadata":{"labels":{"round":"` + round + `"}}}`)
	for _, kind := range followedKinds {
		namespace, name, found := strings.Cut(kind.object, "/")
		if !found {
			namespace, name = "", namespace
		}
		w.retried(func() error {
			_, err := w.dynamic.Resource(kind.resource).Namespace(namespace).Patch(
				w.ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
			return err
		})
	}
	for _, r := range reflectors {
		eventually(t, fmt.Sprintf("%s follows after %s", r.what, round), func() bool {
			object, found, err := r.store.GetByKey(r.kind.object)
			if err != nil || !found {
				return false
			}
			accessor, err := meta.Accessor(object.(runtime.Object))
			return err == nil && accessor.GetLabels()["round"] == round
		})
	}
}

// expect counts the requests that fetched everything.
func expect(t *testing.T, when string, reflectors []*reflector, count int) {
	t.Helper()
	for _, r := range reflectors {
		if full := r.seen.all(); len(full) != count {
			t.Errorf("%s: %s fetched everything %d times, not %d:\n\t%s",
				when, r.what, len(full), count, strings.Join(full, "\n\t"))
		}
	}
}

func prepareBreaks(t *testing.T, seed int64, flags ...string) (*apiserver.Server, *world) {
	t.Helper()
	server := apiserver.Start(t, flags...)
	w := newWorld(t, server.Config(), seed)
	followed := metav1.ObjectMeta{Name: "followed", Namespace: "default"}
	w.must(w.typed.CoreV1().ConfigMaps("default").Create(
		w.ctx, &corev1.ConfigMap{ObjectMeta: followed}, metav1.CreateOptions{}))
	w.must(w.typed.CoreV1().Secrets("default").Create(
		w.ctx, &corev1.Secret{ObjectMeta: followed}, metav1.CreateOptions{}))
	w.must(w.typed.CoreV1().Endpoints("default").Create(
		w.ctx, &corev1.Endpoints{ObjectMeta: followed}, metav1.CreateOptions{}))
	return server, w
}

// However the connections to the API server break, every reflector resumes where it was.
func TestReflectorsResumeWhenTheUpstreamBreaks(t *testing.T) {
	// The highest that the server permits.
	server, w := prepareBreaks(t, 11, "--goaway-chance", "0.02")
	f := startFault(t, server.Address())
	p := proxyTo(t, f.address, server.Config().BearerToken, server.CAFile())
	reflectors := startReflectors(t, "through the proxy", p.config(t, server))
	touch(t, w, reflectors, "first")
	for _, each := range []struct {
		name string
		slow bool
		do   func()
	}{
		{"closed", false, f.close},
		{"reset", false, f.reset},
		{"closed again", false, f.close},
		{"cut-in-a-frame", false, f.cut},
		{"stalled", false, func() { f.stall(3 * time.Second) }},
		{"refused", false, func() {
			f.refuse()
			f.close()
			time.Sleep(3 * time.Second)
			f.listen(t)
		}},
		{"reset and refused", false, func() {
			f.refuse()
			f.reset()
			time.Sleep(time.Second)
			f.listen(t)
		}},
		{"goaway", false, func() { goAway(t, server, p, f) }},
		// The proxy notices by its own pings.
		{"half-open", true, f.vanish},
		{"half-open again", true, f.vanish},
	} {
		if each.slow && testing.Short() {
			continue
		}
		each.do()
		touch(t, w, reflectors, strings.ReplaceAll(each.name, " ", "-"))
		expect(t, each.name, reflectors, 1)
	}
	// Many in a row; each watch gets an event before the next break.
	for number := range 10 {
		[]func(){f.close, f.reset}[number%2]()
		touch(t, w, reflectors, fmt.Sprint("row-", number))
	}
	expect(t, "breaks in a row", reflectors, 1)
}

// goAway sends short watches until the API server has sent GOAWAY to connections with watches. New
// connections show it.
func goAway(t *testing.T, server *apiserver.Server, p *proxy, f *fault) {
	t.Helper()
	way := newWays(t, server, p, 2).through
	before := f.connections()
	row := request{
		name: "a watch", method: http.MethodGet,
		path: "/api/v1/namespaces?watch=1&timeoutSeconds=1",
	}
	for range 10 {
		var watches sync.WaitGroup
		for range 60 {
			watches.Go(func() {
				if r := way.send(t, row, ""); r.status != http.StatusOK || r.broken != "" {
					t.Errorf("a watch while servers go away: %d %s", r.status, r.broken)
				}
			})
		}
		watches.Wait()
		if f.connections() >= before+2 {
			return
		}
	}
	t.Error("no GOAWAY in 600 watches")
}

// After its restart the API server itself expires older versions: reflectors behind the proxy fetch
// everything as often as direct ones.
func TestReflectorsRelistAsDirectOnesAfterAServersRestart(t *testing.T) {
	server, w := prepareBreaks(t, 12)
	p := proxyTo(t, server.Address(), server.Config().BearerToken, server.CAFile())
	through := startReflectors(t, "through the proxy", p.config(t, server))
	direct := startReflectors(t, "directly", server.Config())
	touch(t, w, append(slices.Clone(through), direct...), "first")
	server.Restart(t)
	touch(t, w, append(slices.Clone(through), direct...), "restarted")
	for at := range through {
		got, want := through[at].seen.all(), direct[at].seen.all()
		if len(got) > len(want) {
			t.Errorf("%s fetched everything %d times, directly %d times:\n\t%s",
				through[at].what, len(got), len(want), strings.Join(got, "\n\t"))
		}
	}
}

// A restart of the proxy is a broken connection like any other.
func TestReflectorsResumeWhenTheProxyRestarts(t *testing.T) {
	server, w := prepareBreaks(t, 13)
	p := proxyTo(t, server.Address(), server.Config().BearerToken, server.CAFile())
	reflectors := startReflectors(t, "through the proxy", p.config(t, server))
	touch(t, w, reflectors, "first")
	for number := range 3 {
		p.stop(t)
		p.run(t)
		touch(t, w, reflectors, fmt.Sprint("restart-", number))
		expect(t, fmt.Sprint("restart ", number), reflectors, 1)
	}
}

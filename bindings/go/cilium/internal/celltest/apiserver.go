package celltest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const (
	servicesPath = "/api/v1/services"
	nodesPath    = "/api/v1/nodes"
	slicesPath   = "/apis/discovery.k8s.io/v1/endpointslices"
	poolsPath    = "/apis/apps.openyurt.io/v1beta2/nodepools"
	podsPath     = "/api/v1/pods"
)

// The objects of each collection.
var kinds = map[string]struct{ version, kind string }{
	servicesPath: {"v1", "Service"},
	nodesPath:    {"v1", "Node"},
	slicesPath:   {"discovery.k8s.io/v1", "EndpointSlice"},
	poolsPath:    {"apps.openyurt.io/v1beta2", "NodePool"},
	podsPath:     {"v1", "Pod"},
}

type object = map[string]any

// apiServer is as much of an API server as the load balancer needs: lists, watches and watch-lists
// of a few kinds, in JSON.
type apiServer struct {
	*httptest.Server
	mutex    sync.Mutex
	version  int
	objects  map[string]map[string]object
	watchers map[chan string]string
	// Requests for which this answers with a status instead.
	refuse func(*http.Request) int
	asked  []string
}

func newAPIServer(t *testing.T) *apiServer {
	s := &apiServer{
		version:  10,
		objects:  map[string]map[string]object{},
		watchers: map[chan string]string{},
	}
	for path := range kinds {
		s.objects[path] = map[string]object{}
	}
	s.Server = httptest.NewServer(s)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// put writes an object, given as JSON, and tells who watches.
func (s *apiServer) put(t *testing.T, path, text string) {
	t.Helper()
	var written object
	if err := json.Unmarshal([]byte(text), &written); err != nil {
		t.Fatal(err)
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.version++
	metadata := written["metadata"].(object)
	metadata["resourceVersion"] = fmt.Sprint(s.version)
	written["apiVersion"], written["kind"] = kinds[path].version, kinds[path].kind
	name := metadata["name"].(string)
	change := "ADDED"
	if s.objects[path][name] != nil {
		change = "MODIFIED"
	}
	s.objects[path][name] = written
	s.tell(path, change, written)
}

func (s *apiServer) remove(path, name string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.version++
	gone := s.objects[path][name]
	gone["metadata"].(object)["resourceVersion"] = fmt.Sprint(s.version)
	delete(s.objects[path], name)
	s.tell(path, "DELETED", gone)
}

func (s *apiServer) tell(path, change string, about object) {
	for watcher, watched := range s.watchers {
		if watched == path {
			watcher <- event(change, about)
		}
	}
}

func event(change string, about object) string {
	line, _ := json.Marshal(object{"type": change, "object": about})
	return string(line) + "\n"
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	s.mutex.Lock()
	s.asked = append(s.asked, request.URL.RequestURI()+" "+request.Header.Get("Accept"))
	refuse := s.refuse
	s.mutex.Unlock()
	if refuse != nil {
		if status := refuse(request); status != 0 {
			http.Error(w, http.StatusText(status), status)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	switch request.URL.Path {
	case "/version":
		io.WriteString(w, `{"major":"1","minor":"35","gitVersion":"v1.35.4"}`)
	case "/api/v1/namespaces/kube-system":
		io.WriteString(w, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"kube-system"}}`)
	case "/readyz":
	default:
		// Everything that has a namespace is in default.
		path := strings.Replace(request.URL.Path, "/namespaces/default", "", 1)
		collection, name := cut(path)
		switch {
		case collection == "":
			http.NotFound(w, request)
		case name != "":
			s.serveObject(w, collection, name)
		case request.URL.Query().Get("watch") == "true":
			s.serveWatch(w, request, collection)
		default:
			s.serveList(w, request, collection)
		}
	}
}

// cut finds the collection that a path is of, and the name behind it.
func cut(path string) (collection, name string) {
	for collection := range kinds {
		if path == collection {
			return collection, ""
		}
		if name, found := strings.CutPrefix(path, collection+"/"); found {
			return collection, name
		}
	}
	return "", ""
}

func (s *apiServer) serveObject(w http.ResponseWriter, collection, name string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.objects[collection][name] == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	json.NewEncoder(w).Encode(s.objects[collection][name])
}

// serveList knows one selector: the one by which a Service's slices are found.
func (s *apiServer) serveList(w http.ResponseWriter, request *http.Request, collection string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	service, selected := strings.CutPrefix(
		request.URL.Query().Get("labelSelector"),
		"kubernetes.io/service-name=",
	)
	items := []object{}
	for _, each := range s.objects[collection] {
		labels, _ := each["metadata"].(object)["labels"].(object)
		if !selected || labels["kubernetes.io/service-name"] == service {
			items = append(items, each)
		}
	}
	json.NewEncoder(w).Encode(object{
		"apiVersion": kinds[collection].version, "kind": kinds[collection].kind + "List",
		"metadata": object{"resourceVersion": fmt.Sprint(s.version)}, "items": items,
	})
}

func (s *apiServer) serveWatch(w http.ResponseWriter, request *http.Request, collection string) {
	events := make(chan string, 1000)
	s.mutex.Lock()
	if request.URL.Query().Get("sendInitialEvents") == "true" {
		for _, each := range s.objects[collection] {
			events <- event("ADDED", each)
		}
		events <- event("BOOKMARK", object{
			"apiVersion": kinds[collection].version, "kind": kinds[collection].kind,
			"metadata": object{
				"resourceVersion": fmt.Sprint(s.version),
				"annotations":     object{"k8s.io/initial-events-end": "true"},
			},
		})
	}
	// The events since a list.
	if since, err := strconv.Atoi(request.URL.Query().Get("resourceVersion")); err == nil &&
		since > 0 {
		for _, each := range s.objects[collection] {
			version, _ := strconv.Atoi(each["metadata"].(object)["resourceVersion"].(string))
			if version > since {
				events <- event("MODIFIED", each)
			}
		}
	}
	s.watchers[events] = collection
	s.mutex.Unlock()
	defer func() {
		s.mutex.Lock()
		defer s.mutex.Unlock()
		delete(s.watchers, events)
	}()
	for {
		w.(http.Flusher).Flush()
		select {
		case event := <-events:
			io.WriteString(w, event)
		case <-request.Context().Done():
			return
		}
	}
}

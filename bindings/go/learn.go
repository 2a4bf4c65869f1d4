//go:build cgo

package poolscope

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// The kinds that teach.
const (
	KindService    = "Service"
	KindNode       = "Node"
	KindCiliumNode = "CiliumNode"
	KindNodePool   = "NodePool"
	KindNodeBucket = "NodeBucket"
	KindConfigMap  = "ConfigMap"
)

// How long to wait before a list or watch that failed is tried again: doubled each time, up to the second.
const (
	learnAgain     = 200 * time.Millisecond
	learnAgainMost = 30 * time.Second
)

// Learner fetches facts for a node: lists, and watches that go on from them.
type Learner struct {
	// Client reaches the API server, with its credentials.
	Client *http.Client
	// Server is its address: https://10.96.0.1:443.
	Server *url.URL
	// Kinds are the kinds to fetch: those that the node's own client does not read. Empty: all that are missing when Learn is
	// called. A Node is fetched alone where only the own one counts.
	Kinds []string
	// Failed is told of every failure, if it is set; the Learner goes on.
	Failed func(kind string, err error)
	// Answered is told, if it is set, whenever the API server has answered with facts of a kind: what failed before is over.
	Answered func(kind string)
}

// Learn teaches the cluster what node needs until the context ends: run it in a goroutine of its own. It needs the rights to
// list and watch the kinds.
func (n *Node) Learn(ctx context.Context, learner Learner) {
	var all sync.WaitGroup
	for _, missing := range n.Describe().Missing {
		if len(learner.Kinds) == 0 || slices.Contains(learner.Kinds, missing.Kind) {
			all.Add(1)
			go func() {
				defer all.Done()
				n.learn(ctx, &learner, missing)
			}()
		}
	}
	all.Wait()
}

// learn lists and watches one kind, again and again.
func (n *Node) learn(ctx context.Context, learner *Learner, missing Missing) {
	source := source{cluster: n.cluster, client: learner.Client, server: learner.Server, path: missing.Path}
	wait := learnAgain
	source.answered = func() {
		wait = learnAgain
		if learner.Answered != nil {
			learner.Answered(missing.Kind)
		}
	}
	for _, plural := range []string{"/nodes", "/ciliumnodes"} {
		if before, name, own := strings.Cut(missing.Path, plural+"/"); own {
			source.path, source.field = before+plural, "metadata.name="+name
		}
	}
	if before, query, one := strings.Cut(missing.Path, "?"); one {
		values, _ := url.ParseQuery(query)
		source.path, source.field = before, values.Get("fieldSelector")
	}
	// Of these the annotations and labels teach, a fraction of the object.
	source.metadataOnly = missing.Kind != KindNodePool && missing.Kind != KindNodeBucket && missing.Kind != KindConfigMap
	for {
		err := source.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && learner.Failed != nil {
			learner.Failed(missing.Kind, err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		wait = min(2*wait, learnAgainMost)
	}
}

// source is one kind of facts at the API server.
type source struct {
	cluster      *Cluster
	client       *http.Client
	server       *url.URL
	path         string
	field        string
	metadataOnly bool
	// Where the next watch goes on; empty: list first.
	version string
	// Called when the API server is there: what comes next need not wait long.
	answered func()
}

// follow lists if it has to, and watches from there until the connection ends.
func (s *source) follow(ctx context.Context) error {
	if s.version == "" {
		if err := s.list(ctx); err != nil {
			return err
		}
	}
	return s.watch(ctx)
}

// head is what is read of an object besides what the feed reads.
type head struct {
	Metadata struct {
		ResourceVersion string `json:"resourceVersion"`
	} `json:"metadata"`
	Message string `json:"message"`
}

func (s *source) list(ctx context.Context) error {
	// What the API server has in its cache is as good as a watch is.
	return s.get(ctx, url.Values{"resourceVersion": {"0"}}, "PartialObjectMetadataList", func(body *json.Decoder) error {
		var list head
		err := body.Decode(&list)
		s.version = list.Metadata.ResourceVersion
		return err
	})
}

func (s *source) watch(ctx context.Context) error {
	query := url.Values{"watch": {"true"}, "allowWatchBookmarks": {"true"}, "resourceVersion": {s.version}}
	return s.get(ctx, query, "PartialObjectMetadata", func(body *json.Decoder) error {
		for {
			var event struct {
				Type   string `json:"type"`
				Object head   `json:"object"`
			}
			switch err := body.Decode(&event); {
			case err == io.EOF:
				return nil
			case err != nil:
				return err
			case event.Type == "ERROR":
				s.version = ""
				return fmt.Errorf("the watch ended: %s", event.Object.Message)
			}
			s.version = event.Object.Metadata.ResourceVersion
		}
	})
}

// get has the cluster learn from a response, which read reads too.
func (s *source) get(ctx context.Context, query url.Values, metadata string, read func(*json.Decoder) error) error {
	target := *s.server
	if s.field != "" {
		query.Set("fieldSelector", s.field)
	}
	target.Path, target.RawQuery = strings.TrimSuffix(target.Path, "/")+s.path, query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "application/json")
	if s.metadataOnly {
		request.Header.Set("Accept", "application/json;as="+metadata+";g=meta.k8s.io;v=v1")
	}
	response, err := s.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusGone:
		s.version = ""
	case http.StatusNotFound:
		s.path = olderVersion(s.path)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", target.String(), response.Status)
	}
	feed, err := s.cluster.Feed(request, response.StatusCode, response.Header)
	if err != nil {
		return err
	}
	defer feed.Close()
	s.answered()
	body := io.TeeReader(response.Body, feed)
	if err := read(json.NewDecoder(body)); err != nil {
		return err
	}
	// The newline behind a list.
	if _, err := io.Copy(io.Discard, body); err != nil {
		return err
	}
	return feed.Finish()
}

// olderVersion is where an older OpenYurt serves the same, and at last the newest again.
func olderVersion(path string) string {
	versions := []string{"/v1beta2/", "/v1beta1/", "/v1alpha1/"}
	for at, version := range versions {
		if strings.HasPrefix(path, "/apis/apps.openyurt.io"+version) {
			return strings.Replace(path, version, versions[(at+1)%len(versions)], 1)
		}
	}
	return path
}

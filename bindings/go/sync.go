//go:build cgo

package poolscope

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// The delay before a failed list or watch is repeated doubles each time, from the first to the
// second.
const (
	syncAgain     = 200 * time.Millisecond
	syncAgainMost = 30 * time.Second
)

// SyncOptions select how [Node.Sync] fetches facts.
type SyncOptions struct {
	// Client reaches the API server, with its credentials.
	Client *http.Client
	// Server is its address: https://10.96.0.1:443.
	Server *url.URL
	// Kinds are the kinds to fetch: those that the node's own client does not read. Empty: all that
	// are missing when Sync is called. A single Node is fetched if only the own one is needed.
	Kinds []FactKind
	// Failed, if set, is called with every failure; Sync continues.
	Failed func(kind FactKind, err error)
	// Answered, if set, is called whenever the API server responded with facts of a kind: an earlier
	// failure is over.
	Answered func(kind FactKind)
}

// Sync fetches the facts that the node needs, with lists and watches, until the context ends. Run
// it in a goroutine of its own. It needs the rights to list and watch the kinds. It returns the
// cause of the context's end; at once nil if no fact is missing, and an error if an option is.
func (n *Node) Sync(ctx context.Context, options SyncOptions) error {
	if options.Client == nil || options.Server == nil {
		return errors.New("poolscope: SyncOptions need a Client and a Server")
	}
	var all sync.WaitGroup
	for _, missing := range n.Describe().Missing {
		if len(options.Kinds) == 0 || slices.Contains(options.Kinds, missing.Kind) {
			all.Add(1)
			go func() {
				defer all.Done()
				n.syncKind(ctx, &options, missing)
			}()
		}
	}
	all.Wait()
	return context.Cause(ctx)
}

// syncKind lists and watches one kind, again and again.
func (n *Node) syncKind(ctx context.Context, options *SyncOptions, missing MissingFact) {
	source := source{
		cluster: n.cluster,
		client:  options.Client,
		server:  options.Server,
		path:    missing.Path,
	}
	wait := syncAgain
	source.answered = func() {
		wait = syncAgain
		if options.Answered != nil {
			options.Answered(missing.Kind)
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
	// The facts of these kinds are in their metadata, a fraction of the object.
	source.metadataOnly = missing.Kind != KindNodePool && missing.Kind != KindNodeBucket &&
		missing.Kind != KindConfigMap
	for {
		err := source.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && options.Failed != nil {
			options.Failed(missing.Kind, err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		wait = min(2*wait, syncAgainMost)
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
	// The version at which the next watch resumes; empty: list first.
	version string
	// Called when the API server has responded: the next delay is short.
	answered func()
}

// follow lists if it has no version, and watches from there until the connection ends.
func (s *source) follow(ctx context.Context) error {
	if s.version == "" {
		if err := s.list(ctx); err != nil {
			return err
		}
	}
	return s.watch(ctx)
}

// head is the part of an object that Sync reads itself.
type head struct {
	Metadata struct {
		ResourceVersion string `json:"resourceVersion"`
	} `json:"metadata"`
	Message string `json:"message"`
}

func (s *source) list(ctx context.Context) error {
	// The API server's cache is as fresh as a watch.
	return s.get(
		ctx,
		url.Values{"resourceVersion": {"0"}},
		"PartialObjectMetadataList",
		func(body *json.Decoder) error {
			var list head
			err := body.Decode(&list)
			s.version = list.Metadata.ResourceVersion
			return err
		},
	)
}

func (s *source) watch(ctx context.Context) error {
	query := url.Values{
		"watch":               {"true"},
		"allowWatchBookmarks": {"true"},
		"resourceVersion":     {s.version},
	}
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

// get reads the facts in a response, which read reads too.
func (s *source) get(
	ctx context.Context,
	query url.Values,
	metadata string,
	read func(*json.Decoder) error,
) error {
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
	reader, err := s.cluster.ReadFacts(request, response.StatusCode, response.Header)
	if err != nil {
		return err
	}
	defer reader.Close()
	s.answered()
	body := io.TeeReader(response.Body, reader)
	if err := read(json.NewDecoder(body)); err != nil {
		return err
	}
	// The newline after a list.
	if _, err := io.Copy(io.Discard, body); err != nil {
		return err
	}
	return reader.Finish()
}

// olderVersion returns the path of the next older API version, and after the oldest the newest.
func olderVersion(path string) string {
	versions := []string{"/v1beta2/", "/v1beta1/", "/v1alpha1/"}
	for at, version := range versions {
		if strings.HasPrefix(path, "/apis/apps.openyurt.io"+version) {
			return strings.Replace(path, version, versions[(at+1)%len(versions)], 1)
		}
	}
	return path
}

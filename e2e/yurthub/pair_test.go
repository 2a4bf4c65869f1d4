package yurthub

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/poolscope/poolscope/bindings/go"
	discoveryv1 "k8s.io/api/discovery/v1"
	discoveryv1beta1 "k8s.io/api/discovery/v1beta1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// tally is what was compared, and what came of it.
type tally struct {
	verdicts, endpoints, dropped int
	whole, cut, emptied          int
	// Differences that docs/openyurt.md explains: "an endpoint without a node", and "everything else
	// in an object", which leaves the white space that a pretty server puts into managedFields. A list
	// of none is the same to any decoder.
	panics, pretty int
	// All others.
	differences []string
}

func (t *tally) report(to *testing.T) {
	to.Helper()
	to.Logf(
		"%d slices judged: %d whole, %d cut, %d emptied; of %d endpoints %d dropped",
		t.verdicts,
		t.whole,
		t.cut,
		t.emptied,
		t.endpoints,
		t.dropped,
	)
	to.Logf(
		"differences: %d where v1.7.0 panics, %d in white space, %d others",
		t.panics,
		t.pretty,
		len(t.differences),
	)
	for _, difference := range t.differences[:min(len(t.differences), 5)] {
		to.Error(difference)
	}
	// Else equal verdicts say little.
	for _, count := range []int{t.whole, t.cut, t.emptied} {
		if count*10 < t.verdicts {
			to.Errorf("%d of %d verdicts are too few", count, t.verdicts)
		}
	}
}

// pair is one node as both see it.
type pair struct {
	t     *testing.T
	about string
	hub   *hub
	view  *poolscope.Node
	*tally
	// The User-Agent of the client that asks next.
	client string
}

func newPair(t *testing.T, into *tally, about, node string, how setup, facts *facts) *pair {
	t.Helper()
	hub, err := newHub(node, how, facts, &into.panics)
	if err != nil {
		t.Fatal(err)
	}
	return &pair{
		t,
		fmt.Sprintf("%s, %s, %+v", about, node, how),
		hub,
		newView(t, node, how, facts),
		into,
		"client/1",
	}
}

// newView gives poolscope the same facts. Unchanged events are not suppressed, as in OpenYurt.
func newView(t testing.TB, node string, how setup, facts *facts) *poolscope.Node {
	t.Helper()
	text, _ := json.Marshal(struct {
		setup
		SuppressUnchanged bool `json:"suppressUnchanged"`
	}{how, false})
	config, err := poolscope.ParseConfig(string(text))
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := poolscope.New(config)
	if err != nil {
		t.Fatal(err)
	}
	for target, list := range map[string][]byte{
		"/api/v1/services": facts.services,
		"/api/v1/nodes":    facts.nodes,
		"/apis/apps.openyurt.io/v1beta2/nodepools":    facts.nodePools,
		"/apis/apps.openyurt.io/v1alpha1/nodebuckets": facts.nodeBuckets,
	} {
		reader, err := cluster.ReadFacts(
			asked(t, target),
			http.StatusOK,
			http.Header{"Content-Type": {jsonType}},
		)
		if err == nil {
			if _, err = reader.Write(list); err == nil {
				err = reader.Finish()
			}
			reader.Close()
		}
		if err != nil {
			t.Fatal(target, err)
		}
	}
	return cluster.Node(node)
}

func asked(t testing.TB, target string) *http.Request {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	return request
}

// compare gives a response to both, and looks at every object that comes out.
func (p *pair) compare(body *body) {
	p.t.Helper()
	before := p.read(body, body.bytes)
	theirs, err := p.hub.rewrite(asked(p.t, body.target), body)
	if err != nil {
		p.t.Fatal(err)
	}
	ours, err := p.rewrite(body)
	if err != nil {
		p.t.Fatalf("%s, %s %s: %v", p.about, body.target, body.contentType, err)
	}
	expected, got := p.read(body, theirs), p.read(body, ours)
	if len(expected) != len(before) || len(got) != len(before) {
		p.t.Fatalf(
			"%s, %s %s: of %d objects OpenYurt gives %d, poolscope %d",
			p.about,
			body.target,
			body.contentType,
			len(before),
			len(expected),
			len(got),
		)
	}
	for i := range before {
		p.judge(body, before[i], expected[i], got[i])
	}
}

// rewrite gives the body as poolscope's client gets it. It does not wait for facts.
func (p *pair) rewrite(body *body) ([]byte, error) {
	if missing := p.view.Describe().Missing; len(missing) > 0 {
		return nil, fmt.Errorf("%+v is missing", missing)
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	request := asked(p.t, body.target).WithContext(ctx)
	request.Header.Set("User-Agent", p.client)
	reader, err := p.view.NewReader(
		request,
		http.Header{"Content-Type": {body.contentType}},
		io.NopCloser(bytes.NewReader(body.bytes)),
	)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	return io.ReadAll(reader)
}

func (p *pair) read(body *body, from []byte) []watch.Event {
	p.t.Helper()
	events, err := body.read(from)
	if err != nil {
		p.t.Fatalf("%s, %s %s: %v in\n%s", p.about, body.target, body.contentType, err, from)
	}
	return events
}

func (p *pair) judge(body *body, before, expected, got watch.Event) {
	if !apiequality.Semantic.DeepEqual(expected, got) {
		if apiequality.Semantic.DeepEqual(compact(expected), compact(got)) {
			p.pretty++
		} else {
			p.differences = append(p.differences, fmt.Sprintf(
				"%s, %s %s\nfrom      %s\nOpenYurt  %s\npoolscope %s",
				p.about, body.target, body.contentType, shown(before), shown(expected), shown(got),
			))
		}
	}
	if before.Type == watch.Bookmark || before.Type == watch.Error {
		return
	}
	all, kept := endpoints(before.Object), endpoints(expected.Object)
	p.verdicts++
	p.endpoints += all
	p.dropped += all - kept
	switch kept {
	case all:
		p.whole++
	case 0:
		p.emptied++
	default:
		p.cut++
	}
}

// compact takes white space out of the only JSON that client-go keeps as it came.
func compact(event watch.Event) watch.Event {
	if about, err := meta.Accessor(event.Object); err == nil {
		for _, managed := range about.GetManagedFields() {
			var fields bytes.Buffer
			if managed.FieldsV1 != nil && json.Compact(&fields, managed.FieldsV1.Raw) == nil {
				managed.FieldsV1.Raw = fields.Bytes()
			}
		}
	}
	return event
}

func shown(event watch.Event) string {
	object, _ := json.Marshal(event.Object)
	return fmt.Sprintf("%s %s", event.Type, object)
}

func endpoints(object runtime.Object) int {
	switch slice := object.(type) {
	case *discoveryv1.EndpointSlice:
		return len(slice.Endpoints)
	case *discoveryv1beta1.EndpointSlice:
		return len(slice.Endpoints)
	}
	return 0
}

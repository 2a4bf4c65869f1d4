// Package yurthub runs OpenYurt's own filter, v1.7.0, side by side with poolscope: the same facts,
// the same bytes, and what comes out has to be the same to a client, object by object.
// docs/openyurt.md has the deliberate differences.
//
// v1.7.0 has no verdict on core/v1 Endpoints, which it no longer filters: they are left out. Nor on
// v1 endpoints that name no node, on which it panics: those are judged as O5 says, and counted.
// Verdicts of other versions on both are in tests/verdicts.rs. A GET of one object is left out too,
// for OpenYurt does not filter it.
package yurthub

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/klog/v2"
)

// OpenYurt writes a line for every doubt.
func TestMain(m *testing.M) {
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// worlds is how many random worlds there are. A world's number is its seed.
func worlds(t *testing.T) int {
	said := os.Getenv("YURTHUB_WORLDS")
	if said == "" {
		return 150
	}
	worlds, err := strconv.Atoi(said)
	if err != nil {
		t.Fatal(err)
	}
	return worlds
}

// bodies gives lists and watches of slices of both versions in both encodings. A watch resumes its
// list.
func bodies(t *testing.T, w *world) (made []*body) {
	t.Helper()
	for _, version := range []string{"v1", "v1beta1"} {
		target := "/apis/discovery.k8s.io/" + version + "/endpointslices"
		listed, watched := w.events(version, false), w.events(version, true)
		for _, types := range [][2]string{
			{jsonType, jsonType}, {protoType, protoType + ";stream=watch"},
		} {
			list := &body{target: target + "?limit=500", contentType: types[0]}
			watch := &body{
				target:      target + "?watch=true&allowWatchBookmarks=true&resourceVersion=1000",
				contentType: types[1],
			}
			group := schema.GroupVersion{Group: "discovery.k8s.io", Version: version}
			if err := errors.Join(list.write(group, listed), watch.write(group, watched)); err != nil {
				t.Fatal(err)
			}
			made = append(made, list, watch)
		}
	}
	return made
}

func TestRandomWorlds(t *testing.T) {
	var total tally
	for seed := range worlds(t) {
		w := newWorld(seed)
		for range 3 {
			pair := newPair(t, &total, fmt.Sprintf("world %d", seed), w.pick(w.nodes...), w.setup, &w.facts)
			for _, body := range bodies(t, w) {
				pair.compare(body)
			}
		}
	}
	total.report(t)
}

// TestDifferencesAreFound says something to poolscope alone: the comparison has to notice.
func TestDifferencesAreFound(t *testing.T) {
	for what, change := range map[string]func(w *world, node *string, facts *facts){
		"another node": func(w *world, node *string, _ *facts) { *node = w.nodes[len(w.nodes)-2] },
		"another rule": func(_ *world, _ *string, facts *facts) {
			facts.services = bytes.ReplaceAll(
				facts.services,
				[]byte(`"kubernetes.io/hostname"`),
				[]byte(`"kubernetes.io/zone"`),
			)
		},
		"another pool": func(_ *world, _ *string, facts *facts) {
			facts.nodes = bytes.ReplaceAll(facts.nodes, []byte(`"hangzhou"`), []byte(`"shanghai"`))
		},
	} {
		var total tally
		for seed := range 10 {
			w := newWorld(seed)
			w.setup = setup{Membership: "nodePool"}
			pair := newPair(t, &total, what, w.nodes[0], w.setup, &w.facts)
			node, facts := w.nodes[0], w.facts
			change(w, &node, &facts)
			pair.view = newView(t, node, w.setup, &facts)
			for _, body := range bodies(t, w) {
				pair.compare(body)
			}
		}
		t.Logf("%s: %d of %d verdicts differ", what, len(total.differences), total.verdicts)
		if len(total.differences) < 10 {
			t.Errorf("%s: hardly noticed", what)
		}
	}
}

package yurthub

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const recorded = "../../tests/data/recorded"

// TestRecordings takes what a real API server answered: lists of both states, and watches, of which
// all events are judged by the facts of the first state. To every node, and to one that is not
// there.
func TestRecordings(t *testing.T) {
	for folder, state := range map[string]string{
		"list": "list", "after": "after", "watch": "list", "watchlist": "list",
	} {
		t.Run(folder, func(t *testing.T) {
			bodies := recordedBodies(t, folder)
			facts := &facts{
				services: read(t, state, "services-json.json"), nodes: read(t, state, "nodes-json.json"),
				nodePools: read(
					t,
					state,
					"nodepools-json.json",
				), nodeBuckets: read(t, state, "nodebuckets-json.json"),
			}
			var nodes corev1.NodeList
			if err := json.Unmarshal(facts.nodes, &nodes); err != nil {
				t.Fatal(err)
			}
			var total tally
			gone := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "gone"}}
			for _, node := range append(nodes.Items, gone) {
				for _, membership := range []string{"nodePool", "nodeBucket"} {
					pair := newPair(t, &total, folder, node.Name, setup{Membership: membership}, facts)
					for i, body := range bodies {
						// Watches were recorded side by side: for one client a later one would be a
						// list that is older than what it was given, and its objects are emitted again.
						pair.client = fmt.Sprintf("client-%d/1", i)
						pair.compare(body)
					}
				}
			}
			t.Logf("%d bodies, %d nodes", len(bodies), len(nodes.Items)+1)
			total.report(t)
		})
	}
}

func read(t *testing.T, path ...string) []byte {
	t.Helper()
	read, err := os.ReadFile(filepath.Join(append([]string{recorded}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// recordedBodies gives the slices of a folder: not what was asked as a table, as metadata alone or
// in YAML.
func recordedBodies(t *testing.T, folder string) (bodies []*body) {
	paths, err := filepath.Glob(filepath.Join(recorded, folder, "endpointslices*.meta.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		var about struct {
			File, Path      string
			Status          int
			RequestHeaders  map[string]string
			ResponseHeaders map[string][]string
		}
		if err := json.Unmarshal(read(t, folder, filepath.Base(path)), &about); err != nil {
			t.Fatal(path, err)
		}
		contentType := about.ResponseHeaders["Content-Type"][0]
		if about.Status != 200 || strings.Contains(about.RequestHeaders["Accept"], "as=") ||
			!strings.HasPrefix(contentType, jsonType) && !strings.HasPrefix(contentType, protoType) {
			continue
		}
		// A watch that resumes a list would have to come after it; from 0 it resumes nothing.
		target := strings.Replace(about.Path, "resourceVersion=242", "resourceVersion=0", 1)
		made := &body{target: target, contentType: contentType, bytes: read(t, about.File)}
		if about.ResponseHeaders["Content-Encoding"] != nil {
			// Both decompress before they filter.
			reader, err := gzip.NewReader(bytes.NewReader(made.bytes))
			if err == nil {
				made.bytes, err = io.ReadAll(reader)
			}
			if err != nil {
				t.Fatal(path, err)
			}
		}
		bodies = append(bodies, made)
	}
	return bodies
}

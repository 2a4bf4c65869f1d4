package poolscope

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const recorded = "../../tests/data/recorded"

// recording is a request to a real API server, and its response.
type recording struct {
	Path            string
	RequestHeaders  map[string]string
	Status          int
	ResponseHeaders http.Header

	name string
	body []byte
}

func (r *recording) request() *http.Request {
	request, err := http.NewRequest(http.MethodGet, r.Path, nil)
	if err != nil {
		panic(err)
	}
	for name, value := range r.RequestHeaders {
		request.Header.Set(name, value)
	}
	return request
}

// recordings returns all recordings below a folder, in the order of their names.
func recordings(t testing.TB, folder string) []*recording {
	t.Helper()
	if _, err := os.Stat(recorded); err != nil {
		t.Skip("the recordings are not part of the module: ", err)
	}
	var all []*recording
	err := filepath.WalkDir(filepath.Join(recorded, folder), func(path string, _ os.DirEntry, err error) error {
		stem, isMeta := strings.CutSuffix(path, ".meta.json")
		if err != nil || !isMeta {
			return err
		}
		meta, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		read := &recording{name: strings.TrimPrefix(stem, recorded+"/")}
		if err := json.Unmarshal(meta, read); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		bodies, err := filepath.Glob(stem + ".*")
		if err != nil {
			return err
		}
		for _, body := range bodies {
			if body != path {
				if read.body, err = os.ReadFile(body); err != nil {
					return err
				}
			}
		}
		all = append(all, read)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// chunks splits a body.
func chunks(body []byte, next func() int) (all [][]byte) {
	for len(body) > 0 {
		n := min(max(next(), 1), len(body))
		all, body = append(all, body[:n]), body[n:]
	}
	return all
}

// outcome is what comes of a recording for a node: the action, and what its stream emitted until
// its first error.
func outcome(node *Node, read *recording, pieces [][]byte) (string, []byte) {
	opened, err := node.OpenStateless(read.request(), read.Status, read.ResponseHeaders)
	if err != nil {
		return err.Error(), nil
	}
	if opened.Reply != nil {
		return fmt.Sprintf("reply %+v", opened.Reply), nil
	}
	if opened.Stream == nil {
		return "forward", nil
	}
	defer opened.Stream.Close()
	var out []byte
	for _, piece := range pieces {
		if out, err = opened.Stream.AppendPush(out, piece); err != nil {
			return err.Error(), out
		}
	}
	rest, err := opened.Stream.Finish()
	return fmt.Sprintf("%+v %v", opened.Stream.State(), err), append(out, rest...)
}

// TestRecordingsInEveryChunking passes each recording through, as several nodes see it, in many
// chunkings. With POOLSCOPE_OUTCOMES it writes a line for each, so that backends can be compared:
// `make test-go` does.
func TestRecordingsInEveryChunking(t *testing.T) {
	cluster := newCluster(t, "")
	for _, name := range []string{"services-json", "nodes-json", "nodepools-json"} {
		for _, read := range recordings(t, "list") {
			if read.name == "list/"+name {
				readFacts(t, cluster, read.Path, string(read.body))
			}
		}
	}
	var lines strings.Builder
	rewritten, cut := 0, 0
	for _, read := range recordings(t, "") {
		for _, name := range []string{"hz-edge-1", "cloud-master-0", "nowhere"} {
			node := cluster.Node(name)
			want, whole := outcome(node, read, [][]byte{read.body})
			fmt.Fprintf(&lines, "%s %s %x %s\n", read.name, name, sha256.Sum256(whole), want)
			if whole == nil {
				continue
			}
			rewritten++
			if len(whole) < len(read.body) {
				cut++
			}
			random := rand.New(rand.NewPCG(1, uint64(len(read.body))))
			ways := [][][]byte{
				chunks(read.body, func() int { return 1 + random.IntN(100) }),
				chunks(read.body, func() int { return 1 + random.IntN(5000) }),
				chunks(read.body, func() int { return 64 }),
				chunks(read.body, func() int { return 16 << 10 }),
			}
			if name == "hz-edge-1" && len(read.body) < 100_000 {
				ways = append(ways, chunks(read.body, func() int { return 1 }))
			}
			for number, way := range ways {
				said, out := outcome(node, read, way)
				if !bytes.Equal(out, whole) || said != want {
					t.Fatalf("%s for %s, chunking %d: %s, and whole %s", read.name, name, number, said, want)
				}
			}
		}
	}
	if rewritten < 300 || cut < 100 {
		t.Fatalf("%d rewritten, %d cut", rewritten, cut)
	}
	if to := os.Getenv("POOLSCOPE_OUTCOMES"); to != "" {
		counters := cluster.Counters()
		var names []string
		for name := range counters {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			fmt.Fprintln(&lines, name, counters[name])
		}
		if err := os.WriteFile(to, []byte(lines.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

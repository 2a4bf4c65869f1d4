package poolscope

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func newCluster(t testing.TB, config string) *Cluster {
	t.Helper()
	parsed, err := ParseConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := New(parsed)
	if err != nil {
		t.Fatal(err)
	}
	return cluster
}

// readFacts gives the cluster a whole response.
func readFacts(t testing.TB, cluster *Cluster, target, body string) {
	t.Helper()
	reader := openReader(t, cluster, target)
	defer reader.Close()
	if _, err := reader.Write([]byte(body)); err != nil {
		t.Fatal(err)
	}
	if err := reader.Finish(); err != nil {
		t.Fatal(err)
	}
}

func openReader(t testing.TB, cluster *Cluster, target string) *FactReader {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := cluster.ReadFacts(
		request,
		http.StatusOK,
		http.Header{"Content-Type": {"application/json"}},
	)
	if err != nil {
		t.Fatal(err)
	}
	return reader
}

// readAllFacts gives it all that newAPIServer knows, so that node hz-1 is ready.
func readAllFacts(t testing.TB, cluster *Cluster) {
	t.Helper()
	readFacts(t, cluster, "/api/v1/services", list("Service", "10", plainService))
	readFacts(
		t,
		cluster,
		"/api/v1/nodes",
		list(
			"Node",
			"10",
			`{"metadata":{"name":"hz-1","labels":{"apps.openyurt.io/nodepool":"hangzhou"}}}`,
		),
	)
	readFacts(
		t,
		cluster,
		poolsPath,
		list("NodePool", "10", `{"metadata":{"name":"hangzhou"},"status":{"nodes":["hz-1"]}}`),
	)
}

func annotated(version int) string { return fmt.Sprintf(annotatedService, version) }

func TestAConfigurationThatCannotBeUsedIsNamed(t *testing.T) {
	_, err := ParseConfig(`{"retentoin":"full"}`)
	if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "retentoin") {
		t.Fatal(err)
	}
}

func TestNumbersAreThoseOfTheHeader(t *testing.T) {
	header, err := os.ReadFile("../../include/poolscope.h")
	if err != nil {
		t.Skip("the header is not part of the module: ", err)
	}
	numbers := map[string]int{
		"ERR_INVALID_ARGUMENT": int(ErrInvalidArgument),
		"ERR_BUSY":             int(ErrBusy),
		"ERR_PANIC":            int(ErrPanic),
		"ERR_MALFORMED":        int(ErrMalformed),
		"ERR_TRUNCATED":        int(ErrTruncated),
		"ERR_TOO_LARGE":        int(ErrTooLarge),
		"ERR_TOO_DEEP":         int(ErrTooDeep),
		"ERR_TOO_MANY":         int(ErrTooMany),
		"ERR_UNDECODABLE":      int(ErrUndecodable),
		"ERR_CONTENT_ENCODING": int(ErrContentEncoding),
		"ERR_CONTENT_TYPE":     int(ErrContentType),
		"ERR_HTTP_STATUS":      int(ErrHTTPStatus),
		"ERR_NOT_A_FACT":       int(ErrNotAFact),
		"ERR_CONFIG":           int(ErrConfig),
		"ERR_CLOSED":           int(ErrClosed),

		"ACTION_REPLY":   int(ActionReply),
		"ACTION_FORWARD": int(ActionForward),
		"ACTION_REWRITE": int(ActionRewrite),

		"CAUSE_OTHER":                    int(CauseOther),
		"CAUSE_MISSING_FACTS":            int(CauseMissingFacts),
		"CAUSE_UNKNOWN_RESOURCE_VERSION": int(CauseUnknownResourceVersion),

		"FACT_WAIT":     int(factWait),
		"FACT_FETCH":    int(factFetch),
		"FACT_CANCEL":   int(factCancel),
		"FACT_FAILED":   int(factFailed),
		"FACT_ANSWERED": int(factAnswered),
	}
	found := 0
	for _, line := range regexp.MustCompile(`(?m)^    POOLSCOPE_(\w+) = (\d+),`).
		FindAllStringSubmatch(string(header), -1) {
		if line[1] == "OK" {
			continue
		}
		found++
		number, known := numbers[line[1]]
		if !known || strconv.Itoa(number) != line[2] {
			t.Errorf("%s is %d, and %s in poolscope.h", line[1], number, line[2])
		}
	}
	if found != len(numbers) {
		t.Fatalf("%d of %d numbers found", found, len(numbers))
	}
	if !strings.Contains(string(header), "#define POOLSCOPE_NO_OFFSET UINT64_MAX") ||
		NoOffset != 1<<64-1 {
		t.Fatal(NoOffset)
	}
}

func TestAConfigurationIsReadAndWritten(t *testing.T) {
	text := `{"dialect":"openyurt","membership":{"nodeLabel":"zone"},"pool":"p","clients":"yurtHub",` +
		`"rewrites":{"serviceTopology":true,"masterService":{"host":"127.0.0.1","port":6443}},` +
		`"topologyFallback":true,"onMissingFact":{"unknownPool":"empty"},"retention":"topology",` +
		`"suppressUnchanged":false,"protobufLists":"compact","limits":{"depth":64}}`
	config, err := ParseConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	if written, err := json.Marshal(config); err != nil || string(written) != text {
		t.Fatalf("%s %v", written, err)
	}
	if config.Membership.NodeLabel != "zone" || *config.SuppressUnchanged ||
		config.Limits.Depth != 64 {
		t.Fatalf("%+v", config)
	}
	for _, kind := range []string{
		`"nodePool"`, `"nodeBucket"`, `"off"`, `{"ciliumNodeLabel":"zone"}`,
	} {
		config, err := ParseConfig(`{"membership":` + kind + `}`)
		if err != nil {
			t.Fatal(err)
		}
		if written, err := json.Marshal(config.Membership); err != nil || string(written) != kind {
			t.Fatalf("%s %v", written, err)
		}
	}
	for _, wrong := range []string{
		`{"retention":"some"}`, `{"membership":{"nodeLabel":"z","x":1}}`, `{"pool":7}`, `{`,
	} {
		if _, err := ParseConfig(wrong); !errors.Is(err, ErrConfig) {
			t.Fatal(wrong, err)
		}
	}
	if _, err := New(Config{Retention: "some"}); !errors.Is(err, ErrConfig) {
		t.Fatal(err)
	}
}

func TestBadTextDoesNotPanic(t *testing.T) {
	cluster := newCluster(t, "")
	if name := cluster.Node("hz\xff1").Describe().Name; name != "hz\ufffd1" {
		t.Fatalf("%q", name)
	}
	if cluster.Node("n").Client("agent\xff").Ready() {
		t.Fatal("ready without facts")
	}
	if _, err := cluster.Node("n").Judge("\xff", "s", "n"); !errors.Is(err, ErrInvalidArgument) {
		t.Fatal(err)
	}
}

func TestSyncNeedsItsOptions(t *testing.T) {
	if err := newCluster(t, "").Node("n").Sync(context.Background(), SyncOptions{}); err == nil {
		t.Fatal("no error")
	}
}

func TestAFactReaderNamesTheByteAtFault(t *testing.T) {
	reader := openReader(t, newCluster(t, ""), "/api/v1/services")
	defer reader.Close()
	_, err := reader.Write([]byte(`{"items":[{"metadata":{}} "x"`))
	var wrong *Error
	if !errors.As(err, &wrong) || wrong.Kind != ErrMalformed || wrong.Offset == NoOffset {
		t.Fatalf("%#v", err)
	}
	if _, err := reader.Write(nil); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

func TestAFactReaderReadsOnlyFacts(t *testing.T) {
	request, _ := http.NewRequest(http.MethodGet, "/api/v1/pods", nil)
	_, err := newCluster(
		t,
		"",
	).ReadFacts(request, http.StatusOK, http.Header{"Content-Type": {"application/json"}})
	if !errors.Is(err, ErrNotAFact) {
		t.Fatal(err)
	}
}

func TestANodeIsReadyWhenWhatItNeedsIsKnown(t *testing.T) {
	cluster := newCluster(t, "")
	node := cluster.Node("hz-1")
	before := node.Describe()
	if node.Ready() || before.Known || len(before.Missing) != 3 || before.Missing[0].Path == "" {
		t.Fatalf("%+v", before)
	}
	readAllFacts(t, cluster)
	if after := node.Describe(); !node.Ready() || !after.Known || after.Pool != "hangzhou" ||
		len(after.Missing) != 0 {
		t.Fatalf("%+v", after)
	}
}

func TestWhatWaitsForAChangeIsWoken(t *testing.T) {
	cluster := newCluster(t, "")
	readAllFacts(t, cluster)
	changed, generation := cluster.Changed(), cluster.Generation()
	readFacts(t, cluster, "/api/v1/services", list("Service", "11", annotated(11)))
	select {
	case <-changed:
	default:
		t.Fatal("not woken")
	}
	if cluster.Generation() <= generation {
		t.Fatal("the generation did not move")
	}
	select {
	case <-cluster.Changed():
		t.Fatal("woken by nothing")
	default:
	}
}

func TestVerdictsAreExplained(t *testing.T) {
	cluster := newCluster(t, "")
	readAllFacts(t, cluster)
	readFacts(t, cluster, "/api/v1/services", list("Service", "11", annotated(11)))
	node := cluster.Node("hz-1")
	verdict, err := node.Judge("shop", "cart", "sh-1")
	if err != nil || verdict.Kept || verdict.Reason != "outsidePool" || verdict.Topology != "pool" {
		t.Fatalf("%+v %v", verdict, err)
	}
	inventory, err := cluster.NewInventory()
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{list("EndpointSlice", "10", fmt.Sprintf(cartSlice, 7))} {
		body = strings.Replace(body, `"apiVersion":"v1"`, `"apiVersion":"discovery.k8s.io/v1"`, 1)
		if err := inventory.Load([]byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	services, err := inventory.View(node)
	if err != nil {
		t.Fatal(err)
	}
	if len(services) != 1 || len(services[0].Endpoints) != 2 || !services[0].Endpoints[0].Kept ||
		services[0].Endpoints[1].Kept {
		t.Fatalf("%+v", services)
	}
	found, err := inventory.Find(node, "shop", "cart")
	if err != nil || found == nil || found.Name != "cart" || found.Endpoints[1].Rule != "O7" {
		t.Fatalf("%+v %v", found, err)
	}
	if none, err := inventory.Find(node, "shop", "none"); err != nil || none != nil {
		t.Fatalf("%+v %v", none, err)
	}
}

func TestASourceIsForgotten(t *testing.T) {
	cluster := newCluster(t, "")
	readAllFacts(t, cluster)
	if err := cluster.InvalidateSource("Pod"); !errors.Is(err, ErrInvalidArgument) {
		t.Fatal(err)
	}
	if err := cluster.InvalidateSource(KindService); err != nil {
		t.Fatal(err)
	}
	if missing := cluster.Node("hz-1").Describe().Missing; len(missing) != 1 ||
		missing[0].Kind != KindService {
		t.Fatalf("%+v", missing)
	}
}

func TestAppendPushCopies(t *testing.T) {
	node := ready(t, "")
	annotate(t, node.Cluster(), 11)
	request, _ := http.NewRequest(http.MethodGet, slicesPath+"?watch=true&resourceVersion=10", nil)
	opened, err := node.OpenStateless(
		request,
		http.StatusOK,
		http.Header{"Content-Type": {"application/json"}},
	)
	if err != nil {
		t.Fatal(err)
	}
	body := []byte(event("MODIFIED", fmt.Sprintf(cartSlice, 12)))
	first, err := opened.Stream.AppendPush([]byte("> "), body)
	if err != nil {
		t.Fatal(err)
	}
	again, err := opened.Stream.Push(body)
	if err != nil || string(first) != "> "+string(again) {
		t.Fatalf("%s %s %v", first, again, err)
	}
	opened.Stream.Close()
	if !strings.HasPrefix(string(first), `> {"type":"MODIFIED"`) {
		t.Fatalf("%s", first)
	}
	if _, err := opened.Stream.AppendPush(nil, body); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

func TestABodyByItselfIsNotRemembered(t *testing.T) {
	node := ready(t, "")
	annotate(t, node.Cluster(), 11)
	request, _ := http.NewRequest(http.MethodGet, slicesPath+"?watch=true&resourceVersion=10", nil)
	header := http.Header{"Content-Type": {"application/json"}}
	if opened, err := node.Open(request, http.StatusOK, header); err != nil ||
		opened.Action != ActionReply ||
		opened.Reply.Cause != CauseUnknownResourceVersion {
		t.Fatal(opened, err)
	}
	opened, err := node.OpenStateless(request, http.StatusOK, header)
	if err != nil || opened.Action != ActionRewrite {
		t.Fatal(opened, err)
	}
	defer opened.Stream.Close()
	for range 2 {
		// Also what has nothing new is said.
		out, err := opened.Stream.Push([]byte(event("MODIFIED", fmt.Sprintf(cartSlice, 12))))
		if err != nil || !strings.Contains(string(out), "10.0.0.1") ||
			strings.Contains(string(out), "10.9.0.1") {
			t.Fatalf("%s %v", out, err)
		}
	}
	state := opened.Stream.State()
	if state.BytesIn == 0 || state.BytesOut == 0 || state.NeedsRefresh || state.IsEnded {
		t.Fatalf("%+v", state)
	}
}

func TestWhichClientGetsWhichRewrite(t *testing.T) {
	cluster := newCluster(t, `{"clients": "yurtHub"}`)
	readAllFacts(t, cluster)
	node := cluster.Node("hz-1")
	missing := node.Describe().Missing
	if len(missing) != 1 || missing[0].Kind != KindConfigMap {
		t.Fatalf("%+v", missing)
	}
	if all := node.Client("kube-proxy/v1.34.0").Describe(); len(all.Missing) != 0 ||
		len(all.Rewrites) != 1 {
		t.Fatalf("%+v", all)
	}
	// Sync lists and watches the one object, whole.
	asked := make(chan string, 8)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Query().Get("fieldSelector") + " " + r.Header.Get("Accept")
		if r.URL.Query().Has("sendInitialEvents") {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Query().Get("watch") == "" {
			fmt.Fprint(
				w,
				`{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"5"},"items":[{"metadata":{"name":"yurt-hub-cfg",
				"namespace":"kube-system","resourceVersion":"4"},"data":{"servicetopology":"cilium,cilium-agent"}}]}`,
			)
			return
		}
		<-r.Context().Done()
	}))
	defer server.Close()
	address, _ := url.Parse(server.URL)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		node.Sync(
			ctx,
			SyncOptions{
				Client:       server.Client(),
				Server:       address,
				LeftToClient: []FactKind{KindService, KindNode, KindNodePool},
			},
		)
	}()
	defer func() {
		cancel()
		<-ended
		server.Client().CloseIdleConnections()
	}()
	for request := range 3 {
		if said := <-asked; said != "metadata.name=yurt-hub-cfg application/json" {
			t.Fatal(request, said)
		}
	}
	if rewrites := node.Client("cilium-agent/1.17").Describe().Rewrites; len(rewrites) != 1 ||
		rewrites[0] != "serviceTopology" {
		t.Fatal(rewrites)
	}
}

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/poolscope/poolscope/e2e/apiserver"
)

const (
	table       = "Accept: application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
	partial     = "Accept: application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
	partialList = "Accept: application/vnd.kubernetes.protobuf;" +
		"as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
	asProtobuf  = "Accept: application/vnd.kubernetes.protobuf"
	asYAML      = "Accept: application/yaml"
	asCBOR      = "Accept: application/cbor"
	gzipped     = "Accept-Encoding: gzip"
	aggregated  = "Accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
	sendJSON    = "Content-Type: application/json"
	sendYAML    = "Content-Type: application/yaml"
	jsonPatch   = "Content-Type: application/json-patch+json"
	mergePatch  = "Content-Type: application/merge-patch+json"
	strategic   = "Content-Type: application/strategic-merge-patch+json"
	applyPatch  = "Content-Type: application/apply-patch+yaml"
	configMaps  = "/api/v1/namespaces/default/configmaps"
	deployments = "/apis/apps/v1/namespaces/default/deployments"
	accounts    = "/api/v1/namespaces/default/serviceaccounts"
	pods        = "/api/v1/namespaces/default/pods"
	services    = "/api/v1/namespaces/default/services"
	slices1     = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
	budgets     = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
)

// reads are requests that change nothing. VERSION is a resourceVersion before some changes.
var reads = []request{
	{name: "an object", path: configMaps + "/some-0", status: 200},
	{name: "an object as protobuf", path: configMaps + "/some-0", headers: []string{asProtobuf}, status: 200},
	{name: "an object as YAML", path: configMaps + "/some-0", headers: []string{asYAML}, status: 200},
	{name: "an object, pretty", path: configMaps + "/some-0?pretty=true", status: 200},
	{name: "an object as CBOR", path: configMaps + "/some-0", headers: []string{asCBOR}, status: 406},
	{name: "an object as a picture", path: configMaps + "/some-0", headers: []string{"Accept: image/png"}, status: 406},
	{name: "an object as a Table", path: configMaps + "/some-0", headers: []string{table}, status: 200},
	{name: "an object's metadata", path: configMaps + "/some-0", headers: []string{partial}, status: 200},
	{name: "any of several types", path: configMaps, headers: []string{
		"Accept: text/html;q=0.9, application/yaml;q=0.8, */*;q=0.1",
	}, status: 200},
	{name: "a list", path: configMaps, status: 200},
	{name: "a list of the cache", path: configMaps + "?resourceVersion=0", status: 200},
	{name: "a list as protobuf", path: configMaps, headers: []string{asProtobuf}, status: 200},
	{name: "a list as YAML", path: configMaps, headers: []string{asYAML}, status: 200},
	{name: "a list as a Table", path: configMaps, headers: []string{table}, status: 200},
	{name: "a list of metadata", path: configMaps, headers: []string{partialList}, status: 200},
	{name: "a list of everywhere", path: "/api/v1/configmaps", status: 200},
	{name: "a list of an old version", path: configMaps + "?resourceVersion=VERSION&resourceVersionMatch=Exact", status: 200},
	{name: "a list of a future version", path: configMaps + "?resourceVersion=99999999&timeoutSeconds=1", status: 504},
	{name: "a list of no version", path: configMaps + "?resourceVersion=x", status: 400},
	{name: "a selector of labels", path: configMaps + "?labelSelector=odd%3D1%2Ceven%21%3D1", status: 200},
	{name: "a selector of fields", path: configMaps + "?fieldSelector=metadata.name%3Dsome-3", status: 200},
	{name: "a selector of no field", path: configMaps + "?fieldSelector=nothing%3D1", status: 400},
	{name: "a bad selector", path: configMaps + "?labelSelector=%3D%3D", status: 400},
	{name: "a page", path: configMaps + "?limit=2", status: 200},
	{name: "a bad continue", path: configMaps + "?limit=2&continue=bm90aGluZw", status: 400},
	{name: "a gzipped list", path: configMaps, headers: []string{gzipped}, status: 200},
	{name: "a gzipped list as protobuf", path: configMaps, headers: []string{gzipped, asProtobuf}, status: 200},
	{name: "a gzipped Table", path: configMaps, headers: []string{gzipped, table}, status: 200},
	{name: "an encoding that the server does not know", path: configMaps, headers: []string{"Accept-Encoding: br"}, status: 200},
	{name: "a watch from an old version", path: configMaps + "?watch=1&resourceVersion=VERSION&timeoutSeconds=1", status: 200},
	{name: "a watch as protobuf", path: configMaps + "?watch=true&resourceVersion=VERSION&timeoutSeconds=1", headers: []string{asProtobuf + ";stream=watch"}, status: 200},
	{name: "a watch as a Table", path: configMaps + "?watch=1&resourceVersion=VERSION&timeoutSeconds=1", headers: []string{table}, status: 200},
	{name: "a watch by the old path", path: "/api/v1/watch/namespaces/default/configmaps?resourceVersion=VERSION&timeoutSeconds=1", status: 200},
	{name: "a watch of one object", path: configMaps + "?watch=1&resourceVersion=VERSION&timeoutSeconds=1&fieldSelector=metadata.name%3Dlater-1", status: 200},
	{name: "a watch of a selector", path: configMaps + "?watch=1&resourceVersion=VERSION&timeoutSeconds=1&labelSelector=odd", status: 200},
	{name: "a watch of no version", path: configMaps + "?watch=1&resourceVersion=x", status: 500},
	{name: "a watch with a bad type", path: configMaps + "?watch=1", headers: []string{"Accept: image/png"}, status: 406},
	{name: "definitions", path: "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", status: 200},
	{name: "definitions as a Table", path: "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", headers: []string{table}, status: 200},
	{name: "custom resources as protobuf", path: "/apis/apps.openyurt.io/v1beta2/nodepools", headers: []string{asProtobuf}, status: 406},
	{name: "the old discovery", path: "/api", status: 200},
	{name: "the discovery of groups", path: "/apis", status: 200},
	{name: "aggregated discovery", path: "/apis", headers: []string{aggregated}, status: 200},
	{name: "aggregated discovery of the core", path: "/api", headers: []string{aggregated}, status: 200},
	{name: "aggregated discovery, gzipped", path: "/apis", headers: []string{aggregated, gzipped}, status: 200},
	{name: "a group's discovery", path: "/apis/discovery.k8s.io/v1", status: 200},
	{name: "a group", path: "/apis/discovery.k8s.io", status: 200},
	{name: "OpenAPI v2", path: "/openapi/v2", status: 200},
	{name: "OpenAPI v2 as protobuf", path: "/openapi/v2", headers: []string{
		"Accept: application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
	}, status: 200},
	{name: "OpenAPI v2, gzipped", path: "/openapi/v2", headers: []string{gzipped}, status: 200},
	{name: "OpenAPI v3", path: "/openapi/v3", status: 200},
	{name: "OpenAPI v3 of a group", path: "/openapi/v3/apis/discovery.k8s.io/v1", status: 200},
	{name: "the version", path: "/version", status: 200},
	{name: "readiness", path: "/readyz?verbose", status: 200},
	{name: "liveness of a part", path: "/livez/etcd", status: 200},
	{name: "readiness without a part", path: "/readyz?verbose&exclude=etcd", status: 200},
	{name: "the paths", path: "/", status: 200},
	{name: "the keys of ServiceAccounts", path: "/openid/v1/jwks", status: 200},
	{name: "the issuer", path: "/.well-known/openid-configuration", status: 200},
	{name: "an object that is not there", path: configMaps + "/none", status: 404},
	{name: "a resource that is not there", path: "/api/v1/nothing", status: 404},
	{name: "a group that is not there", path: "/apis/nothing/v1", status: 404},
	{name: "a path that is not there", path: "/nothing", status: 404},
	{name: "a double slash", path: "//api/v1/nodes", status: 0},
	{name: "a double slash within", path: "/api/v1//configmaps", status: 0},
	{name: "a slash at the end", path: "/api/v1/configmaps/", status: 0},
	{name: "dots", path: "/api/v1/../v1/configmaps", status: 0},
	{name: "an escaped letter", path: "/api/v1/namespaces/default/%63onfigmaps", status: 0},
	{name: "an escaped slash", path: "/api/v1/namespaces%2Fdefault/configmaps", status: 0},
	{name: "a semicolon", path: "/api/v1/configmaps;a=b", status: 0},
	{name: "an empty query", path: configMaps + "?", status: 200},
	{name: "an odd query", path: configMaps + "?limit=1&limit=2&&=&x=%zz", status: 0},
	{name: "a long query", path: configMaps + "?labelSelector=odd%20in%20%28" + repeat("a,", 30_000) + "1%29", status: 200},
	{name: "a long header", path: configMaps, headers: []string{"X-Long: " + repeat("x", 20_000)}, status: 200},
	{name: "a header twice", path: configMaps, headers: []string{"Accept: application/yaml", "Accept: application/json"}, status: 0},
	{name: "a bad token", path: configMaps, headers: []string{"Authorization: Bearer none"}, status: 401},
	{name: "a bad scheme", path: configMaps, headers: []string{"Authorization: Basic YTpi"}, status: 403},
	{name: "a user without rights", path: configMaps, headers: []string{"Impersonate-User: jane"}, status: 403},
	{name: "a user without rights on a Service", path: services, headers: []string{"Impersonate-User: jane"}, status: 403},
	{name: "a user without rights on slices", path: slices1, headers: []string{"Impersonate-User: jane"}, status: 403},
	{name: "a watch without rights", path: slices1 + "?watch=1", headers: []string{"Impersonate-User: jane"}, status: 403},
	{name: "a group without a user", path: configMaps, headers: []string{"Impersonate-Group: all"}, status: 400},
	{name: "HEAD", method: "HEAD", path: configMaps, status: 405},
	{name: "HEAD of a version", method: "HEAD", path: "/version", status: 405},
	{name: "HEAD of a path that is not there", method: "HEAD", path: "/nothing", status: 404},
	{name: "OPTIONS", method: "OPTIONS", path: configMaps, status: 405},
	{name: "TRACE", method: "TRACE", path: configMaps, status: 405},
	{name: "a method of no standard", method: "PURGE", path: configMaps, status: 405},
	{name: "PUT on a collection", method: "PUT", path: configMaps, headers: []string{sendJSON}, body: "{}", status: 405},
	{name: "POST on an object", method: "POST", path: configMaps + "/some-0", headers: []string{sendJSON}, body: "{}", status: 405},
	{name: "a Service that has no endpoints", path: services + "/service-0/proxy/x", status: 404},
	{name: "the scale of a Deployment", path: deployments + "/present/scale", status: 200},
	{name: "who am I", method: "POST", path: "/apis/authentication.k8s.io/v1/selfsubjectreviews", headers: []string{sendJSON}, body: `{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1"}`, status: 201},
	{name: "who am I in another's place", method: "POST", path: "/apis/authentication.k8s.io/v1/selfsubjectreviews", headers: []string{
		sendJSON, "Impersonate-User: jane", "Impersonate-Group: a", "Impersonate-Group: b",
		"Impersonate-Extra-Scopes: x", "Impersonate-Uid: 1",
	}, body: `{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1"}`, status: 201},
	{name: "may I", method: "POST", path: "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", headers: []string{sendJSON}, body: `{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","spec":{"resourceAttributes":{"verb":"get","resource":"pods"}}}`, status: 201},
}

// factReads are reads of kinds that the proxy reads as facts. It may ask for them in a plainer form
// than its client did: JSON or protobuf, whole objects, not compressed. It does not announce their
// length.
var factReads = []request{
	{name: "nodes", path: "/api/v1/nodes"},
	{name: "nodes as protobuf", path: "/api/v1/nodes", headers: []string{asProtobuf}},
	{name: "a Node", path: "/api/v1/nodes/hz-0"},
	{name: "a Node as protobuf", path: "/api/v1/nodes/hz-0", headers: []string{asProtobuf}},
	{name: "pools", path: "/apis/apps.openyurt.io/v1beta2/nodepools"},
	{name: "a Service's status", path: services + "/service-0/status"},
	{name: "nodes as a Table", path: "/api/v1/nodes", headers: []string{table}},
	{name: "a Node as a Table", path: "/api/v1/nodes/hz-0", headers: []string{table}},
	{name: "nodes as YAML", path: "/api/v1/nodes", headers: []string{asYAML}},
	{name: "pools as a Table", path: "/apis/apps.openyurt.io/v1beta2/nodepools", headers: []string{table}},
	{name: "pools as YAML", path: "/apis/apps.openyurt.io/v1beta2/nodepools", headers: []string{asYAML}},
	{name: "all ConfigMaps, gzipped", path: "/api/v1/configmaps", headers: []string{gzipped}},
}

// writes are requests on twins, one after the other.
var writes = []request{
	{name: "create", method: "POST", path: configMaps, headers: []string{sendJSON}, body: `{"metadata":{"name":"NAME","labels":{"twin":"NAME"}},"data":{"a":"1"}}`, status: 201},
	{name: "create again", method: "POST", path: configMaps, headers: []string{sendJSON}, body: `{"metadata":{"name":"NAME"}}`, status: 409},
	{name: "create from YAML as a Table", method: "POST", path: configMaps, headers: []string{sendYAML, table}, body: "metadata: {name: NAME-yaml, labels: {twin: NAME}}\n", status: 201},
	{name: "create in a dry run", method: "POST", path: configMaps + "?dryRun=All", headers: []string{sendJSON}, body: `{"metadata":{"name":"NAME-dry"}}`, status: 201},
	{name: "a dry run left nothing", method: "GET", path: configMaps + "/NAME-dry", status: 404},
	{name: "create with a bad name", method: "POST", path: configMaps, headers: []string{sendJSON}, body: `{"metadata":{"name":"NAME_"}}`, status: 422},
	{name: "create without a name", method: "POST", path: configMaps, headers: []string{sendJSON}, body: `{}`, status: 422},
	{name: "create from no JSON", method: "POST", path: configMaps, headers: []string{sendJSON}, body: `{`, status: 400},
	{name: "create from an unknown type", method: "POST", path: configMaps, headers: []string{"Content-Type: text/plain"}, body: `x`, status: 415},
	{name: "create with an unknown field", method: "POST", path: configMaps + "?fieldValidation=Warn&dryRun=All", headers: []string{sendJSON}, body: `{"metadata":{"name":"NAME-w"},"x":1,"y":2}`, status: 201},
	{name: "create with a forbidden field", method: "POST", path: configMaps + "?fieldValidation=Strict", headers: []string{sendJSON}, body: `{"metadata":{"name":"NAME-s"},"x":1}`, status: 400},
	{name: "create without rights", method: "POST", path: configMaps, headers: []string{sendJSON, "Impersonate-User: jane"}, body: `{"metadata":{"name":"NAME-j"}}`, status: 403},
	{name: "create with 100-continue", method: "POST", path: configMaps, headers: []string{sendJSON, "Expect: 100-continue"}, body: `{"metadata":{"name":"NAME-100","labels":{"twin":"NAME"}}}`, status: 201},
	{name: "100-continue without rights", method: "POST", path: configMaps, headers: []string{sendJSON, "Expect: 100-continue", "Authorization: Bearer none"}, body: `{"metadata":{"name":"NAME-no"}}`, status: 401},
	{name: "an object that etcd refuses", method: "POST", path: configMaps, headers: []string{sendJSON}, body: `{"metadata":{"name":"NAME-big"},"data":{"a":"` + repeat("x", 1_000_000) + `"},"binaryData":{"b":"` + repeat("eHh4", 1_600_000) + `"}}`, status: 422},
	{name: "a body that the server refuses", method: "POST", path: configMaps, headers: []string{sendJSON}, body: `{"metadata":{"name":"NAME-big"},"data":{"a":"` + repeat("x", 4_000_000) + `"}}`, status: 413},
	{name: "a large object", method: "POST", path: configMaps, headers: []string{sendJSON}, body: `{"metadata":{"name":"NAME-large","labels":{"twin":"NAME"}},"data":{"a":"` + repeat("x", 900_000) + `"}}`, status: 201},
	{name: "update", method: "PUT", path: configMaps + "/NAME", headers: []string{sendJSON}, body: `{"metadata":{"name":"NAME","labels":{"twin":"NAME"}},"data":{"a":"2"}}`, status: 200},
	{name: "update of an old version", method: "PUT", path: configMaps + "/NAME", headers: []string{sendJSON}, body: `{"metadata":{"name":"NAME","resourceVersion":"1"}}`, status: 409},
	{name: "update by another name", method: "PUT", path: configMaps + "/NAME", headers: []string{sendJSON}, body: `{"metadata":{"name":"other"}}`, status: 400},
	{name: "a JSON patch", method: "PATCH", path: configMaps + "/NAME", headers: []string{jsonPatch}, body: `[{"op":"replace","path":"/data/a","value":"3"}]`, status: 200},
	{name: "a JSON patch that fails", method: "PATCH", path: configMaps + "/NAME", headers: []string{jsonPatch}, body: `[{"op":"test","path":"/data/a","value":"none"}]`, status: 422},
	{name: "a merge patch", method: "PATCH", path: configMaps + "/NAME", headers: []string{mergePatch}, body: `{"data":{"b":"1"}}`, status: 200},
	{name: "a strategic merge patch", method: "PATCH", path: configMaps + "/NAME", headers: []string{strategic}, body: `{"data":{"b":null}}`, status: 200},
	{name: "a patch of an unknown type", method: "PATCH", path: configMaps + "/NAME", headers: []string{"Content-Type: text/plain"}, body: `{}`, status: 415},
	{name: "apply", method: "PATCH", path: configMaps + "/NAME?fieldManager=one", headers: []string{applyPatch}, body: "{apiVersion: v1, kind: ConfigMap, metadata: {name: NAME}, data: {c: one}}", status: 200},
	{name: "apply against another", method: "PATCH", path: configMaps + "/NAME?fieldManager=two", headers: []string{applyPatch}, body: "{apiVersion: v1, kind: ConfigMap, metadata: {name: NAME}, data: {c: two}}", status: 409},
	{name: "apply by force", method: "PATCH", path: configMaps + "/NAME?fieldManager=two&force=true", headers: []string{applyPatch}, body: "{apiVersion: v1, kind: ConfigMap, metadata: {name: NAME}, data: {c: two}}", status: 200},
	{name: "apply without a manager", method: "PATCH", path: configMaps + "/NAME", headers: []string{applyPatch}, body: "{}", status: 422},
	{name: "a Deployment", method: "POST", path: deployments, headers: []string{sendJSON}, body: deployment("NAME"), status: 201},
	{name: "its scale", method: "PATCH", path: deployments + "/NAME/scale", headers: []string{mergePatch}, body: `{"spec":{"replicas":3}}`, status: 200},
	{name: "its status", method: "PATCH", path: deployments + "/NAME/status", headers: []string{mergePatch}, body: `{"status":{"observedGeneration":1,"replicas":3}}`, status: 200},
	{name: "its deletion in a dry run", method: "DELETE", path: deployments + "/NAME?dryRun=All", status: 200},
	{name: "its deletion", method: "DELETE", path: deployments + "/NAME", headers: []string{sendJSON}, body: `{"propagationPolicy":"Foreground"}`, status: 200},
	{name: "a ServiceAccount", method: "POST", path: accounts, headers: []string{sendJSON}, body: `{"metadata":{"name":"NAME"}}`, status: 201},
	{name: "its token", method: "POST", path: accounts + "/NAME/token", headers: []string{sendJSON}, body: `{"spec":{"expirationSeconds":3600,"audiences":["a"]}}`, status: 201},
	{name: "a pod", method: "POST", path: pods, headers: []string{sendJSON}, body: `{"metadata":{"name":"NAME","labels":{"a":"NAME"}},"spec":{"serviceAccountName":"none","automountServiceAccountToken":false,"containers":[{"name":"a","image":"a"}]}}`, status: 201},
	{name: "its node", method: "POST", path: pods + "/NAME/binding", headers: []string{sendJSON}, body: `{"metadata":{"name":"NAME"},"target":{"kind":"Node","name":"hz-0"}}`, status: 201},
	{name: "its status", method: "PATCH", path: pods + "/NAME/status", headers: []string{strategic}, body: `{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}`, status: 200},
	{name: "its budget", method: "POST", path: budgets, headers: []string{sendJSON}, body: `{"metadata":{"name":"NAME"},"spec":{"minAvailable":1,"selector":{"matchLabels":{"a":"NAME"}}}}`, status: 201},
	{name: "an eviction that has to wait", method: "POST", path: pods + "/NAME/eviction", headers: []string{sendJSON}, body: `{"kind":"Eviction","apiVersion":"policy/v1","metadata":{"name":"NAME"}}`, status: 429},
	{name: "its log, for which there is no kubelet", method: "GET", path: pods + "/NAME/log", status: 0},
	{name: "exec without an upgrade", method: "POST", path: pods + "/NAME/exec?command=a&stdout=1", status: 0},
	{name: "its deletion", method: "DELETE", path: pods + "/NAME?gracePeriodSeconds=0", status: 200},
	{name: "a Service", method: "POST", path: services, headers: []string{sendJSON}, body: `{"metadata":{"name":"NAME","annotations":{"openyurt.io/topologyKeys":"kubernetes.io/hostname"}},"spec":{"ports":[{"port":80}]}}`, status: 201},
	{name: "a slice of endpoints elsewhere", method: "POST", path: slices1, headers: []string{sendJSON}, body: `{"metadata":{"name":"NAME","labels":{"twin":"NAME","kubernetes.io/service-name":"NAME"}},"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.1"],"nodeName":"bj-0"}]}`, status: 201},
	{name: "its patch", method: "PATCH", path: slices1 + "/NAME", headers: []string{mergePatch}, body: `{"metadata":{"labels":{"a":"b"}}}`, status: 200},
	{name: "its update as protobuf's type", method: "PUT", path: slices1 + "/NAME", headers: []string{sendJSON}, body: `{"metadata":{"name":"NAME","labels":{"twin":"NAME"}},"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.2"],"nodeName":"cloud-0"}]}`, status: 200},
	{name: "the deletion of a collection of slices", method: "DELETE", path: slices1 + "?labelSelector=twin%3DNAME", status: 200},
	{name: "the deletion of the Service", method: "DELETE", path: services + "/NAME", status: 200},
	{name: "a deletion of another object", method: "DELETE", path: configMaps + "/NAME", headers: []string{sendJSON}, body: `{"preconditions":{"uid":"other"}}`, status: 409},
	{name: "a deletion", method: "DELETE", path: configMaps + "/NAME", status: 200},
	{name: "a deletion again", method: "DELETE", path: configMaps + "/NAME", status: 404},
	{name: "the deletion of a collection", method: "DELETE", path: configMaps + "?labelSelector=twin%3DNAME", status: 200},
}

func deployment(name string) string {
	return `{"metadata":{"name":"` + name + `"},"spec":{"replicas":1,"selector":{"matchLabels":` +
		`{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":` +
		`[{"name":"a","image":"a"}]}}}}`
}

// stock fills a server with the objects of the tables, and returns a resourceVersion before the
// last of them.
func stock(t *testing.T, w *world) string {
	t.Helper()
	all := w.typed.CoreV1().ConfigMaps("default")
	create := func(name, label string) {
		t.Helper()
		object := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{label: "1"}},
			// So that a list is large enough for the server to compress it.
			Data: map[string]string{"text": repeat("conformance ", 30_000)},
		}
		w.must(all.Create(w.ctx, object, metav1.CreateOptions{}))
	}
	for number := range 6 {
		create(fmt.Sprintf("some-%d", number), []string{"even", "odd"}[number%2])
	}
	now, err := all.List(w.ctx, metav1.ListOptions{})
	w.must(nil, err)
	create("later-1", "odd")
	create("later-2", "even")
	w.must(nil, all.Delete(w.ctx, "later-2", metav1.DeleteOptions{}))
	w.must(w.typed.AppsV1().RESTClient().Post().AbsPath(deployments).
		SetHeader("Content-Type", "application/json").Body([]byte(deployment("present"))).
		Do(w.ctx).Raw())
	return now.ResourceVersion
}

// Everything but reads of endpoints: status, headers, body and trailers are the API server's own.
func TestConformance(t *testing.T) {
	ca := newAuthority(t)
	certificate, key := ca.issue(t, "server")
	server := apiserver.Start(t,
		"--authorization-mode", "RBAC", "--tls-cert-file", certificate, "--tls-private-key-file", key)
	w := newWorld(t, server.Config(), 7)
	version := stock(t, w)
	six := freeAddress6(t)
	p := startProxy(t, server, "hz-0", ca.file(), "--listen", six)
	for major := 1; major <= 2; major++ {
		ways := newWays(t, server, p, major)
		t.Run(fmt.Sprintf("HTTP%d", major), func(t *testing.T) {
			t.Run("reads", func(t *testing.T) {
				for _, row := range reads {
					t.Run(row.name, func(t *testing.T) {
						t.Parallel()
						if row.method == "" {
							row.method = http.MethodGet
						}
						row.path = strings.ReplaceAll(row.path, "VERSION", version)
						ways.read(t, row)
					})
				}
			})
			twins := [2]string{fmt.Sprintf("twin-a%d", major), fmt.Sprintf("twin-b%d", major)}
			for _, row := range writes {
				ways.write(t, row, twins)
			}
			metrics(t, ways)
			for _, row := range reads[:12] {
				over6 := ways
				over6.through = newWay(t, "https://"+six, server.Config().BearerToken, major)
				row.method = http.MethodGet
				over6.read(t, row)
			}
		})
	}
	t.Run("a watch that is gone", func(t *testing.T) {
		server.Compact(t)
		// Else the server's cache still has what etcd has not.
		server.Restart(t)
		for major := 1; major <= 2; major++ {
			row := request{
				name: "gone", method: http.MethodGet,
				path: configMaps + "?watch=1&resourceVersion=1&timeoutSeconds=1",
			}
			ways := newWays(t, server, p, major)
			ways.read(t, row)
			if r := ways.through.send(t, row, ""); !strings.Contains(r.body, `"code":410`) {
				t.Errorf("not gone: %d %.300s", r.status, r.body)
			}
		}
	})
	t.Run("facts", func(t *testing.T) {
		for major := 1; major <= 2; major++ {
			for _, row := range factReads {
				newWays(t, server, p, major).readFacts(t, row)
			}
		}
	})
}

// metrics compares the names of the metrics, because their values change with each request.
func metrics(t *testing.T, ways ways) {
	t.Helper()
	names := func(way *way) map[string]bool {
		row := request{name: "metrics", method: http.MethodGet, path: "/metrics"}
		r := way.send(t, row, "")
		if r.status != http.StatusOK || r.broken != "" {
			t.Fatal("metrics:", r.status, r.broken)
		}
		all := map[string]bool{}
		for _, line := range strings.Split(r.body, "\n") {
			if strings.HasPrefix(line, "# TYPE ") {
				all[line] = true
			}
		}
		return all
	}
	before, got, after := names(ways.direct), names(ways.through), names(ways.direct)
	for name := range before {
		if !got[name] {
			t.Errorf("metrics: the proxy lost %q", name)
		}
	}
	for name := range got {
		if !after[name] {
			t.Errorf("metrics: the proxy added %q", name)
		}
	}
	if len(before) < 50 {
		t.Errorf("only %d metrics", len(before))
	}
}

func freeAddress6(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 on loopback:", err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

package e2e

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
	{
		name: "an object as protobuf", path: configMaps + "/some-0",
		headers: []string{asProtobuf}, status: 200,
	},
	{
		name: "an object as YAML", path: configMaps + "/some-0", headers: []string{asYAML},
		status: 200,
	},
	{name: "an object, pretty", path: configMaps + "/some-0?pretty=true", status: 200},
	{
		name: "an object as CBOR", path: configMaps + "/some-0", headers: []string{asCBOR},
		status: 406,
	},
	{
		name: "an object as a picture", path: configMaps + "/some-0",
		headers: []string{"Accept: image/png"}, status: 406,
	},
	{
		name: "an object as a Table", path: configMaps + "/some-0", headers: []string{table},
		status: 200,
	},
	{
		name: "an object's metadata", path: configMaps + "/some-0", headers: []string{partial},
		status: 200,
	},
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
	{
		name: "a list of an old version",
		path: configMaps + "?resourceVersion=VERSION&resourceVersionMatch=Exact", status: 200,
	},
	{
		name: "a list of a future version",
		path: configMaps + "?resourceVersion=99999999&timeoutSeconds=1", status: 504,
	},
	{name: "a list of no version", path: configMaps + "?resourceVersion=x", status: 400},
	{
		name: "a selector of labels", path: configMaps + "?labelSelector=odd%3D1%2Ceven%21%3D1",
		status: 200,
	},
	{
		name: "a selector of fields", path: configMaps + "?fieldSelector=metadata.name%3Dsome-3",
		status: 200,
	},
	{name: "a selector of no field", path: configMaps + "?fieldSelector=nothing%3D1", status: 400},
	{name: "a bad selector", path: configMaps + "?labelSelector=%3D%3D", status: 400},
	{name: "a page", path: configMaps + "?limit=2", status: 200},
	{name: "a bad continue", path: configMaps + "?limit=2&continue=bm90aGluZw", status: 400},
	{name: "a gzipped list", path: configMaps, headers: []string{gzipped}, status: 200},
	{
		name: "a gzipped list as protobuf", path: configMaps,
		headers: []string{gzipped, asProtobuf}, status: 200,
	},
	{name: "a gzipped Table", path: configMaps, headers: []string{gzipped, table}, status: 200},
	{
		name: "an encoding that the server does not know", path: configMaps,
		headers: []string{"Accept-Encoding: br"}, status: 200,
	},
	{
		name: "a watch from an old version",
		path: configMaps + "?watch=1&resourceVersion=VERSION&timeoutSeconds=1", status: 200,
	},
	{
		name:    "a watch as protobuf",
		path:    configMaps + "?watch=true&resourceVersion=VERSION&timeoutSeconds=1",
		headers: []string{asProtobuf + ";stream=watch"}, status: 200,
	},
	{
		name:    "a watch as a Table",
		path:    configMaps + "?watch=1&resourceVersion=VERSION&timeoutSeconds=1",
		headers: []string{table}, status: 200,
	},
	{
		name: "a watch by the old path",
		path: "/api/v1/watch/namespaces/default/configmaps" +
			"?resourceVersion=VERSION&timeoutSeconds=1",
		status: 200,
	},
	{
		name: "a watch of one object",
		path: configMaps + "?watch=1&resourceVersion=VERSION&timeoutSeconds=1" +
			"&fieldSelector=metadata.name%3Dlater-1",
		status: 200,
	},
	{
		name:   "a watch of a selector",
		path:   configMaps + "?watch=1&resourceVersion=VERSION&timeoutSeconds=1&labelSelector=odd",
		status: 200,
	},
	{name: "a watch of no version", path: configMaps + "?watch=1&resourceVersion=x", status: 500},
	{
		name: "a watch with a bad type", path: configMaps + "?watch=1",
		headers: []string{"Accept: image/png"}, status: 406,
	},
	{
		name: "definitions", path: "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
		status: 200,
	},
	{
		name: "definitions as a Table",
		path: "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", headers: []string{table},
		status: 200,
	},
	{
		name: "custom resources as protobuf", path: "/apis/apps.openyurt.io/v1beta2/nodepools",
		headers: []string{asProtobuf}, status: 406,
	},
	{name: "the old discovery", path: "/api", status: 200},
	{name: "the discovery of groups", path: "/apis", status: 200},
	{name: "aggregated discovery", path: "/apis", headers: []string{aggregated}, status: 200},
	{
		name: "aggregated discovery of the core", path: "/api", headers: []string{aggregated},
		status: 200,
	},
	{
		name: "aggregated discovery, gzipped", path: "/apis",
		headers: []string{aggregated, gzipped}, status: 200,
	},
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
	{
		name:   "a long query",
		path:   configMaps + "?labelSelector=odd%20in%20%28" + repeat("a,", 30_000) + "1%29",
		status: 200,
	},
	{
		name: "a long header", path: configMaps,
		headers: []string{"X-Long: " + repeat("x", 20_000)}, status: 200,
	},
	{
		name: "a header twice", path: configMaps,
		headers: []string{"Accept: application/yaml", "Accept: application/json"}, status: 0,
	},
	{
		name: "a bad token", path: configMaps, headers: []string{"Authorization: Bearer none"},
		status: 401,
	},
	{
		name: "a bad scheme", path: configMaps, headers: []string{"Authorization: Basic YTpi"},
		status: 403,
	},
	{
		name: "a user without rights", path: configMaps,
		headers: []string{"Impersonate-User: jane"}, status: 403,
	},
	{
		name: "a user without rights on a Service", path: services,
		headers: []string{"Impersonate-User: jane"}, status: 403,
	},
	{
		name: "a user without rights on slices", path: slices1,
		headers: []string{"Impersonate-User: jane"}, status: 403,
	},
	{
		name: "a watch without rights", path: slices1 + "?watch=1",
		headers: []string{"Impersonate-User: jane"}, status: 403,
	},
	{
		name: "a group without a user", path: configMaps,
		headers: []string{"Impersonate-Group: all"}, status: 400,
	},
	{name: "HEAD", method: "HEAD", path: configMaps, status: 405},
	{name: "HEAD of a version", method: "HEAD", path: "/version", status: 405},
	{name: "HEAD of a path that is not there", method: "HEAD", path: "/nothing", status: 404},
	{name: "OPTIONS", method: "OPTIONS", path: configMaps, status: 405},
	{name: "TRACE", method: "TRACE", path: configMaps, status: 405},
	{name: "a method of no standard", method: "PURGE", path: configMaps, status: 405},
	{
		name: "PUT on a collection", method: "PUT", path: configMaps, headers: []string{sendJSON},
		body: "{}", status: 405,
	},
	{
		name: "POST on an object", method: "POST", path: configMaps + "/some-0",
		headers: []string{sendJSON}, body: "{}", status: 405,
	},
	{name: "a Service that has no endpoints", path: services + "/service-0/proxy/x", status: 404},
	{name: "the scale of a Deployment", path: deployments + "/present/scale", status: 200},
	{
		name: "who am I", method: "POST",
		path: "/apis/authentication.k8s.io/v1/selfsubjectreviews", headers: []string{sendJSON},
		body: `{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1"}`, status: 201,
	},
	{
		name: "who am I in another's place", method: "POST",
		path: "/apis/authentication.k8s.io/v1/selfsubjectreviews", status: 201,
		headers: []string{
			sendJSON, "Impersonate-User: jane", "Impersonate-Group: a", "Impersonate-Group: b",
			"Impersonate-Extra-Scopes: x", "Impersonate-Uid: 1",
		},
		body: `{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1"}`,
	},
	{
		name: "may I", method: "POST",
		path:    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
		headers: []string{sendJSON},
		body: `{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1",` +
			`"spec":{"resourceAttributes":{"verb":"get","resource":"pods"}}}`,
		status: 201,
	},
	{name: "nodes", path: "/api/v1/nodes"},
	{name: "nodes as protobuf", path: "/api/v1/nodes", headers: []string{asProtobuf}},
	{name: "a Node", path: "/api/v1/nodes/hz-0"},
	{name: "a Node as protobuf", path: "/api/v1/nodes/hz-0", headers: []string{asProtobuf}},
	{name: "nodes as a Table", path: "/api/v1/nodes", headers: []string{table}},
	{name: "a Node as a Table", path: "/api/v1/nodes/hz-0", headers: []string{table}},
	{name: "nodes as YAML", path: "/api/v1/nodes", headers: []string{asYAML}},
	{name: "pools", path: "/apis/apps.openyurt.io/v1beta2/nodepools"},
	{
		name: "pools as a Table", path: "/apis/apps.openyurt.io/v1beta2/nodepools",
		headers: []string{table},
	},
	{
		name: "pools as YAML", path: "/apis/apps.openyurt.io/v1beta2/nodepools",
		headers: []string{asYAML},
	},
	{name: "all ConfigMaps, gzipped", path: "/api/v1/configmaps", headers: []string{gzipped}},
}

// serviceStatus reads an object that may be rewritten. The proxy asks for it in a plainer form than
// its client did: not compressed, and without a length.
var serviceStatus = request{name: "a Service's status", path: services + "/service-0/status"}

package e2e

// writes are requests on twins, one after the other.
var writes = []request{
	{
		name: "create", method: "POST", path: configMaps, headers: []string{sendJSON},
		body:   `{"metadata":{"name":"NAME","labels":{"twin":"NAME"}},"data":{"a":"1"}}`,
		status: 201,
	},
	{
		name: "create again", method: "POST", path: configMaps, headers: []string{sendJSON},
		body: `{"metadata":{"name":"NAME"}}`, status: 409,
	},
	{
		name: "create from YAML as a Table", method: "POST", path: configMaps,
		headers: []string{sendYAML, table},
		body:    "metadata: {name: NAME-yaml, labels: {twin: NAME}}\n", status: 201,
	},
	{
		name: "create in a dry run", method: "POST", path: configMaps + "?dryRun=All",
		headers: []string{sendJSON}, body: `{"metadata":{"name":"NAME-dry"}}`, status: 201,
	},
	{name: "a dry run left nothing", method: "GET", path: configMaps + "/NAME-dry", status: 404},
	{
		name: "create with a bad name", method: "POST", path: configMaps,
		headers: []string{sendJSON}, body: `{"metadata":{"name":"NAME_"}}`, status: 422,
	},
	{
		name: "create without a name", method: "POST", path: configMaps,
		headers: []string{sendJSON}, body: `{}`, status: 422,
	},
	{
		name: "create from no JSON", method: "POST", path: configMaps,
		headers: []string{sendJSON}, body: `{`, status: 400,
	},
	{
		name: "create from an unknown type", method: "POST", path: configMaps,
		headers: []string{"Content-Type: text/plain"}, body: `x`, status: 415,
	},
	{
		name: "create with an unknown field", method: "POST",
		path: configMaps + "?fieldValidation=Warn&dryRun=All", headers: []string{sendJSON},
		body: `{"metadata":{"name":"NAME-w"},"x":1,"y":2}`, status: 201,
	},
	{
		name: "create with a forbidden field", method: "POST",
		path: configMaps + "?fieldValidation=Strict", headers: []string{sendJSON},
		body: `{"metadata":{"name":"NAME-s"},"x":1}`, status: 400,
	},
	{
		name: "create without rights", method: "POST", path: configMaps,
		headers: []string{sendJSON, "Impersonate-User: jane"},
		body:    `{"metadata":{"name":"NAME-j"}}`, status: 403,
	},
	{
		name: "create with 100-continue", method: "POST", path: configMaps,
		headers: []string{sendJSON, "Expect: 100-continue"},
		body:    `{"metadata":{"name":"NAME-100","labels":{"twin":"NAME"}}}`, status: 201,
	},
	{
		name: "100-continue without rights", method: "POST", path: configMaps,
		headers: []string{sendJSON, "Expect: 100-continue", "Authorization: Bearer none"},
		body:    `{"metadata":{"name":"NAME-no"}}`, status: 401,
	},
	{
		name: "an object that etcd refuses", method: "POST", path: configMaps,
		headers: []string{sendJSON},
		body: `{"metadata":{"name":"NAME-big"},"data":{"a":"` + repeat("x", 1_000_000) +
			`"},"binaryData":{"b":"` + repeat("eHh4", 1_600_000) + `"}}`,
		status: 422,
	},
	{
		name: "a body that the server refuses", method: "POST", path: configMaps,
		headers: []string{sendJSON},
		body:    `{"metadata":{"name":"NAME-big"},"data":{"a":"` + repeat("x", 4_000_000) + `"}}`,
		status:  413,
	},
	{
		name: "a large object", method: "POST", path: configMaps, headers: []string{sendJSON},
		body: `{"metadata":{"name":"NAME-large","labels":{"twin":"NAME"}},"data":{"a":"` +
			repeat("x", 900_000) + `"}}`,
		status: 201,
	},
	{
		name: "update", method: "PUT", path: configMaps + "/NAME", headers: []string{sendJSON},
		body:   `{"metadata":{"name":"NAME","labels":{"twin":"NAME"}},"data":{"a":"2"}}`,
		status: 200,
	},
	{
		name: "update of an old version", method: "PUT", path: configMaps + "/NAME",
		headers: []string{sendJSON}, body: `{"metadata":{"name":"NAME","resourceVersion":"1"}}`,
		status: 409,
	},
	{
		name: "update by another name", method: "PUT", path: configMaps + "/NAME",
		headers: []string{sendJSON}, body: `{"metadata":{"name":"other"}}`, status: 400,
	},
	{
		name: "a JSON patch", method: "PATCH", path: configMaps + "/NAME",
		headers: []string{jsonPatch}, body: `[{"op":"replace","path":"/data/a","value":"3"}]`,
		status: 200,
	},
	{
		name: "a JSON patch that fails", method: "PATCH", path: configMaps + "/NAME",
		headers: []string{jsonPatch}, body: `[{"op":"test","path":"/data/a","value":"none"}]`,
		status: 422,
	},
	{
		name: "a merge patch", method: "PATCH", path: configMaps + "/NAME",
		headers: []string{mergePatch}, body: `{"data":{"b":"1"}}`, status: 200,
	},
	{
		name: "a strategic merge patch", method: "PATCH", path: configMaps + "/NAME",
		headers: []string{strategic}, body: `{"data":{"b":null}}`, status: 200,
	},
	{
		name: "a patch of an unknown type", method: "PATCH", path: configMaps + "/NAME",
		headers: []string{"Content-Type: text/plain"}, body: `{}`, status: 415,
	},
	{
		name: "apply", method: "PATCH", path: configMaps + "/NAME?fieldManager=one",
		headers: []string{applyPatch},
		body:    "{apiVersion: v1, kind: ConfigMap, metadata: {name: NAME}, data: {c: one}}",
		status:  200,
	},
	{
		name: "apply against another", method: "PATCH",
		path: configMaps + "/NAME?fieldManager=two", headers: []string{applyPatch},
		body:   "{apiVersion: v1, kind: ConfigMap, metadata: {name: NAME}, data: {c: two}}",
		status: 409,
	},
	{
		name: "apply by force", method: "PATCH",
		path: configMaps + "/NAME?fieldManager=two&force=true", headers: []string{applyPatch},
		body:   "{apiVersion: v1, kind: ConfigMap, metadata: {name: NAME}, data: {c: two}}",
		status: 200,
	},
	{
		name: "apply without a manager", method: "PATCH", path: configMaps + "/NAME",
		headers: []string{applyPatch}, body: "{}", status: 422,
	},
	{
		name: "a Deployment", method: "POST", path: deployments, headers: []string{sendJSON},
		body: deployment("NAME"), status: 201,
	},
	{
		name: "its scale", method: "PATCH", path: deployments + "/NAME/scale",
		headers: []string{mergePatch}, body: `{"spec":{"replicas":3}}`, status: 200,
	},
	{
		name: "its status", method: "PATCH", path: deployments + "/NAME/status",
		headers: []string{mergePatch}, body: `{"status":{"observedGeneration":1,"replicas":3}}`,
		status: 200,
	},
	{
		name: "its deletion in a dry run", method: "DELETE",
		path: deployments + "/NAME?dryRun=All", status: 200,
	},
	{
		name: "its deletion", method: "DELETE", path: deployments + "/NAME",
		headers: []string{sendJSON}, body: `{"propagationPolicy":"Foreground"}`, status: 200,
	},
	{
		name: "a ServiceAccount", method: "POST", path: accounts, headers: []string{sendJSON},
		body: `{"metadata":{"name":"NAME"}}`, status: 201,
	},
	{
		name: "its token", method: "POST", path: accounts + "/NAME/token",
		headers: []string{sendJSON},
		body:    `{"spec":{"expirationSeconds":3600,"audiences":["a"]}}`, status: 201,
	},
	{
		name: "a pod", method: "POST", path: pods, headers: []string{sendJSON},
		body: `{"metadata":{"name":"NAME","labels":{"a":"NAME"}},` +
			`"spec":{"serviceAccountName":"none","automountServiceAccountToken":false,` +
			`"containers":[{"name":"a","image":"a"}]}}`,
		status: 201,
	},
	{
		name: "its node", method: "POST", path: pods + "/NAME/binding",
		headers: []string{sendJSON},
		body:    `{"metadata":{"name":"NAME"},"target":{"kind":"Node","name":"hz-0"}}`, status: 201,
	},
	{
		name: "its status", method: "PATCH", path: pods + "/NAME/status",
		headers: []string{strategic},
		body:    `{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}`,
		status:  200,
	},
	{
		name: "its budget", method: "POST", path: budgets, headers: []string{sendJSON},
		body: `{"metadata":{"name":"NAME"},"spec":{"minAvailable":1,` +
			`"selector":{"matchLabels":{"a":"NAME"}}}}`,
		status: 201,
	},
	{
		name: "an eviction that has to wait", method: "POST", path: pods + "/NAME/eviction",
		headers: []string{sendJSON},
		body:    `{"kind":"Eviction","apiVersion":"policy/v1","metadata":{"name":"NAME"}}`,
		status:  429,
	},
	{
		name: "its log, for which there is no kubelet", method: "GET", path: pods + "/NAME/log",
		status: 0,
	},
	{
		name: "exec without an upgrade", method: "POST",
		path: pods + "/NAME/exec?command=a&stdout=1", status: 0,
	},
	{
		name: "its deletion", method: "DELETE", path: pods + "/NAME?gracePeriodSeconds=0",
		status: 200,
	},
	{
		name: "a Service", method: "POST", path: services, headers: []string{sendJSON},
		body: `{"metadata":{"name":"NAME",` +
			`"annotations":{"openyurt.io/topologyKeys":"kubernetes.io/hostname"}},` +
			`"spec":{"ports":[{"port":80}]}}`,
		status: 201,
	},
	{
		name: "a slice of endpoints elsewhere", method: "POST", path: slices1,
		headers: []string{sendJSON},
		body: `{"metadata":{"name":"NAME","labels":{"twin":"NAME",` +
			`"kubernetes.io/service-name":"NAME"}},"addressType":"IPv4",` +
			`"endpoints":[{"addresses":["10.0.0.1"],"nodeName":"bj-0"}]}`,
		status: 201,
	},
	{
		name: "its patch", method: "PATCH", path: slices1 + "/NAME",
		headers: []string{mergePatch}, body: `{"metadata":{"labels":{"a":"b"}}}`, status: 200,
	},
	{
		name: "its update as protobuf's type", method: "PUT", path: slices1 + "/NAME",
		headers: []string{sendJSON},
		body: `{"metadata":{"name":"NAME","labels":{"twin":"NAME"}},"addressType":"IPv4",` +
			`"endpoints":[{"addresses":["10.0.0.2"],"nodeName":"cloud-0"}]}`,
		status: 200,
	},
	{
		name: "the deletion of a collection of slices", method: "DELETE",
		path: slices1 + "?labelSelector=twin%3DNAME", status: 200,
	},
	{name: "the deletion of the Service", method: "DELETE", path: services + "/NAME", status: 200},
	{
		name: "a deletion of another object", method: "DELETE", path: configMaps + "/NAME",
		headers: []string{sendJSON}, body: `{"preconditions":{"uid":"other"}}`, status: 409,
	},
	{name: "a deletion", method: "DELETE", path: configMaps + "/NAME", status: 200},
	{name: "a deletion again", method: "DELETE", path: configMaps + "/NAME", status: 404},
	{
		name: "the deletion of a collection", method: "DELETE",
		path: configMaps + "?labelSelector=twin%3DNAME", status: 200,
	},
}

func deployment(name string) string {
	return `{"metadata":{"name":"` + name + `"},"spec":{"replicas":1,"selector":{"matchLabels":` +
		`{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":` +
		`[{"name":"a","image":"a"}]}}}}`
}

package deploy

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// testSchemas runs kubeconform, which users run without a cluster, with schemas from the API
// server's OpenAPI document: those of its own kinds and of the definitions.
func testSchemas(t *testing.T, c *cluster) {
	program := programOf(t, "KUBECONFORM")
	body, err := c.clientset.Discovery().RESTClient().Get().AbsPath("/openapi/v2").
		SetHeader("Accept", "application/json").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var document struct{ Definitions map[string]map[string]any }
	if err := json.Unmarshal(body, &document); err != nil {
		t.Fatal(err)
	}
	schemas := t.TempDir()
	for name, definition := range document.Definitions {
		closeSchema(definition)
		kinds, _ := definition["x-kubernetes-group-version-kind"].([]any)
		if len(kinds) != 1 {
			continue
		}
		kind := kinds[0].(map[string]any)
		// kubeconform takes the version for the group of core kinds.
		group := cmp.Or(kind["group"].(string), kind["version"].(string))
		file := fmt.Sprintf("%s_%s_%s.json", kind["kind"], group, kind["version"])
		schema, err := json.Marshal(map[string]any{"$ref": "definitions.json#/definitions/" + name})
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(schemas, strings.ToLower(file)), schema)
	}
	definitions, err := json.Marshal(map[string]any{"definitions": document.Definitions})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(schemas, "definitions.json"), definitions)

	location := filepath.Join(
		schemas, "{{ .ResourceKind }}_{{ .Group }}_{{ .ResourceAPIVersion }}.json",
	)
	conform := func(files ...string) (string, error) {
		arguments := append([]string{"-strict", "-summary", "-schema-location", location}, files...)
		out, err := exec.Command(program, arguments...).CombinedOutput()
		return string(out), err
	}
	out, err := conform(
		filepath.Join(
			folder,
			"tests/golden",
		),
		filepath.Join(folder, "manifests/poolscope-proxy.yaml"),
		filepath.Join(folder, "examples"),
	)
	if err != nil || !strings.Contains(out, "Skipped: 0") {
		t.Errorf("kubeconform: %v: %s", err, out)
	}
	t.Log(strings.TrimSpace(out))

	// kubeconform can fail.
	wrong := filepath.Join(t.TempDir(), "wrong.yaml")
	manifest, err := os.ReadFile(filepath.Join(folder, "manifests/poolscope-proxy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, wrong, []byte(strings.Replace(string(manifest), "hostNetwork:", "hostNetwrok:", 1)))
	if out, err := conform(wrong); err == nil {
		t.Errorf("kubeconform accepts an unknown field: %s", out)
	}
}

// closeSchema has a definition refuse unknown properties, and accept both forms of an integer or
// string.
func closeSchema(definition map[string]any) {
	if definition["format"] == "int-or-string" {
		delete(definition, "type")
	}
	properties, isObject := definition["properties"].(map[string]any)
	_, isMap := definition["additionalProperties"]
	isOpen := definition["x-kubernetes-preserve-unknown-fields"] == true
	if isObject && !isMap && !isOpen {
		definition["additionalProperties"] = false
	}
	for _, nested := range properties {
		if nested, is := nested.(map[string]any); is {
			closeSchema(nested)
		}
	}
	for _, key := range []string{"items", "additionalProperties"} {
		if nested, is := definition[key].(map[string]any); is {
			closeSchema(nested)
		}
	}
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

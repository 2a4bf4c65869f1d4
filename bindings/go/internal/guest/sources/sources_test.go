package sources

import (
	"bufio"
	"os"
	"strings"
	"testing"
)

// The generated code names the sources that it was generated from.
func TestTheGuestIsOfTheseSources(t *testing.T) {
	const root = "../../../../.."
	if _, err := os.Stat(root + "/bindings/wasm/guest.mk"); err != nil {
		t.Skip("the sources are not part of the module: ", err)
	}
	want, err := Hash(root)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Open("../guest.go")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if hash, found := strings.CutPrefix(lines.Text(), "// Sources: "); found {
			if hash != want {
				t.Fatalf("the guest is of other sources (%s, and these are %s): run `make guest`", hash, want)
			}
			return
		}
	}
	t.Fatal("no line names the sources of the guest: run `make guest`")
}

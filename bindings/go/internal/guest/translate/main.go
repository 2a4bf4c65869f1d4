// translate writes the Go of the guest, with a head that names its tools and sources. `make guest`
// runs it.
//
//	translate -wasm2go PROGRAM -root REPOSITORY -tools TEXT IN.wasm OUT.go
package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"

	"github.com/poolscope/poolscope/bindings/go/internal/guest/sources"
)

func main() {
	log.SetFlags(0)
	translator := flag.String("wasm2go", "wasm2go", "the translator")
	root := flag.String("root", ".", "the repository")
	tools := flag.String("tools", "", "the tools, for the head")
	flag.Parse()
	if err := translate(*translator, *root, *tools, flag.Arg(0), flag.Arg(1)); err != nil {
		log.Fatal("translate: ", err)
	}
}

func translate(translator, root, tools, from, to string) error {
	hash, err := sources.Hash(root)
	if err != nil {
		return err
	}
	module, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	pages, err := memoryPages(module)
	if err != nil {
		return err
	}
	command := exec.Command(translator, "-unsafe", "-pkg", "guest")
	command.Stdin, command.Stderr = bytes.NewReader(module), os.Stderr
	code, err := command.Output()
	if err != nil {
		return err
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "// Tools: %s.\n// Sources: %s\n\n", tools, hash)
	out.Write(code)
	fmt.Fprintf(
		&out,
		"\n// MinPages is how many pages of 64 KiB the memory has at first.\nconst MinPages = %d\n",
		pages,
	)
	return os.WriteFile(to, out.Bytes(), 0o644)
}

// memoryPages returns the number of pages of the memory that a module imports; it imports nothing
// else.
func memoryPages(module []byte) (uint64, error) {
	const importSection, memoryImport = 2, 2
	failed := errors.New("the module does not import its memory alone")
	at := 8
	number := func() uint64 {
		if at > len(module) {
			return 0
		}
		value, n := binary.Uvarint(module[at:])
		at += max(n, 1)
		return value
	}
	for at < len(module) {
		section := module[at]
		at++
		size := int(number())
		end := at + size
		if end > len(module) {
			break
		}
		if section == importSection {
			if number() != 1 {
				return 0, failed
			}
			for range 2 {
				at += int(number())
			}
			kind := number()
			number()
			pages := number()
			if kind != memoryImport || at > end {
				return 0, failed
			}
			return pages, nil
		}
		at = end
	}
	return 0, failed
}

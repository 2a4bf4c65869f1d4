// Package sources computes a hash of the sources of the guest.
package sources

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The guest depends on these files, and on the Rust sources in these folders.
var paths = []string{
	"Cargo.lock",
	"Cargo.toml",
	"bindings/c/Cargo.toml",
	"bindings/c/src",
	"bindings/wasm/Cargo.toml",
	"bindings/wasm/guest.mk",
	"bindings/wasm/src",
	"src",
}

// Hash returns a hash of the sources in a repository.
func Hash(root string) (string, error) {
	var files []string
	for _, path := range paths {
		add := func(file string, entry fs.DirEntry, err error) error {
			isNamed := filepath.Ext(path) != ""
			if err == nil && !entry.IsDir() && (isNamed || filepath.Ext(file) == ".rs") {
				files = append(files, file)
			}
			return err
		}
		if err := filepath.WalkDir(filepath.Join(root, path), add); err != nil {
			return "", err
		}
	}
	all := sha256.New()
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(all, "%x %s\n", sha256.Sum256(content), filepath.ToSlash(name))
	}
	return fmt.Sprintf("%x", all.Sum(nil)), nil
}

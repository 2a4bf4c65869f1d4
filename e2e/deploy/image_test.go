package deploy

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// descriptor is an entry of an index or a manifest of an OCI image.
type descriptor struct {
	Digest   string
	Platform struct{ OS, Architecture string }
}

// layout is a folder with an OCI image.
type layout string

func (l layout) blob(t *testing.T, digest string) *os.File {
	t.Helper()
	name := strings.Replace(digest, ":", "/", 1)
	file, err := os.Open(filepath.Join(string(l), "blobs", name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

func (l layout) read(t *testing.T, digest string, into any) {
	t.Helper()
	if err := json.NewDecoder(l.blob(t, digest)).Decode(into); err != nil {
		t.Fatal(err)
	}
}

// TestImage makes the image twice from stand-ins for the programs: the digests are equal, and the
// image has what the DaemonSet relies on.
func TestImage(t *testing.T) {
	scratch := t.TempDir()
	var arguments []string
	for _, arch := range []string{"amd64", "arm64"} {
		program := filepath.Join(scratch, arch)
		if err := os.WriteFile(program, []byte("program for "+arch), 0o700); err != nil {
			t.Fatal(err)
		}
		arguments = append(arguments, arch+"="+program)
	}
	build := func(name string, more ...string) (layout, string) {
		t.Helper()
		out := filepath.Join(scratch, name)
		script := filepath.Join(folder, "image/build.sh")
		command := exec.Command(script, append([]string{out}, more...)...)
		command.Env = append(os.Environ(), "REVISION=0123abc")
		command.Stderr = os.Stderr
		digest, err := command.Output()
		if err != nil {
			t.Fatal(err)
		}
		return layout(out), strings.TrimSpace(string(digest))
	}
	image, first := build("first", arguments...)
	// Neither the time nor the mode of a program is part of the image.
	if err := os.Chmod(filepath.Join(scratch, "amd64"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, second := build("second", arguments...); first != second {
		t.Errorf("the same programs gave %s and %s", first, second)
	}
	if err := os.WriteFile(filepath.Join(scratch, "arm64"), []byte("other"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, third := build("third", arguments...); first == third {
		t.Error("another program gave the same digest")
	}

	var index struct{ Manifests []descriptor }
	image.read(t, first, &index)
	var platforms []string
	for _, manifest := range index.Manifests {
		platform := manifest.Platform.OS + "/" + manifest.Platform.Architecture
		platforms = append(platforms, platform)
		image.check(t, manifest.Digest, platform, manifest.Platform.Architecture)
	}
	if !slices.Equal(platforms, []string{"linux/amd64", "linux/arm64"}) {
		t.Errorf("the platforms are %v", platforms)
	}
}

// check checks the image of one platform.
func (l layout) check(t *testing.T, digest, platform, arch string) {
	t.Helper()
	var manifest struct {
		Config      descriptor
		Layers      []descriptor
		Annotations map[string]string
	}
	l.read(t, digest, &manifest)
	var config struct {
		OS, Architecture string
		Config           struct {
			User       string
			Entrypoint []string
			Labels     map[string]string
		}
	}
	l.read(t, manifest.Config.Digest, &config)
	if got := config.OS + "/" + config.Architecture; got != platform {
		t.Errorf("the configuration is for %s, not %s", got, platform)
	}
	if config.Config.User != "65532:65532" {
		t.Errorf("the user is %q", config.Config.User)
	}
	if !slices.Equal(config.Config.Entrypoint, []string{"/usr/bin/poolscope-proxy"}) {
		t.Errorf("the entry point is %v", config.Config.Entrypoint)
	}
	for key, value := range map[string]string{
		"title": "poolscope-proxy", "revision": "0123abc", "licenses": "Apache-2.0",
	} {
		key = "org.opencontainers.image." + key
		if config.Config.Labels[key] != value || manifest.Annotations[key] != value {
			t.Errorf(
				"%s is %q as label and %q as annotation", key, config.Config.Labels[key],
				manifest.Annotations[key],
			)
		}
	}
	files := map[string]string{}
	for _, layer := range manifest.Layers {
		l.unpack(t, layer.Digest, files)
	}
	if len(manifest.Layers) != 2 || len(files) != 3 {
		t.Errorf("%d layers with the files %v", len(manifest.Layers), files)
	}
	if files["usr/bin/poolscope-proxy"] != "program for "+arch {
		t.Errorf("the program is %q", files["usr/bin/poolscope-proxy"])
	}
	if !strings.Contains(files["etc/passwd"], "poolscope:x:65532:65532:") {
		t.Errorf("etc/passwd is %q", files["etc/passwd"])
	}
}

// unpack adds the files of a layer, which must belong to root and be writable for nobody else.
func (l layout) unpack(t *testing.T, digest string, files map[string]string) {
	t.Helper()
	uncompressed, err := gzip.NewReader(l.blob(t, digest))
	if err != nil {
		t.Fatal(err)
	}
	for archive := tar.NewReader(uncompressed); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Uid != 0 || header.Gid != 0 || header.Mode&0o022 != 0 ||
			header.ModTime.Unix() != 0 {
			t.Errorf("%s has %+v", header.Name, header)
		}
		if header.Typeflag == tar.TypeReg {
			content, err := io.ReadAll(archive)
			if err != nil {
				t.Fatal(err)
			}
			files[strings.TrimPrefix(header.Name, "./")] = string(content)
		}
	}
}

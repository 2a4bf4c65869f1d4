package apiserver

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Release is a minor version of Kubernetes. A Go module for each fixes the version of its programs.
type Release string

const (
	Kubernetes135 Release = "1.35"
	Kubernetes137 Release = "1.37"
)

// Chosen returns the release that the variable KUBERNETES names, 1.35 if it is not set.
func Chosen() (Release, error) {
	switch name := Release(os.Getenv("KUBERNETES")); name {
	case "":
		return Kubernetes135, nil
	case Kubernetes135, Kubernetes137:
		return name, nil
	default:
		return "", fmt.Errorf("no such release (KUBERNETES=%s): 1.35 or 1.37", name)
	}
}

// Build builds etcd and the kube-apiserver of the chosen release and returns their folder. The
// second time that takes a second. Start calls it. A test that later has no network to fetch modules
// from calls it first.
func Build() (string, error) {
	release, err := Chosen()
	if err != nil {
		return "", err
	}
	api, err := release.Program("kube-apiserver")
	if err != nil {
		return "", err
	}
	into := filepath.Dir(api)
	module, err := modules()
	if err != nil {
		return "", err
	}
	// etcd keeps its version: releases of Kubernetes work with older and newer ones.
	const etcd = "go.etcd.io/etcd/server/v3"
	return into, build(module, etcd, filepath.Join(into, "etcd"), "-s -w")
}

// Program builds a program of the release, such as kube-proxy, and returns its path.
func (r Release) Program(name string) (string, error) {
	module, err := modules()
	if err != nil {
		return "", err
	}
	into := built(module)
	if r != Kubernetes135 {
		module = filepath.Join(module, "kubernetes-"+string(r))
		into = filepath.Join(into, filepath.Base(module))
	}
	version, err := output(module, "go", "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes")
	if err != nil {
		return "", err
	}
	program := filepath.Join(into, name)
	flags := "-s -w -X k8s.io/component-base/version.gitVersion=" + version
	return program, build(module, "k8s.io/kubernetes/cmd/"+name, program, flags)
}

// BuildIn builds the main package of a module below e2e and returns the program's path.
func BuildIn(folder, name string) (string, error) {
	module, err := modules()
	if err != nil {
		return "", err
	}
	program := filepath.Join(built(module), name)
	return program, build(filepath.Join(module, folder), ".", program, "-s -w")
}

// modules is the folder of the module e2e.
func modules() (string, error) {
	module, err := output("", "go", "env", "GOMOD")
	return filepath.Dir(module), err
}

func built(module string) string { return filepath.Join(module, "..", "target", "e2e") }

func build(module, from, program, flags string) error {
	_, err := output(module, "go", "build", "-o", program, "-ldflags", flags, from)
	return err
}

func output(folder, name string, arguments ...string) (string, error) {
	command := exec.Command(name, arguments...)
	command.Dir = folder
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%s %v: %w", name, arguments, err)
	}
	return strings.TrimSpace(string(out)), nil
}

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/poolscope/poolscope/e2e/apiserver"
)

// patience bounds each wait. On a machine with little load a wait takes a second at most.
const patience = time.Minute

var _ apiserver.Owner = (*run)(nil)

// run owns the processes and the folder of one run of this program.
type run struct {
	began  time.Time
	folder string
	ctx    context.Context
	cancel context.CancelFunc
	// Held for ever by the goroutine that ends the program.
	ending sync.Mutex

	mutex    sync.Mutex
	cleanups []func()
}

func newRun() *run {
	r := &run{began: time.Now()}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	folder, err := os.MkdirTemp("", "poolscope-lab-")
	r.must(err)
	r.folder = folder
	return r
}

func (r *run) Helper() {}

func (r *run) Context() context.Context { return r.ctx }

func (r *run) TempDir() string {
	folder, err := os.MkdirTemp(r.folder, "")
	r.must(err)
	return folder
}

func (r *run) Cleanup(cleanup func()) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.cleanups = append(r.cleanups, cleanup)
}

func (r *run) Fatal(values ...any) {
	r.ending.Lock()
	fmt.Fprintln(os.Stderr, "lab:", fmt.Sprint(values...))
	r.exit(1)
}

func (r *run) Fatalf(format string, values ...any) { r.Fatal(fmt.Sprintf(format, values...)) }

// interrupt ends the program after a signal.
func (r *run) interrupt() {
	r.ending.Lock()
	r.exit(130)
}

// end stops what runs and ends the program.
func (r *run) end(status int) {
	r.ending.Lock()
	r.exit(status)
}

func (r *run) exit(status int) {
	r.cancel()
	r.mutex.Lock()
	for _, cleanup := range slices.Backward(r.cleanups) {
		cleanup()
	}
	if r.folder != "" {
		os.RemoveAll(r.folder)
	}
	os.Exit(status)
}

func (r *run) must(err error) {
	if err != nil {
		r.Fatal(err)
	}
}

// step prints a line with the time since the start.
func (r *run) step(format string, values ...any) {
	fmt.Printf("%6.1f s  %s\n", time.Since(r.began).Seconds(), fmt.Sprintf(format, values...))
}

// secret writes a file of the run that nobody else may read.
func (r *run) secret(name, content string) string {
	path := filepath.Join(r.folder, name)
	r.must(os.WriteFile(path, []byte(content), 0o600))
	return path
}

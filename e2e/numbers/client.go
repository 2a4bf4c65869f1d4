package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"sort"
	"sync"
	"time"
)

func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:    &tls.Config{InsecureSkipVerify: true},
		ForceAttemptHTTP2:  true,
		DisableCompression: true,
		// A connection is not idle yet when its last stream was just canceled.
		IdleConnTimeout: time.Second,
	}}
}

func get(client *http.Client, address, path, contentType string) (*http.Response, error) {
	return getUntil(context.Background(), client, address, path, contentType)
}

func getUntil(
	ctx context.Context,
	client *http.Client,
	address, path, contentType string,
) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer token")
	request.Header.Set("Accept", contentType)
	if contentType == protobufType && bytes.Contains([]byte(path), []byte("watch=1")) {
		request.Header.Set("Accept", protobufType+";stream=watch")
	}
	return client.Do(request)
}

// readFrame returns the next event of a watch.
func readFrame(from *bufio.Reader, contentType string) ([]byte, error) {
	if contentType == jsonType {
		var whole []byte
		for {
			part, err := from.ReadSlice('\n')
			whole = append(whole, part...)
			if err != bufio.ErrBufferFull {
				return whole, err
			}
		}
	}
	var length [4]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return nil, err
	}
	whole := make([]byte, binary.BigEndian.Uint32(length[:]))
	_, err := io.ReadFull(from, whole)
	return whole, err
}

// openWatch lists, as an informer does, and opens a watch. The client has read neither.
func openWatch(
	ctx context.Context,
	client *http.Client,
	address, contentType string,
) (*http.Response, error) {
	list, err := getUntil(ctx, client, address, slicesPath, contentType)
	if err != nil {
		return nil, err
	}
	size, err := io.Copy(io.Discard, list.Body)
	list.Body.Close()
	if err != nil {
		return nil, err
	}
	if list.StatusCode != http.StatusOK || size == 0 {
		return nil, fmt.Errorf("list: status %d, %d bytes", list.StatusCode, size)
	}
	path := slicesPath + "?watch=1&resourceVersion=10&allowWatchBookmarks=true"
	response, err := getUntil(ctx, client, address, path, contentType)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(response.Body)
		response.Body.Close()
		return nil, fmt.Errorf("watch: status %d: %s", response.StatusCode, text)
	}
	return response, nil
}

// latencies are the times from the write of an event to its last byte at the client. One event is
// on its way at a time, with a pause after it.
func latencies(s *server, c *candidate, contentType string, count int) []time.Duration {
	s.setList(contentType, 100, 0, 1)
	client := newClient()
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	response, err := openWatch(ctx, client, c.address, contentType)
	must(err)
	defer response.Body.Close()
	var watches []*watcher
	for len(watches) == 0 {
		time.Sleep(time.Millisecond)
		watches = s.open()
	}
	if len(watches) != 1 {
		panic(fmt.Sprintf("%d watches are open", len(watches)))
	}
	watch := watches[0]
	from := bufio.NewReaderSize(response.Body, 64<<10)
	frames := make([][]byte, count+warming)
	for number := range frames {
		frames[number] = frame(contentType, slice(0, 11+number, 100))
	}
	var all []time.Duration
	for number, frame := range frames {
		watch.frames <- frame
		version := 11 + number
		address := fmt.Appendf(nil, "11.0.%d.%d", version>>8&255, version&255)
		var got []byte
		// A client that was here before first gets what changed for it meanwhile.
		for !bytes.Contains(got, address) {
			if got, err = readFrame(from, contentType); err != nil {
				panic(fmt.Sprintf("%s: event %d: %v", c.name, number, err))
			}
		}
		arrived := time.Now()
		began := <-watch.wrote
		if c.name != "direct" && c.name != "HAProxy, TCP" && len(got) > len(frame)/2 {
			panic(c.name + " did not filter")
		}
		if number >= warming {
			all = append(all, arrived.Sub(began))
		}
		time.Sleep(time.Duration(rand.Intn(1000)) * time.Microsecond)
	}
	cancel()
	for len(s.open()) > 0 {
		time.Sleep(time.Millisecond)
	}
	return all
}

// Events before those that count: the processes warm up.
const warming = 200

func percentile(of []time.Duration, share float64) time.Duration {
	sort.Slice(of, func(a, b int) bool { return of[a] < of[b] })
	return of[int(float64(len(of)-1)*share)]
}

// download reads a list to its end, and returns its size and the time.
func download(c *candidate, contentType string) (int64, time.Duration) {
	client := newClient()
	defer client.CloseIdleConnections()
	began := time.Now()
	response, err := get(client, c.address, slicesPath, contentType)
	must(err)
	defer response.Body.Close()
	size, err := io.Copy(io.Discard, response.Body)
	must(err)
	if response.StatusCode != http.StatusOK {
		panic(fmt.Sprintf("%s: status %d", c.name, response.StatusCode))
	}
	return size, time.Since(began)
}

// openWatches opens so many watches, which nobody reads until the returned function ends them.
func openWatches(s *server, c *candidate, count int) (end func()) {
	client := newClient()
	ctx, cancel := context.WithCancel(context.Background())
	var opening sync.WaitGroup
	gate := make(chan struct{}, 20)
	for range count {
		opening.Go(func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			response, err := openWatch(ctx, client, c.address, protobufType)
			must(err)
			go func() {
				io.Copy(io.Discard, response.Body)
				response.Body.Close()
			}()
		})
	}
	opening.Wait()
	for len(s.open()) < count {
		time.Sleep(time.Millisecond)
	}
	return func() {
		cancel()
		for len(s.open()) > 0 {
			time.Sleep(time.Millisecond)
		}
		client.CloseIdleConnections()
	}
}

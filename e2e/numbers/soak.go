package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand"
	"sync"
	"sync/atomic"
	"time"
)

const (
	soakClients = 50
	// A level may rise by so much a minute: what a leak of one object a client would exceed.
	soakMemory, soakDescriptors = 0.5, 1.0
)

// soak has clients come and go, read events and break off, and returns whether the levels of memory
// and descriptors stay.
func soak(s *server, folder, certificate, key string) bool {
	c := startCandidate("poolscope-proxy", s, folder, certificate, key)
	defer c.stop()
	for _, contentType := range encodings {
		s.setList(contentType, 20, 0, 200)
	}
	ctx, cancel := context.WithTimeout(context.Background(), *soakTime)
	defer cancel()
	var clients sync.WaitGroup
	var received, opened atomic.Int64
	for number := range soakClients {
		clients.Go(func() {
			random := rand.New(rand.NewSource(int64(number)))
			for ctx.Err() == nil {
				life := time.Duration(200+random.Intn(3000)) * time.Millisecond
				received.Add(soakClient(ctx, c, encodings[random.Intn(2)], life))
				opened.Add(1)
			}
		})
	}
	clients.Go(func() {
		for version := 11; ctx.Err() == nil; version++ {
			object := slice(version%200, version, 20)
			frames := [2][]byte{frame(jsonType, object), frame(protobufType, object)}
			for _, open := range s.open() {
				which := 0
				if open.protobuf {
					which = 1
				}
				select {
				case open.frames <- frames[which]:
				default:
				}
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	var minutes, memory, descriptors []float64
	began := time.Now()
	for ctx.Err() == nil {
		time.Sleep(time.Second)
		// After a third of the time every buffer and session has its size.
		if passed := time.Since(began); passed > *soakTime/3 {
			minutes = append(minutes, passed.Minutes())
			memory = append(memory, c.memory("VmRSS"))
			descriptors = append(descriptors, float64(c.descriptors()))
		}
	}
	clients.Wait()
	risingMemory, level := regression(minutes, memory)
	risingDescriptors, open := regression(minutes, descriptors)
	fmt.Println("| | |\n|---|---|")
	fmt.Printf("| time, of which the first third does not count | %v |\n", *soakTime)
	fmt.Printf("| watches opened and broken off | %d |\n", opened.Load())
	fmt.Printf("| events received | %d |\n", received.Load())
	fmt.Printf("| memory, MiB | %.1f |\n", level)
	fmt.Printf("| its rise, MiB a minute | %.3f |\n", risingMemory)
	fmt.Printf("| descriptors | %.1f |\n", open)
	fmt.Printf("| their rise a minute | %.3f |\n", risingDescriptors)
	return received.Load() > 0 && risingMemory < soakMemory && risingDescriptors < soakDescriptors
}

// soakClient reads events for a while, over a connection of its own, and breaks off.
func soakClient(
	ctx context.Context,
	c *candidate,
	contentType string,
	life time.Duration,
) (received int64) {
	client := newClient()
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, life)
	defer cancel()
	response, err := openWatch(ctx, client, c.address, contentType)
	if err != nil {
		if ctx.Err() == nil {
			panic(err)
		}
		return 0
	}
	defer response.Body.Close()
	from := bufio.NewReader(response.Body)
	for {
		if _, err := readFrame(from, contentType); err != nil {
			return received
		}
		received++
	}
}

// regression returns the slope of a line through points, and their mean.
func regression(x, y []float64) (slope, mean float64) {
	var sumX, sumY, sumXX, sumXY float64
	for at := range x {
		sumX, sumY = sumX+x[at], sumY+y[at]
		sumXX, sumXY = sumXX+x[at]*x[at], sumXY+x[at]*y[at]
	}
	count := float64(len(x))
	return (count*sumXY - sumX*sumY) / (count*sumXX - sumX*sumX), sumY / count
}

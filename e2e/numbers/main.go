// Command numbers measures poolscope-proxy beside a direct connection, a proxy that decodes with
// client-go's types, and HAProxy as a pipe. It writes a table in Markdown.
//
// The API server is this process, and the clients are: what they cost is in every row.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

var (
	proxyProgram    = flag.String("proxy", "", "the program poolscope-proxy, built with --release")
	decodingProgram = flag.String("decoding", "", "the program of ./decoding")
	events          = flag.Int("events", 2000, "events in a sample of latencies")
	rounds          = flag.Int("rounds", 5, "samples, of which the fastest counts")
	listSize        = flag.Int("list", 200_000_000, "bytes of the list that is downloaded")
	sliceCount      = flag.Int("slices", 20_000, "slices that are listed and watched")
	watchCount      = flag.Int("watches", 1000, "watches")
	soakTime        = flag.Duration("soak", 0, "measure only the levels under churn, for so long")
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	flag.Parse()
	folder, err := os.MkdirTemp("", "numbers")
	must(err)
	certificate, key := selfSigned(folder)
	pair, err := tls.LoadX509KeyPair(certificate, key)
	must(err)
	s := startServer(pair)
	ok := true
	if *soakTime > 0 {
		ok = soak(s, folder, certificate, key)
	} else {
		measure(s, folder, certificate, key)
	}
	must(os.RemoveAll(folder))
	if !ok {
		os.Exit(1)
	}
}

// row is what was measured of a candidate. The encodings are JSON and protobuf, in this order.
type row struct {
	name                       string
	median, high               [2]time.Duration
	perSecond, cpu, peak       [2]float64
	idle, following, streaming float64
}

var encodings = []string{jsonType, protobufType}

func measure(s *server, folder, certificate, key string) {
	var rows []row
	for _, name := range []string{
		"direct", "HAProxy, TCP", "poolscope-proxy", "client-go types",
	} {
		r := row{name: name}
		c := startCandidate(name, s, folder, certificate, key)
		time.Sleep(2 * time.Second)
		r.idle = c.memory("VmRSS")
		for at, contentType := range encodings {
			for range *rounds {
				all := latencies(s, c, contentType, *events)
				median, high := percentile(all, 0.5), percentile(all, 0.99)
				if r.median[at] == 0 || median < r.median[at] {
					r.median[at] = median
				}
				if r.high[at] == 0 || high < r.high[at] {
					r.high[at] = high
				}
			}
			fmt.Fprintln(os.Stderr, name, contentType, r.median[at], r.high[at])
		}
		// Lists are measured with a new process, which has done nothing else yet.
		c.stop()
		for at, contentType := range encodings {
			c = startCandidate(name, s, folder, certificate, key)
			size := s.setList(contentType, 100, *listSize, 0)
			download(c, contentType)
			r.peak[at] = c.memory("VmHWM")
			fastest := time.Duration(1<<63 - 1)
			began := c.cpu()
			for range *rounds {
				_, took := download(c, contentType)
				fastest = min(fastest, took)
			}
			r.perSecond[at] = float64(size) / 1e6 / fastest.Seconds()
			r.cpu[at] = (c.cpu() - began).Seconds() / (float64(size) * float64(*rounds) / 1e9)
			fmt.Fprintln(os.Stderr, name, contentType, r.perSecond[at], r.cpu[at], r.peak[at])
			c.stop()
			s.setList(contentType, 10, 0, 2)
		}
		c = startCandidate(name, s, folder, certificate, key)
		s.setList(protobufType, 10, 0, *sliceCount)
		end := openWatches(s, c, 1)
		time.Sleep(2 * time.Second)
		r.following = c.memory("VmRSS")
		end()
		c.stop()
		c = startCandidate(name, s, folder, certificate, key)
		s.setList(protobufType, 10, 0, 100)
		end = openWatches(s, c, *watchCount)
		time.Sleep(2 * time.Second)
		r.streaming = c.memory("VmRSS")
		end()
		c.stop()
		fmt.Fprintln(os.Stderr, name, r.idle, r.following, r.streaming)
		rows = append(rows, r)
	}
	write(rows)
}

func write(rows []row) {
	fmt.Print("| ")
	for _, r := range rows {
		fmt.Printf("| %s ", r.name)
	}
	fmt.Println("|\n" + strings.Repeat("|---", len(rows)+1) + "|")
	line := func(what string, of func(row) string) {
		fmt.Printf("| %s |", what)
		for _, r := range rows {
			fmt.Printf(" %s |", of(r))
		}
		fmt.Println()
	}
	micro := func(d time.Duration) string {
		return fmt.Sprintf("%.0f", float64(d.Nanoseconds())/1e3)
	}
	of := func(value float64, format string, r row) string {
		if r.name == "direct" {
			return ""
		}
		return fmt.Sprintf(format, value)
	}
	for at, name := range []string{"JSON", "protobuf"} {
		line(name+" event, median, µs", func(r row) string { return micro(r.median[at]) })
		line(name+" event, added, median, µs", func(r row) string {
			return of(float64((r.median[at]-rows[0].median[at]).Nanoseconds())/1e3, "%.0f", r)
		})
		line(name+" event, 99th percentile, µs", func(r row) string { return micro(r.high[at]) })
		line(name+" event, added, 99th percentile, µs", func(r row) string {
			return of(float64((r.high[at]-rows[0].high[at]).Nanoseconds())/1e3, "%.0f", r)
		})
	}
	for at, name := range []string{"JSON", "protobuf"} {
		line(name+" list, MB/s", func(r row) string { return fmt.Sprintf("%.0f", r.perSecond[at]) })
		line(name+" list, CPU seconds per GB", func(r row) string {
			return of(r.cpu[at], "%.2f", r)
		})
		line(name+" list, peak memory, MiB", func(r row) string {
			return of(r.peak[at], "%.0f", r)
		})
	}
	line("memory, idle, MiB", func(r row) string { return of(r.idle, "%.1f", r) })
	line(fmt.Sprintf("memory, %d slices listed and watched, MiB", *sliceCount), func(r row) string {
		return of(r.following, "%.0f", r)
	})
	line(fmt.Sprintf("memory, %d watches, MiB", *watchCount), func(r row) string {
		return of(r.streaming, "%.0f", r)
	})
}

// selfSigned writes a certificate for loopback that is its own CA.
func selfSigned(folder string) (certificate, key string) {
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	subject := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "numbers"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, subject, subject, &own.PublicKey, own)
	must(err)
	private, err := x509.MarshalPKCS8PrivateKey(own)
	must(err)
	certificate, key = filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	for path, block := range map[string]*pem.Block{
		certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: private},
	} {
		must(os.WriteFile(path, pem.EncodeToMemory(block), 0o600))
	}
	return certificate, key
}

package poolscope

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// How long responses wait for a kind that is left to the client before Sync fetches it.
const patience = 4 * time.Second

// SyncOptions select how [Node.Sync] fetches facts.
type SyncOptions struct {
	// Client reaches the API server, with its credentials.
	Client *http.Client
	// Server is its address: https://10.96.0.1:443.
	Server *url.URL
	// LeftToClient are the kinds that the node's own client reads through [Node.WrapTransport]; of
	// Nodes its own one. Sync fetches such a kind only after a response has waited for it for four
	// seconds, because the client reads too little of it.
	LeftToClient []FactKind
	// Failed, if set, is called with every failure; Sync continues.
	Failed func(kind FactKind, err error)
	// Answered, if set, is called whenever the API server responded with facts of a kind: an earlier
	// failure is over.
	Answered func(kind FactKind)
}

// Sync fetches the facts that the node needs, and keeps them up to date, until the context ends.
// Run it in a goroutine of its own. It needs the rights to list and watch the kinds. It returns the
// cause of the context's end, and at once an error if an option is missing.
//
// A request that fails is repeated after a delay that doubles from 0.2 to 30 seconds. A kind that
// the API server does not serve is asked for in its older API versions.
func (n *Node) Sync(ctx context.Context, options SyncOptions) error {
	if options.Client == nil || options.Server == nil {
		return errors.New("poolscope: SyncOptions need a Client and a Server")
	}
	facts, err := newFactSync(n, rand.Uint64())
	if err != nil {
		return err
	}
	// The last use of the facts' handle is that of the last request.
	defer facts.close()
	for _, kind := range options.LeftToClient {
		if err := facts.leaveToClient(kind); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	s := &syncer{
		node:    n,
		options: options,
		facts:   facts,
		wake:    make(chan struct{}, 1),
		fail:    cancel,
	}
	defer s.fetches.Wait()
	defer cancel(nil)
	return s.run(ctx)
}

// syncer sends the requests that its factSync wants.
type syncer struct {
	node    *Node
	options SyncOptions
	facts   *factSync
	// A request ended.
	wake chan struct{}
	// Ends all with an error of the library.
	fail context.CancelCauseFunc
	// By number, the functions that end requests.
	cancels sync.Map
	fetches sync.WaitGroup
	// The kinds that are fetched although they were left to the client.
	required []FactKind
}

func (s *syncer) run(ctx context.Context) error {
	for {
		// Taken before the next step, so that no later fact is missed.
		factsRead := s.node.cluster.factsRead.next()
		step, err := s.facts.next()
		if err != nil {
			return err
		}
		switch step.action {
		case factFetch:
			request, cancel := context.WithCancel(ctx)
			s.cancels.Store(step.id, cancel)
			s.fetches.Go(func() {
				s.fetch(request, step)
				cancel()
				s.cancels.Delete(step.id)
				s.notice()
			})
		case factCancel:
			if cancel, runs := s.cancels.Load(step.id); runs {
				cancel.(context.CancelFunc)()
			}
		case factFailed:
			if s.options.Failed != nil {
				s.options.Failed(step.kind, errors.New("poolscope: "+step.message))
			}
		case factAnswered:
			if s.options.Answered != nil {
				s.options.Answered(step.kind)
			}
		default:
			wait, err := s.require(step.wait)
			if err != nil {
				return err
			}
			timer := time.NewTimer(wait)
			select {
			case <-s.wake:
			case <-factsRead:
			case <-timer.C:
			case <-ctx.Done():
			}
			timer.Stop()
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// require fetches kinds that were left to the client and for which responses have waited too long.
// It returns how long to wait: nothing if there are such kinds, at most wait.
func (s *syncer) require(wait time.Duration) (time.Duration, error) {
	if len(s.options.LeftToClient) == 0 {
		return wait, nil
	}
	wait = min(wait, patience/4)
	for _, waiting := range s.node.Waiting() {
		if time.Since(waiting.Since) < patience {
			continue
		}
		for _, missing := range waiting.Missing {
			if slices.Contains(s.required, missing.Kind) {
				continue
			}
			if err := s.facts.require(missing.Kind); err != nil {
				return 0, err
			}
			s.required, wait = append(s.required, missing.Kind), 0
		}
	}
	return wait, nil
}

// notice makes run ask for the next step.
func (s *syncer) notice() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// fetch sends a request and reports what comes of it.
func (s *syncer) fetch(ctx context.Context, step factStep) {
	if err := s.report(ctx, step); err != nil {
		s.fail(err)
	}
}

// report returns errors of the library alone.
func (s *syncer) report(ctx context.Context, step factStep) error {
	response, err := s.send(ctx, step)
	if err != nil {
		return s.facts.broke(step.id, err)
	}
	defer response.Body.Close()
	wanted, err := s.facts.head(step.id, response)
	s.notice()
	buffer := make([]byte, 32<<10)
	for wanted && err == nil {
		n, end := response.Body.Read(buffer)
		if n > 0 {
			wanted, err = s.facts.push(step.id, buffer[:n])
		}
		switch {
		case end == nil || !wanted || err != nil:
		case end == io.EOF:
			return s.facts.end(step.id)
		default:
			return s.facts.broke(step.id, end)
		}
	}
	return err
}

func (s *syncer) send(ctx context.Context, step factStep) (*http.Response, error) {
	target := strings.TrimSuffix(s.options.Server.EscapedPath(), "/") + step.target
	address, err := s.options.Server.Parse(target)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", step.accept)
	return s.options.Client.Do(request)
}

# cilium-agent with poolscope in it, and its tests. A name that ends in -1.19 is for Cilium 1.19.

CILIUM = bindings/go/cilium
# The modules: one for each version of Cilium.
CILIUM_AGENTS = $(notdir $(wildcard $(CILIUM)/cmd/cilium-agent*))
CILIUM_TESTS = $(CILIUM_AGENTS:cilium-agent%=test-cilium%)
CILIUM_E2E = $(CILIUM_AGENTS:cilium-agent%=e2e-cilium%)
# The version of Cilium that a module requires. The agent reports it to the API server.
CILIUM_VERSION = $(shell cd $(CILIUM)/cmd/$@ && \
	$(GO) list -m -f '{{.Version}}' github.com/cilium/cilium | sed 's/^v//')
# The same for the tests, so that Cilium is compiled once: these tags change half of it.
CILIUM_TAGS = -tags osusergo,netgo,poolscope_cgo

.PHONY: $(CILIUM_AGENTS) $(CILIUM_TESTS) $(CILIUM_E2E)

# Static, as Cilium's own. The first time it takes ten minutes or more on two cores.
$(CILIUM_AGENTS): lib
	cd $(CILIUM)/cmd/$@ && CGO_ENABLED=1 $(GO) build $(CILIUM_TAGS) \
		-o $(abspath target)/cilium/$@ \
		-ldflags "-s -w -linkmode external -extldflags -static \
		-X 'github.com/cilium/cilium/pkg/version.ciliumVersion=$(CILIUM_VERSION) poolscope-$(VERSION)'"

# Cilium's load balancer from its Kubernetes client to the BPF maps, against a small API server.
# Root, for real maps.
$(CILIUM_TESTS): test-cilium%: lib
	cd $(CILIUM)/cmd/cilium-agent$* && \
		CGO_ENABLED=1 $(GO) vet $(CILIUM_TAGS) ./cell ../.. ../../internal/celltest && \
		CGO_ENABLED=1 $(GO) test $(CILIUM_TAGS) -count=1 ./cell

# The whole agent against a real API server, and connect() through its socket load balancer. Root;
# all in namespaces.
$(CILIUM_E2E): e2e-cilium%: cilium-agent%
	e2e/cilium/needs.sh
	cd e2e && $(GO) vet ./cilium && \
		AGENT_VERSION=$(*:-%=%) $(GO) test -count=1 -v -timeout 30m ./cilium

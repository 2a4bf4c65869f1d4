# cilium-agent with poolscope in it, and its tests.

CILIUM = bindings/go/cilium
CILIUM_AGENT = $(abspath target)/cilium/cilium-agent
# What the agent calls itself towards the API server.
CILIUM_VERSION = $(shell cd $(CILIUM) && \
	$(GO) list -m -f '{{.Version}}' github.com/cilium/cilium | sed 's/^v//')
# The same for the tests, so that Cilium is compiled once: these tags change half of it.
CILIUM_TAGS = -tags osusergo,netgo

.PHONY: cilium-agent test-cilium e2e-cilium

# Static, as Cilium's own. The first time it takes ten minutes or more on two cores.
cilium-agent: lib
	cd $(CILIUM) && CGO_ENABLED=1 $(GO) build $(CILIUM_TAGS) -o $(CILIUM_AGENT) \
		-ldflags "-s -w -linkmode external -extldflags -static \
		-X 'github.com/cilium/cilium/pkg/version.ciliumVersion=$(CILIUM_VERSION) poolscope-$(VERSION)'" \
		./cmd/cilium-agent

# Cilium's load balancer from its Kubernetes client to the BPF maps, against a small API server.
# Root, for real maps.
test-cilium: lib
	cd $(CILIUM) && CGO_ENABLED=1 $(GO) vet $(CILIUM_TAGS) . && \
		CGO_ENABLED=1 $(GO) test $(CILIUM_TAGS) -count=1 .

# The whole agent against a real API server, and connect() through its socket load balancer. Root;
# all in namespaces.
e2e-cilium: cilium-agent
	e2e/cilium/needs.sh
	cd e2e && $(GO) vet ./cilium && $(GO) test -count=1 -v -timeout 30m ./cilium

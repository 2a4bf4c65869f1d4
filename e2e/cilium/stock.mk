# Unmodified releases of cilium-agent behind the node proxy, and the tests with them.

STOCK = target/cilium/stock
STOCK_VERSIONS ?= 1.20.2 1.19.6
STOCK_AGENTS = $(STOCK_VERSIONS:%=$(STOCK)/%/cilium-agent)

.PHONY: cilium-agent-stock e2e-cilium-proxy e2e-cilium-verify

# Ten minutes or more for each release on two cores; a second time nothing is built.
cilium-agent-stock: $(STOCK_AGENTS)

$(STOCK)/%/cilium-agent: e2e/cilium/stock.sh
	GO=$(GO) e2e/cilium/stock.sh $* $(STOCK)

# The tests of `e2e-cilium`: each release, led to the proxy by a CiliumNodeConfig and by
# KUBERNETES_SERVICE_HOST. Root; all in namespaces.
e2e-cilium-proxy: cilium-agent-stock
	$(CARGO) build --release -p poolscope-proxy
	e2e/cilium/needs.sh
	cd e2e && $(GO) vet ./cilium
	set -e; for version in $(STOCK_VERSIONS); do for agent in kubeconfig in-cluster; do \
		(cd e2e && AGENT=$$agent AGENT_VERSION=$$version \
			PROXY=$(abspath $(BUILT))/release/poolscope-proxy \
			$(GO) test -count=1 -v -timeout 40m ./cilium); \
	done; done

# `poolscope verify` beside each release: its lists, its socket, and maps that the test changes.
# RECORD names a folder for the lists.
e2e-cilium-verify: cilium-agent-stock
	$(CARGO) build --release -p poolscope-proxy -p poolscope-cli
	e2e/cilium/needs.sh
	cd e2e && $(GO) vet ./cilium
	set -e; for version in $(STOCK_VERSIONS); do \
		(cd e2e && AGENT=kubeconfig AGENT_VERSION=$$version \
			PROXY=$(abspath $(BUILT))/release/poolscope-proxy \
			POOLSCOPE=$(abspath $(BUILT))/release/poolscope \
			$(GO) test -count=1 -v -timeout 20m -run TestVerify ./cilium); \
	done

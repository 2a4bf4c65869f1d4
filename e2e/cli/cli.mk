# The command with a real kube-apiserver: with 1,000 nodes and 20,000 endpoints, the rights of
# docs/live.md, and as a plugin of kubectl. Not as root. The first time, the builds take minutes.

.PHONY: e2e-cli

e2e-cli:
	$(CARGO) build --release -p poolscope-cli
	cd e2e && $(GO) vet ./cli && POOLSCOPE=$(abspath $(BUILT))/release/poolscope \
		$(GO) test -count=1 -v -timeout 15m ./cli

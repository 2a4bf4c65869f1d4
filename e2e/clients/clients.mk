# Unmodified kube-proxies and CoreDNS behind the node proxy. Root; everything is in namespaces. The
# first time, the builds take minutes. KUBERNETES=1.37 chooses the API server's release.

.PHONY: e2e-clients

e2e-clients:
	e2e/clients/needs.sh
	$(CARGO) build -p poolscope-proxy -p poolscope-cli
	cd e2e/clients/coredns && CGO_ENABLED=0 $(GO) vet .
	cd e2e && $(GO) vet ./clients && PROXY=$(abspath $(BUILT))/debug/poolscope-proxy \
		POOLSCOPE=$(abspath $(BUILT))/debug/poolscope $(GO) test -count=1 -v -timeout 15m ./clients

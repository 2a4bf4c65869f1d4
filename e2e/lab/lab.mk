# The node proxy beside a direct connection, live: a real kube-apiserver, poolscope-proxy and a
# client-go informer, on loopback. Not as root. The first time, the builds take minutes. With
# KEEP=1 the lab stays up. The debug build of the proxy is enough here, and is built sooner.

.PHONY: lab

lab:
	@.ci/tools.sh lab
	@$(CARGO) build -p poolscope-proxy
	@cd e2e && $(GO) build -o $(abspath $(BUILT))/lab/lab ./lab
	@cd e2e && $(abspath $(BUILT))/lab/lab -proxy $(abspath $(BUILT))/debug/poolscope-proxy \
		$(if $(KEEP),-keep)

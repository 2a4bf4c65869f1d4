# The node proxy beside a direct connection, live: a real kube-apiserver, poolscope-proxy and a
# client-go informer, on loopback. Not as root. The first time, the builds take minutes. With
# KEEP=1 the lab stays up. The debug builds are enough here, and are built sooner. With VIEW=1 the
# command shows the cluster, too.

.PHONY: lab

lab:
	@.ci/tools.sh lab
	@$(CARGO) build -p poolscope-proxy $(if $(VIEW),-p poolscope-cli)
	@cd e2e && $(GO) build -o $(abspath $(BUILT))/lab/lab ./lab
	@cd e2e && $(abspath $(BUILT))/lab/lab -proxy $(abspath $(BUILT))/debug/poolscope-proxy \
		$(if $(VIEW),-command $(abspath $(BUILT))/debug/poolscope) $(if $(KEEP),-keep)

# The chart, the plain manifests and the image of poolscope-proxy: docs/deploy.md.

DEPLOY = $(CURDIR)/deploy
IMAGE = $(abspath $(BUILT))/image
PROXY ?= $(abspath $(BUILT))/debug/poolscope-proxy
ARCHES = amd64 arm64

.PHONY: manifests test-deploy test-chart image image-tools static

# Renders deploy/manifests and the chart's golden files anew.
manifests:
	@.ci/tools.sh deploy
	$(DEPLOY)/tests/chart.sh write

# The chart with Helm 3 and 4; all objects, rights and command lines against a real kube-apiserver;
# the image's layers. PROXY names a built program.
test-deploy: test-chart
	$(if $(filter $(abspath $(BUILT))/%,$(PROXY)),$(CARGO) build -p poolscope-proxy)
	cd e2e && $(GO) vet ./deploy && PROXY=$(PROXY) HELM3=$(CURDIR)/target/tools/bin/helm3 \
		HELM4=$(CURDIR)/target/tools/bin/helm4 \
		KUBECONFORM=$(CURDIR)/target/tools/bin/kubeconform \
		$(GO) test -count=1 -timeout 20m ./deploy

test-chart:
	@.ci/tools.sh deploy
	$(DEPLOY)/tests/chart.sh

# An OCI layout for both architectures, with static programs, in $(IMAGE)/oci. Needs no container
# engine, but Debian's Rust: `make image-tools` as root.
image:
	@.ci/tools.sh deploy
	$(DEPLOY)/image/build.sh $(IMAGE)/oci \
		$(foreach arch,$(ARCHES),$(arch)=$$($(DEPLOY)/image/binary.sh $(arch)))

# The static command for each of these architectures, for archives of a release.
static:
	$(foreach arch,$(ARCHES),$(DEPLOY)/image/binary.sh $(arch) poolscope &&) true

image-tools:
	@.ci/tools.sh image

# Programs of others: the informer example built from a zip of the Go module, without cgo, for five
# machines, and OpenYurt's yurthub with this library as its filter. A quarter of an hour.
.PHONY: e2e-consumer
e2e-consumer:
	command -v qemu-s390x-static >/dev/null || \
		{ apt-get update -qq && apt-get install -y -qq --no-install-recommends qemu-user-static; }
	cd e2e && $(GO) test -count=1 -v -timeout 40m ./consumer
	cd e2e/yurthub && CGO_ENABLED=0 $(GO) test -count=1 -v -timeout 40m ./agent

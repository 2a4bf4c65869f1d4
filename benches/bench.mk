# `make bench` measures everything and writes docs/performance.md: a table of poolscope against
# other ways in Rust (benches/table), and against client-go's types and OpenYurt's own filter in Go
# (e2e/yurthub). A quarter of an hour on an idle machine.

.PHONY: bench bench-rust bench-go bench-backends

BENCHED = $(BUILT)/bench

bench: bench-rust bench-go
	cd benches/table && CARGO_TARGET_DIR=$(abspath $(BENCHED)) \
		$(CARGO) run --quiet --release --locked -- \
		$(abspath $(BENCHED)) $(abspath docs/performance.md)

bench-rust:
	@mkdir -p $(BENCHED)
	cd benches/table && CARGO_TARGET_DIR=$(abspath $(BENCHED)) $(CARGO) bench --locked
	$(CARGO) test --release --test allocations -- --nocapture --test-threads=1 | \
		tee $(BENCHED)/allocations.txt
	$(CARGO) bench -p poolscope -p poolscope-capi

bench-go: lib
	@mkdir -p $(BENCHED)
	cd e2e/yurthub && $(GO) test -tags poolscope_cgo -run '^$$' -bench Event -benchtime 1s -count 3 ./... | \
		tee $(abspath $(BENCHED))/go.txt

# The table of docs/go.md: client-go's types, the C library through cgo, the library translated to
# Go, in one run.
bench-backends: lib
	cd e2e/yurthub && for tags in poolscope_cgo ''; do \
		echo "backend: $${tags:-translated}"; \
		$(GO) test -tags "$$tags" -run '^$$' -bench 'Event/.*/(client-go|poolscope)' \
			-benchtime 1s -count 3 ./... || exit; \
	done

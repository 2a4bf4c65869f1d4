# `make bench` measures everything and writes docs/performance.md: a table of poolscope against
# other ways in Rust (benches/table), and against client-go's types and OpenYurt's own filter in Go
# (e2e/yurthub). A quarter of an hour on an idle machine.

.PHONY: bench bench-rust bench-go bench-backends versions

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
	cd e2e/yurthub && $(GO) test -tags poolscope_cgo -run '^$$' -bench 'Event|Reader' -benchtime 1s -count 3 . | \
		tee $(abspath $(BENCHED))/go.txt

# The tables of docs/go.md: client-go's types, the C library through cgo, the library translated to
# Go, in one run; and the memory that each takes.
bench-backends: lib
	for tags in poolscope_cgo ''; do \
		echo "backend: $${tags:-translated}"; \
		(cd e2e/yurthub && $(GO) test -tags "$$tags" -run '^$$' \
			-bench 'Event/.*/.*/(client-go|poolscope)|Reader' -benchtime 1s -count 3 .) && \
		(cd e2e && $(GO) run -tags "$$tags" ./numbers/backends) || exit; \
	done

# The working tree against an earlier commit, by turns in one process; ROWS has words of the rows.
# Two packages of one name need different versions to stand in one Cargo.lock.
BASE = HEAD
ROWS =
BEFORE = benches/versions/before

versions:
	@git worktree prune
	@test ! -e $(BEFORE) || git worktree remove --force $(BEFORE)
	git worktree add --quiet --detach $(BEFORE) $(BASE)
	@sed -i '/^\[workspace.package\]/,/^\[/s/^version = .*/version = "0.0.0-before"/' \
		$(BEFORE)/Cargo.toml
	@cp Cargo.lock benches/versions/
	@mkdir -p $(BENCHED)
	cd benches/versions && CARGO_TARGET_DIR=$(abspath $(BENCHED)) \
		$(CARGO) run --quiet --release -- $(ROWS)

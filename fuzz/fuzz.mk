# Fuzzing. libFuzzer comes as the crate libfuzzer-sys, and rustc is told by flags to watch branches
# (fuzz/rustc), so nothing has to be installed: cargo-fuzz, which works here too, would cost a clean
# machine a minute to build and do the same.
#
#     make fuzz-smoke                          every target for 20 seconds, under AddressSanitizer
#     make fuzz TARGET=json_list TIME=1200     one target, with what was found of it before
#     make fuzz TARGET=json_list SANITIZER=none RUNS=10000000     without AddressSanitizer, which
# halves the speed
#     make fuzz TARGET=json_list SANITIZER=none COMPARES=no       twice as fast again, blind to what
# is compared with what
#
# What a target finds lies in fuzz/artifacts; when it is fixed, its file goes to fuzz/found/TARGET,
# from where `cargo test` runs it again.

FUZZ_TARGETS = json_get json_list json_watch json_forms protobuf_get protobuf_list protobuf_watch \
	objects_json objects_protobuf facts request route services keys abi life
SMOKE ?= 20
TIME ?= 60
RUNS ?= -1
# Of libFuzzer's choices; 0: another one each time.
SEED ?= 0
JOBS ?= $(shell nproc)
SANITIZER ?= address
COMPARES ?= yes
FUZZ_BUILT = fuzz/target/$(SANITIZER)$(if $(filter no,$(COMPARES)),-plain)
FUZZ_RUSTFLAGS = --cfg fuzzing $(if $(filter none,$(SANITIZER)),,-Zsanitizer=$(SANITIZER))
FUZZ_CARGO = RUSTC_BOOTSTRAP=1 FUZZ_COMPARES=$(COMPARES) RUSTC_WRAPPER=$(CURDIR)/fuzz/rustc \
	RUSTFLAGS="$(FUZZ_RUSTFLAGS)" CARGO_TARGET_DIR=$(FUZZ_BUILT) \
	$(CARGO) $(NIGHTLY) build --quiet --release --locked \
	--manifest-path fuzz/Cargo.toml --target $(HOST)
# An input is small; what takes much memory or time for it is a finding.
FUZZ_FLAGS = -seed=$(SEED) -dict=fuzz/kubernetes.dict -max_len=2500 -timeout=10 -rss_limit_mb=2048 \
	-malloc_limit_mb=300 -print_final_stats=1

.PHONY: fuzz fuzz-smoke fuzz-build fuzz-targets

fuzz-targets:
	@echo 'make fuzz TARGET=...: $(FUZZ_TARGETS)'; exit 2

fuzz-build:
	$(FUZZ_CARGO) --bins
	@$(FUZZ_BUILT)/$(HOST)/release/seeds fuzz/corpus

# Without a target: which there are.
fuzz: $(if $(filter $(FUZZ_TARGETS),$(TARGET)),fuzz-build,fuzz-targets)
	@mkdir -p fuzz/artifacts fuzz/corpus/$(TARGET) fuzz/found/$(TARGET)
	$(FUZZ_BUILT)/$(HOST)/release/$(TARGET) $(FUZZ_FLAGS) -artifact_prefix=fuzz/artifacts/$(TARGET)- \
		-max_total_time=$(TIME) -runs=$(RUNS) fuzz/corpus/$(TARGET) fuzz/found/$(TARGET)

# As many at a time as there are processors; what a target says is shown if it fails.
fuzz-smoke: fuzz-build
	@mkdir -p fuzz/artifacts fuzz/logs $(FUZZ_TARGETS:%=fuzz/corpus/%)
	@printf '%s\n' $(FUZZ_TARGETS) | xargs -P $(JOBS) -I TARGET sh -c '\
		log=fuzz/logs/TARGET.log; \
		if $(FUZZ_BUILT)/$(HOST)/release/TARGET $(FUZZ_FLAGS) \
			-artifact_prefix=fuzz/artifacts/TARGET- -max_total_time=$(SMOKE) \
			fuzz/corpus/TARGET >$$log 2>&1; \
		then echo "TARGET: $$(sed -n "s/.*DONE *//p" $$log)," \
			"$$(sed -n "s/^stat::number_of_executed_units: *//p" $$log) executions"; \
		else tail -40 $$log; echo "TARGET: failed"; exit 255; fi'

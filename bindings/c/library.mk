# The C library: `lib` makes it in $(C)/, `install PREFIX=` puts it where pkg-config finds it.

BUILT = $(or $(CARGO_TARGET_DIR),target)
# Where the Go module looks for it.
C = target/c
PREFIX ?= /usr/local

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
# Before 1.0 a minor version may change the ABI.
SONAME := libpoolscope.so.$(basename $(VERSION))

.PHONY: lib install test-c header

lib: $(C)/libpoolscope.a

# One object in which only the functions of the header are visible, so that it can be linked beside
# other libraries that have Rust's standard library in them; without what no function reaches, and
# without the compiler's bitcode.
$(C)/libpoolscope.a: FORCE
	$(CARGO) rustc --release -p poolscope-capi --lib --crate-type staticlib,cdylib -- \
		-C link-arg=-Wl,-soname,$(SONAME)
	@mkdir -p $(C)
	ld -r --gc-sections --force-group-allocation -o $(C)/poolscope.o \
		$$(nm -D --defined-only $(BUILT)/release/libpoolscope_capi.so | sed 's/.* T /-u /') \
		--whole-archive $(BUILT)/release/libpoolscope_capi.a
	objcopy --wildcard --keep-global-symbol='poolscope_*' --strip-debug --remove-section=.llvm* \
		$(C)/poolscope.o
	rm -f $@
	ar rcs $@ $(C)/poolscope.o
	rm $(C)/poolscope.o
	cp $(BUILT)/release/libpoolscope_capi.so $(C)/$(SONAME)
	strip --strip-unneeded $(C)/$(SONAME)
	ln -sf $(SONAME) $(C)/libpoolscope.so

install: lib
	install -d $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/lib/pkgconfig
	install -m 644 include/poolscope.h $(DESTDIR)$(PREFIX)/include
	install -m 644 $(C)/libpoolscope.a $(DESTDIR)$(PREFIX)/lib
	install -m 755 $(C)/$(SONAME) $(DESTDIR)$(PREFIX)/lib/libpoolscope.so.$(VERSION)
	ln -sf libpoolscope.so.$(VERSION) $(DESTDIR)$(PREFIX)/lib/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(PREFIX)/lib/libpoolscope.so
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' bindings/c/poolscope.pc.in \
		> $(DESTDIR)$(PREFIX)/lib/pkgconfig/poolscope.pc

# The C tests under sanitizers and valgrind; the example over every recording; and linked outside
# the tree.
test-c: lib
	$(CARGO) rustc -p poolscope-capi --lib --crate-type staticlib
	$(MAKE) -C bindings/c headers all test memcheck helgrind OUT=$(abspath $(C)) \
		LIBPOOLSCOPE_UNOPTIMISED=$(abspath $(BUILT))/debug/libpoolscope_capi.a
	POOLSCOPE_C_FILTER=$(abspath $(C))/filter \
		$(CARGO) test --workspace --features poolscope/k8s-openapi --test c -- --ignored
	$(MAKE) install PREFIX=$(abspath $(C))/installed >/dev/null
	bindings/c/tests/install.sh $(abspath $(C))/installed

# Writes include/poolscope.h from bindings/c/src; a test says when it has to be.
header:
	POOLSCOPE_WRITE_HEADER=1 $(CARGO) test -p poolscope-capi --test header

.PHONY: FORCE
FORCE:

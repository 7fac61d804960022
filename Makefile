# For C and C++; Rust needs only Cargo.
#
#   make                        target/capi/libxmpp_close.a and .so
#   make check                  every check and test there is
#   make quick                  formatting, lints, and the tests that take seconds: under a minute on a tree that is built
#   make netem                  as root, on Linux: closes over bad networks; CLOSES=200 in short
#   make install PREFIX=/usr    headers, libraries, files for pkg-config and CMake, manual pages; also DESTDIR, LIBDIR, INCLUDEDIR,
#                               MANDIR
#   make install-html           the reference in HTML, for which it needs Doxygen; also DOCDIR
#   make uninstall              the same variables
#   make dist                   target/dist/xmpp-close-VERSION.tar.xz, from which everything builds offline
#   make crate                  target/crate, for the registry; crate-check: the tests that are in it, in a folder of their own
#   make deb                    Debian's packages in target/deb, built offline, and checked by lintian
#   make cargo-c                what cargo-c installs is what `make install` installs; needs cargo-c
#   make sanitize               Rust and C tests with ThreadSanitizer and AddressSanitizer in the library itself; needs clang
#   make miri                   the tests without sockets, in Miri; needs a nightly toolchain with Miri
#   make model                  every order in which both ends of a close can act, up to a bound
#   make soak CLOSES=1000000    a million closes with random faults, by every API and over every transport
#   make bench                  measures everything and writes docs/performance.md; BENCH=framing: only that part
#   make fuzz SECONDS=3600      each fuzz target for an hour; FUZZ=framing: only that one
#   make coverage               which lines and branches the tests reach
#   make fuzz-coverage          which lines of framing and engine the fuzz corpora reach
#   make mutants                puts faults into engine, framing and closing, and lists the faults that no test notices: two
#                               hours; MUTANTS=engine: only that module

PREFIX     ?= /usr/local
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR     ?= $(PREFIX)/share/man
DOCDIR     ?= $(PREFIX)/share/doc/xmpp-close
CARGO      ?= cargo
INSTALL    ?= install

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
# The name by which programs find the library at run time. Its number changes when the ABI may change: before 1.0 with each 0.x.
SONAME  := libxmpp_close.so.$(if $(filter 0.%,$(VERSION)),$(basename $(VERSION)),$(firstword $(subst ., ,$(VERSION))))
REAL    := libxmpp_close.so.$(VERSION)

TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
CAPI   := $(TARGET)/capi
# Not one of Cargo's usual folders, so that `make` and `cargo build` never undo each other's work.
BUILD  := $(CAPI)/build

# The fuzz targets, and how long each is fuzzed.
FUZZ    ?= framing engine capi session header worst
SECONDS ?= 60
# The flags of cargo-fuzz. AddressSanitizer is in the stable toolchain, too, behind a flag that this variable unlocks.
FUZZ_FLAGS := -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address -Ccodegen-units=1 --cfg fuzzing
# These options double the speed, and hide no fault.
FUZZ_ASAN := detect_stack_use_after_return=0:malloc_context_size=1:quarantine_size_mb=4
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
FUZZED := $(TARGET)/fuzz

# The tests in which threads meet. In other tests ThreadSanitizer finds nothing.
THREAD_TESTS  := --lib --test batch --test deadlines --test endings --test known_bugs --test last_words --test leaks \
    --test nothing_lost --test stream
ADDRESS_TESTS := $(THREAD_TESTS) --test handshake --test framing --test fuzz_corpus
# The standard library is not instrumented, so mixing must be allowed.
SANITIZED = XMPP_CLOSE_SANITIZED=1 RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=$* -Cunsafe-allow-abi-mismatch=sanitizer" $(CARGO)
RUNTIME_thread  = tsan
RUNTIME_address = asan
C_thread  = static-tsan
C_address = static-rustasan

# The modules that get faults, and the tests that are to notice them. First come the module's own tests, which are quick. Only
# the faults that these miss are tried with the others.
MUTANTS         ?= engine framing closing
FIRST_engine    := handshake fuzz_corpus
FIRST_framing   := framing
FIRST_closing   := known_bugs last_words transport
THEN_engine     := batch both_ends endings known_bugs
THEN_framing    := fuzz_corpus
THEN_closing    := batch batch_memory deadlines endings faults fuzz_corpus nothing_lost stream
MUTANTS_OUT     := $(TARGET)/mutation

.PHONY: all check quick netem bench model soak sanitize miri fuzz coverage fuzz-coverage mutants install uninstall clean

all:
	@mkdir -p $(BUILD)
	$(CARGO) rustc --release --lib --features capi --crate-type staticlib,cdylib --target-dir $(BUILD) -- \
	    -C link-arg=-Wl,-soname,$(SONAME) --print native-static-libs=$(BUILD)/native-static-libs
	@# Other programs may be linking with the libraries just now, so each is replaced in one step, and only if it differs.
	@cd $(BUILD)/release && for file in libxmpp_close.a libxmpp_close.so; do \
	    cmp -s $$file $(CAPI)/$$file || { cp $$file $(CAPI)/$$file.$$$$ && mv -f $(CAPI)/$$file.$$$$ $(CAPI)/$$file; } || exit 1; \
	done
	@ln -sfn libxmpp_close.so $(CAPI)/$(SONAME)

check:
	.ci/packages
	$(CARGO) fmt --all --check
	$(CARGO) clippy --all-targets -- -D warnings
	$(CARGO) clippy --workspace --all-targets --all-features -- -D warnings
	$(CARGO) clippy --workspace --all-features --test netem -- -D warnings
	RUSTDOCFLAGS=-Dwarnings $(CARGO) doc --all-features --no-deps
	.ci/suites
	@# Last come the words of the tests.
	@if $(CAN_NETEM); then $(NETEM) round_trip; fi

# Those that need neither C nor a server.
QUICK := lib batch cancel deadlines endings framing fuzz_corpus handshake known_bugs last_words layers no_allocation \
    nothing_lost peer_header pending plots printing readme sender step stream transport
quick:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --all-features -- -D warnings
	.ci/suites $(QUICK)

CAN_NETEM = { [ "$$(uname)" = Linux ] && [ "$$(id -u)" = 0 ] && unshare --net true; }

# Round trips are measured first, while nothing else runs.
NETEM := $(CARGO) test --workspace --all-features --test netem -- --nocapture
netem: CLOSES ?= 2000
netem:
	$(NETEM) round_trip
	NETEM_CLOSES=$(CLOSES) $(NETEM) --skip round_trip --test-threads 5

sanitize: sanitize-thread sanitize-address

# The C library is built with the sanitizer, too, and the C programs run with it.
sanitize-%: all
	TSAN_OPTIONS=suppressions=$(abspath ffi-tests/tsan.supp) $(SANITIZED) test --no-fail-fast --features capi \
	    --target $(HOST) --target-dir $(TARGET)/$* $(if $(filter thread,$*),$(THREAD_TESTS),$(ADDRESS_TESTS))
	$(SANITIZED) rustc --lib --features capi --crate-type staticlib --target $(HOST) --target-dir $(TARGET)/$*
	$(MAKE) -C ffi-tests CC=clang CXX=clang++ CAPI=$(TARGET)/$*/$(HOST)/debug \
	    NATIVE_LIBS="$$(cat $(BUILD)/native-static-libs)" \
	    RUNTIME=$$(rustc --print target-libdir)/librustc-stable_rt.$(RUNTIME_$*).a $(C_$*)

# Miri knows no non-blocking sockets. It is some hundred times slower, so the tests that try everything are left out.
MIRI = MIRIFLAGS=-Zmiri-disable-isolation $(CARGO) +nightly miri test --features capi --target-dir $(TARGET)/miri
miri:
	$(MIRI) --lib -- --skip cancel:: --skip ffi::tests --skip transport:: --skip chars::tests --skip bytes::tests \
	    --skip a_value_beyond_all_use --skip a_large_stanza_is_read_whole --skip who_never_stops_sending \
	    --skip time_is_linear
	$(MIRI) --test no_allocation
	$(MIRI) --test handshake -- --skip whatever_happens --skip without_both_tags_nothing_is_clean

model:
	XMPP_CLOSE_DEEP=1 $(CARGO) test --release --test both_ends -- --nocapture

soak: CLOSES ?= 1000000
soak:
	CLOSES=$(CLOSES) $(CARGO) test --release -p tls-tests --test soak -- --nocapture

# The libraries that this one is compared with are built here only, in the project's own target folder.
bench:
	.ci/packages
	$(CARGO) run --manifest-path benches/Cargo.toml --release --locked --target-dir $(TARGET)/benches -- $(BENCH)

# New inputs are kept beside the build, and a failing input in fuzz/artifacts.
fuzz:
	RUSTC_BOOTSTRAP=1 RUSTFLAGS="$(FUZZ_FLAGS)" $(CARGO) build --manifest-path fuzz/Cargo.toml --release --locked \
	    --target $(HOST) --target-dir $(FUZZED)
	@set -e; for target in $(FUZZ); do \
	    mkdir -p $(FUZZED)/corpus/$$target fuzz/artifacts/$$target; \
	    echo "== $$target, $(SECONDS) s"; \
	    ASAN_OPTIONS=$(FUZZ_ASAN) $(FUZZED)/$(HOST)/release/$$target -max_total_time=$(SECONDS) -max_len=1024 -entropic=0 -timeout=10 -print_final_stats=1 \
	        -artifact_prefix=fuzz/artifacts/$$target/ $(FUZZED)/corpus/$$target fuzz/corpus/$$target; \
	done

coverage:
	.ci/coverage all

# The corpora must reach nearly all lines, or the fuzzer begins too far away.
fuzz-coverage:
	.ci/coverage fuzz
	@awk '$$1 == "TOTAL" && $$7 + 0 < 98 { print "less than 98 % of the lines"; exit 1 }' $(TARGET)/coverage/report

# The tables of each module are left beside the build.
mutants:
	@cargo mutants --version >/dev/null 2>&1 || \
	    { echo "It needs cargo-mutants. Run:  cargo install cargo-mutants --version 26.0.0 --locked" >&2; exit 1; }
	@set -ef; run() { \
	    CARGO_PROFILE_TEST_DEBUG=0 CARGO_PROFILE_TEST_OPT_LEVEL=1 nice $(CARGO) mutants --features capi "$$@" || \
	        [ $$? = 2 ] || [ $$? = 3 ]; \
	}; \
	$(foreach module,$(MUTANTS),echo "== $(module)"; mkdir -p $(MUTANTS_OUT)/$(module); \
	    files="-f src/$(module).rs -f src/$(module)/** -o $(MUTANTS_OUT)/$(module)"; \
	    run $$files $(FIRST_$(module):%=-C=--test=%); \
	    run $$files --iterate -C=--lib $(THEN_$(module):%=-C=--test=%);) \
	echo "What was missed is held against docs/mutants.md."

install: all
	$(INSTALL) -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR)
	$(INSTALL) -m 644 include/xmpp_close.h include/xmpp_close.hpp include/xmpp_close_fwd.hpp \
	    $(DESTDIR)$(INCLUDEDIR)
	$(INSTALL) -m 644 $(CAPI)/libxmpp_close.a $(DESTDIR)$(LIBDIR)
	$(INSTALL) -m 755 $(CAPI)/libxmpp_close.so $(DESTDIR)$(LIBDIR)/$(REAL)
	ln -sf $(REAL) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libxmpp_close.so
	sed -e 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@INCLUDEDIR@|$(INCLUDEDIR)|; s|@VERSION@|$(VERSION)|' \
	    -e "s|@LIBS_PRIVATE@|$$(cat $(BUILD)/native-static-libs)|" xmpp-close.pc.in \
	    > $(DESTDIR)$(LIBDIR)/pkgconfig/xmpp-close.pc
	chmod 644 $(DESTDIR)$(LIBDIR)/pkgconfig/xmpp-close.pc
	$(INSTALL_CMAKE)
	$(INSTALL_MAN)

uninstall:
	rm -f $(DESTDIR)$(INCLUDEDIR)/xmpp_close.h $(DESTDIR)$(INCLUDEDIR)/xmpp_close.hpp \
	    $(DESTDIR)$(INCLUDEDIR)/xmpp_close_fwd.hpp \
	    $(DESTDIR)$(LIBDIR)/libxmpp_close.a \
	    $(DESTDIR)$(LIBDIR)/$(REAL) $(DESTDIR)$(LIBDIR)/$(SONAME) $(DESTDIR)$(LIBDIR)/libxmpp_close.so \
	    $(DESTDIR)$(LIBDIR)/pkgconfig/xmpp-close.pc
	$(UNINSTALL_PAGES)

include packaging/goals.mk

clean:
	$(CARGO) clean

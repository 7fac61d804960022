# How the C libraries are built and installed. GNUmakefile includes this and says what it is for.

.PHONY: all install install-debug uninstall

# Programs look for the library by this name at run time.
SONAME_elf   := libxmpp_close.so.$(ABI)
SONAME_macos := libxmpp_close.$(ABI).dylib
SONAME       := $(SONAME_$(SYSTEM))
REAL_elf     := libxmpp_close.so.$(VERSION)
REAL_macos   := libxmpp_close.$(VERSION).dylib
REAL         := $(REAL_$(SYSTEM))
SHARED_elf   := libxmpp_close.so
SHARED_macos := libxmpp_close.dylib
# Rust's musl links programs statically.
SHARED       := $(if $(findstring -musl,$(FOR)),,$(SHARED_$(SYSTEM)))
DLL          := $(if $(filter windows,$(SYSTEM)),xmpp_close.dll libxmpp_close.dll.a)
HEADERS      := xmpp_close.h xmpp_close.hpp xmpp_close_fwd.hpp

# The compiler and its tools, by Debian's names where they are made for another system.
TRIPLE := $(patsubst armv7-%,arm-%,$(patsubst riscv64gc-%,riscv64-%,$(subst -pc-windows-gnu,-w64-mingw32,$(subst -unknown,,$(subst \
    musl,gnu,$(CARGO_BUILD_TARGET))))))
TOOLS  ?= $(if $(TRIPLE),$(if $(shell command -v $(TRIPLE)-gcc),$(TRIPLE)-))
ifeq ($(origin CC),default)
CC := $(if $(TOOLS),$(TOOLS)gcc,cc)
endif
ifeq ($(origin AR),default)
AR := $(TOOLS)ar
endif
OBJCOPY ?= $(TOOLS)objcopy
NM      ?= $(TOOLS)nm
# `inside` for packagers whose tools take the debug info out of the shared library themselves.
DEBUG_INFO ?= apart

# Folders of this machine would make the libraries differ from those of other machines. A variable of Cargo's that holds flags
# with blanks in them; flags in Cargo's configuration files do not count here.
RUST = $(RUST_FLAGS) CARGO_PROFILE_RELEASE_DEBUG=full $(CARGO) rustc --release --lib --features capi \
    --target $(FOR) --target-dir "$(BUILD)"
define RUST_FLAGS
unit=$$(printf '\037'); flags=$${CARGO_ENCODED_RUSTFLAGS-$$(printf %s "$$RUSTFLAGS" | tr -s ' ' "$$unit")}; \
flags=$$flags$$(printf '\037--remap-path-prefix=%s' "$(TARGET)=/usr/src/target" "$(CURDIR)=/usr/src/xmpp-close" \
    "$${CARGO_HOME:-$$HOME/.cargo}=/usr/src/cargo"); \
CARGO_ENCODED_RUSTFLAGS=$${flags#"$$unit"}
endef
# What a program must link that takes the static library.
NATIVE := --print native-static-libs="$(BUILD)/native-static-libs.rustc"

NEEDS_RUST = echo "The C library is built with Rust $$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or newer, and there is no $(firstword $(CARGO))." >&2; exit 1

# Other programs may be linking with the libraries just now, so each is replaced in one step, and only if it differs.
all:
	@command -v $(firstword $(CARGO)) >/dev/null || { $(NEEDS_RUST); }
	@mkdir -p "$(BUILD)"
	@$(RUST_$(SYSTEM))
	@set -e; out="$(BUILD)/out.$$$$"; rm -rf "$$out"; mkdir "$$out"; trap 'rm -rf "$$out"' EXIT; \
	$(LINK_$(SYSTEM)); \
	sed 's/-lgcc_s *//g; s/-lgcc_eh *//g; s/-lunwind *//g' "$(BUILD)/native-static-libs.rustc" > "$$out/native-static-libs"; \
	cd "$$out"; for file in *; do \
	    cmp -s $$file "$(CAPI)/$$file" || { cp $$file "$(CAPI)/$$file.$$$$" && mv -f "$(CAPI)/$$file.$$$$" "$(CAPI)/$$file"; }; \
	done
	$(if $(SHARED),@ln -sfn $(SHARED) "$(CAPI)/$(SONAME)")

# Another Rust library in the same program has the same standard library in it, whose symbols would meet. So all that is needed
# becomes one object, in which only the names of the header are global. A linker that knows no --force-group-allocation (lld
# before 19) gets PARTIAL=-Wl,--gc-sections, and then OBJCOPY=llvm-objcopy: GNU's tools do not read the object with its groups.
# With musl comes Rust's own library for panics: that of a compiler for another libc does not fit.
UNWIND = $(if $(findstring -musl,$(FOR)),$$(ls "$$($(RUSTC) --print target-libdir --target $(FOR))"/self-contained/libunwind.a || true))
PARTIAL ?= -Wl,--gc-sections -Wl,--force-group-allocation
# The stack needs no right to be executed, and what is relocated is read-only behind that.
HARDENED := -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack
RUST_elf = $(RUST) --crate-type staticlib -- $(NATIVE)
# Standard library members are left out that the library does not need. Bitcode in them confuses tools of other versions.
define LINK_elf
$(NM) -g --defined-only "$(MADE)/libxmpp_close.a" 2>/dev/null | sed -n 's/.* T \(xmpp_close_[a-z0-9_]*\)$$/-Wl,-u,\1/p' > "$$out/wanted"; \
$(CC) -r -nostdlib $(PARTIAL) -o "$$out/whole.o" @"$$out/wanted" "$(MADE)/libxmpp_close.a" $(UNWIND); \
$(OBJCOPY) --wildcard --keep-global-symbol='xmpp_close_*' -R .llvmbc -R .llvmcmd "$$out/whole.o"; \
$(OBJCOPY) --strip-debug "$$out/whole.o" "$$out/xmpp_close.o"; \
(cd "$$out" && $(AR) rcD libxmpp_close.a xmpp_close.o && $(AR) sD libxmpp_close.a); \
$(if $(SHARED),$(LINK_SHARED);) \
rm "$$out/wanted" "$$out"/*.o
endef
define LINK_SHARED
echo 'XMPP_CLOSE_$(ABI) { global: xmpp_close_*; local: *; };' > "$$out/wanted"; \
(cd "$$out" && $(CC) -shared $(HARDENED) -Wl,--gc-sections -Wl,--build-id=sha1 -Wl,--version-script=wanted -Wl,-soname,$(SONAME) \
    $(LDFLAGS) -o $(SHARED) whole.o $$(cat "$(BUILD)/native-static-libs.rustc"); \
$(if $(filter apart,$(DEBUG_INFO)),$(OBJCOPY) --only-keep-debug $(SHARED) $(REAL).debug; chmod -x $(REAL).debug; \
    $(OBJCOPY) --strip-debug --add-gnu-debuglink=$(REAL).debug $(SHARED)))
endef

# The linkers of these systems are not GNU's, or their libraries no ELF: Rust links here.
RUST_macos = $(RUST) --crate-type staticlib,cdylib -- $(NATIVE) -C link-arg=-Wl,-install_name,"$(LIBDIR)/$(SONAME)" \
    -C link-arg=-Wl,-compatibility_version,$(ABI) -C link-arg=-Wl,-current_version,$(VERSION)
LINK_macos = cp "$(MADE)/libxmpp_close.a" "$(MADE)/libxmpp_close.dylib" "$$out"
RUST_windows = $(RUST) --crate-type staticlib,cdylib -- $(NATIVE)
LINK_windows = cp "$(MADE)/libxmpp_close.a" "$(MADE)/xmpp_close.dll" "$(MADE)/libxmpp_close.dll.a" "$$out"

# Where everything goes. The pkg-config file names folders by their way from its own, so that the whole can be moved, if they
# are below PREFIX.
LIB     = $(DESTDIR)$(LIBDIR)
INCLUDE = $(DESTDIR)$(INCLUDEDIR)
DEBUGS  = $(LIB)/.debug
INSTALLED = $(foreach header,$(HEADERS),"$(INCLUDE)/$(header)") "$(LIB)/libxmpp_close.a" "$(LIB)/pkgconfig/xmpp-close.pc" \
    $(if $(SHARED),"$(LIB)/$(REAL)" "$(LIB)/$(SONAME)" "$(LIB)/$(SHARED)" "$(DEBUGS)/$(REAL).debug") \
    $(if $(DLL),"$(DESTDIR)$(BINDIR)/xmpp_close.dll" "$(LIB)/libxmpp_close.dll.a")

# Root may have no Rust: then what stands there is installed.
install: $(if $(shell command -v $(firstword $(CARGO))),all)
	@[ -e "$(CAPI)/libxmpp_close.a" ] || { $(NEEDS_RUST); }
	$(INSTALL) -d "$(LIB)/pkgconfig" "$(INCLUDE)"
	$(INSTALL) -m 644 $(HEADERS:%=include/%) "$(INCLUDE)"
	$(INSTALL) -m 644 "$(CAPI)/libxmpp_close.a" "$(LIB)"
ifneq ($(SHARED),)
	$(INSTALL) -m 755 "$(CAPI)/$(SHARED)" "$(LIB)/$(REAL)"
	ln -sf $(REAL) "$(LIB)/$(SONAME)"
	ln -sf $(SONAME) "$(LIB)/$(SHARED)"
endif
ifneq ($(DLL),)
	$(INSTALL) -d "$(DESTDIR)$(BINDIR)"
	$(INSTALL) -m 755 "$(CAPI)/xmpp_close.dll" "$(DESTDIR)$(BINDIR)"
	$(INSTALL) -m 644 "$(CAPI)/libxmpp_close.dll.a" "$(LIB)"
endif
	@below() { case "$$1/" in "$(PREFIX)"/*) printf %s "$$2$${1#"$(PREFIX)"}";; *) printf %s "$$1";; esac; }; \
	quote() { printf %s "$$1" | sed 's/ /\\ /g; s/[&|\\]/\\&/g'; }; \
	prefix=$$(below "$(LIBDIR)/pkgconfig" .); \
	case $$prefix in ./*) prefix='$${pcfiledir}'$$(printf %s "$${prefix#.}" | sed 's|//*[^/][^/]*|/..|g');; *) prefix="$(PREFIX)";; esac; \
	sed -e "s|@PREFIX@|$$(quote "$$prefix")|; s|@LIBDIR@|$$(quote "$$(below "$(LIBDIR)" '$${prefix}')")|" \
	    -e "s|@INCLUDEDIR@|$$(quote "$$(below "$(INCLUDEDIR)" '$${prefix}')")|; s|@VERSION@|$(VERSION)|" \
	    -e "s|@LIBS_PRIVATE@|$$(cat "$(CAPI)/native-static-libs")|" xmpp-close.pc.in > "$(LIB)/pkgconfig/xmpp-close.pc"
	chmod 644 "$(LIB)/pkgconfig/xmpp-close.pc"
	$(INSTALL_CMAKE)
	$(INSTALL_MAN)

install-debug: install
	@[ -e "$(CAPI)/$(REAL).debug" ] || { echo "Only a shared library of an ELF system has its debug info in a file of its own." >&2; exit 1; }
	$(INSTALL) -d "$(DEBUGS)"
	$(INSTALL) -m 644 "$(CAPI)/$(REAL).debug" "$(DEBUGS)"

# Folders stay, since nobody knows who made them. One of ours goes when it is empty.
uninstall:
	rm -f $(INSTALLED)
	$(UNINSTALL_PAGES)
	if [ -d "$(DEBUGS)" ]; then rmdir "$(DEBUGS)" 2>/dev/null || true; fi

# The goals of the Makefile that have to do with packages.

CMAKEDIR = $(LIBDIR)/cmake/xmpp-close
HTML    := $(CAPI)/html

.PHONY: html install-html dist crate packages crate-check deb cargo-c

# The folders are named from the file's own, where the system can tell the way.
define INSTALL_CMAKE
$(INSTALL) -d "$(DESTDIR)$(CMAKEDIR)"
includes=$$(realpath -m --relative-to="$(CMAKEDIR)" "$(INCLUDEDIR)" 2>/dev/null || echo "$(INCLUDEDIR)"); \
for file in config config-version; do \
    sed -e "s|@INCLUDEDIR@|$$includes|; s|@VERSION@|$(VERSION)|; s|@SHARED@|$(SHARED)|" \
        -e "s|@LIBS_PRIVATE@|$$(cat "$(CAPI)/native-static-libs")|" packaging/xmpp-close-$$file.cmake.in \
        >"$(DESTDIR)$(CMAKEDIR)/xmpp-close-$$file.cmake" && \
    chmod 644 "$(DESTDIR)$(CMAKEDIR)/xmpp-close-$$file.cmake" || exit 1; \
done
endef

define INSTALL_MAN
$(INSTALL) -d "$(DESTDIR)$(MANDIR)/man3"
awk -v out="$(DESTDIR)$(MANDIR)/man3" -v version=$(VERSION) -f packaging/man.awk include/xmpp_close.h
chmod 644 "$(DESTDIR)$(MANDIR)"/man3/xmpp_close*.3
endef

define UNINSTALL_PAGES
rm -f "$(DESTDIR)$(MANDIR)"/man3/xmpp_close.3 "$(DESTDIR)$(MANDIR)"/man3/xmpp_close_*.3
rm -rf "$(DESTDIR)$(CMAKEDIR)"
[ ! -e "$(DESTDIR)$(DOCDIR)/html/$(HTML_OURS)" ] || rm -rf "$(DESTDIR)$(DOCDIR)/html"
rmdir "$(DESTDIR)$(DOCDIR)" 2>/dev/null || true
endef

# Made anew as a whole, so that no page is left of a function that is gone. A folder without this page is somebody else's.
HTML_OURS := xmpp__close_8h.html
define MAKE_HTML
@[ ! -e "$(HTML)" ] || [ -e "$(HTML)/$(HTML_OURS)" ] || { echo "$(HTML) is not this reference, so it stays." >&2; exit 1; }
rm -rf "$(HTML)"
mkdir -p "$(HTML)"
XMPP_CLOSE_VERSION=$(VERSION) XMPP_CLOSE_HTML="$(HTML)" doxygen packaging/Doxyfile || { rm -rf "$(HTML)"; exit 1; }
endef

html:
	$(MAKE_HTML)

install-html: HTML = $(DESTDIR)$(DOCDIR)/html
install-html:
	$(MAKE_HTML)

packages: crate-check deb cargo-c

# What follows takes what Git tracks, as it stands in the folder now.
dist:
	packaging/dist "$(TARGET)/dist"

crate:
	packaging/crate "$(TARGET)/crate"

# In a folder with nothing beside it, and without what the shell knows of this one.
crate-check: crate
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && tar -xf "$(TARGET)"/crate/package/*.crate -C "$$folder" && \
	    cd "$$folder"/* && CARGO_TARGET_DIR="$(TARGET)/crate/target" $(CARGO) test --locked --all-features

deb:
	.ci/packages deb
	packaging/deb "$(TARGET)/deb"

cargo-c:
	packaging/cargo-c "$(TARGET)/cargo-c"

# Only makes other than GNU make read this file: GNU make takes GNUmakefile.
all:
	@echo "This needs GNU make: gmake" >&2; exit 1
.DEFAULT:
	@echo "This needs GNU make: gmake" >&2; exit 1

# The commands of every day. meson and ninja do the work.
#
#   make          build everything into build/release
#   make demo     show the main job in three network namespaces (root); KEEP=1 leaves it running
#                 GUEST=1 shows it with the data in the kernel: this one, or Debian's in a guest
#   make test     all tests (root); SUITES="unit rfc" for some
#   make bench    the figures (root); GROUP="engine" for some
#   make fuzz     run the fuzz targets; FUZZ_SECONDS=20 each, TARGETS="..." for some
#   make lint     formatting, layers and the other rules a program can check
#   make install  into PREFIX, /usr/local unless said otherwise; DESTDIR is honoured
#   make clean

PREFIX ?= /usr/local
BUILD = build/release

.PHONY: all setup demo test bench fuzz lint install clean

all: $(BUILD)/build.ninja | setup
	ninja -C $(BUILD)

setup:
	tools/setup.sh build

$(BUILD)/build.ninja: | setup
	meson setup $(BUILD) --buildtype=release -Db_lto=true --prefix=$(PREFIX) -Dtests=false

demo:
	tools/setup.sh $(if $(GUEST),guest,demo)
	$(MAKE) --no-print-directory all
	ADIT_BUILD=$(CURDIR)/$(BUILD) $(if $(GUEST),tests/vm/guest.py --auto -- tests/vm/demo.sh,tests/net/demo.sh)

test:
	tools/test.sh $(SUITES)

bench:
	tools/setup.sh bench
	$(MAKE) --no-print-directory all
	ninja -C $(BUILD) bench/bench-engine bench/bench-blast bench/bench-plane bench/bench-wires bench/bench-attach
	ADIT_BUILD=$(CURDIR)/$(BUILD) bench/run.py $(GROUP)

fuzz:
	tools/setup.sh fuzz
	tools/fuzz.sh $(TARGETS)

lint:
	tools/setup.sh lint
	tools/lint.py

install: all
	meson configure $(BUILD) --prefix=$(PREFIX)
	ninja -C $(BUILD)
	meson install -C $(BUILD) --no-rebuild

clean:
	rm -rf build

# What can be done here, one line each. `make help` prints the list.

# Where rustup puts cargo, for a shell that was opened before it did.
export PATH := $(PATH):$(HOME)/.cargo/bin

# With musl, whose start costs a fraction of the other's: docs/decisions/0011-musl.md. Asked anew for each line: setup may bring it.
export CARGO_BUILD_TARGET ?= $(shell tools/target.sh)

.PHONY: help setup demo build check unit oracle integration conformance conformance-test conformance-vm conformance-tables lanes engines engines-tables quick-engines vm-test vm-shell test bench bench-vm order fuzz deny man install

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

setup: ## install what is missing on a Debian machine: a C linker, Rust
	@tools/setup.sh

demo: setup root ## run a container that prints what it sees
	cargo run --release -- run examples/hello/

build: setup ## the release binary, target/TRIPLE/release/orlop, static
	ORLOP_COMMIT=$$(git describe --always --dirty) cargo build --release

check: setup ## format, lints and unit tests; needs no root
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo clippy --test conformance --test engines -- -D warnings
	cargo test --lib --bins
	cargo test --test conformance -- --check
	integration/vm/verdict-test.sh

integration: setup root ## the real binary against the real kernel
	tools/setup.sh strace iproute2
	cargo build --example probe
	log=$${CARGO_TARGET_DIR:-target}/host-lane.log status=0; cargo test --test integration -- --logfile "$$log" || status=$$?; cat "$$log"; exit $$status

conformance: setup root ## the runtime specification against any runtime: make conformance RUNTIME=/usr/bin/crun CASE=hooks::
	tools/setup.sh iproute2
	cargo build --example probe
	cargo test --test conformance -- $(RUNTIME:%=--runtime=%) --out $${CARGO_TARGET_DIR:-target}/conformance $(CASE)
	$(if $(word 2,$(RUNTIME)),cargo test --test conformance -- $(RUNTIME:%=--runtime=%) --out $${CARGO_TARGET_DIR:-target}/conformance --differences)

conformance-test: setup root ## the same suite against runtimes that are broken on purpose
	cargo build --example probe
	cargo test --test conformance -- --self-test

conformance-vm: setup root ## the same suite in the virtual machine, for what the host can't try
	conformance/spec/vm.sh $(CASE)

conformance-tables: setup root ## docs/conformance: Orlop, runc and crun, here and in the virtual machine
	conformance/spec/tables.sh

lanes: setup root integration ## in a virtual machine, what the host could not run
	integration/vm/lanes.sh $${CARGO_TARGET_DIR:-target}/host-lane.log

vm-test: setup root ## the same suite in a virtual machine with systemd; FILTER=cgroup:: for a part of it
	integration/vm/run.sh $(FILTER)

vm-shell: setup root ## a shell in that machine
	integration/vm/run.sh --shell

engines: setup root ## what users of containerd, Docker, Podman and others do: on this host, and the rest in a virtual machine
	tools/setup.sh iproute2
	conformance/engines/lanes.sh

engines-tables: setup root ## docs/engines.md: Orlop, runc and crun under engines, here and in the virtual machine
	tools/setup.sh iproute2
	ORLOP_ENGINES_VM=1 conformance/engines/compare.sh > docs/engines.md.new
	mv docs/engines.md.new docs/engines.md

quick-engines: setup root ## some of that on this host, in a minute
	tools/setup.sh iproute2
	ORLOP_ENGINES_QUICK=1 conformance/engines/run.sh

oracle: setup ## seccomp profiles against libseccomp
	tools/setup.sh libseccomp-dev
	cargo test --lib libseccomp -- --ignored --nocapture

test: check oracle conformance conformance-test integration lanes quick-engines ## everything but the whole of engines

bench: setup root ## time and memory beside the other runtimes on this machine, into docs/benchmarks; ROUNDS=1000 to be closer
	benches/run.sh $(if $(ROUNDS),rounds=$(ROUNDS))

bench-vm: setup root ## in a virtual machine: the systemd driver beside crun's, and the smallest limits
	benches/vm.sh

order: setup root ## find out anew which functions belong together in the program, into tools/order.ld
	benches/order.sh

fuzz: setup ## a fuzz target for a while: make fuzz TARGET=seccomp SECONDS=600
	tools/setup.sh g++
	env -u CARGO_BUILD_TARGET fuzz/run.sh $(or $(TARGET),seccomp) $(or $(SECONDS),60)

deny: ## licences, sources and duplicates of the crates, against deny.toml
	command -v cargo-deny > /dev/null || cargo install --locked cargo-deny
	cargo deny check bans licenses sources

man: setup ## manual pages, in target/man
	cargo run -q --example manual -- target/man

install: build ## copy the binary to /usr/local/sbin
	install -m 0755 $${CARGO_TARGET_DIR:-target}/$(CARGO_BUILD_TARGET)/release/orlop /usr/local/sbin/orlop

# Not a step, but what a step may ask for.
.PHONY: root
root:
	@[ "$$(id -u)" = 0 ] || { echo "this recipe needs root: sudo -E env PATH=\"\$$PATH\" make $(firstword $(MAKECMDGOALS))" >&2; exit 1; }

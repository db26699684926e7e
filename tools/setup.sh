#!/bin/sh
# Installs what a build of Orlop needs and this machine lacks: a C linker with the static C library, git, and Rust, with
# musl if it can be had.
# Arguments are further programs and libraries to have, each in the package of its name (iproute2 brings ip): tools/setup.sh strace libseccomp-dev
# It says what it does, does nothing when nothing is missing, and changes nothing else.
set -eu

PATH=$PATH:$HOME/.cargo/bin
needed_rust=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "$0")/../Cargo.toml")
rust_by_hand="install Rust $needed_rust or newer with rustup, from https://rustup.rs"

fail() {
	echo "setup: $1" >&2
	exit 1
}

has() {
	command -v "$1" > /dev/null
}

# The packages that are not there yet, by what they bring.
missing_packages() {
	has cc || echo gcc
	# A compiler that does not find the static C library prints its bare name.
	case $(cc -print-file-name=libc.a 2> /dev/null) in /*) ;; *) echo libc6-dev ;; esac
	has git || echo git
	for package in "$@"; do
		case $package in
		# A library is there when the compiler finds it.
		lib*-dev) name=${package%-dev} && case $(cc -print-file-name="$name.so" 2> /dev/null) in /*) ;; *) echo "$package" ;; esac ;;
		iproute2) has ip || echo iproute2 ;;
		musl-tools) has musl-gcc || echo musl-tools ;;
		e2fsprogs) has mke2fs || echo e2fsprogs ;;
		*) has "$package" || echo "$package" ;;
		esac
	done
}

install_packages() {
	has apt-get || fail "there is no apt-get here, please install: $*"
	[ "$(id -u)" = 0 ] || fail "please run: sudo apt-get install $*"
	echo "setup: installing $*"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" > /dev/null
}

install_rust() {
	has apt-cache && apt-cache policy rustup | grep -q 'Candidate: [^(]' || fail "$rust_by_hand"
	has rustup || install_packages rustup
	echo "setup: installing the stable Rust toolchain"
	rustup default stable
}

# Whether version $1 is at least version $2.
at_least() {
	[ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

check_rust() {
	found=$(cargo --version | cut -d ' ' -f 2)
	at_least "$found" "$needed_rust" || fail "this is Rust $found; $rust_by_hand, or run: rustup update stable"
	for component in fmt clippy; do
		cargo "$component" --version > /dev/null 2>&1 || fail "please run: rustup component add rustfmt clippy"
	done
}

# A program that is linked with musl starts faster (docs/decisions/0011-musl.md). Its libraries are rustup's to bring; where they can't
# be had, the build takes the machine's own target, and asks again only after a `cargo clean`.
add_musl() {
	musl=$(uname -m)-unknown-linux-musl
	tried=${CARGO_TARGET_DIR:-target}/musl-is-not-to-be-had
	if [ -d "$(rustc --print target-libdir --target "$musl" 2> /dev/null)" ] || [ -e "$tried" ]; then
		return
	fi
	if has rustup && echo "setup: installing Rust's libraries for $musl" && timeout 120 rustup target add "$musl"; then
		return
	fi
	echo "setup: no libraries for $musl: what is built here starts slower" >&2
	mkdir -p "$(dirname "$tried")"
	touch "$tried"
}

packages=$(missing_packages "$@")
# shellcheck disable=SC2086 # one word for each package
[ -z "$packages" ] || install_packages $packages
has cargo || install_rust
check_rust
add_musl

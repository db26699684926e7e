#!/bin/sh
# Prints the target that make builds for: with musl (docs/decisions/0011-musl.md) where this Rust has its libraries, else the machine's own.
set -eu

PATH=$PATH:$HOME/.cargo/bin
musl=$(uname -m)-unknown-linux-musl
if [ -d "$(rustc --print target-libdir --target "$musl" 2> /dev/null)" ]; then
	echo "$musl"
else
	rustc -vV 2> /dev/null | sed -n 's/^host: //p'
fi

#!/bin/sh
# fuzz/run.sh TARGET SECONDS [OPTION...]
#
# Builds a fuzz target with libFuzzer's coverage counters and runs it on one core. Needs no nightly compiler: only its
# sanitizers would, and there is next to no unsafe code for them to watch. An input that fails is left in the directory of
# artifacts that is named at the end; one that is fixed belongs into fuzz/seeds/TARGET, where `make test` runs it.
# What else was found worth keeping stays in the target directory, and the next run starts from there.
set -eu

cd "$(dirname "$0")"
name=$1 seconds=$2
shift 2
target=${CARGO_TARGET_DIR:-$PWD/../target}/fuzz
sancov='-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-trace-compares
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table'
RUSTFLAGS="--cfg fuzzing $(echo $sancov)" cargo build --quiet --release --target-dir "$target" --bin "$name"
mkdir -p "$target/corpus/$name" "$target/artifacts/$name"
exec "$target/$(rustc -vV | sed -n 's/^host: //p')/release/$name" "$target/corpus/$name" "seeds/$name" \
	-artifact_prefix="$target/artifacts/$name/" -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=2048 \
	-print_final_stats=1 "$@"

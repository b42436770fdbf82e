#!/usr/bin/env bash
# Feeds random bytes to every decoder of the protocol: fuzz.sh SECONDS, for each target. Inputs that are worth keeping
# stay in crates/protocol/fuzz/corpus, one that breaks a decoder in crates/protocol/fuzz/artifacts.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

seconds=${1:-60}
[[ $seconds =~ ^[1-9][0-9]*$ ]] || die "usage: fuzz.sh SECONDS"
cargo +nightly --version >/dev/null 2>&1 || die "Rust's nightly toolchain is missing: rustup toolchain install nightly --profile minimal"
cargo fuzz --version >/dev/null 2>&1 || die "cargo-fuzz is missing: cargo install cargo-fuzz"

cd "$root/crates/protocol"
mapfile -t targets < <(cargo +nightly fuzz list)
[ ${#targets[@]} -gt 0 ] || die "crates/protocol/fuzz has no target"
say "building ${#targets[@]} fuzz targets"
cargo +nightly fuzz build
for name in "${targets[@]}"; do
    say "fuzzing $name for $seconds s"
    cargo +nightly fuzz run "$name" -- -max_total_time="$seconds" -max_len=8192 -timeout=5 -rss_limit_mb=1024 -print_final_stats=1
done
echo "${#targets[@]} passed, 0 failed"

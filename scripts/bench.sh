#!/usr/bin/env bash
# The figures of docs/BENCHMARKS.md, on this machine: what a tick costs, what the machine can do at best (`swarm floor`),
# how many matches a whole cluster carries while the load runs on the same cores, and how much can be said to 1,000 at
# once. Takes some minutes.
#
# By environment: MATCHES="100 200 400 450" (one run each), BENCH_S=30 (length of a run), BENCH_ONLY=micro|floor|cluster.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=scripts/cluster.sh
. "$(dirname "$0")/cluster.sh"
cd "$root"

matches=${MATCHES:-40 100 200 400 450}
bench_s=${BENCH_S:-30}
only=${BENCH_ONLY:-all}
wanted() { [ "$only" = all ] || [ "$only" = "$1" ]; }

logs=$target/bench
mkdir -p "$logs"

say "building in release mode"
cargo build --release --workspace --bins
rally=$target/release/rally
swarm=$target/release/swarm

say "machine: $(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), Linux $(uname -r)"

if wanted micro; then
    say "a tick, and matches per core without sockets"
    cargo bench -p rally-sim -p rally-room -p rally-worker --benches 2>&1 | tee "$logs/micro.log"
    say "a thousand tickets of the queue"
    cargo bench -p rally-fabric --bench queue 2>&1 | tee "$logs/queue.log"
fi

if wanted floor; then
    say "what the machine can do at best"
    "$swarm" floor | tee "$logs/floor.log"
fi

if wanted cluster; then
    dir=$(mktemp -d)
    chmod 755 "$dir"
    trap 'stop_cluster || true; rm -rf "$dir"' EXIT
    for n in $matches; do
        say "$n matches for $bench_s s"
        # A cluster of its own for each run: no run inherits another's memory or backlog.
        mkdir -p "$dir/$n"
        start_cluster "$rally" "$dir/$n"
        # Private matches: the two players of each are on different edges for certain. What falls short is in the table.
        run_swarm "$swarm" $((2 * n)) "$bench_s" "$logs/swarm-$n.json" --pairing private --ramp-per-s 100 \
            --expect 'snapshots>=0.98,input_p99_ms<=50,interval_p99_ms<=33,cost<=2' | tee "$logs/swarm-$n.log" || true
        stop_cluster
    done
    say "reads of the API, as fast as they are answered and 1,000 a second, while 100 matches are played"
    mkdir -p "$dir/api"
    start_cluster "$rally" "$dir/api"
    "$swarm" api --edges "${edges%%,*}" --duration-s "$bench_s" --json "$logs/swarm-api.json" | tee "$logs/swarm-api.log"
    run_swarm "$swarm" 200 "$((bench_s + 10))" "$logs/swarm-api-matches.json" --pairing private --ramp-per-s 100 \
        >"$logs/swarm-api-matches.log" &
    playing_pid=$!
    sleep 10
    "$swarm" api --edges "${edges%%,*}" --rate 1000 --duration-s "$bench_s" --json "$logs/swarm-api-rate.json" \
        --expect 'p95_ms<=200,errors<=0' | tee "$logs/swarm-api-rate.log" || true
    wait "$playing_pid" || true
    stop_cluster
    say "one channel read by 1,000 on two edges"
    mkdir -p "$dir/chat"
    start_cluster "$rally" "$dir/chat"
    run_swarm_chat "$swarm" 1000 "$logs/swarm-chat.json" --ramp-per-s 200 | tee "$logs/swarm-chat.log" || true
    stop_cluster
    say "memory of 8,000 idle connections"
    mkdir -p "$dir/idle"
    start_cluster "$rally" "$dir/idle"
    run_swarm_idle "$swarm" 8000 "$logs/swarm-idle.json" --ramp-per-s 400 | tee "$logs/swarm-idle.log"
    stop_cluster
    say "tables and JSON are in $logs"
fi

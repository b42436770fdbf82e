#!/usr/bin/env bash
# Some seconds of swarm, k6 and artillery against a cluster of their own, each with its thresholds. The last line says
# how many of these checks passed; everything they said is in TARGET/load-smoke/. RALLY_BIN and SWARM_BIN name programs
# that are built already.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=scripts/cluster.sh
. "$(dirname "$0")/cluster.sh"

# For runs that shall be longer than a smoke test's.
smoke_s=${SMOKE_S:-15}

if [ -z "${RALLY_BIN:-}" ] || [ -z "${SWARM_BIN:-}" ]; then
    (cd "$root" && cargo build -p rally -p rally-swarm)
    RALLY_BIN=$target/debug/rally
    SWARM_BIN=$target/debug/swarm
fi

logs=$target/load-smoke
rm -rf "$logs"
mkdir -p "$logs"
# Not below the checkout: a database of root's is another user's, who may not be allowed in here.
dir=$(mktemp -d)
chmod 755 "$dir"
trap 'stop_cluster || true; rm -rf "$dir"' EXIT

passed=0
failed=0
# check NAME COMMAND...
check() {
    local name=$1 began=$SECONDS
    shift
    say "load-smoke: $name"
    if SUMMARY="$logs/$name" "$@" >"$logs/$name.log" 2>&1; then
        passed=$((passed + 1))
        verdicts "$name" || true
        echo "ok: $name ($((SECONDS - began)) s)"
    else
        failed=$((failed + 1))
        tail -n 60 "$logs/$name.log"
        echo "FAILED: $name ($((SECONDS - began)) s)"
    fi
}
# What of their output is worth repeating: k6's and artillery's thresholds, swarm's table.
verdicts() {
    case $1 in
        k6 | api | chat | spike | soak) grep -E '^(✓|✗)' "$logs/$1.log" ;;
        artillery*) grep -E '^(ok|fail): ' "$logs/$1.log" ;;
        *) tail -n 25 "$logs/$1.log" ;;
    esac
}

# reports NAME...: each has left one, and it says that levels were met.
reports() {
    local name
    for name in "$@"; do
        if ! [ -s "$logs/$name.json" ] || ! grep -q '| met |' "$logs/$name.md"; then
            echo "$name has left no report"
            return 1
        fi
    done
}

say "load-smoke: starting a cluster"
start_cluster "$RALLY_BIN" "$dir"
say "load-smoke: edges at $edges"

# Looser than the benchmark's thresholds: this is a debug build, on machines that do other things too.
export BASE_URLS=$edges PLAY_S=4 DURATION=$smoke_s INPUT_MS=100 API_MS=1000
check swarm run_swarm "$SWARM_BIN" 20 "$smoke_s" "$logs/swarm.json" --no-floor --quiet \
    --expect 'snapshots>=0.98,playing>=1,input_p99_ms<=100'
VUS=10 check k6 "$root/scripts/load.sh" k6
STAGES=5,10 STAGE_S=2 check api "$root/scripts/load.sh" api
VUS=6 STAY_S=5 SAY_EVERY_S=2 SAID_MS=1000 check chat "$root/scripts/load.sh" chat
VUS=20 ROUNDS=1 CALM_S=2 check spike "$root/scripts/load.sh" spike
VUS=6 DURATION=8 METRICS_URLS=$(printf ',http://127.0.0.1:%s/metrics' "${admin_ports[@]}") check soak "$root/scripts/load.sh" soak
RATE_1=1 DURATION_1=6 RATE_2=3 DURATION_2=4 check artillery "$root/scripts/load.sh" artillery
PLAYERS=6 DURATION=3 STAY_S=5 SAID_MS=1000 check artillery-chat "$root/scripts/load.sh" artillery-chat
check reports reports k6 api chat spike soak artillery artillery-chat
check stop stop_cluster
cp "$dir/cluster.log" "$logs/cluster.log"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]

#!/usr/bin/env bash
# One load generator against a running cluster: load.sh k6|api|chat|spike|soak|artillery|artillery-chat|pgbench. Its thresholds decide the exit
# code. Parameters by environment, with their defaults: BASE_URLS=http://localhost:8080,http://localhost:8081 VUS=10 (k6)
# PLAYERS=20 (artillery-chat) RATE_1=10 RATE_2=50 (artillery) DURATION=30 PLAY_S=5; pgbench: DATABASE_URL, a database that
# is migrated and may be filled, CLIENTS=4. SUMMARY=PATH leaves a report. loadtests/README.md says more.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

export BASE_URLS=${BASE_URLS:-http://localhost:8080,http://localhost:8081}
export VUS=${VUS:-10} PLAYERS=${PLAYERS:-20} PLAY_S=${PLAY_S:-5}
# In seconds, whether written 30 or 30s.
DURATION=${DURATION:-30}
export DURATION=${DURATION%s}
# Artillery's own.
export RATE_1=${RATE_1:-10} RATE_2=${RATE_2:-50} DURATION_1=${DURATION_1:-$DURATION} DURATION_2=${DURATION_2:-$DURATION}
export SAID_MS=${SAID_MS:-200} API_MS=${API_MS:-200} INPUT_MS=${INPUT_MS:-50}
[[ -z ${SUMMARY:-} || $SUMMARY == /* ]] || SUMMARY=$PWD/$SUMMARY

# k6 takes -e for what its scripts may read; these are all of their parameters.
run_k6() {
    local name value args=()
    for name in BASE_URLS VUS PLAY_S PROFILE STAGES STAGE_S RATE ROUNDS CALM_S STAY_S SAY_EVERY_S SAID_MS API_MS INPUT_MS METRICS_URLS GROWTH_MAX SUMMARY; do
        value=${!name:-}
        [ -z "$value" ] || args+=(-e "$name=$value")
    done
    exec k6 run --no-usage-report "${args[@]}" -e DURATION="${DURATION}s" "$root/loadtests/k6/$1.js"
}

run_artillery() {
    local status=0
    cd "$root/loadtests/artillery"
    export ARTILLERY_DISABLE_TELEMETRY=true
    [ -n "${SUMMARY:-}" ] || exec node_modules/.bin/artillery run "$1.yml"
    node_modules/.bin/artillery run --output "$SUMMARY.json" "$1.yml" | tee "$SUMMARY.txt" || status=$?
    node report.mjs "$1" "$SUMMARY"
    return "$status"
}

# At most this many transactions may be lost to deadlocks and the like: none.
run_pgbench() {
    : "${DATABASE_URL:?names no database}"
    local people=${PEOPLE:-1000} bin=pgbench
    have pgbench || bin=$(find /usr/lib/postgresql "$servers" -path '*bin/pgbench' 2>/dev/null | sort | tail -n 1)
    if [ -z "$bin" ]; then
        echo "skipped: pgbench is missing"
        return
    fi
    psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --set=people="$people" --file="$root/loadtests/pgbench/people.sql" "$DATABASE_URL"
    "$bin" --no-vacuum --client="${CLIENTS:-4}" --time="$DURATION" --define=people="$people" --report-per-command \
        --file="$root/loadtests/pgbench/match.sql" "$DATABASE_URL" |
        tee -a /dev/stderr | tee "${SUMMARY:-/dev/null}${SUMMARY:+.txt}" | grep '^number of failed transactions: 0 ' >/dev/null
}

case ${1:-} in
    k6) run_k6 play ;;
    api | chat | spike | soak) run_k6 "$1" ;;
    artillery) run_artillery play ;;
    artillery-chat) run_artillery chat ;;
    pgbench) run_pgbench ;;
    *) die "usage: load.sh k6|api|chat|spike|soak|artillery|artillery-chat|pgbench" ;;
esac

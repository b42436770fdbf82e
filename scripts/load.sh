#!/usr/bin/env bash
# One load generator against a running cluster: load.sh k6|artillery. Its thresholds decide the exit code. Parameters by
# environment, with their defaults: BASE_URLS=http://localhost:8080,http://localhost:8081 VUS=10 (k6) PLAYERS=20
# (artillery) DURATION=30 PLAY_S=5. loadtests/README.md says more.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

export BASE_URLS=${BASE_URLS:-http://localhost:8080,http://localhost:8081}
export VUS=${VUS:-10} PLAYERS=${PLAYERS:-20} PLAY_S=${PLAY_S:-5}
# In seconds, whether written 30 or 30s.
DURATION=${DURATION:-30}
export DURATION=${DURATION%s}

case ${1:-} in
    k6)
        exec k6 run --no-usage-report -e BASE_URLS="$BASE_URLS" -e VUS="$VUS" -e DURATION="${DURATION}s" -e PLAY_S="$PLAY_S" \
            "$root/loadtests/k6/play.js"
        ;;
    artillery)
        cd "$root/loadtests/artillery"
        export ARTILLERY_DISABLE_TELEMETRY=true
        exec node_modules/.bin/artillery run play.yml
        ;;
    *) die "usage: load.sh k6|artillery" ;;
esac

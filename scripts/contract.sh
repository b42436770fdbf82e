#!/usr/bin/env bash
# Asks a running edge whatever its own description allows, and what it does not allow, for a minute: every answer must
# be one that docs/openapi.json names. The last line counts the routes that were asked. RALLY_BIN names a program that is
# built already. What was said is in TARGET/contract/.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=scripts/cluster.sh
. "$(dirname "$0")/cluster.sh"
cd "$root"

schemathesis=$tools/schemathesis/bin/schemathesis
if [ ! -x "$schemathesis" ]; then
    echo "skipped: schemathesis is missing (scripts/setup.sh schemathesis installs it)"
    exit 0
fi
if [ -z "${RALLY_BIN:-}" ]; then
    cargo build -p rally
    RALLY_BIN=$target/debug/rally
fi

logs=$target/contract
mkdir -p "$logs"
# Not below the checkout: a database of root's is another user's, who may not be allowed in here.
dir=$(mktemp -d)
chmod 755 "$dir"
trap 'stop_cluster || true; rm -rf "$dir"' EXIT

say "contract: starting a cluster"
export RALLY_API_PER_MINUTE=1000000
start_cluster "$RALLY_BIN" "$dir"
edge=${edges%%,*}
name=contract_$RANDOM
token=$(curl -fsS --max-time 10 -H 'content-type: application/json' "$edge/api/v1/auth/register" \
    -d "{\"username\": \"$name\", \"password\": \"five green boats on a hill\"}" |
    sed -n 's/.*"access_token":"\([^"]*\)".*/\1/p')
[ -n "$token" ] || die "could not make an account"

# Not asked: what would end the login that asks. Not checked: whether all that fits its type is accepted (a password must
# be hard to guess, too).
status=0
# It leaves files where it runs.
cd "$dir"
"$schemathesis" run "$edge/api/v1/openapi.json" \
    -H "Authorization: Bearer $token" \
    --exclude-path /auth/logout \
    --exclude-checks positive_data_acceptance \
    --phases examples,coverage,fuzzing \
    --max-examples 25 --max-time "${CONTRACT_S:-60}" --request-timeout 10 --seed "${SEED:-7}" \
    --continue-on-failure --no-color --generation-database :memory: \
    --report json --report-json-path "$logs/report.json" >"$logs/log" 2>&1 || status=$?

sed -n '/= FAILURES =/,/= WARNINGS =/p; /Test cases:/,$p' "$logs/log"
tested=$(sed -n 's/^ *Tested: *\([0-9]*\).*/\1/p' "$logs/log")
faults=$(sed -n 's/.*generated, \([0-9]*\) found.*/\1/p' "$logs/log")
# Failed without a fault counted: it did not get as far.
[ "$status" = 0 ] || faults=${faults:-1}
echo "$((${tested:-0} > ${faults:-0} ? ${tested:-0} - ${faults:-0} : 0)) passed, ${faults:-0} failed"
[ "$status" = 0 ]

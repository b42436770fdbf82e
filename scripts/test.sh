#!/usr/bin/env bash
# Everything that must hold, one step after the other; a step that fails does not keep the next from running. Builds
# once, with the dev profile, for tests and smoke runs alike. Each step's output is also in TARGET/test-logs/NAME.log. The
# last line, also in TARGET/test-logs/summary, counts tests where a step counts them, and the step itself where not.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$root"

logs=$target/test-logs
rm -rf "$logs"
mkdir -p "$logs"
passed=0
failed=0
table=()

# counts LOG: sums what test runners say, as "PASSED FAILED". Knows cargo test, node's runner, vitest, and plain lines.
counts() {
    sed 's/\x1b\[[0-9;]*m//g' "$1" | awk '
        /^test result: / { for (i = 2; i <= NF; i++) { if ($i ~ /^passed/) p += $(i-1); if ($i ~ /^failed/) f += $(i-1) } }
        /^(#|ℹ) pass [0-9]+$/ { p += $3 }
        /^(#|ℹ) fail [0-9]+$/ { f += $3 }
        /^ *Tests  / { for (i = 2; i <= NF; i++) { if ($i ~ /^passed/) p += $(i-1); if ($i ~ /^failed/) f += $(i-1) } }
        /^[0-9]+ passed, [0-9]+ failed$/ { p += $1; f += $3 }
        END { print p + 0, f + 0 }'
}

# step NAME COMMAND...
step() {
    local name=$1 log=$logs/$1.log began=$SECONDS ok=yes p f note=
    shift
    say "$name: $*"
    "$@" 2>&1 </dev/null | tee "$log" || ok=
    read -r p f < <(counts "$log")
    # A step without tests of its own is one test; one that failed has at least one failure, whatever it counted.
    if [ -z "$ok" ] && [ "$f" = 0 ]; then
        f=1
    elif [ $((p + f)) = 0 ] && grep -q '^skipped: ' "$log"; then
        # Nothing was proved.
        note="  $(grep -m 1 '^skipped: ' "$log")"
    elif [ $((p + f)) = 0 ]; then
        p=1
    fi
    # And one that counted failures has failed, whatever it returned.
    passed=$((passed + p))
    failed=$((failed + f))
    table+=("$(printf '%-10s %5d passed %5d failed %6d s%s' "$name" "$p" "$f" $((SECONDS - began)) "$note")")
}

export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never} NO_COLOR=1
# For the browser test: which browser, and which cluster.
CHROMIUM_BIN=$(find_chromium)
export CHROMIUM_BIN
export RALLY_BIN=$target/debug/rally SWARM_BIN=$target/debug/swarm

finish() {
    echo
    printf '%s\n' "${table[@]}"
    echo
    echo "$passed passed, $failed failed" | tee "$logs/summary"
    [ "$failed" = 0 ]
    exit
}

step web make -s web
step build cargo build --workspace --all-targets
# What does not build would only fail again in each of the steps below.
[ "$failed" = 0 ] || finish
step format make -s check-format
step lint make -s check-lint
step docs make -s check-docs
step scripts node --test scripts/layers.test.mjs scripts/licences.test.mjs scripts/secrets.test.mjs
step imports make -s check-layers
step policy make -s check-policy
step licences make -s check-licences
step secrets make -s check-secrets
step shell make -s check-scripts
step types make -s check-types
step size npm run size --prefix crates/web/client
# Tests of deploy/ use what there is of these.
for tool in helm kubectl promtool prometheus amtool; do have "$tool" || say "skipped: $tool is missing"; done
have alertmanager || have prometheus-alertmanager || say "skipped: alertmanager is missing"
for each in redis postgres node; do
    have "${each}_exporter" || have "prometheus-$each-exporter" || say "skipped: ${each}_exporter is missing"
done
step rust cargo test --workspace --no-fail-fast
step sdk npm test --prefix crates/web/sdk
step client npm test --prefix crates/web/client
step player node --test loadtests/lib/player.test.mjs loadtests/lib/chatter.test.mjs
step browser npm run test:browser --prefix crates/web/client
step load scripts/load_smoke.sh
step contract scripts/contract.sh
step chaos "$target/debug/chaos" --short --logs "$logs/chaos"

finish

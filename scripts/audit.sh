#!/usr/bin/env bash
# Asks the advisories of cargo and npm about all dependencies. Fails on weaknesses; what cannot be asked here is skipped.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$root"

status=0

if cargo deny --version >/dev/null 2>&1; then
    cargo deny check advisories || status=1
elif cargo audit --version >/dev/null 2>&1; then
    cargo audit || status=1
else
    echo "skipped: cargo-deny is missing (cargo install cargo-deny)"
fi

# npm_audit FOLDER LEVEL
npm_audit() {
    local said
    if said=$(npm audit --prefix "$1" --audit-level="$2" 2>&1); then
        echo "$1: $(tail -n 1 <<<"$said")"
    elif grep -qE 'audit endpoint returned an error|ENOTFOUND|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN' <<<"$said"; then
        echo "skipped: npm's advisories cannot be asked from here ($1)"
    else
        printf '%s\n' "$said"
        status=1
    fi
}
npm_audit crates/web high
# A tool that is run against clusters of one's own.
npm_audit loadtests/artillery critical

exit "$status"

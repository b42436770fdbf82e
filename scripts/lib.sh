# Shared by the scripts in this folder: where things lie, and how things are said. Sourced, never run.
# Programs that the machine already has are used as they are; what setup.sh adds lies in two places only:
#   .tools/                 inside the checkout: Node and the load generators, no root needed;
#   /usr/local/lib/rally/   Redis and Postgres servers without their services. Outside the checkout, because a
#                           cluster started by root runs Postgres as another user, who cannot enter /root.
# shellcheck shell=bash disable=SC2034 # used by those who source it

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=$root/.tools
servers=/usr/local/lib/rally
target=${CARGO_TARGET_DIR:-$root/target}
[[ $target == /* ]] || target=$PWD/$target

export PATH="$tools/bin:$servers/bin:${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

say() { printf '==> %s\n' "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# at_least WANTED FOUND: compares dotted version numbers.
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

# Where Chromium is, or nothing.
find_chromium() {
    local name
    for name in chromium chromium-headless-shell google-chrome google-chrome-stable chromium-browser; do
        command -v "$name" && return
    done
    find "$tools/browsers" -type f \( -name chrome -o -name headless_shell -o -name chrome-headless-shell \) 2>/dev/null | head -n 1
}

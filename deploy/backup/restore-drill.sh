#!/usr/bin/env bash
# Proves that the newest dump in BACKUP_DIR can be restored: into a server of its own under DRILL_DIR, which listens on
# no network and ends with this script. Fails when there is no dump, when it is older than BACKUP_AGE_HOURS_MAX (26),
# damaged or incomplete. Must not run as root: Postgres refuses to.
set -euo pipefail
umask 077

backups=${BACKUP_DIR:?is not set}
work=${DRILL_DIR:?is not set}/drill-$$
age_hours_max=${BACKUP_AGE_HOURS_MAX:-26}

fail() {
    echo "restore drill: $*" >&2
    exit 1
}

newest=$(find "$backups" -maxdepth 1 -name 'rally-*.dump' | sort | tail -n 1)
[ -n "$newest" ] || fail "there is no dump in $backups"
age_hours=$((($(date +%s) - $(stat -c %Y "$newest")) / 3600))
[ "$age_hours" -le "$age_hours_max" ] || fail "the newest dump, ${newest##*/}, is $age_hours hours old"
(cd "$backups" && sha256sum --quiet --check "${newest##*/}.sha256") || fail "${newest##*/} is not what was written"

mkdir -p "$work"
end() {
    pg_ctl --pgdata="$work/data" --mode=immediate stop >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap end EXIT

began=$(date +%s)
initdb --pgdata="$work/data" --username=drill --auth=peer --auth-local=trust --no-sync >/dev/null
pg_ctl --pgdata="$work/data" --log="$work/log" --wait start >/dev/null \
    --options="-c listen_addresses= -c unix_socket_directories='$work' -c fsync=off" || fail "$(tail -n 5 "$work/log")"
export PGHOST=$work PGUSER=drill
createdb restored
pg_restore --exit-on-error --no-owner --no-privileges --dbname=restored "$newest" || fail "${newest##*/} does not restore"

ask() { psql --no-psqlrc --tuples-only --no-align --dbname=restored --command="$1"; }
version=$(ask 'SELECT max(version) FROM refinery_schema_history') || fail "the schema's version is missing"
[ "${version:-0}" -ge 1 ] || fail "the schema's version is missing"
users=$(ask 'SELECT count(*) FROM users') || fail "the users are missing"
matches=$(ask 'SELECT count(*) FROM matches') || fail "the matches are missing"
echo "restore drill: ${newest##*/} restored in $(($(date +%s) - began)) s: schema $version, $users users, $matches matches"

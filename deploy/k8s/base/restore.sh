#!/usr/bin/env bash
# Restores a dump of BACKUP_DIR into the database that RALLY_DATABASE_URL names: the newest, or the one given by name.
# All or nothing. The database must be empty and no node may use it yet: docs/OPERATIONS.md has the whole way.
set -euo pipefail

backups=${BACKUP_DIR:?is not set}
# shellcheck source=deploy/backup/url.sh
. "$(dirname "$0")/url.sh"

fail() {
    echo "restore: $*" >&2
    exit 1
}

dump=${1:-$(find "$backups" -maxdepth 1 -name 'rally-*.dump' -printf '%f\n' | sort | tail -n 1)}
[ -n "$dump" ] || fail "there is no dump in $backups"
[ -f "$backups/$dump" ] || fail "there is no $dump in $backups"
(cd "$backups" && sha256sum --quiet --check "$dump.sha256") || fail "$dump is not what was written"

tables=$(psql --no-psqlrc --tuples-only --no-align --dbname="$url" \
    --command="SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") || fail "the database cannot be reached"
[ "$tables" = 0 ] || fail "the database has $tables tables already: restore into an empty one"

pg_restore --single-transaction --exit-on-error --no-owner --no-privileges --dbname="$url" "$backups/$dump" ||
    fail "$dump does not restore; the database is as it was"
psql --no-psqlrc --quiet --dbname="$url" --command='ANALYZE'
echo "restore: $dump is restored"

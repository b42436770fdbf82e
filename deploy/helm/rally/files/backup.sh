#!/usr/bin/env bash
# Dumps the database into BACKUP_DIR and deletes dumps that are older than BACKUP_KEEP_DAYS (30).
# A dump appears under its name only when it is whole and has been read back. Nothing is deleted when the dump failed.
set -euo pipefail
umask 077

dir=${BACKUP_DIR:?is not set}
keep_days=${BACKUP_KEEP_DAYS:-30}
# shellcheck source=deploy/backup/url.sh
. "$(dirname "$0")/url.sh"

name=rally-$(date -u +%Y%m%dT%H%M%SZ)
part=$dir/.$name.part
trap 'rm -f "$part"' EXIT

pg_dump --format=custom --no-owner --no-privileges --lock-wait-timeout=60s --file="$part" --dbname="$url"
pg_restore --file=/dev/null "$part"
(cd "$dir" && sha256sum "${part##*/}") | sed "s/ .*/  $name.dump/" >"$dir/$name.dump.sha256"
sync "$part" 2>/dev/null || sync
mv "$part" "$dir/$name.dump"

find "$dir" -maxdepth 1 -name 'rally-*.dump*' -mtime "+$keep_days" -delete
echo "backup: $name.dump, $(stat -c %s "$dir/$name.dump") bytes; $(find "$dir" -maxdepth 1 -name 'rally-*.dump' | wc -l) dumps kept"

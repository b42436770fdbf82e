# Sourced by the scripts beside it: sets url to where the database is, from RALLY_DATABASE_URL or the file that
# RALLY_DATABASE_URL_FILE names. Arguments are shown to every process of the machine, so the password goes another way.
# shellcheck shell=bash disable=SC2034
url=${RALLY_DATABASE_URL:-$(cat "${RALLY_DATABASE_URL_FILE:?nor RALLY_DATABASE_URL is set}")}
if [[ $url =~ ^([a-z]+://[^:/@]+):([^@]*)@(.*)$ ]]; then
    url=${BASH_REMATCH[1]}@${BASH_REMATCH[3]}
    PGPASSWORD=$(printf '%b' "${BASH_REMATCH[2]//%/\\x}")
    export PGPASSWORD
fi

# Sourced by the scripts beside it: sets url to where the database is, from RALLY_DATABASE_URL or the file that
# RALLY_DATABASE_URL_FILE names. Arguments are shown to every process of the machine, so the password goes another way.
# shellcheck shell=bash disable=SC2034
url=${RALLY_DATABASE_URL:-$(cat "${RALLY_DATABASE_URL_FILE:?nor RALLY_DATABASE_URL is set}")}
if [[ $url =~ ^([a-z]+://[^:/@]+):([^@]*)@(.*)$ ]]; then
    url=${BASH_REMATCH[1]}@${BASH_REMATCH[3]}
    PGPASSWORD=$(printf '%b' "${BASH_REMATCH[2]//%/\\x}")
    export PGPASSWORD
fi
# Over TLS (sslmode=verify-full in the URL): the same files as the nodes'.
[ -z "${RALLY_DATABASE_CA_FILE:-}" ] || export PGSSLROOTCERT=$RALLY_DATABASE_CA_FILE
[ -z "${RALLY_DATABASE_CERT_FILE:-}" ] || export PGSSLCERT=$RALLY_DATABASE_CERT_FILE
[ -z "${RALLY_DATABASE_KEY_FILE:-}" ] || export PGSSLKEY=$RALLY_DATABASE_KEY_FILE

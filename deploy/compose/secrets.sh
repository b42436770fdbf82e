#!/usr/bin/env bash
# Makes the secrets of docker-compose.yml: new passwords and keys, and a certificate for localhost. What is there
# already stays. Needs openssl.
set -euo pipefail
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
cd secrets

# Others may not enter the folder; within a container another user must be able to read the files.
put() {
    # What is there already stays; whoever writes must not meet a closed pipe.
    if [ -e "$1" ]; then cat >/dev/null; else cat >"$1.new" && chmod 444 "$1.new" && mv "$1.new" "$1"; fi
}
password() { openssl rand -hex 24; }

password | put redis_password
password | put postgres_password
password | put postgres_edge_password
password | put postgres_worker_password
password | put postgres_backup_password
password | put postgres_exporter_password
password | put grafana_password
openssl rand -base64 32 | put cluster_keys
openssl rand -base64 32 | put signing_keys
# A user of Redis and a role of Postgres for each kind of process: ../redis/users.rules, ../postgres/roles.sql.
mkdir -p redis_users
put redis_users/default <redis_password
for user in rally-edge rally-worker rally-operator rally-exporter; do
    password | put "redis_users/$user"
done
../../redis/acl.sh redis_users | put redis_acl
redis() { echo "redis://$1:$(cat "redis_users/$1")@redis:6379"; }
postgres() { echo "postgres://$1:$(cat "$2")@postgres:5432/rally"; }
redis rally-edge | put edge_redis_url
redis rally-worker | put worker_redis_url
postgres rally postgres_password | put database_url
postgres rally_edge postgres_edge_password | put edge_database_url
postgres rally_worker postgres_worker_password | put worker_database_url
postgres rally_backup postgres_backup_password | put backup_database_url
echo "{\"redis://rally-exporter@redis:6379\": \"$(cat redis_users/rally-exporter)\"}" | put redis_exporter
# Where alerts go: fill these in.
echo "https://hooks.slack.com/services/fill-in" | put slack_webhook
echo "fill-in" | put smtp_password

if [ ! -e tls_crt ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout key.pem -out crt.pem 2>/dev/null
    put tls_key <key.pem
    put tls_crt <crt.pem
    rm key.pem crt.pem
fi
echo "secrets are in $PWD"

#!/usr/bin/env bash
# Makes the secrets of docker-compose.yml: new passwords and keys, and a certificate for localhost. What is there
# already stays. Needs openssl.
set -euo pipefail
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
cd secrets

# Others may not enter the folder; within a container another user must be able to read the files.
put() { [ -e "$1" ] || { cat >"$1.new" && chmod 444 "$1.new" && mv "$1.new" "$1"; }; }
password() { openssl rand -hex 24; }

password | put redis_password
password | put postgres_password
password | put grafana_password
openssl rand -base64 32 | put cluster_keys
openssl rand -base64 32 | put signing_keys
echo "redis://:$(cat redis_password)@redis:6379" | put redis_url
echo "postgres://rally:$(cat postgres_password)@postgres:5432/rally" | put database_url
echo "{\"redis://redis:6379\": \"$(cat redis_password)\"}" | put redis_exporter
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

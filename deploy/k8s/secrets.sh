#!/usr/bin/env bash
# Prints the Secrets that the overlay `dev` asks for, with new passwords and keys:
#   deploy/k8s/secrets.sh | kubectl --namespace rally-dev create --filename -
# Run it once: the database keeps the password that it was made with. Needs openssl.
set -euo pipefail

redis=$(openssl rand -hex 24)
postgres=$(openssl rand -hex 24)
cluster=$(openssl rand -base64 32)
signing=$(openssl rand -base64 32)
redis_url=redis://:$redis@rally-redis:6379
database_url=postgres://rally:$postgres@rally-postgres:5432/rally

# secret NAME KEY=VALUE...
secret() {
    printf -- '---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: %s\nstringData:\n' "$1"
    shift
    local pair
    for pair in "$@"; do printf '  %s: "%s"\n' "${pair%%=*}" "${pair#*=}"; done
}

secret rally-redis "password=$redis"
secret rally-postgres "password=$postgres"
secret rally-edge "redis-url=$redis_url" "database-url=$database_url" "cluster-keys=$cluster" "signing-keys=$signing"
secret rally-worker "redis-url=$redis_url" "database-url=$database_url" "cluster-keys=$cluster"
secret rally-migrate "database-url=$database_url"
secret rally-backup "database-url=$database_url"

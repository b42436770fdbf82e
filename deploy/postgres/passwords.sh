#!/usr/bin/env bash
# Gives the roles of roles.sql the passwords that lie in files: rally_edge that in postgres_edge_password, and so on. Runs
# where `psql` reaches the database as who may do that; by docker-compose.yml, when the database is made.
set -euo pipefail

secrets=${SECRETS_DIR:-/run/secrets}
for name in edge worker backup exporter; do
    password=$(cat "$secrets/postgres_${name}_password")
    # By standard input: arguments are shown to every process of the machine.
    echo "ALTER ROLE rally_$name PASSWORD '${password//\'/\'\'}';"
done | psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username="${POSTGRES_USER:-rally}" --dbname="${POSTGRES_DB:-rally}"

#!/usr/bin/env bash
# Prints an ACL file for Redis (`aclfile`, or ACL LOAD): the users of users.rules beside it, and `default` for who looks
# after the server. Their passwords are in files of a folder: default, rally-edge, rally-worker, ...; only hashes are
# printed. Needs sha256sum.
set -euo pipefail

rules=$(dirname "$0")/users.rules
passwords=${1:?a folder with a file for each user, its password in it}

hash_of() {
    [ -s "$passwords/$1" ] || {
        echo "acl: $passwords/$1 is missing or empty" >&2
        exit 1
    }
    printf %s "$(cat "$passwords/$1")" | sha256sum | cut -d ' ' -f 1
}

hash=$(hash_of default)
echo "user default on #$hash ~* &* +@all"
grep -v '^ *\(#\|$\)' "$rules" | while read -r name allowed; do
    hash=$(hash_of "$name")
    echo "user $name on #$hash $allowed"
done

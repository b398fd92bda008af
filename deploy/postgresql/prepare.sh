#!/bin/sh
# Makes the secrets of compose.yaml in the folder `secrets`, each once: what is there stays.
set -eu
umask 077
cd "$(dirname "$0")"

mkdir -p secrets
# The containers' users are not yours, so they must be able to read the files; nobody else gets into the folder.
chmod 700 secrets
for name in bridge automation reader cookie database standby key web token; do
    if [ ! -s "secrets/$name" ]; then
        if [ "$name" = key ]; then
            # As `wx2mqtt cluster new-key` prints it. Whoever has it and the database has your logins; without it
            # every account must be scanned again. Keep a copy elsewhere.
            head -c 32 /dev/urandom | base64 > "secrets/.$name"
        else
            head -c 24 /dev/urandom | base64 | tr '+/' '-_' > "secrets/.$name"
        fi
        mv "secrets/.$name" "secrets/$name"
        echo "made deploy/postgresql/secrets/$name"
    fi
    chmod 644 "secrets/$name"
done

#!/bin/sh
# Makes the passwords of compose.yaml in the folder `secrets`, each once: what is there stays.
set -eu
umask 077
cd "$(dirname "$0")"

mkdir -p secrets
# The containers' users are not yours, so they must be able to read the files; nobody else gets into the folder.
chmod 700 secrets
for name in bridge homeassistant node-red reader device web token; do
    if [ ! -s "secrets/$name" ]; then
        head -c 24 /dev/urandom | base64 | tr '+/' '-_' > "secrets/.$name"
        mv "secrets/.$name" "secrets/$name"
        echo "made deploy/docker/secrets/$name"
    fi
    chmod 644 "secrets/$name"
done

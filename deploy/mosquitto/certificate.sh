#!/bin/sh
# Makes or renews the broker's certificate in this folder: certificate.sh NAME_OR_ADDRESS...
# The first run also makes an authority of your own: ca.crt is for everybody who connects, ca.key for nobody.
# It changes nothing when a step fails. README.md beside this file says where it belongs.
set -eu
[ $# -gt 0 ] || { echo "usage: certificate.sh NAME_OR_ADDRESS..." >&2; exit 2; }
umask 077

if [ ! -e ca.key ]; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=MQTT broker authority" \
        -addext keyUsage=critical,keyCertSign,cRLSign -keyout ca.key.new -out ca.crt
    chmod 644 ca.crt
    mv ca.key.new ca.key
fi

names=
for name in "$@"; do
    case $name in
        *:*) kind=IP ;;
        *[!0-9.]*) kind=DNS ;;
        *) kind=IP ;;
    esac
    names="$names${names:+,}$kind:$name"
done
cat > server.ext <<EOF
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = $names
EOF
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=MQTT broker" \
    -keyout server.key.new -out server.csr
openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -days 397 -extfile server.ext -out server.crt.new
openssl verify -CAfile ca.crt server.crt.new > /dev/null
chgrp mosquitto server.key.new
chmod 640 server.key.new
chmod 644 server.crt.new
mv -f server.key.new server.key
mv -f server.crt.new server.crt
rm -f server.csr server.ext
openssl x509 -in server.crt -noout -enddate

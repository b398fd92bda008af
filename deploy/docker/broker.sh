#!/bin/sh
# Starts mosquitto in its container: passwords from the secrets, rights from ../mosquitto/acl, made anew at each start.
set -eu
umask 077
cd /run/mosquitto

: > wx2mqtt.passwd
for user in bridge homeassistant node-red reader device; do
    if [ -s "/run/secrets/$user" ]; then
        printf '%s:%s\n' "$user" "$(cat "/run/secrets/$user")" >> wx2mqtt.passwd
    fi
done
mosquitto_passwd -U wx2mqtt.passwd # hashes them in their place

sed -e "s#@BASE@#$BASE#g" -e "s#@DISCOVERY@#$DISCOVERY#g" /etc/wx2mqtt/acl > wx2mqtt.acl
sed -e "s#/etc/mosquitto/#/run/mosquitto/#" /etc/wx2mqtt/wx2mqtt.conf > mosquitto.conf
echo "persistence_location /mosquitto/data/" >> mosquitto.conf

exec mosquitto -c mosquitto.conf

#!/bin/sh
# Starts RabbitMQ in its container: users, rights and the cookie of the cluster from the secrets, made anew at each start.
set -eu
umask 077

# The nodes of a cluster know each other by it.
rm -f "$HOME/.erlang.cookie"
cat /run/secrets/cookie > "$HOME/.erlang.cookie"

cp /etc/wx2mqtt/definitions.json /run/rabbitmq/definitions.json
for user in bridge automation reader; do
    sed -i "s#@$user@#$(cat "/run/secrets/$user")#" /run/rabbitmq/definitions.json
done

exec rabbitmq-server

#!/bin/sh
# Starts PostgreSQL in its container. NAME is this server, OTHER the other one (compose.yaml).
#
#   database.sh             starts what is in the volume; with an empty one, the server becomes the standby of OTHER
#   database.sh create      makes the database in an empty volume, and ends: once, on the first server
#   database.sh promote     makes this standby the primary; OTHER must not run. Commits no longer wait for a standby
#   database.sh synchronous lets commits wait for the standby again, as soon as there is one
set -eu
umask 077
data=$PGDATA/server
new=$PGDATA/new
conf=/etc/wx2mqtt/postgresql.conf
PGPASSWORD=$(cat /run/secrets/standby) # local connections need none
export PGPASSWORD

other_is_primary() {
    other="host=$OTHER user=standby dbname=postgres connect_timeout=3"
    [ "$(psql -X -At -d "$other" -c 'SELECT NOT pg_is_in_recovery()' 2> /dev/null)" = t ]
}

superuser() {
    psql -X -q -v ON_ERROR_STOP=1 -U postgres -d postgres "$@"
}

case "${1:-start}" in
create)
    if [ -e "$data" ]; then
        echo "$NAME has a database already" >&2
        exit 1
    fi
    if other_is_primary; then
        echo "$OTHER has a database already: start $NAME without 'create', and it becomes the standby" >&2
        exit 1
    fi
    rm -rf "$new"
    initdb -D "$new" -U postgres -A peer -E UTF8 --locale=C.UTF-8 --data-checksums
    pg_ctl -D "$new" -w -s -o "-c config_file=$conf -c listen_addresses= -c synchronous_standby_names=" start
    WX2MQTT_DATABASE_PASSWORD=$(cat /run/secrets/database) superuser -f /etc/wx2mqtt/role.sql
    printf '%s\n' '\getenv password PGPASSWORD' "CREATE ROLE standby LOGIN REPLICATION PASSWORD :'password';" | superuser
    pg_ctl -D "$new" -w -s stop
    mv "$new" "$data"
    ;;
promote)
    if other_is_primary; then
        echo "$OTHER is the primary: stop it first" >&2
        exit 1
    fi
    superuser -At -c "SELECT pg_promote()" \
        -c "ALTER SYSTEM SET synchronous_standby_names = ''" -c "SELECT pg_reload_conf()"
    ;;
synchronous)
    superuser -At -c "ALTER SYSTEM RESET synchronous_standby_names" -c "SELECT pg_reload_conf()"
    ;;
start)
    if [ ! -e "$data" ]; then
        until other_is_primary; do
            echo "$NAME waits for $OTHER, of which it becomes the standby" >&2
            sleep 2
        done
        rm -rf "$new"
        pg_basebackup -D "$new" -R -X stream -c fast -d "host=$OTHER user=standby"
        # What `promote` has set on the other server is not for this one.
        sed -i '/^synchronous_standby_names/d' "$new/postgresql.auto.conf"
        mv "$new" "$data"
    elif [ ! -e "$data/standby.signal" ] && other_is_primary; then
        # It was the primary, and the standby has been promoted: two primaries must not run.
        echo "$OTHER is the primary now: remove the volume of $NAME, and $NAME becomes its standby" >&2
        exit 1
    fi
    exec postgres -D "$data" -c config_file="$conf" -c cluster_name="$NAME"
    ;;
esac

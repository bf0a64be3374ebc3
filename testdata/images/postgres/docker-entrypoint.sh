#!/usr/bin/env bash
# Starts the server, not as root; where there is no database yet, makes one first and
# runs what is in /docker-entrypoint-initdb.d.
set -Eeo pipefail

if [ "$1" = postgres ] && [ "$(id -u)" = 0 ]; then
	mkdir -p "$PGDATA"
	find "$PGDATA" \! -user postgres -exec chown postgres '{}' +
	exec gosu postgres "$BASH_SOURCE" "$@"
fi

run_sql() { psql -v ON_ERROR_STOP=1 --no-password --no-psqlrc --username postgres "$@"; }

if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
	initdb --username=postgres --pwfile=<(printf '%s\n' "${POSTGRES_PASSWORD:-secret}") \
		--auth-local=trust --auth-host=scram-sha-256 >/dev/null
	echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
	pg_ctl -D "$PGDATA" -o "-c config_file=/etc/postgresql/postgresql.conf -c listen_addresses=''" -w start >/dev/null
	run_sql --dbname postgres -c 'CREATE DATABASE shop'
	for file in /docker-entrypoint-initdb.d/*; do
		echo "$0: running $file"
		case $file in
		*.sh) . "$file" ;;
		*.sql) run_sql --dbname shop -f "$file" ;;
		*.sql.gz) gunzip -c "$file" | run_sql --dbname shop ;;
		esac
	done
	pg_ctl -D "$PGDATA" -m fast -w stop >/dev/null
fi
exec "$@"

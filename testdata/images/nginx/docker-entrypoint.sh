#!/bin/sh
# Runs what is in /docker-entrypoint.d, then the command.
set -e

if [ "$1" = nginx ]; then
	find /docker-entrypoint.d -follow -type f -print | sort -V | while read -r script; do
		case $script in
		*.sh)
			if [ -x "$script" ]; then
				echo "$0: running $script" >&2
				"$script"
			fi
			;;
		esac
	done
fi
exec "$@"

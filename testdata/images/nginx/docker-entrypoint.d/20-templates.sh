#!/bin/bash
# Fills the templates in with the environment.
set -euo pipefail

defined=$(printf '${%s} ' $(env | cut -d= -f1))
for template in /etc/nginx/templates/*.template; do
	envsubst "$defined" <"$template" >"/etc/nginx/conf.d/$(basename "$template" .template)"
done

#!/bin/sh
set -e
touch /etc/nginx/conf.d/.writable && rm /etc/nginx/conf.d/.writable

#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
echo "$TITLE"
awk -F: '$3 == 82 { print "home of " $1 ": " $6 }' /etc/passwd
sha256sum /srv/www/dot.svg | cut -c 1-16

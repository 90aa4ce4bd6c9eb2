#!/bin/sh
# Certificates to develop with: an authority, the cloud, and a device for each NAME; what has a week left stays.
#   docker/certificates.sh [NAME …]      by default those of docker-compose.yml
#   STACK_SECRETS=DIR               where to write them (docker/secrets)
# Real fleets want an authority that renews by itself, and ca.key away from servers and devices: docs/security.md.
set -eu
umask 077
here=$(cd "$(dirname "$0")" && pwd)
out=${STACK_SECRETS:-$here/secrets}
[ $# -gt 0 ] || set -- edge demo edge-1 edge-2 edge-3 prometheus
mkdir -p "$out"
cd "$out"

new() { # NAME DAYS OPTION …: a key on P-256 and its certificate
    name=$1 days=$2
    shift 2
    ! openssl x509 -checkend 604800 -noout -in "$name.crt" > /dev/null 2>&1 || return 0
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days "$days" \
        -keyout "$name.key" -out "$name.crt" "$@" 2> openssl.log || { cat openssl.log >&2; exit 1; }
    rm openssl.log
    echo "$out/$name.crt"
}
leaf() { # NAME OPTION …: a certificate of the authority
    name=$1
    shift
    openssl verify -CAfile ca.crt "$name.crt" > /dev/null 2>&1 || rm -f "$name.crt" # of an authority that is gone
    new "$name" 90 -subj "/CN=$name" -CA ca.crt -CAkey ca.key -addext basicConstraints=critical,CA:FALSE "$@"
}

new ca 3650 -subj "/CN=Splitpoint development"
leaf cloud -addext "subjectAltName=DNS:cloud,DNS:link,DNS:link-1,DNS:link-2,DNS:link-3,DNS:localhost,IP:127.0.0.1"
for device in "$@"; do leaf "$device"; done

# Containers run as user 10001, and engines mount files as they are. root gives the files to that user; anyone
# else lets their own group read them, to which docker-compose.yml adds the containers.
for device in cloud "$@"; do
    if [ "$(id -u)" = 0 ]; then chown 10001:10001 "$device.crt" "$device.key"; else chmod 640 "$device.crt" "$device.key"; fi
done
chmod 644 ca.crt
environment=$here/../.env
if [ "$(id -u)" != 0 ] && ! grep -qs '^STACK_GROUP=' "$environment"; then
    [ -z "$(tail -c 1 "$environment" 2> /dev/null)" ] || echo >> "$environment" # its last line has no end
    echo "STACK_GROUP=$(id -g)" >> "$environment"
    echo "$(cd "$here/.." && pwd)/.env says that containers may read what group $(id -g) may"
fi

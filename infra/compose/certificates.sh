#!/bin/sh
# Makes an authority, and a certificate of it for each server named, where they are missing or end within 30 days. The
# authority's key is not kept: nobody can make a certificate later.
#
#   certificates.sh AUTHORITY_FOLDER SERVER=FOLDER…
set -eu
authority=$1
shift
days=825
soon=$((30 * 24 * 3600))

lasts() { openssl x509 -noout -checkend "$soon" -in "$1" >/dev/null 2>&1; }

all_last() {
  lasts "$authority/ca.crt" || return 1
  for pair; do
    lasts "${pair#*=}/server.crt" && openssl verify -CAfile "$authority/ca.crt" "${pair#*=}/server.crt" >/dev/null 2>&1 || return 1
  done
}

# PostgreSQL takes a key that is root's if only its own group may read it besides.
issue() {
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$1" -keyout "$work/key" -out "$work/request"
  printf 'subjectAltName = DNS:%s\nextendedKeyUsage = serverAuth\n' "$1" >"$work/extensions"
  openssl x509 -req -in "$work/request" -CA "$work/ca.crt" -CAkey "$work/ca.key" -CAcreateserial -days "$days" \
    -extfile "$work/extensions" -out "$2/server.crt"
  chgrp postgres "$work/key"
  chmod 640 "$work/key"
  cp -p "$work/key" "$2/server.key"
}

all_last "$@" && exit
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj '/CN=Readback databases' -days "$days" \
  -addext keyUsage=critical,keyCertSign -keyout "$work/ca.key" -out "$work/ca.crt"
for pair; do issue "${pair%%=*}" "${pair#*=}"; done
# Last: with it, all is there.
cp "$work/ca.crt" "$authority/ca.crt"
chmod 644 "$authority/ca.crt"
echo "Certificates for $days days."

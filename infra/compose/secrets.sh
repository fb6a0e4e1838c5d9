#!/bin/sh
# Makes the passwords of infra/compose.yml, random ones, where there are none yet. They stay in infra/compose/secrets,
# which git ignores, or in the folder given: databases that were set up with them know no others.
set -eu
umask 077
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"

# 192 random bits as hexadecimal digits, which need no escaping in a URL.
password() { od -An -v -tx1 -N24 /dev/urandom | tr -d ' \n'; }

# Readable by all, as the containers' users are others than yours; the folder, which they do not see, is yours alone.
# By way of another name, so that a file is there as a whole or not at all.
keep() {
  [ -s "$folder/$1" ] && return
  printf '%s\n' "$2" >"$folder/.$1"
  chmod 444 "$folder/.$1"
  mv "$folder/.$1" "$folder/$1"
  made=yes
}

# A URL whose server proves by its certificate that it is the one.
url() { echo "postgres://$1:$2@$3:5432/readback?sslmode=verify-full&sslrootcert=/etc/readback/ca.crt"; }

made=no
for server in primary replica-1 replica-2; do
  keep "$server-superuser" "$(password)"
  keep "$server-server" "$(password)"
done
as() { url "$1" "$(cat "$folder/$2-$3")" "$2"; }
keep primary-url "$(as readback_server primary server)"
keep replica-urls "$(as readback_server replica-1 server),$(as readback_server replica-2 server)"
keep primary-admin-url "$(as postgres primary superuser)"
keep replica-admin-urls "$(as postgres replica-1 superuser),$(as postgres replica-2 superuser)"
[ "$made" = no ] || echo "Passwords are in $folder"

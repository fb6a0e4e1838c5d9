#!/bin/sh
# Makes what infra/replica.yml's containers connect with: passwords, random ones, where there are none yet, and the URLs
# with them. PRIMARY_ADMIN_URL gives the primary's; the server gets a login of its own there, which set-up makes.
# $1: a folder for what the replica's superuser has, $2: one for the server's URLs.
set -eu

password() { od -An -v -tx1 -N24 /dev/urandom | tr -d ' \n'; }

# Readable by all in containers that have the folder. By way of another name, so that a file is there as a whole or not.
keep() {
  printf '%s\n' "$2" >"$1.new"
  chmod 444 "$1.new"
  mv "$1.new" "$1"
}

case ${PRIMARY_ADMIN_URL:-} in
postgres://*@* | postgresql://*@*) ;;
*)
  echo 'PRIMARY_ADMIN_URL must be postgres://LOGIN:PASSWORD@HOST:PORT/DATABASE, of a login that may set the primary up.' >&2
  exit 1
  ;;
esac

[ -s "$1/superuser" ] || keep "$1/superuser" "$(password)"
[ -s "$2/server" ] || keep "$2/server" "$(password)"
server=$(cat "$2/server")
# An @ in a password, or in what follows the host, is %40: Readback takes no other.
keep "$2/primary-url" "postgres://readback_server:$server@${PRIMARY_ADMIN_URL##*@}"
keep "$2/replica-urls" "postgres://readback_server:$server@replica:5432/readback"
keep "$1/replica-admin-urls" "postgres://postgres:$(cat "$1/superuser")@replica:5432/readback"

#!/bin/sh
# Makes a bare Debian 12 (debootstrap’s minbase, with systemd and procps, as every machine has them) in the user’s cache, once, from this
# machine’s own Debian mirror. Prints its folder, which is to be laid under an overlay and never written to.
# With --cached it fetches nothing, and fails when the folder is not there.
# Needs root, debootstrap, and apt with its package lists. 60 MB are fetched.
set -eu
[ -n "${LAMPLIGHTER_MAKING:-}" ] || exec sh "$(dirname "$0")/../scripts/cached.sh" debian . "$0" "$@"

# Words of apt's own, not of a shell.
# shellcheck disable=SC2016
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' | head -n 1)
[ -n "$mirror" ] || { echo 'apt knows no bookworm: run apt-get update' >&2; exit 1; }
debootstrap --variant=minbase --include=systemd,procps bookworm "$PWD/made" "$mirror" >&2
rm -rf made/var/cache/apt/archives made/var/lib/apt/lists
chmod 755 made

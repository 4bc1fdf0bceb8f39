#!/bin/sh
# Makes a bare Debian 12 (debootstrap's minbase, with systemd and procps, as every machine has them) in the user's cache, once, from this machine's own Debian mirror. Prints its
# folder, which is to be laid under an overlay and never written to.
# With --cached it fetches nothing, and fails when the folder is not there.
# Needs root, debootstrap, and apt with its package lists. 60 MB are fetched.
set -eu

# Another script makes another folder, so a cache that CI kept from last time is never out of step.
hash=$(sha256sum "$0" | cut -c1-12)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lamplighter
folder=$cache/debian-$hash

if [ -d "$folder" ]; then
  echo "$folder"
  exit 0
fi
[ "${1:-}" != --cached ] || exit 1

mkdir -p "$cache"
work=$(mktemp -d "$cache/debian.XXXXXX")
trap 'rm -rf "$work"' EXIT
# Words of apt's own, not of a shell.
# shellcheck disable=SC2016
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' | head -n 1)
[ -n "$mirror" ] || { echo 'apt knows no bookworm: run apt-get update' >&2; exit 1; }
debootstrap --variant=minbase --include=systemd,procps bookworm "$work/root" "$mirror" >&2
rm -rf "$work/root/var/cache/apt/archives" "$work/root/var/lib/apt/lists"
chmod 755 "$work/root"

if ! mv -T "$work/root" "$folder" 2>/dev/null; then
  [ -d "$folder" ] || { echo "cannot make $folder" >&2; exit 1; }
fi
echo "$folder"

#!/bin/sh
# sh cached.sh NAME PROOF SCRIPT [--cached]: has a script make something once, in the user's cache, and prints its folder. The script runs in
# an empty folder, with LAMPLIGHTER_MAKING set, and leaves what is to be kept in `made`; PROOF is a file of that.
# With --cached nothing is made, and it fails when the folder is not there.
set -eu

name=$1
proof=$2
script=$3
# Another script makes another folder, so a cache that CI kept from last time is never out of step.
hash=$(cat "$script" "$0" | sha256sum | cut -c1-12)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/lamplighter
folder=$cache/$name-$hash

if [ -e "$folder/$proof" ]; then
  echo "$folder"
  exit 0
fi
[ "${4:-}" != --cached ] || exit 1

script=$(realpath "$script")
mkdir -p "$cache"
work=$(mktemp -d "$cache/$name.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir made
LAMPLIGHTER_MAKING=1 sh "$script" >&2

if ! mv -T made "$folder" 2>/dev/null; then
  [ -e "$folder/$proof" ] || { echo "cannot make $folder" >&2; exit 1; }
fi
echo "$folder"

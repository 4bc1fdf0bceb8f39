#!/bin/sh
# Installs the system packages that tests use. `npm start` needs none of them.
# With --missing it only names those that are not there.
set -eu

# command : Debian package
needed='ffmpeg:ffmpeg rtsp-server:rtsp-server-perl openssl:openssl rngtest:rng-tools5 dieharder:dieharder'

missing=''
for pair in $needed; do
  command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
done
[ -n "$missing" ] || exit 0
if [ "${1:-}" = --missing ]; then
  echo "$missing"
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing >/dev/null

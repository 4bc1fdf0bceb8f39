#!/bin/sh
# Installs the system packages that tests use, and fetches the kernel of their virtual machines. `npm start` needs none of them.
# With --missing it only names those that are not there.
set -eu

# command : Debian package
needed='cc:gcc setarch:util-linux unshare:util-linux nsenter:util-linux flock:util-linux mount:mount script:bsdutils
  ffmpeg:ffmpeg rtsp-server-perl:rtsp-server-perl openssl:openssl rngtest:rng-tools5 dieharder:dieharder
  strace:strace swtpm:swtpm tpm2_getrandom:tpm2-tools eb_server_egd:entropybroker ekeyd-egd-linux:ekeyd-egd-linux
  qemu-system-x86_64:qemu-system-x86 v4l2-ctl:v4l-utils xz:xz-utils
  systemctl:systemd systemd-analyze:systemd systemd-notify:systemd setpriv:util-linux python3:python3 curl:curl
  shellcheck:shellcheck pollen:pollen pollinate:pollinate xenstore-read:xenstore-utils
  xenstored:xen-utils-N virt-xml-validate:libvirt-clients libvirtd:libvirt-daemon
  libvirtd:libvirt-daemon-driver-qemu xmllint:libxml2-utils
  chromium:chromium promtool:prometheus mandoc:mandoc man:man-db groff:groff-base zsh:zsh fish:fish
  x86_64-linux-gnu-gcc:gcc aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu x86_64-linux-musl-gcc:musl-tools
  qemu-aarch64:qemu-user readelf:binutils git:git
  lintian:lintian debootstrap:debootstrap dpkg-deb:dpkg x86_64-linux-gnu-strip:binutils ip:iproute2 buildah:buildah'
guest="$(dirname "$0")/guest-kernel.sh"
cloud="$(dirname "$0")/cloud-kernel.sh"

missing=''
for pair in $needed; do
  command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
done
# It brings no command: the C++ library of the Node that runs under qemu.
[ -e /usr/aarch64-linux-gnu/lib/libstdc++.so.6 ] || missing="$missing libstdc++6-arm64-cross"
if [ "${1:-}" = --missing ]; then
  sh "$guest" --cached >/dev/null || missing="$missing guest-kernel"
  sh "$cloud" --cached >/dev/null || missing="$missing cloud-kernel"
  [ -z "$missing" ] || echo "$missing"
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
if [ -n "$missing" ]; then
  apt-get update -qq
  # Its name has the version of Xen in it.
  missing=$(echo "$missing" | sed "s/xen-utils-N/$(apt-cache search --names-only '^xen-utils-[0-9.]*$' | sort -V | tail -n 1 | cut -d' ' -f1)/")
  # shellcheck disable=SC2086
  apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi
sh "$guest" >/dev/null
sh "$cloud" >/dev/null

#!/bin/sh
# Fetches Debian's cloud kernel, the few modules that a guest with virtio-rng and virtio-serial loads, and a static busybox, as
# Debian's signed packages, into the user's cache. Nothing is installed. Prints the folder.
# With --cached it fetches nothing, and fails when the folder is not there.
# Needs apt-get with its package lists, dpkg-deb and xz. 30 MB are fetched.
set -eu
[ -n "${LAMPLIGHTER_MAKING:-}" ] || exec sh "$(dirname "$0")/cached.sh" cloud kernel "$0" "$@"

# In the order in which they are loaded.
modules='virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio-rng virtio_console'

[ "$(uname -m)" = x86_64 ] || { echo 'guests need an x86-64 host' >&2; exit 1; }

mkdir packages made/modules

package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1)
[ -n "$package" ] || { echo 'apt knows no linux-image-cloud-amd64: run apt-get update' >&2; exit 1; }
version=${package#linux-image-}
(cd packages && apt-get download -qq -o APT::Sandbox::User=root "$package" busybox-static >&2)
for deb in packages/*.deb; do dpkg-deb -x "$deb" root; done
# Debian 12 has /bin and /lib/modules in its packages, later ones /usr/bin and /usr/lib/modules.
if [ -e root/usr/bin/busybox ]; then mv root/usr/bin/busybox made/; else mv root/bin/busybox made/; fi
find root -name '*.ko.xz' -exec xz -d {} +
for name in $modules; do
  file=$(find root -name "$name.ko" | head -n 1)
  # What is built in needs no loading.
  if [ -n "$file" ]; then
    cp "$file" made/modules/
    echo "$name" >>made/order
  else
    grep -q "/$name.ko\$" "$(find root -name modules.builtin | head -n 1)" || { echo "$package has no module $name" >&2; exit 1; }
  fi
done
cp "root/boot/vmlinuz-$version" made/kernel
ls packages >made/packages

#!/bin/sh
# Fetches what the guests of the end-to-end tests boot: Debian's full kernel and a static busybox, as Debian's signed
# packages, into the user's cache. Nothing is installed. Prints the folder.
# With --cached it fetches nothing, and fails when the folder is not there.
# Needs apt-get with its package lists, dpkg-deb and xz. 71 MB are fetched, 70 MB stay; takes 8 s beside the download.
set -eu
[ -n "${LAMPLIGHTER_MAKING:-}" ] || exec sh "$(dirname "$0")/cached.sh" guest kernel "$0" "$@"

# Modules that guests load, with all they depend on: the host's files, serial ports and random numbers; a camera; disks and
# networks.
modules='9pnet_virtio 9p overlay virtiofs virtio_pci virtio_console virtio-rng vivid virtio_blk virtio_net e1000
  vmw_vsock_virtio_transport'

[ "$(uname -m)" = x86_64 ] || { echo 'guests need an x86-64 host' >&2; exit 1; }

mkdir packages

package=$(apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1)
[ -n "$package" ] || { echo 'apt knows no linux-image-amd64: run apt-get update' >&2; exit 1; }
version=${package#linux-image-}
(cd packages && apt-get download -qq -o APT::Sandbox::User=root "$package" busybox-static >&2)
for deb in packages/*.deb; do dpkg-deb -x "$deb" root; done
# Debian 12 has /bin and /lib/modules in its packages, later ones /usr/bin and /usr/lib/modules.
if [ -e root/usr/bin/busybox ]; then mv root/usr/bin/busybox made/; else mv root/bin/busybox made/; fi
[ -d root/lib/modules ] || { mkdir -p root/lib; mv root/usr/lib/modules root/lib/; }

# The modules above and, by modules.dep, what they need. Later Debians compress them; the guest's insmod wants them plain.
find root/lib/modules -name '*.ko.xz' -exec xz -d {} +
made/busybox depmod -b root "$version"
all=root/lib/modules/$version
some=made/lib/modules/$version
mkdir -p "$some"
for name in $modules; do
  line=$(grep -E "^[^:]*/$(echo "$name" | sed 's/[-_]/[-_]/g')\.ko:" "$all/modules.dep") ||
    { echo "$package has no module $name" >&2; exit 1; }
  for file in $(echo "$line" | tr -d ':'); do
    mkdir -p "$some/$(dirname "$file")"
    cp "$all/$file" "$some/$file"
  done
done
made/busybox depmod -b made "$version"

# The kernel without its wrapping, which takes an emulated processor three seconds to take off. QEMU starts it by the PVH
# note. Offsets: Linux, Documentation/x86/boot.rst, setup_sects, payload_offset and payload_length.
image=root/boot/vmlinuz-$version
number() { od -An -v "-tu$3" "-j$1" "-N$2" "$image" | tr -d ' '; }
start=$((($(number 497 1 1) + 1) * 512 + $(number 584 4 4)))
length=$(number 588 4 4)
tail -c "+$((start + 1))" "$image" | head -c "$length" >payload
# Four bytes with the length follow what was compressed.
if ! xz -dc --single-stream payload >made/vmlinux 2>/dev/null; then cp "$image" made/vmlinux; fi
mv made/vmlinux made/kernel
ls packages >made/packages

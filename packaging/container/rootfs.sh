#!/bin/sh
# sh rootfs.sh PACKAGE.deb FOLDER: makes the files of the image out of the package and this system's C libraries, and nothing else: no
# shell, no package manager, no set-user-id program. Run as root in a Debian 12 (or later), of the architecture of the package.
set -eu

deb=$1
root=$2
# A number, not a name: an orchestrator that insists on a user other than root looks at numbers. 65532 is what images without a
# distribution use by custom.
user=65532
home=/usr/lib/lamplighter

mkdir -p "$root"
dpkg-deb -x "$deb" "$root"
# For a machine with systemd and people; licences stay.
rm -rf "$root/usr/lib/systemd" "$root/usr/lib/sysusers.d" "$root/usr/lib/tmpfiles.d" "$root/usr/share/man" "$root/usr/share/lintian" \
  "$root/usr/share/bash-completion" "$root/usr/share/zsh" "$root/usr/share/fish" "$root/usr/share/lamplighter"

# What the runtime and the addon are linked with, and the loader itself, by the paths they are asked for.
ldd "$root$home/runtime" "$root$home"/node_modules/@lamplighter/native/dist/*.node |
  sed -n 's/^.*[[:space:]]\(\/[^ ]*\.so[^ ]*\) (0x[0-9a-f]*)$/\1/p' | sort -u | while read -r library; do
  case $library in "$root"*) continue ;; esac
  mkdir -p "$root$(dirname "$library")"
  cp -L "$library" "$root$library"
done
# The image has its licences with it, as it has the libraries.
for package in libc6 libgcc-s1 libstdc++6; do
  mkdir -p "$root/usr/share/doc/$package"
  cp -L "/usr/share/doc/$package/copyright" "$root/usr/share/doc/$package/copyright"
done

# Names of the user and of hosts.
echo "root:x:0:0:root:/root:/sbin/nologin
lamplighter:x:$user:$user:Lamplighter:/var/lib/lamplighter:/sbin/nologin" >"$root/etc/passwd"
echo "root:x:0:
lamplighter:x:$user:" >"$root/etc/group"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"

# Where volumes go; all else stays as it is.
for folder in var/lib/lamplighter var/lib/lamplighter-node run/lamplighter; do
  mkdir -p "$root/$folder"
  chmod 700 "$root/$folder"
  chown "$user:$user" "$root/$folder"
done
mkdir -p "$root/tmp" "$root/proc" "$root/dev" "$root/sys"
chmod 1777 "$root/tmp"
cp "$(dirname "$0")/health.mjs" "$root$home/health.mjs"
chmod 644 "$root$home/health.mjs"
# Built again, the image has the same bytes: nothing is newer than what the package brings.
made=$root/usr/share/doc/lamplighter/copyright
find "$root" -newer "$made" -exec touch -h -r "$made" {} +

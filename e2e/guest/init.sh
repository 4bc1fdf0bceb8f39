#!/bin/sh
# The first program of a guest, in its initramfs: makes a root and becomes the agent in there. The root is the host's, mounted
# read-only with memory laid over it; or this initramfs with copied files in it, for guests whose state shall be saved: QEMU
# cannot save a guest that holds a folder of its host.
# A failure here switches the guest off; the console says what it was.
# GUEST_ROOT (host or copied) and GUEST_SHARE (whether there is a folder to mount on /share) come from the kernel's command line.
set -e
export PATH=/bin
trap 'poweroff -f' EXIT

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
modprobe -a virtio_pci virtio_console virtio-rng 9pnet_virtio 9p overlay

nine_p=trans=virtio,version=9p2000.L,msize=512000
if [ "$GUEST_ROOT" = host ]; then
  mount -t 9p -o $nine_p,cache=loose,ro root /host
  mount -t tmpfs tmpfs /memory
  mkdir /memory/files /memory/work
  mount -t overlay -o lowerdir=/host,upperdir=/memory/files,workdir=/memory/work overlay /machine
  cd /machine
  mkdir -p dev proc sys run tmp root lib/modules
  mount -t tmpfs tmpfs lib/modules
  cp -R /lib/modules/* lib/modules/
  for folder in dev proc sys; do mount --move /$folder $folder; done
fi
mkdir -p dev/pts dev/shm
mount -t devpts devpts dev/pts
mount -t tmpfs tmpfs dev/shm
mount -t tmpfs tmpfs run
if [ -n "$GUEST_SHARE" ]; then
  mkdir -p share
  mount -t 9p -o $nine_p,cache=none share share
fi
ifconfig lo 127.0.0.1 up
hostname guest

mkdir run/guest run/guest/jobs run/guest/home
cp /bin/busybox /agent.sh run/guest/
for applet in modprobe rmmod poweroff; do ln -s busybox run/guest/$applet; done
# Not chroot, in which the kernel makes no user namespaces: guests are machines like any other.
[ "$GUEST_ROOT" = copied ] || exec switch_root . /run/guest/busybox sh /run/guest/agent.sh
/run/guest/busybox --install -s /bin
exec /run/guest/busybox sh /run/guest/agent.sh

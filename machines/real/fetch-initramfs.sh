#!/usr/bin/env bash
# Make an initramfs around Debian's busybox-static for ppc64le; print its path. Needs cpio.
# It goes into the cache folder. The system's own package lists and settings stay as they are.
set -euo pipefail

initramfs=${PEFSTACK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pefstack}/debian/initramfs.cpio
if [[ -s $initramfs ]]; then
    echo "$initramfs"
    exit
fi
. "$(dirname "$0")/debian.sh"
update_lists
fetch_package busybox-static "$work/busybox"
root=$work/initramfs
mkdir -p "$root"/{bin,dev,proc,sys}
busybox=$(find "$work/busybox" -type f -path '*/bin/busybox' | head -n 1)
if [[ -z $busybox ]]; then
    echo "no busybox in the package busybox-static of this Debian" >&2
    exit 1
fi
install -m 755 "$busybox" "$root/bin/busybox"
ln -s busybox "$root/bin/sh"
cat >"$root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox cat /sys/devices/system/cpu/svm
/bin/busybox poweroff -f
INIT
chmod 755 "$root/init"
find "$root" -exec touch --no-dereference --date=@0 {} +
(cd "$root" && find . | LC_ALL=C sort | cpio --quiet --reproducible -o -H newc -R 0:0) >"$initramfs.new"
mv "$initramfs.new" "$initramfs"
echo "$initramfs"

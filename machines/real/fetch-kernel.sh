#!/usr/bin/env bash
# Fetch Debian's ppc64le kernel, an ELF file, for machines/real/p9-real.toml; print its path.
# It goes into the cache folder. The system's own package lists and settings stay as they are.
set -euo pipefail

kernel=${PEFSTACK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pefstack}/debian/vmlinux
if [[ -s $kernel ]]; then
    echo "$kernel"
    exit
fi
. "$(dirname "$0")/debian.sh"
update_lists
package=$(apt-cache "${options[@]}" depends linux-image-powerpc64le |
    awk '/Depends: linux-image-[0-9].*-powerpc64le$/ && !found { print $2; found = 1 }')
if [[ -z $package ]]; then
    echo "no linux-image-powerpc64le in the package lists of this Debian" >&2
    exit 1
fi
fetch_package "$package" "$work/root"
mv "$work"/root/boot/vmlinux-* "$kernel.new"
mv "$kernel.new" "$kernel"
echo "$kernel"

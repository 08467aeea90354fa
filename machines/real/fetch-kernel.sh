#!/usr/bin/env bash
# Fetch Debian's ppc64le kernel, an ELF file, for machines/real/p9-real.toml; print its path.
# It goes into the cache folder. The system's own package lists and settings stay as they are.
set -euo pipefail

cache=${PEFSTACK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pefstack}
kernel=$cache/debian/vmlinux
if [[ -s $kernel ]]; then
    echo "$kernel"
    exit
fi
mkdir -p "$cache/debian"
work=$(mktemp -d "$cache/debian/fetch-XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists/partial,archives/partial,root}
: >"$work/status"
options=(
    -o APT::Architecture=ppc64el
    -o APT::Architectures=ppc64el
    -o APT::Sandbox::User=
    -o Dir::State="$work"
    -o Dir::State::status="$work/status"
    -o Dir::State::Lists="$work/lists"
    -o Dir::Cache="$work"
    -o Acquire::Languages=none
)
# one list of several may fail, as while a mirror is being filled; one with a kernel is enough
apt-get "${options[@]}" update -qq >&2 || true
package=$(apt-cache "${options[@]}" depends linux-image-powerpc64le |
    awk '/Depends: linux-image-[0-9].*-powerpc64le$/ && !found { print $2; found = 1 }')
if [[ -z $package ]]; then
    echo "no linux-image-powerpc64le in the package lists of this Debian" >&2
    exit 1
fi
(cd "$work" && apt-get "${options[@]}" download -qq "$package" >&2)
dpkg-deb --extract "$work/$package"_*.deb "$work/root"
mv "$work"/root/boot/vmlinux-* "$kernel.new"
mv "$kernel.new" "$kernel"
echo "$kernel"

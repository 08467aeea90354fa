# Debian's ppc64el packages on any machine: source this, then `fetch_package NAME FOLDER`.
# The system's own package lists and settings stay as they are. Sets $cache and $work.

cache=${PEFSTACK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pefstack}
mkdir -p "$cache/debian"
work=$(mktemp -d "$cache/debian/fetch-XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists/partial,archives/partial}
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

update_lists() {
    # one list of several may fail, as while a mirror is being filled; one with the package is enough
    apt-get "${options[@]}" update -qq >&2 || true
}

fetch_package() { # NAME FOLDER: its files, unpacked
    (cd "$work" && apt-get "${options[@]}" download -qq "$1" >&2)
    dpkg-deb --extract "$work/$1"_*.deb "$2"
}

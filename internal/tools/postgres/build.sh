#!/usr/bin/env bash
# Fetches PostgreSQL for the tests from the system's package archive and prints
# the folder with initdb and postgres. Nothing is installed: the packages are
# unpacked into a cache outside the tree, by the release of the system and the
# hash of this script.
#
# PostgreSQL refuses to run as root, so root starts it as another user (the test
# helper takes nobody). That user has to reach the folder: root's cache is
# /var/cache, not root's home.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"

fail() {
	echo "postgres: $*" >&2
	echo "postgres: or set COFFER_TEST_POSTGRES to a folder with initdb and postgres of your own" >&2
	exit 1
}

for tool in apt-get apt-cache dpkg-deb; do
	command -v "$tool" >/dev/null || fail "no $tool here: this script needs Debian or a system made from it"
done
# shellcheck source=/dev/null
release="$(. /etc/os-release && echo "$ID-${VERSION_ID:-rolling}")-$(dpkg --print-architecture)"
key="$(sha256sum <"$here/build.sh" | cut -c 1-16)"
cache="${XDG_CACHE_HOME:-$HOME/.cache}"
if [ "$(id -u)" -eq 0 ]; then
	cache=/var/cache
	umask 022
fi
dir="$cache/coffer-test/postgres-$release-$key"
if [ -x "$dir/bin/postgres" ]; then
	echo "$dir/bin"
	exit
fi

echo "fetching PostgreSQL for the tests, once" >&2
work="$dir.$$"
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/debs" "$work/apt/lists/partial" "$work/apt/archives/partial"
# apt's state is our own, so that any user may fetch the archive's index.
cat >"$work/apt.conf" <<END
Dir::State::lists "$work/apt/lists";
Dir::Cache "$work/apt";
APT::Sandbox::User "root";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
END
apt-get -c "$work/apt.conf" -qq update >&2 || echo "postgres: part of the archive's index could not be fetched; going on without it" >&2

# needs START PACKAGE... prints what the packages depend on whose name starts so.
needs() {
	local start="$1"
	shift
	apt-cache -c "$work/apt.conf" depends --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "$@" |
		sed -n "s/^[ |]*\(Pre\)\{0,1\}Depends: \($start[^<>:]*\)\$/\2/p" | sort -u
}

server="$(needs 'postgresql-[0-9]' postgresql)" || true
[ -n "$server" ] || fail "the package archive has no package postgresql"

# The server and every library it needs, except the C library, which has to be
# the system's own, and the compiler of queries, which is large and unused.
packages=("$server")
new=("$server")
while [ "${#new[@]}" -gt 0 ]; do
	libs="$(needs lib "${new[@]}")"
	new=()
	for lib in $libs; do
		case "$lib" in libc6 | libc-bin | libgcc-s1 | libcrypt1 | libllvm*) continue ;; esac
		case " ${packages[*]} " in *" $lib "*) ;; *) new+=("$lib") ;; esac
	done
	[ "${#new[@]}" -eq 0 ] || packages+=("${new[@]}")
done
(cd "$work/debs" && apt-get -c "$work/apt.conf" -qq download "${packages[@]}" >&2) ||
	fail "these packages could not be fetched: ${packages[*]}"
for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$work/root"; done

real="usr/lib/postgresql/${server#postgresql-}/bin"
[ -x "$work/root/$real/postgres" ] || fail "$server holds no $real/postgres"
triplet="$(basename "$(dirname "$(find "$work/root/usr/lib" -name libpq.so.5 -print -quit)")")"
mkdir "$work/bin"
for name in initdb postgres; do
	cat >"$work/bin/$name" <<END
#!/bin/sh
root="\$(dirname "\$0")/../root"
LD_LIBRARY_PATH="\$root/usr/lib/$triplet:\$root/lib/$triplet" exec "\$root/$real/$name" "\$@"
END
	chmod 755 "$work/bin/$name"
done
rm -rf "$work/debs" "$work/apt" "$work/apt.conf"
chmod -R a+rX "$work"
"$work/bin/postgres" --version >&2 || fail "$server does not run here"
# Another run may have been quicker: what it made is as good.
mv -T "$work" "$dir" 2>/dev/null || [ -x "$dir/bin/postgres" ] || fail "cannot write $dir"
echo "$dir/bin"

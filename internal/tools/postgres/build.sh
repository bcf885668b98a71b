#!/usr/bin/env bash
# Fetches PostgreSQL for the tests from the system's package archive and prints
# the folder with initdb and postgres. Nothing is installed: the packages are
# unpacked into a cache outside the tree, by the release of the system and the
# hash of this script and of debian.sh.
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

# shellcheck source=internal/tools/debian.sh
. "$here/../debian.sh"
needs_debian
cache="${XDG_CACHE_HOME:-$HOME/.cache}"
if [ "$(id -u)" -eq 0 ]; then
	cache=/var/cache
	umask 022
fi
dir="$cache/coffer-test/postgres-$(debian_key "$here")"
if [ -x "$dir/bin/postgres" ]; then
	echo "$dir/bin"
	exit
fi

echo "fetching PostgreSQL for the tests, once" >&2
work="$dir.$$"
trap 'rm -rf "$work"' EXIT
apt_index postgres
server="$(needs 'postgresql-[0-9]' postgresql)" || true
[ -n "$server" ] || fail "the package archive has no package postgresql"

unpack "$server"
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
chmod -R a+rX "$work"
"$work/bin/postgres" --version >&2 || fail "$server does not run here"
# Another run may have been quicker: what it made is as good.
mv -T "$work" "$dir" 2>/dev/null || [ -x "$dir/bin/postgres" ] || fail "cannot write $dir"
echo "$dir/bin"

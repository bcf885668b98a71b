#!/bin/sh
# Puts one release of coffer on the path. action.yml runs this; any other CI can.
# What it needs is in the environment:
#
#   COFFER_VERSION   the release: 0.1.0
#   COFFER_SHA256    sum that the list of the release's sums must have; empty: any
#   COFFER_BIN       folder for the program; default: coffer-bin in RUNNER_TEMP
#   COFFER_CACHE     folder that keeps archives for later runs; empty: none;
#                    default: coffer in RUNNER_TOOL_CACHE
#   COFFER_RELEASES  where the releases are; default: GitHub
#
# Nothing is unpacked whose sum does not fit, also not out of the cache.
set -eu
umask 022

fail() {
	echo "install coffer: $*" >&2
	if [ "${GITHUB_ACTIONS:-}" = true ]; then echo "::error title=install coffer::$*"; fi
	exit 1
}

# sum prints the SHA-256 of a file. Not every macOS has sha256sum.
sum() {
	if command -v sha256sum >/dev/null; then sha256sum <"$1"; else shasum -a 256 <"$1"; fi | cut -c 1-64
}

# fetch NAME FILE brings one file of the release.
fetch() {
	code=$(curl --silent --show-error --location --fail --proto '=https' --tlsv1.2 \
		--retry 3 --connect-timeout 20 --max-time 600 --output "$2" --write-out '%{http_code}' "$releases/v$version/$1") && return
	case $code in
	404) fail "there is no $releases/v$version/$1: is $version a release, and are its files there yet?" ;;
	*) fail "$releases/v$version/$1 cannot be fetched (HTTP status $code; curl says more above)" ;;
	esac
}

version=${COFFER_VERSION:-}
version=${version#v}
case $version in
[0-9]*) ;;
*) fail "set the version to that of a release, such as 0.1.0; there is no 'latest'" ;;
esac
case $version in *[!0-9A-Za-z.+-]*) fail "the version has a character that no version has" ;; esac
pinned=${COFFER_SHA256:-}
case $pinned in *[!0-9a-f]*) fail "sha256 is not a sum: 64 digits, small letters" ;; esac
case ${#pinned} in 0 | 64) ;; *) fail "sha256 is not a sum: it has ${#pinned} characters in place of 64" ;; esac
releases=${COFFER_RELEASES:-https://github.com/cofferhq/coffer/releases/download}
bin=${COFFER_BIN:-${RUNNER_TEMP:-}}
[ -n "$bin" ] || fail "COFFER_BIN is not set: name the folder that the program is put into"
[ -n "${COFFER_BIN:-}" ] || bin=$bin/coffer-bin
cache=${COFFER_CACHE-${RUNNER_TOOL_CACHE:+$RUNNER_TOOL_CACHE/coffer}}

case $(uname -s) in
Linux) os=linux ;;
Darwin) os=darwin ;;
*) fail "there is no archive for $(uname -s), only for Linux and macOS" ;;
esac
case $(uname -m) in
x86_64 | amd64) arch=amd64 ;;
aarch64 | arm64) arch=arm64 ;;
*) fail "there is no archive for the processor $(uname -m), only for amd64 and arm64" ;;
esac
archive=coffer_${version}_${os}_${arch}.tar.gz
checksums=coffer_${version}_checksums.txt

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The list of sums: one that is kept serves only where it is pinned.
if [ -n "$pinned" ] && [ -n "$cache" ] && [ -f "$cache/$checksums" ] && [ "$(sum "$cache/$checksums")" = "$pinned" ]; then
	cp "$cache/$checksums" "$work/$checksums"
else
	fetch "$checksums" "$work/$checksums"
fi
if [ -n "$pinned" ] && [ "$(sum "$work/$checksums")" != "$pinned" ]; then
	fail "$checksums has the sum $(sum "$work/$checksums"), and sha256 demands $pinned: the release was changed, or sha256 is of another version. Nothing was installed"
fi
wanted=$(awk -v name="$archive" '$2 == name || $2 == "*" name { print $1 }' "$work/$checksums")
case $wanted in *[!0-9a-f]*) wanted= ;; esac # two lines, or no sum
[ ${#wanted} -eq 64 ] || fail "$checksums does not have one sum for $archive. Nothing was installed"

if [ -n "$cache" ] && [ -f "$cache/$archive" ] && [ "$(sum "$cache/$archive")" = "$wanted" ]; then
	cp "$cache/$archive" "$work/$archive"
else
	fetch "$archive" "$work/$archive"
fi
if [ "$(sum "$work/$archive")" != "$wanted" ]; then
	fail "$archive has the sum $(sum "$work/$archive"), and $checksums says $wanted: it was changed on the way, or in the release. Nothing was installed"
fi

tar -xzf "$work/$archive" -C "$work" coffer || fail "$archive holds no program 'coffer'"
if [ ! -f "$work/coffer" ] || [ -L "$work/coffer" ]; then fail "'coffer' in $archive is not a file"; fi
mkdir -p "$bin"
chmod 755 "$work/coffer"
mv -f "$work/coffer" "$bin/coffer"
if [ -n "${GITHUB_PATH:-}" ]; then echo "$bin" >>"$GITHUB_PATH"; fi

# A cache that cannot be written is none.
if [ -n "$cache" ] && mkdir -p "$cache" 2>/dev/null && kept=$(mktemp -d "$cache/.new-XXXXXX" 2>/dev/null); then
	for f in "$checksums" "$archive"; do
		cp "$work/$f" "$kept/$f" && mv -f "$kept/$f" "$cache/$f"
	done
	rm -rf "$kept"
fi
echo "coffer $version for $os/$arch is in $bin"

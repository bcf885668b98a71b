#!/usr/bin/env bash
# Fetches a headless Chromium for the tests from the system's package archive and
# prints the path of the program. Nothing is installed: the packages are unpacked
# into a cache outside the tree, by the release of the system and the hash of this
# script.
#
# The program comes with its own libraries and one family of fonts, so that pages
# and screenshots look the same on every machine. It starts without Chromium's
# sandbox, which needs rights that a container does not give: it is for our own
# pages, from files.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"

fail() {
	echo "chromium: $*" >&2
	echo "chromium: or set COFFER_TEST_CHROMIUM to a chromium, chrome or headless shell of your own" >&2
	exit 1
}

for tool in apt-get apt-cache dpkg-deb; do
	command -v "$tool" >/dev/null || fail "no $tool here: this script needs Debian or a system made from it"
done
# shellcheck source=/dev/null
release="$(. /etc/os-release && echo "$ID-${VERSION_ID:-rolling}")-$(dpkg --print-architecture)"
key="$(sha256sum <"$here/build.sh" | cut -c 1-16)"
dir="${XDG_CACHE_HOME:-$HOME/.cache}/coffer-test/chromium-$release-$key"
if [ -x "$dir/chromium" ]; then
	echo "$dir/chromium"
	exit
fi

echo "fetching Chromium for the tests, once" >&2
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
apt-get -c "$work/apt.conf" -qq update >&2 || echo "chromium: part of the archive's index could not be fetched; going on without it" >&2

# needs PACKAGE... prints the libraries that the packages depend on.
needs() {
	apt-cache -c "$work/apt.conf" depends --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "$@" |
		sed -n 's/^[ |]*\(Pre\)\{0,1\}Depends: \(lib[^<>:]*\)$/\2/p' | sort -u
}

# The program, its data, a font, and every library, except the C library, which
# has to be the system's own.
packages=(chromium-headless-shell chromium-common fonts-dejavu-core)
new=("${packages[@]}")
while [ "${#new[@]}" -gt 0 ]; do
	libs="$(needs "${new[@]}")" || fail "the package archive has no package ${new[*]}"
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

real="$(find "$work/root/usr/lib/chromium" -name 'chromium-headless-shell' -o -name headless_shell | head -n 1)"
[ -n "$real" ] || fail "chromium-headless-shell holds no headless shell"
real="${real#"$work/root/"}"
# Some libraries lie in folders of their own.
folders="$(cd "$work/root" && find . -name '*.so*' -printf '%h\n' | sort -u | sed 's|^\.|$root|' | paste -s -d :)"
cat >"$work/chromium" <<END
#!/bin/sh
dir="\$(dirname "\$0")"
root="\$dir/root"
export LD_LIBRARY_PATH="$folders"
export FONTCONFIG_FILE="\$dir/fonts.conf"
exec "\$root/$real" --no-sandbox --disable-gpu --disable-dev-shm-usage "\$@"
END
cat >"$work/fonts.conf" <<'END'
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
  <dir prefix="relative">root/usr/share/fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
  <alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
  <alias><family>sans-serif</family><prefer><family>DejaVu Sans</family></prefer></alias>
</fontconfig>
END
chmod 755 "$work/chromium"
rm -rf "$work/debs" "$work/apt" "$work/apt.conf"
"$work/chromium" --version >&2 || fail "the headless shell does not run here"
# Another run may have been quicker: what it made is as good.
mv -T "$work" "$dir" 2>/dev/null || [ -x "$dir/chromium" ] || fail "cannot write $dir"
echo "$dir/chromium"

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

# shellcheck source=internal/tools/debian.sh
. "$here/../debian.sh"
needs_debian
dir="${XDG_CACHE_HOME:-$HOME/.cache}/coffer-test/chromium-$(debian_key "$here")"
if [ -x "$dir/chromium" ]; then
	echo "$dir/chromium"
	exit
fi

echo "fetching Chromium for the tests, once" >&2
work="$dir.$$"
trap 'rm -rf "$work"' EXIT
apt_index chromium
unpack chromium-headless-shell chromium-common fonts-dejavu-core
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
"$work/chromium" --version >&2 || fail "the headless shell does not run here"
# Another run may have been quicker: what it made is as good.
mv -T "$work" "$dir" 2>/dev/null || [ -x "$dir/chromium" ] || fail "cannot write $dir"
echo "$dir/chromium"

#!/usr/bin/env bash
# Installs azurite, the Azure Blob Storage server of the tests, at the versions
# of the package-lock.json beside this script, and prints the command that starts
# it. It is kept in a cache outside the tree, by the hash of that file. The
# registry is the one that npm is set up for: the lock file names none (.npmrc).
set -euo pipefail
cd "$(dirname "$0")"

hash() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }

for tool in node npm; do
	if ! command -v "$tool" >/dev/null; then
		echo "azurite: no $tool here: install Node.js 20 or later with npm" >&2
		exit 1
	fi
done
key="$(cat package.json package-lock.json build.sh | hash | cut -c 1-16)"
dir="${XDG_CACHE_HOME:-$HOME/.cache}/coffer-test/azurite-$key"
if [ ! -x "$dir/azurite-blob" ]; then
	echo "installing azurite for the tests, once" >&2
	# Every run installs into a folder of its own; the command, moved into place
	# last, says which one counts.
	install="$dir/install.$$"
	mkdir -p "$install"
	cp package.json package-lock.json .npmrc "$install"
	(cd "$install" && npm ci --ignore-scripts --no-audit --no-fund >&2)
	cat >"$dir/azurite-blob.$$" <<END
#!/bin/sh
exec node "\$(dirname "\$0")/install.$$/node_modules/azurite/dist/src/blob/main.js" "\$@"
END
	chmod 755 "$dir/azurite-blob.$$"
	mv "$dir/azurite-blob.$$" "$dir/azurite-blob"
fi
echo "$dir/azurite-blob"

# Packages of the system's archive for the tests, unpacked and not installed: any
# user may fetch them. Sourced by the build.sh of such a tool, which defines fail,
# and work where it unpacks.

# needs_debian ends the run where there is no such archive.
needs_debian() {
	local tool
	for tool in apt-get apt-cache dpkg-deb; do
		command -v "$tool" >/dev/null || fail "no $tool here: this script needs Debian or a system made from it"
	done
}

# debian_key HERE names the system's release and the content of the scripts, which
# decide together what is fetched.
debian_key() {
	local release
	# shellcheck source=/dev/null
	release="$(. /etc/os-release && echo "$ID-${VERSION_ID:-rolling}")-$(dpkg --print-architecture)"
	echo "$release-$(cat "$1/build.sh" "$1/../debian.sh" | sha256sum | cut -c 1-16)"
}

# apt_index NAME makes an apt of our own below work: its state, and the archive's
# index.
apt_index() {
	mkdir -p "$work/debs" "$work/apt/lists/partial" "$work/apt/archives/partial"
	cat >"$work/apt.conf" <<END
Dir::State::lists "$work/apt/lists";
Dir::Cache "$work/apt";
APT::Sandbox::User "root";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
END
	apt-get -c "$work/apt.conf" -qq update >&2 || echo "$1: part of the archive's index could not be fetched; going on without it" >&2
}

# needs START PACKAGE... prints what the packages depend on whose name starts so.
needs() {
	local start="$1"
	shift
	apt-cache -c "$work/apt.conf" depends --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "$@" |
		sed -n "s/^[ |]*\(Pre\)\{0,1\}Depends: \($start[^<>:]*\)\$/\2/p" | sort -u
}

# unpack PACKAGE... unpacks the packages into work/root, with every library that
# they need but the C library, which has to be the system's own, and the compiler
# of PostgreSQL's queries, which is large and unused.
unpack() {
	local packages=("$@") new=("$@") libs lib deb
	while [ "${#new[@]}" -gt 0 ]; do
		libs="$(needs lib "${new[@]}")" || fail "the package archive has no package ${new[*]}"
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
	rm -rf "$work/debs" "$work/apt" "$work/apt.conf"
}

#!/usr/bin/env bash
# A nats-server >= 2.14: the one on PATH, else Debian's of suite forky, unpacked (not installed) into .tools/.
# Prints nothing when one is already there. Exit 1 with one line of advice when none is to be had.
set -euo pipefail
cd "$(dirname "$0")/../.."
tools=$PWD/.tools
new_enough() { # BINARY: at least 2.14?
  local v; v=$("$1" --version 2>/dev/null | sed -n 's/.*v\([0-9]*\)\.\([0-9]*\).*/\1 \2/p') || return 1
  [ -n "$v" ] && [ "${v% *}" -ge 2 ] && { [ "${v% *}" -gt 2 ] || [ "${v#* }" -ge 14 ]; }
}
if new_enough nats-server || new_enough "$tools/nats-server"; then exit 0; fi

advice() { echo "no nats-server >= 2.14: put one on PATH (https://nats.io/download), then run make again ($1)" >&2; exit 1; }
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || advice "this machine has no apt to fetch Debian's with"
mirror=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/*.sources 2>/dev/null | head -1)
[ -n "$mirror" ] || mirror=$(sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p' /etc/apt/sources.list 2>/dev/null | head -1)
[ -n "$mirror" ] || advice "no apt mirror is configured"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r "$keyring" ] || advice "Debian's archive keyring is missing"

# A private apt: own source list, own state; the host's stay untouched and no root is needed.
apt=$tools/apt; mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
echo "deb [signed-by=$keyring] $mirror forky main" > "$apt/sources.list"
options=(-qq -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State="$apt" -o Dir::State::lists="$apt/lists"
  -o Dir::State::status=/dev/null -o Dir::Cache="$apt/cache" -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none -o Acquire::Retries=3)
echo "fetching nats-server from Debian forky into .tools/ ..."
apt-get "${options[@]}" update >&2 || advice "the apt mirror has no suite forky or can't be reached"
rm -f "$apt"/nats-server_*.deb
(cd "$apt" && apt-get "${options[@]}" download nats-server >&2) || advice "Debian forky has no nats-server for this machine"
rm -rf "$tools/unpacked"; dpkg-deb -x "$apt"/nats-server_*.deb "$tools/unpacked"
install -m 755 "$(find "$tools/unpacked" -name nats-server -type f -perm -u+x | head -1)" "$tools/nats-server"
rm -rf "$tools/unpacked" "$apt"
new_enough "$tools/nats-server" || advice "the one unpacked from Debian is too old"
"$tools/nats-server" --version

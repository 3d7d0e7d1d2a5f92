#!/usr/bin/env bash
# Fetches Chromium without a window, in which the status page is tested: the Debian package with the libraries and the fonts it needs, downloaded by apt-get
# and unpacked into a folder of its own. Nothing is installed on the machine, nothing starts, and no root is needed.
#
# Usage: scripts/install-chromium.sh           prints the program that starts it
#        scripts/install-chromium.sh --check   fetches nothing: is it there?
# Folder: $CHROMIUM_DIR, default ${XDG_CACHE_HOME:-~/.cache}/devo-proofpoint-tap-collector/chromium. To start anew, delete it.
# Exit: 0 it is there, 1 something failed, 3 this machine has no apt-get.
set -euo pipefail

packages='chromium-headless-shell fonts-dejavu-core fontconfig-config'

folder=${CHROMIUM_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/devo-proofpoint-tap-collector/chromium}
root=$folder/root
program=$folder/chromium
# What is there belongs to these packages and this release of the system; anything else is fetched anew.
wanted="$packages $(. /etc/os-release 2>/dev/null && echo "${ID:-} ${VERSION_ID:-}" || true)"

complete() { [[ -f $folder/complete && $(<"$folder/complete") == "$wanted" && -x $program ]]; }

if complete; then
  echo "$program"
  exit 0
fi
if [[ ${1:-} == --check ]]; then
  echo 'chromium: not fetched yet; run scripts/install-chromium.sh' >&2
  exit 1
fi

mkdir -p "$folder"
exec 9>"$folder/lock"
! command -v flock >/dev/null || flock 9
if complete; then
  echo "$program"
  exit 0
fi

bash "$(dirname "$0")/fetch-debs.sh" chromium "$folder" "$packages"

# Libraries and fonts from the folder, where the machine lacks them.
cat >"$folder/fonts.conf" <<XML
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>$root/usr/share/fonts</dir><cachedir>$folder/fonts</cachedir></fontconfig>
XML
binary=$(find "$root/usr/lib" -type f -name chromium-headless-shell)
libraries=$(find "$root" -name '*.so*' -not -path "$root/usr/lib/chromium/*" -printf '%h\n' | sort -u | paste -sd:)
cat >"$program" <<SH
#!/bin/sh
LD_LIBRARY_PATH="$libraries" FONTCONFIG_FILE="$folder/fonts.conf" exec "$binary" "\$@"
SH
chmod +x "$program"
"$program" --version >&2 || { echo "chromium: it does not start; something is missing below $root" >&2; exit 1; }
printf '%s\n' "$wanted" >"$folder/complete"
echo "$program"

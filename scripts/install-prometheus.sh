#!/usr/bin/env bash
# Fetches Prometheus and its promtool, with which the alerts are checked and a real scrape is made: the Debian package, downloaded by apt-get and unpacked
# into a folder of its own. Nothing is installed on the machine, nothing starts, and no root is needed.
#
# Usage: scripts/install-prometheus.sh           prints the folder with both programs
#        scripts/install-prometheus.sh --check   fetches nothing: are they there?
# Folder: $PROMETHEUS_DIR, default ${XDG_CACHE_HOME:-~/.cache}/devo-proofpoint-tap-collector/prometheus. To start anew, delete it.
# Exit: 0 they are there, 1 something failed, 3 this machine has no apt-get.
set -euo pipefail

folder=${PROMETHEUS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/devo-proofpoint-tap-collector/prometheus}
programs=$folder/root/usr/bin

complete() { [[ -f $folder/complete && -x $programs/prometheus && -x $programs/promtool ]]; }

if complete; then
  echo "$programs"
  exit 0
fi
if [[ ${1:-} == --check ]]; then
  echo "prometheus: not fetched yet; run scripts/install-prometheus.sh" >&2
  exit 1
fi
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
  echo "prometheus: this machine has no apt-get; the tests of the alerts need a Debian or Ubuntu (a container will do)" >&2
  exit 3
fi

mkdir -p "$folder"
exec 9>"$folder/lock"
flock 9
if complete; then
  echo "$programs"
  exit 0
fi
rm -rf "$folder/root" "$folder/complete" "$folder/apt"
mkdir -p "$folder/root" "$folder/apt/lists/partial" "$folder/apt/archives/partial"

# Lists and archives of its own: the machine’s stay as they are, and need not be there.
apt=(apt-get -qq -o "Dir::State::Lists=$folder/apt/lists" -o "Dir::Cache=$folder/apt" -o "Dir::Cache::Archives=archives/"
  -o Debug::NoLocking=1 -o APT::Sandbox::User=root -o Acquire::Retries=3 -o Dpkg::Use-Pty=0)

echo "prometheus: fetching into $folder" >&2
# A repository of no concern here may be down; what is really missing fails below.
"${apt[@]}" update >&2 || echo "prometheus: not every package list could be read" >&2
# The package alone: both programs are static, and what it depends on is for its console and its service.
(cd "$folder/apt/archives" && "${apt[@]}" download prometheus >&2)
for package in "$folder"/apt/archives/*.deb; do
  dpkg-deb --extract "$package" "$folder/root"
done
rm -rf "$folder/apt"
touch "$folder/complete"

complete || { rm -f "$folder/complete"; echo "prometheus: something is missing below $folder/root" >&2; exit 1; }
echo "$programs"

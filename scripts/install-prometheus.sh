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

mkdir -p "$folder"
exec 9>"$folder/lock"
! command -v flock >/dev/null || flock 9
if complete; then
  echo "$programs"
  exit 0
fi

# The package alone: both programs are static, and what it depends on is for its console and its service.
bash "$(dirname "$0")/fetch-debs.sh" --alone prometheus "$folder" prometheus
touch "$folder/complete"

complete || { rm -f "$folder/complete"; echo "prometheus: something is missing below $folder/root" >&2; exit 1; }
echo "$programs"

#!/usr/bin/env bash
# Brings the Node versions that the executable is tested on, beside the one of the checkout, from the npm registry into a folder of its own. Nothing is
# installed on the machine.
#
# Usage: scripts/install-nodes.sh           prints the folder, which has a folder for each version
#        scripts/install-nodes.sh --check   downloads nothing: are they there?
# Folder: $NODES_DIR, default ${XDG_CACHE_HOME:-~/.cache}/devo-proofpoint-tap-collector/nodes. To start anew, delete it.
# Exit: 0 they are there, 1 something failed.
set -euo pipefail

# One that is too old, the oldest that will do, the last of its line, and a newer one than the checkout's.
versions='20.20.2 22.19.0 22.23.3 26.10.0'

folder=${NODES_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/devo-proofpoint-tap-collector/nodes}
missing=''
for version in $versions; do
  [[ -x $folder/$version/node_modules/node/bin/node ]] || missing="$missing $version"
done
if [[ -n $missing && ${1:-} == --check ]]; then
  echo "Node$missing: not there yet; run scripts/install-nodes.sh" >&2
  exit 1
fi

fetch() {
  fresh=$(mktemp -d "$folder/fetching.XXXXXX")
  trap 'rm -rf "$fresh"' EXIT
  npm install --prefix "$fresh" --no-audit --no-fund --silent "node@$1"
  # Whoever is second finds it done.
  mv -T "$fresh" "$folder/$1" 2>/dev/null || [[ -x $folder/$1/node_modules/node/bin/node ]]
}

mkdir -p "$folder"
fetching=''
for version in $missing; do
  (fetch "$version") &
  fetching="$fetching $!"
done
for one in $fetching; do wait "$one"; done
echo "$folder"

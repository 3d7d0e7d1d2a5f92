#!/usr/bin/env bash
# Builds the Versity S3 Gateway, which the tests of the output s3 run against, from the Go module proxy into a folder of its own. Nothing is installed on
# the machine, nothing starts, and no root is needed.
#
# Usage: scripts/install-versitygw.sh           prints the program
#        scripts/install-versitygw.sh --check   builds nothing: is it there?
# Folder: $VERSITYGW_DIR, default ${XDG_CACHE_HOME:-~/.cache}/devo-proofpoint-tap-collector/versitygw. To start anew, delete it.
# Exit: 0 it is there, 1 something failed, 3 this machine lacks Go.
set -euo pipefail

version=1.8.0

folder=${VERSITYGW_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/devo-proofpoint-tap-collector/versitygw}
program=$folder/$version/versitygw

if [[ -x $program ]]; then
  echo "$program"
  exit 0
fi
if [[ ${1:-} == --check ]]; then
  echo 'versitygw: not built yet; run scripts/install-versitygw.sh' >&2
  exit 1
fi
if ! command -v go >/dev/null; then
  echo 'versitygw: this machine has no Go to build it with' >&2
  exit 3
fi

mkdir -p "$folder"
# One at a time; the others find it done. Where there is no flock, the last of them wins.
if command -v flock >/dev/null; then
  exec 9>"$folder/lock"
  flock 9
  if [[ -x $program ]]; then
    echo "$program"
    exit 0
  fi
fi

fresh=$(mktemp -d "$folder/building.XXXXXX")
trap 'rm -rf "$fresh"' EXIT
echo "versitygw: building version $version" >&2
# Its checksums are those of Go's public log, which `go` compares by itself. Without debugging symbols, and with the Go that is there.
GOBIN=$fresh GOTOOLCHAIN=local GOFLAGS='' GOGC=400 go install -trimpath -ldflags='-s -w' "github.com/versity/versitygw/cmd/versitygw@v$version" >&2
mkdir -p "$(dirname "$program")"
mv "$fresh/versitygw" "$program"
echo "$program"

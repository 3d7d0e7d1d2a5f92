#!/usr/bin/env bash
# Fetches a program of Java that tests run against, with Maven: its jars, into a folder of their own. Nothing is installed on the machine, nothing
# starts, and no root is needed. For the install scripts beside it.
#
# Usage: scripts/fetch-jars.sh [--check] NAME TITLE VERSION GROUP:ARTIFACT:VERSION...
#   prints the folder of the jars. --check fetches nothing: can it be started with what is there?
# Folder: ${NAME}_JARS_DIR in capital letters, default ${XDG_CACHE_HOME:-~/.cache}/devo-proofpoint-tap-collector/NAME. To start anew, delete it.
# Exit: 0 everything is there, 1 something failed, 3 this machine lacks Java 17 or Maven.
set -euo pipefail

check=false
if [[ ${1:-} == --check ]]; then
  check=true
  shift
fi
name=$1 title=$2 version=$3
shift 3

variable=${name^^}_JARS_DIR
folder=${!variable:-${XDG_CACHE_HOME:-$HOME/.cache}/devo-proofpoint-tap-collector/$name}
jars=$folder/$version
# The last to be written, and it names all that was brought.
stamp=$jars/complete

complete() {
  [[ -s $stamp ]] || return 1
  local jar
  while read -r jar; do [[ -s $jars/$jar ]] || return 1; done <"$stamp"
}

java_version=$(java -version 2>&1 | sed -nE '1s/.*version "(1\.)?([0-9]+).*/\2/p' || true)
if ((${java_version:-0} < 17)); then
  echo "$name: $title needs Java 17 or later on the PATH; this machine has ${java_version:-none}" >&2
  exit 3
fi
if complete; then
  echo "$jars"
  exit 0
fi
if $check; then
  echo "$name: not fetched yet; run scripts/install-$name.sh" >&2
  exit 1
fi
if ! command -v mvn >/dev/null; then
  echo "$name: this machine has no Maven (mvn) to fetch $title with" >&2
  exit 3
fi

mkdir -p "$folder"
# One at a time; the others find it done. Where there is no flock, the last of them wins.
if command -v flock >/dev/null; then
  exec 9>"$folder/lock"
  flock 9
  if complete; then
    echo "$jars"
    exit 0
  fi
fi

fresh=$(mktemp -d "$folder/fetching.XXXXXX")
trap 'rm -rf "$fresh"' EXIT
{
  echo "<project><modelVersion>4.0.0</modelVersion><groupId>tests</groupId><artifactId>$name</artifactId><version>1</version><dependencies>"
  for coordinate in "$@"; do
    IFS=: read -r group artifact wanted <<<"$coordinate"
    echo "<dependency><groupId>$group</groupId><artifactId>$artifact</artifactId><version>$wanted</version></dependency>"
  done
  echo '</dependencies></project>'
} >"$fresh/pom.xml"
echo "$name: fetching $title $version into $jars" >&2
# --strict-checksums: what does not match its checksum is an error, not a warning. From a folder of its own, for Maven reads what lies
# where it is called.
(cd "$fresh" && mvn --quiet --batch-mode --strict-checksums dependency:copy-dependencies "-DoutputDirectory=$fresh/jars") 9>&- >&2
(cd "$fresh/jars" && ls -- *.jar) >"$fresh/complete"
for coordinate in "$@"; do
  IFS=: read -r _ artifact wanted <<<"$coordinate"
  grep -qx "$artifact-$wanted.jar" "$fresh/complete" || { echo "$name: Maven brought no $artifact" >&2; exit 1; }
done
mv "$fresh/complete" "$fresh/jars/complete"
rm -rf "$jars"
mv "$fresh/jars" "$jars"

complete || { echo "$name: something is missing in $jars" >&2; exit 1; }
echo "$jars"

#!/usr/bin/env bash
# Fetches Debian packages that tests run against and unpacks them below FOLDER/root: nothing is installed on the machine, nothing starts, packages that
# exclude each other may stand side by side, and no root is needed. For the install scripts beside it, which hold the lock of the folder.
#
# Usage: scripts/fetch-debs.sh [--alone] NAME FOLDER GROUP...
#   Each GROUP is a list of packages that are resolved together. --alone: without what they depend on.
# Exit: 0 all is unpacked, 1 something failed, 3 this machine has no apt-get.
set -euo pipefail

alone=false
if [[ $1 == --alone ]]; then
  alone=true
  shift
fi
name=$1 folder=$2
shift 2

if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
  echo "$name: this machine has no apt-get; the tests that need it run on Debian or Ubuntu (a container will do)" >&2
  exit 3
fi

root=$folder/root
rm -rf "$root" "$folder/complete" "$folder/apt"
mkdir -p "$root" "$folder/apt/lists/partial" "$folder/apt/archives/partial"

# Lists and archives of its own: the machine's stay as they are, and need not be there.
apt=(apt-get -qq -o "Dir::State::Lists=$folder/apt/lists" -o "Dir::Cache=$folder/apt" -o "Dir::Cache::Archives=archives/"
  -o Debug::NoLocking=1 -o APT::Sandbox::User=root -o Acquire::Retries=3 -o Dpkg::Use-Pty=0)

echo "$name: fetching into $folder" >&2
# A repository of no concern here may be down; what is really missing fails below.
"${apt[@]}" update >&2 || echo "$name: not every package list could be read" >&2
for group in "$@"; do
  # shellcheck disable=SC2086 -- the group is a list of words
  if $alone; then
    (cd "$folder/apt/archives" && "${apt[@]}" download $group >&2)
  else
    "${apt[@]}" install --yes --no-install-recommends --download-only --reinstall $group >&2
  fi
done
for package in "$folder"/apt/archives/*.deb; do
  dpkg-deb --extract "$package" "$root"
done
rm -rf "$folder/apt"

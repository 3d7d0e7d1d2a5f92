#!/usr/bin/env bash
# Fetches OpenSearch, which the tests of the output http run against: its server's jars, by Maven (43 MB), into a folder of their own. Nothing is
# installed on the machine, nothing starts, and no root is needed. It runs on a JDK 17 or later.
#
# Usage: scripts/install-opensearch.sh           prints the folder of the jars
#        scripts/install-opensearch.sh --check   fetches nothing: can it be started with what is there?
# Folder: $OPENSEARCH_JARS_DIR, default ${XDG_CACHE_HOME:-~/.cache}/devo-proofpoint-tap-collector/opensearch. To start anew, delete it.
# Exit: 0 everything is there, 1 something failed, 3 this machine lacks a JDK 17 or Maven.
set -euo pipefail

version=2.19.3

# The tests start it by a small program of their own, which is compiled when it starts.
if ! command -v javac >/dev/null; then
  echo 'opensearch: this machine has no Java compiler (a JDK 17 or later)' >&2
  exit 3
fi

exec bash "$(dirname "$0")/fetch-jars.sh" "$@" opensearch OpenSearch "$version" "org.opensearch:opensearch:$version" \
  "org.opensearch.plugin:transport-netty4-client:$version" org.apache.logging.log4j:log4j-core:2.21.0

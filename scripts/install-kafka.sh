#!/usr/bin/env bash
# Fetches Apache Kafka, which the tests of the Kafka buffer run against: its jars, by Maven, into a folder of their own. Nothing is
# installed on the machine, nothing starts, and no root is needed. They run on Java 17 or later.
#
# Usage: scripts/install-kafka.sh           prints the folder of the jars
#        scripts/install-kafka.sh --check   fetches nothing: can a broker be started with what is there?
# Folder: $KAFKA_JARS_DIR, default ${XDG_CACHE_HOME:-~/.cache}/devo-proofpoint-tap-collector/kafka. To start anew, delete it.
# Where KAFKA_BROKERS names brokers that run already, nothing is fetched.
# Exit: 0 everything is there, 1 something failed, 3 this machine lacks Java 17 or Maven.
set -euo pipefail

# The broker of docker-compose.yml is of the same version.
version=4.3.1
scala=2.13

if [[ -n ${KAFKA_BROKERS:-} && ${1:-} != --check ]]; then
  echo 'kafka: KAFKA_BROKERS is set, nothing to fetch' >&2
  exit 0
fi

exec bash "$(dirname "$0")/fetch-jars.sh" "$@" kafka 'Apache Kafka' "$version" "org.apache.kafka:kafka_$scala:$version"

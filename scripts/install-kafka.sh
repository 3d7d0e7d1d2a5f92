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

folder=${KAFKA_JARS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/devo-proofpoint-tap-collector/kafka}
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
  echo "kafka: Apache Kafka needs Java 17 or later on the PATH; this machine has ${java_version:-none}" >&2
  exit 3
fi
if complete; then
  echo "$jars"
  exit 0
fi
if [[ ${1:-} == --check ]]; then
  echo 'kafka: not fetched yet; run scripts/install-kafka.sh' >&2
  exit 1
fi
if ! command -v mvn >/dev/null; then
  echo 'kafka: this machine has no Maven (mvn) to fetch Apache Kafka with' >&2
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
cat >"$fresh/pom.xml" <<XML
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>tests</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_$scala</artifactId>
      <version>$version</version>
    </dependency>
  </dependencies>
</project>
XML
echo "kafka: fetching Apache Kafka $version into $jars" >&2
# --strict-checksums: what does not match its checksum is an error, not a warning. From a folder of its own, for Maven reads what lies
# where it is called.
(cd "$fresh" && mvn --quiet --batch-mode --strict-checksums dependency:copy-dependencies "-DoutputDirectory=$fresh/jars") 9>&- >&2
(cd "$fresh/jars" && ls -- *.jar) >"$fresh/complete"
grep -qx "kafka_$scala-$version.jar" "$fresh/complete" || { echo 'kafka: Maven brought no broker' >&2; exit 1; }
mv "$fresh/complete" "$fresh/jars/complete"
rm -rf "$jars"
mv "$fresh/jars" "$jars"

complete || { echo "kafka: something is missing in $jars" >&2; exit 1; }
echo "$jars"

#!/usr/bin/env bash
# Fetches the receivers that the integration tests prove delivery against: rsyslog (GnuTLS and OpenSSL), syslog-ng, nginx, HAProxy,
# stunnel, openssl. They are Debian packages, downloaded by apt-get and unpacked into a folder of their own: nothing is installed on the
# machine, no service starts, rsyslog and syslog-ng do not exclude each other, and no root is needed.
#
# Usage: scripts/install-receivers.sh
# Folder: $RECEIVERS_DIR, default ${XDG_CACHE_HOME:-~/.cache}/devo-proofpoint-tap-collector/receivers. To start anew, delete it.
# Exit: 0 everything is there, 1 something failed, 3 this machine has no apt-get.
set -euo pipefail

# Two groups, for the packages of one group are resolved together and rsyslog and syslog-ng conflict.
groups=(
  'rsyslog rsyslog-gnutls rsyslog-openssl nginx libnginx-mod-stream haproxy stunnel4 openssl'
  'syslog-ng-core'
)
programs=(usr/sbin/rsyslogd usr/sbin/nginx usr/sbin/haproxy usr/bin/stunnel4 usr/bin/openssl usr/sbin/syslog-ng)

folder=${RECEIVERS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/devo-proofpoint-tap-collector/receivers}
root=$folder/root
# What is there belongs to these packages and this release of the system; anything else is fetched anew.
wanted="${groups[*]} $(. /etc/os-release 2>/dev/null && echo "${ID:-} ${VERSION_ID:-}" || true)"

complete() {
  [[ -f $folder/complete && $(<"$folder/complete") == "$wanted" ]] || return 1
  local program
  for program in "${programs[@]}"; do [[ -x $root/$program ]] || return 1; done
}

if complete; then
  echo "receivers: all there, in $folder"
  exit 0
fi

mkdir -p "$folder"
exec 9>"$folder/lock"
! command -v flock >/dev/null || flock 9
if complete; then
  echo "receivers: all there, in $folder"
  exit 0
fi

bash "$(dirname "$0")/fetch-debs.sh" receivers "$folder" "${groups[@]}"
printf '%s\n' "$wanted" >"$folder/complete"

complete || { rm -f "$folder/complete"; echo "receivers: something is missing below $root" >&2; exit 1; }
echo "receivers: ready, in $folder"

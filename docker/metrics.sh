#!/usr/bin/env bash
# Writes loci.metrics() where the textfile collector of Prometheus' node exporter reads it.
#
#   docker/metrics.sh DIRECTORY             once, for a timer of the system
#   docker/metrics.sh DIRECTORY SECONDS     again and again
#
# The database is that of LOCI_DSN, or of PGHOST, PGDATABASE, PGUSER and so on; its password stands in PGPASSWORD or
# ~/.pgpass rather than in LOCI_DSN, which others on the machine can see. The login needs loci_monitor and nothing else.
# loci_up is 0 while it cannot be reached, and nothing of before is left to look like now.
set -Eeuo pipefail

die() { printf 'metrics: error: %s\n' "$*" >&2; exit 1; }

case $# in 1 | 2) ;; *) die 'say where: docker/metrics.sh DIRECTORY [SECONDS]' ;; esac
directory="$1" seconds="${2:-}"
[ -d "$directory" ] || die "there is no directory $directory"
case "$seconds" in *[!0-9]*) die "not a number of seconds: $seconds" ;; esac

# The collector may read at any moment: a file of another name, then one rename.
new="$directory/.loci.prom.$$"
trap 'rm -f "$new"' EXIT
trap 'exit 0' INT TERM

write() {
    local up=1
    PGCONNECT_TIMEOUT="${PGCONNECT_TIMEOUT:-5}" psql --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 \
        ${LOCI_DSN:+--dbname "$LOCI_DSN"} \
        --command 'set statement_timeout = 30000' --command 'select loci.metrics()' >"$new" || {
        up=0
        : >"$new"
    }
    printf '# HELP loci_up Whether the database could be asked.\n# TYPE loci_up gauge\nloci_up %s\n' "$up" >>"$new"
    chmod 644 "$new"
    mv -f "$new" "$directory/loci.prom"
    [ "$up" -eq 1 ]
}

if [ -z "$seconds" ]; then
    write
    exit
fi
while :; do
    write || true
    sleep "$seconds" &
    # Unlike sleep itself, it ends at once when it is told to.
    wait $!
done

#!/usr/bin/env bash
# Loci's private PostgreSQL cluster: its own data directory, port and socket. The Makefile and the tests use it.
# No other cluster of the machine is ever looked at.
set -Eeuo pipefail
umask 022
export LC_ALL=C.UTF-8

repo="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly repo
readonly default_port=54329

usage() {
    cat <<'END'
usage: docker/cluster.sh COMMAND
  init           make the cluster, unless it is there
  start          make it if need be, start it, wait until it answers; make the database if need be
  stop           stop it (fast)
  kill           SIGKILL to the server and all its processes: a crash, for tests
  status         say whether it runs; exit 3 if it does not
  dsn [DBNAME]   print the connection URI of the superuser
  sync-python    copy python/udfs/loci_udfs to where new backends import it from (start does it too)
  env            print what is in force, as shell assignments
  destroy        stop it and remove all of its data
Environment:
  LOCI_DATA      where everything of the cluster lives   (.data in the repository)
  LOCI_PORT      TCP port on 127.0.0.1; the next free one is taken and remembered   (54329)
  LOCI_DB        the database, also pg_cron's   (loci)
  LOCI_PG_BIN    directory of the PostgreSQL binaries   (the newest that has plpython3u and pgvector)
  LOCI_PG_OPTS   more options for the server, such as '-c fsync=off'
The server inherits the environment of `start`: keys that models refer to as env:NAME are passed that way.
END
}

die() {
    printf 'cluster: error: %s\n' "$*" >&2
    exit 1
}

# --- where things are ---------------------------------------------------------------------------------------------

db="${LOCI_DB:-loci}"
os_user="$(id -un)"
as_owner=()
if [ "$(id -u)" -eq 0 ]; then
    # PostgreSQL refuses to run as root.
    os_user=postgres
    id -u postgres >/dev/null 2>&1 || die 'there is no OS user postgres: run docker/install-postgres.sh first'
    as_owner=(setpriv --reuid=postgres --regid=postgres --init-groups --)
fi

owner() { "${as_owner[@]}" "$@"; }

digest() { printf '%s' "$1" | sha256sum | cut -c "1-$2"; }

data="${LOCI_DATA:-}"
if [ -z "$data" ]; then
    data="$repo/.data"
    # A clone in root's home is closed to the OS user postgres.
    owner test -x "$repo" || data="/var/lib/loci/$(basename "$repo")-$(digest "$repo" 8)"
fi
case "$data" in
    /*) ;;
    *) data="$PWD/$data" ;;
esac
readonly data
cd / # the OS user of the server may not be allowed to be where the caller is
readonly pgdata="$data/pgdata" log="$data/postgresql.log"

# A socket's whole path may have 107 bytes; its name takes up to 16.
socket="$data/run"
if [ "$(printf '%s' "$socket" | wc -c)" -gt 90 ]; then
    socket="/tmp/loci-$(id -u "$os_user")-$(digest "$data" 12)"
fi
readonly socket

find_binaries() {
    local candidate root
    if [ -n "${LOCI_PG_BIN:-}" ]; then
        [ -x "$LOCI_PG_BIN/postgres" ] || die "there is no postgres in LOCI_PG_BIN ($LOCI_PG_BIN)"
        printf '%s' "$LOCI_PG_BIN"
        return
    fi
    # A cluster keeps the major version that it was made with.
    if [ -n "$(pg_version)" ]; then
        candidate="/usr/lib/postgresql/$(pg_version)/bin"
        [ -x "$candidate/postgres" ] || die "the data in $data is of PostgreSQL $(pg_version), which is not installed"
        printf '%s' "$candidate"
        return
    fi
    while read -r root; do
        if [ -x "$root/bin/postgres" ] && [ -e "$root/lib/plpython3.so" ] && [ -e "$root/lib/vector.so" ]; then
            printf '%s' "$root/bin"
            return
        fi
    done < <(printf '%s\n' /usr/lib/postgresql/* | sort -Vr)
    die 'no PostgreSQL with plpython3u and pgvector was found: run docker/install-postgres.sh, or set LOCI_PG_BIN'
}

pg_version() { owner cat "$pgdata/PG_VERSION" 2>/dev/null || true; }

# Line of postmaster.pid: 1 is the process id, 4 the port. Nothing when no server runs.
postmaster() {
    owner sed -n "$1p" "$pgdata/postmaster.pid" 2>/dev/null || true
}

running_pid() {
    local pid
    pid="$(postmaster 1)"
    # After a crash the file is stale, and its number may be somebody else's by now.
    if [ -n "$pid" ] && [ "$(owner readlink "/proc/$pid/cwd" 2>/dev/null)" = "$(owner readlink -f "$pgdata")" ]; then
        printf '%s' "$pid"
    fi
}

port() {
    local current=''
    [ -z "$(running_pid)" ] || current="$(postmaster 4)"
    [ -n "$current" ] || current="$(owner cat "$data/port" 2>/dev/null || true)"
    printf '%s' "${current:-${LOCI_PORT:-$default_port}}"
}

urlencode() {
    local text="$1" out='' char i
    for ((i = 0; i < ${#text}; i++)); do
        char="${text:i:1}"
        case "$char" in
            [a-zA-Z0-9/_.~-]) out+="$char" ;;
            *) out+="$(printf '%s' "$char" | od -An -v -tx1 | tr -d '\n' | tr ' ' '%')" ;;
        esac
    done
    printf '%s' "$out"
}

dsn() {
    printf 'postgresql://postgres@/%s?host=%s&port=%s\n' "$(urlencode "$1")" "$(urlencode "$socket")" "$(port)"
}

sql() { # database, query
    # No file of the caller's, no PG* variable of theirs: only this cluster.
    env -u PGSERVICE -u PGOPTIONS -u PGSSLMODE "$bin/psql" -XqAt -v ON_ERROR_STOP=1 -d "$(dsn "$1")" -c "$2"
}

# --- making -------------------------------------------------------------------------------------------------------

# One cluster.sh at a time on one data directory.
lock() {
    make_data_directory
    exec 9<"$data"
    flock 9
}

adopt_data_directory() {
    chmod 700 "$data"
    [ "${#as_owner[@]}" -eq 0 ] || chown "$os_user:" "$data"
    owner test -w "$data" || {
        rmdir "$data" 2>/dev/null || true
        die "the OS user $os_user cannot reach $data: set LOCI_DATA to a directory it can"
    }
    owner touch "$data/.loci-cluster"
}

make_data_directory() {
    if [ ! -d "$data" ]; then
        mkdir -p "$data"
        adopt_data_directory
    fi
    if [ ! -e "$data/.loci-cluster" ]; then
        # Asked twice: another cluster.sh may be putting its mark there just now.
        [ -z "$(ls -A "$data")" ] || [ -e "$data/.loci-cluster" ] || die "$data holds something else: it is left alone"
        adopt_data_directory
    fi
    if [ "$socket" != "$data/run" ]; then
        owner mkdir -m 700 "$socket" 2>/dev/null || true
        # Names in /tmp are open to everyone: a directory of somebody else's is not to be used.
        [ "$(stat -c '%F %U %a' "$socket")" = "directory $os_user 700" ] ||
            die "$socket exists and is not a private directory of $os_user"
    else
        owner mkdir -p -m 700 "$socket"
    fi
}

init() {
    [ -z "$(pg_version)" ] || return 0
    local no_sync=()
    case "${LOCI_PG_OPTS:-}" in *fsync=off*) no_sync=(--no-sync) ;; esac
    # Made aside and renamed, so that an interrupted init is never taken for a cluster.
    owner rm -rf "$pgdata.new"
    owner "$bin/initdb" -D "$pgdata.new" -U postgres -E UTF8 --locale=C.UTF-8 --data-checksums \
        --auth-local=trust --auth-host=scram-sha-256 "${no_sync[@]}" >"$data/initdb.log" 2>&1 </dev/null || {
        cat "$data/initdb.log" >&2
        die 'initdb failed'
    }
    rm -f "$data/initdb.log"
    # trust: the socket's directory is open to its owner and root alone, who own the data anyway.
    printf '%s\n' \
        'local all all trust' \
        'local replication all trust' \
        'host all all 127.0.0.1/32 scram-sha-256' | owner tee "$pgdata.new/pg_hba.conf" >/dev/null
    printf '%s\n' '' "include_if_exists = 'loci.conf'   # written by docker/cluster.sh at each start" |
        owner tee -a "$pgdata.new/postgresql.conf" >/dev/null
    # Before the first start, because pg_cron's launcher wants its database.
    printf 'create database "%s";\n' "${db//\"/\"\"}" |
        owner "$bin/postgres" --single -D "$pgdata.new" -c log_min_messages=fatal postgres >/dev/null
    owner mv -T "$pgdata.new" "$pgdata"
}

quote() { printf "'%s'" "${1//\'/\'\'}"; }

settings() { # port
    local memory shared_buffers=512 preload=pg_cron
    # A quarter of a small machine's memory.
    memory="$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo)"
    [ $((memory / 4)) -ge "$shared_buffers" ] || shared_buffers=$((memory / 4))
    [ ! -e "$("$bin/pg_config" --sharedir)/extension/pg_stat_statements.control" ] || preload+=,pg_stat_statements
    cat <<END
# Written by docker/cluster.sh at each start: change settings with ALTER SYSTEM, which wins over this file.
port = $1
listen_addresses = '127.0.0.1'
unix_socket_directories = $(quote "$socket")
shared_preload_libraries = '$preload'
cron.database_name = $(quote "$db")
cron.use_background_workers = on
max_connections = 200
max_worker_processes = 16
max_parallel_workers = 4
max_parallel_workers_per_gather = 2
max_parallel_maintenance_workers = 2
shared_buffers = ${shared_buffers}MB
effective_cache_size = $((memory / 2))MB
maintenance_work_mem = 512MB
work_mem = 16MB
max_wal_size = 4GB
checkpoint_timeout = 15min
wal_compression = on
random_page_cost = 1.1
jit = off
log_line_prefix = '%m [%p] %q%u@%d %a '
log_lock_waits = on
log_checkpoints = on
password_encryption = 'scram-sha-256'
END
}

port_is_free() {
    /usr/bin/python3 -I -c '
import socket, sys
with socket.socket() as probe:
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    probe.bind(("127.0.0.1", int(sys.argv[1])))
    probe.listen()' "$1" 2>/dev/null
}

# --- running ------------------------------------------------------------------------------------------------------

sync_python() {
    local source="$repo/python/udfs/loci_udfs" target previous
    make_data_directory
    previous="$(owner readlink "$data/python" || true)"
    if [ -n "$previous" ] && diff -rq --exclude=__pycache__ "$source" "$data/python/loci_udfs" >/dev/null 2>&1; then
        return 0
    fi
    target="$(owner mktemp -d "$data/.python-XXXXXXXX")"
    if [ -d "$source" ]; then
        # Through tar: the OS user of the server may not be able to read the repository.
        tar -C "$(dirname "$source")" --exclude=__pycache__ -cf - loci_udfs | owner tar -C "$target" --no-same-owner -xf -
        owner /usr/bin/python3 -I -m compileall -q "$target" >/dev/null || true
    fi
    # One rename: a backend that imports meanwhile sees the old package or the new one.
    owner ln -s "${target##*/}" "$target.link"
    owner mv -T "$target.link" "$data/python"
    [ -z "$previous" ] || owner rm -rf "${data:?}/$previous"
}

launch() {
    (
        # Whoever waits for the end of a pipe must not wait for the server.
        for descriptor in /proc/self/fd/*; do
            descriptor="${descriptor##*/}"
            [ "$descriptor" -le 2 ] || [ "$descriptor" -eq 255 ] || eval "exec $descriptor>&-"
        done
        cd "$data" || exit 1
        unset PYTHONHOME PYTHONSTARTUP VIRTUAL_ENV PGDATA PGPORT PGHOST PGUSER PGDATABASE PGOPTIONS PGSERVICE
        # PATH: the interpreter inside plpython3u looks there for "python3" to learn where its library is.
        export PATH=/usr/bin:/bin HOME="$data" TMPDIR=/tmp LANG=C.UTF-8
        export PYTHONPATH="$data/python" PYTHONNOUSERSITE=1 OMP_NUM_THREADS=1
        owner "$bin/pg_ctl" -D "$pgdata" -l "$log" -w -t 300 -s -o "${LOCI_PG_OPTS:-}" start
    ) </dev/null >"$data/start.log" 2>&1
}

start() {
    local wanted tries before
    lock
    sync_python
    if [ -z "$(running_pid)" ]; then
        init
        wanted="${LOCI_PORT:-$(owner cat "$data/port" 2>/dev/null || echo "$default_port")}"
        for ((tries = 0; ; tries++)); do
            [ "$tries" -lt 100 ] || die "no free port was found up to $wanted"
            if port_is_free "$wanted"; then
                settings "$wanted" | owner tee "$pgdata/loci.conf" >/dev/null
                printf '%s\n' "$wanted" | owner tee "$data/port" >/dev/null
                [ "$(stat -c %s "$log" 2>/dev/null || echo 0)" -lt 50000000 ] || owner mv "$log" "$log.1"
                : | owner tee -a "$log" >/dev/null
                before="$(stat -c %s "$log")"
                if launch; then
                    break
                fi
                # Somebody else was quicker to take the port: try the next one.
                if ! tail -c "+$((before + 1))" "$log" | grep -q 'could not bind'; then
                    cat "$data/start.log" >&2
                    tail -c "+$((before + 1))" "$log" | tail -n 20 >&2
                    die "the server did not start; its log is $log"
                fi
            fi
            wanted=$((wanted + 1))
        done
        rm -f "$data/start.log"
    fi
    if [ -z "$(sql postgres "select 1 from pg_database where datname = '${db//\'/\'\'}'")" ]; then
        sql postgres "create database \"${db//\"/\"\"}\""
    fi
}

stop() {
    lock
    [ -n "$(running_pid)" ] || return 0
    owner "$bin/pg_ctl" -D "$pgdata" -m fast -w -t 60 -s stop </dev/null >/dev/null 2>&1 ||
        owner "$bin/pg_ctl" -D "$pgdata" -m immediate -w -t 60 -s stop </dev/null
}

# All descendants of a process.
offspring() {
    local file stat parent pid queue=("$1")
    local -A children=()
    for file in /proc/[0-9]*/stat; do
        read -r stat 2>/dev/null <"$file" || continue
        # The name stands in parentheses and may hold anything; the state and the parent follow it.
        read -r _ parent _ <<<"${stat##*) }"
        children[$parent]+=" ${stat%% *}"
    done
    while [ "${#queue[@]}" -gt 0 ]; do
        # shellcheck disable=SC2086  # a list of numbers
        for pid in ${children[${queue[0]}]:-}; do
            printf '%s\n' "$pid"
            queue+=("$pid")
        done
        queue=("${queue[@]:1}")
    done
}

# 0 when none of the processes is left. A dead one that its parent has not yet asked about counts as left, because
# PostgreSQL would not start beside it either; $1 = dead lets it pass.
gone() {
    local pid stat dead="$1"
    shift
    for pid in "$@"; do
        read -r stat 2>/dev/null <"/proc/$pid/stat" || continue
        case "$dead ${stat##*) }" in
            'dead Z'* | 'dead X'*) ;;
            *) return 1 ;;
        esac
    done
}

kill_all() {
    local pid victims tries
    pid="$(running_pid)"
    [ -n "$pid" ] || return 0
    # Stopped first, so that it starts nothing new while its processes are counted.
    kill -STOP "$pid"
    mapfile -t victims < <(offspring "$pid")
    kill -KILL "$pid" "${victims[@]}" 2>/dev/null || true
    for ((tries = 0; tries < 500; tries++)); do
        gone '' "$pid" "${victims[@]}" && return 0
        sleep 0.02
    done
    gone dead "$pid" "${victims[@]}" || die "processes are still there after SIGKILL: $pid ${victims[*]}"
    # Process 1 of this machine collects no dead processes: without this the server could not be started again.
    owner rm -f "$pgdata/postmaster.pid"
}

status() {
    local pid
    pid="$(running_pid)"
    if [ -z "$pid" ]; then
        printf 'stopped: %s\n' "$data"
        return 3
    fi
    printf 'running: PostgreSQL %s, process %s, %s\n' "$(pg_version)" "$pid" "$(dsn "$db")"
}

destroy() {
    [ -e "$data" ] || return 0
    owner test -e "$data/.loci-cluster" || die "$data was not made by this program: it is left alone"
    if [ -n "$(running_pid)" ]; then
        owner "$bin/pg_ctl" -D "$pgdata" -m immediate -w -t 60 -s stop </dev/null >/dev/null 2>&1 || kill_all
    fi
    [ "$socket" = "$data/run" ] || owner rm -rf "$socket"
    rm -rf "$data"
    rmdir /var/lib/loci 2>/dev/null || true
}

print_env() {
    printf '%s=%q\n' LOCI_DATA "$data" LOCI_PORT "$(port)" LOCI_DB "$db" LOCI_PG_BIN "$bin" LOCI_PGDATA "$pgdata" \
        LOCI_SOCKET "$socket" LOCI_LOG "$log" LOCI_OS_USER "$os_user" LOCI_DSN "$(dsn "$db")"
}

command="${1:-}"
[ $# -eq 0 ] || shift
case "$command" in
    '' | -h | --help | help)
        usage
        [ -n "$command" ] || exit 2
        exit 0
        ;;
    dsn)
        [ -n "$(running_pid)" ] || printf 'cluster: it is not running (make up starts it)\n' >&2
        dsn "${1:-$db}"
        exit 0
        ;;
esac
bin="$(find_binaries)"
case "$command" in
    init)
        lock
        init
        ;;
    start) start ;;
    stop) stop ;;
    kill) kill_all ;;
    status) status ;;
    sync-python) sync_python ;;
    env) print_env ;;
    destroy) destroy ;;
    *)
        usage >&2
        die "unknown command: $command"
        ;;
esac

#!/usr/bin/env bash
# Entry point of the image: makes a complete, migrated database before the first client can reach it, brings
# the database of an older image up to date, then becomes postgres. Any other command is run as it is.
#
#   POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE   the superuser's password; needed by the first start only
#   POSTGRES_USER (postgres), POSTGRES_DB (loci)  names, used by the first start only
#   POSTGRES_INITDB_ARGS                          more arguments for initdb
#   LOCI_MIGRATE (auto)                           auto: when the image is not the one that migrated last;
#                                                 always; never
set -Eeuo pipefail
umask 077

readonly HOME_DIR=/opt/loci
readonly FIRST="$PGDATA/.loci-first-start"      # everything lives in here until it is complete
readonly MARK=loci.version                      # in the data directory: image version, database, superuser

readonly PRIVATE=/run/postgresql/.setup         # socket and access rules of the private server

server='' version='' database='' superuser=''

say() { printf 'loci: %s\n' "$*" >&2; }
die() { printf 'loci: error: %s\n' "$*" >&2; exit 1; }

# Leaves the password in POSTGRES_PASSWORD, whichever way it was given.
load_password() {
    [ -n "${POSTGRES_PASSWORD_FILE:-}" ] || return 0
    [ -z "${POSTGRES_PASSWORD:-}" ] || die 'POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE are both set; give one of them'
    [ -r "$POSTGRES_PASSWORD_FILE" ] || die "POSTGRES_PASSWORD_FILE: cannot read $POSTGRES_PASSWORD_FILE"
    POSTGRES_PASSWORD="$(< "$POSTGRES_PASSWORD_FILE")"
    export POSTGRES_PASSWORD
    unset POSTGRES_PASSWORD_FILE
}

# A fresh volume or bind mount belongs to root. Only then is everything in it visited: a large one takes long.
own_directories() {
    mkdir -p "$PGDATA" /run/postgresql
    local dir
    for dir in "$PGDATA" /run/postgresql; do
        # chown -R does the directory itself last, so an interrupted one is noticed and repeated.
        [ "$(stat -c %U "$dir")" = postgres ] || chown -R postgres:postgres "$dir"
    done
    chmod 2775 /run/postgresql
}

# The lock is inherited by postgres and held as long as it lives: postmaster.pid can't keep two containers off
# one volume, because the process ids in it belong to different namespaces.
lock_data_directory() {
    local status=0
    exec 9< "$PGDATA"
    flock --wait 5 --conflict-exit-code 75 9 2> /dev/null || status=$?
    [ "$status" != 75 ] || die "another container is using the data directory $PGDATA"
}

check_names() {
    local name
    for name in POSTGRES_DB POSTGRES_USER; do
        [[ "${!name}" =~ ^[A-Za-z_][A-Za-z0-9_-]{0,62}$ ]] ||
            die "$name: letters, digits, _ and - only, at most 63, beginning with a letter or _"
    done
    [[ "$POSTGRES_USER" != pg_* ]] || die 'POSTGRES_USER: names beginning with pg_ belong to PostgreSQL'
}

check_password() {
    [ -n "${POSTGRES_PASSWORD:-}" ] || die "the first start needs a password for the superuser $POSTGRES_USER: set POSTGRES_PASSWORD, or POSTGRES_PASSWORD_FILE to a file that holds it (docker run -e POSTGRES_PASSWORD=... )"
    [[ "$POSTGRES_PASSWORD" != *$'\n'* ]] || die 'the password has more than one line'
}

# ------------------------------------------------------------------------------------------------------------
# A server that nobody else can reach: no TCP, its socket and its access rules in a directory of its own.

start_private_server() {
    local data=$1
    shift
    rm -rf "$PRIVATE"
    mkdir "$PRIVATE"
    echo 'local all all trust' > "$PRIVATE/pg_hba.conf"
    # The caller's settings first: of two settings with one name, the later counts.
    postgres -D "$data" "$@" -c listen_addresses='' -c unix_socket_directories="$PRIVATE" -c port=5432 \
        -c hba_file="$PRIVATE/pg_hba.conf" -c cron.launch_active_jobs=off &
    server=$!
    until pg_isready --quiet --host "$PRIVATE" --port 5432; do
        kill -0 "$server" 2> /dev/null || die 'the server did not start; its messages are above'
        sleep 0.1
    done
}

stop_private_server() {
    local status=0
    if [ -n "$server" ]; then
        kill -INT "$server" 2> /dev/null || true
        wait "$server" || status=$?
        server=''
    fi
    rm -rf "$PRIVATE"
    return "$status"
}

# A signal is served while bash waits, not while it runs a command: so long commands are waited for.
run() {
    "$@" &
    wait $!
}

on_signal() {
    say 'stopped while setting up; the next start goes on from here'
    trap - INT TERM
    # shellcheck disable=SC2046  # one argument a job
    kill -TERM $(jobs -p) 2> /dev/null || true
    exit 130
}

# $1: data directory; the rest: arguments for postgres
migrate() {
    local data=$1
    shift
    start_private_server "$data" "$@"
    say "migrating database $database"
    cd "$HOME_DIR"
    LOCI_DSN="postgresql://$superuser@/$database?host=$PRIVATE&port=5432" PYTHONPATH="$HOME_DIR/migrate" \
        run python3 -P -m alembic upgrade head ||
        die "the migration failed; what it says is above. Nothing was started. If the data directory was used by a newer image, start that one."
    cd /
    stop_private_server || die 'the server did not shut down cleanly; its messages are above'
    printf '%s\n' "$version" "$database" "$superuser" > "$data/$MARK.new"
    mv "$data/$MARK.new" "$data/$MARK"
}

# ------------------------------------------------------------------------------------------------------------

write_configuration() {
    local data=$1
    cat >> "$data/postgresql.conf" <<END

# Settings of Loci's image. Override them with ALTER SYSTEM or with \`-c name=value\` after the image's name.
listen_addresses = '*'
shared_preload_libraries = 'pg_cron'
cron.database_name = '$POSTGRES_DB'
cron.use_background_workers = on        # jobs need no login of their own
random_page_cost = 1.1                  # no spinning disks
jit = off                               # searches are too short to be worth compiling
END
    cat > "$data/pg_hba.conf" <<END
# type  database     user              address  method
local   all          "$POSTGRES_USER"           peer map=superuser
local   all          all                        scram-sha-256
host    all          all               all      scram-sha-256
host    replication  all               all      scram-sha-256
END
    cat > "$data/pg_ident.conf" <<END
# map      system user  database user
superuser  postgres     "$POSTGRES_USER"
superuser  root         "$POSTGRES_USER"
END
}

first_start() {
    local build="$FIRST/build" entries
    POSTGRES_DB="${POSTGRES_DB:-loci}" POSTGRES_USER="${POSTGRES_USER:-postgres}"
    check_names
    load_password
    check_password
    chmod 700 "$PGDATA"
    rm -rf "$FIRST"
    entries="$(find "$PGDATA" -mindepth 1 -maxdepth 1 ! -name lost+found -printf '%f ' -quit)"
    [ -z "$entries" ] || die "$PGDATA is neither empty nor a data directory of PostgreSQL (there is: $entries)"
    mkdir -p "$build"

    say "first start: making database $POSTGRES_DB"
    # shellcheck disable=SC2086  # several arguments
    run initdb --pgdata="$build" --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") \
        --encoding=UTF8 --locale-provider=builtin --builtin-locale=C.UTF-8 --locale=C.UTF-8 --data-checksums \
        --auth-local=peer --auth-host=scram-sha-256 --no-instructions ${POSTGRES_INITDB_ARGS:-} > /dev/null ||
        die 'initdb failed; what it says is above'
    unset POSTGRES_PASSWORD
    if [ "$POSTGRES_DB" != postgres ]; then
        # Before any server runs: pg_cron looks for its database as soon as it is loaded.
        postgres --single -D "$build" postgres <<< "create database \"$POSTGRES_DB\"" > /dev/null
    fi
    write_configuration "$build"
    database=$POSTGRES_DB superuser=$POSTGRES_USER
    migrate "$build" "$@"

    sync "$build"
    mv "$build" "$FIRST/ready"
    sync "$FIRST"
}

# Everything in `ready` is complete, so a start that was killed in here is simply gone on with.
publish_first_start() {
    if [ -d "$FIRST/ready" ]; then
        # PG_VERSION last: without it nothing takes the directory for a cluster.
        find "$FIRST/ready" -mindepth 1 -maxdepth 1 ! -name PG_VERSION -exec mv -t "$PGDATA" {} +
        [ ! -e "$FIRST/ready/PG_VERSION" ] || mv "$FIRST/ready/PG_VERSION" "$PGDATA"
        rmdir "$FIRST/ready"
        sync "$PGDATA"
    fi
    [ ! -d "$FIRST" ] || rmdir "$FIRST"
}

later_start() {
    local made_by major marked=''
    made_by="$(< "$PGDATA/PG_VERSION")"
    major="$(postgres --version | sed -E 's/[^0-9]*([0-9]+).*/\1/')"
    [ "$made_by" = "$major" ] || die "the data directory was made by PostgreSQL $made_by, this image has $major: move the data with pg_upgrade, or with pg_dump and pg_restore"
    if [ -r "$PGDATA/$MARK" ]; then
        { read -r marked && read -r database && read -r superuser; } < "$PGDATA/$MARK" ||
            die "$PGDATA/$MARK is damaged; remove it, and set POSTGRES_DB and POSTGRES_USER"
    else
        POSTGRES_DB="${POSTGRES_DB:-loci}" POSTGRES_USER="${POSTGRES_USER:-postgres}"
        check_names
        database=$POSTGRES_DB superuser=$POSTGRES_USER
    fi
    # A standby gets the migration from its primary.
    if [ -e "$PGDATA/standby.signal" ] || [ -e "$PGDATA/recovery.signal" ]; then
        return 0
    fi
    case "${LOCI_MIGRATE:-auto}" in
        auto) [ "$marked" = "$version" ] || migrate "$PGDATA" "$@" ;;
        always) migrate "$PGDATA" "$@" ;;
        never) ;;
        *) die 'LOCI_MIGRATE: auto, always or never' ;;
    esac
}

wants_only_information() {
    local argument
    for argument in "$@"; do
        case "$argument" in
            -\? | --help | -V | --version | --describe-config | -C | --single | --check) return 0 ;;
        esac
    done
    return 1
}

main() {
    [[ "${1:-postgres}" != -* ]] || set -- postgres "$@"
    [ $# -gt 0 ] || set -- postgres

    if [ "$1" = postgres ] && ! wants_only_information "$@"; then
        if [ "$(id -u)" = 0 ]; then
            # A secret's file may be for root only, so it is read before root is given up.
            [ -e "$PGDATA/PG_VERSION" ] || load_password
            own_directories
        fi
        local serve=yes
    fi
    if [ "$(id -u)" = 0 ]; then
        export HOME=/var/lib/postgresql
        exec setpriv --reuid=postgres --regid=postgres --init-groups --inh-caps=-all -- "$0" "$@"
    fi
    [ "${serve:-no}" = yes ] || exec "$@"

    shift
    [ -w "$PGDATA" ] || die "$PGDATA is not a directory that $(id -un) can write to"
    version="$(< "$HOME_DIR/version")"
    trap on_signal INT TERM
    trap 'stop_private_server || true' EXIT
    lock_data_directory
    if [ ! -e "$PGDATA/PG_VERSION" ] && [ ! -d "$FIRST/ready" ]; then
        first_start "$@"
    fi
    publish_first_start
    later_start "$@"
    trap - INT TERM EXIT
    # Not into the server's environment, where code in PL/Python could read it.
    unset POSTGRES_PASSWORD POSTGRES_PASSWORD_FILE
    exec postgres "$@"
}

main "$@"

#!/usr/bin/env bash
# Installs what Loci's database needs: PostgreSQL with plpython3u, pg_cron, pgvector, and the Python packages
# that its functions import. Used on a host by the Makefile, in docker/Dockerfile.postgres, and by a DBA.
# Safe to run again: what is there already is left alone, and existing clusters are never touched.
set -Eeuo pipefail
umask 022
export LC_ALL=C.UTF-8 PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
readonly here
readonly requirements="$here/requirements-database.txt"
readonly udfs="$here/../python/udfs/loci_udfs"
readonly home=/opt/loci
readonly python=/usr/bin/python3
# Below 0.8 there is no iterative index scan, so a filtered search could come back short.
readonly vector_min="${LOCI_PGVECTOR_MIN:-0.8}"

usage() {
    cat <<'END'
usage: docker/install-postgres.sh [option ...]
  --with-tests     also what the test suite and lint need (plpgsql_check, pgTAP, shellcheck)
  --with-demo      also the PostgreSQL manual as HTML, the corpus of the demo
  --install-udfs   also copy python/udfs/loci_udfs to /opt/loci/python, for a server that `make up` does not run
  --docker-image   what a container image needs, --install-udfs included; removes build tools and package lists
  --check          install nothing: say what is missing, and exit 1 if anything is
  -h, --help       this text
Environment:
  LOCI_PGVECTOR_MIN     the oldest pgvector that will do (0.8); an older one is replaced
  LOCI_PGVECTOR_SUITE   the release whose pgvector source package is built when the system has no such package
Supported: Debian 12, Debian 13, Ubuntu 24.04. Needs root, or sudo, only when something is missing.
END
}

say() { printf 'install: %s\n' "$*"; }
die() {
    printf 'install: error: %s\n' "$*" >&2
    exit 1
}

# Runs a command silently; shows all it printed if it fails.
quietly() {
    local log status=0
    log="$(mktemp)"
    "$@" >"$log" 2>&1 </dev/null || status=$?
    if [ "$status" -ne 0 ]; then
        cat "$log" >&2
        rm -f "$log"
        die "exit code $status from: $*"
    fi
    rm -f "$log"
}

arguments=("$@")
with_tests=no with_demo=no docker_image=no install_udfs=no check_only=no
while [ $# -gt 0 ]; do
    case "$1" in
        --with-tests) with_tests=yes ;;
        --with-demo) with_demo=yes ;;
        --install-udfs) install_udfs=yes ;;
        --docker-image) docker_image=yes install_udfs=yes ;;
        --check) check_only=yes ;;
        -h | --help)
            usage
            exit 0
            ;;
        *)
            usage >&2
            die "unknown option: $1"
            ;;
    esac
    shift
done

# --- which system -------------------------------------------------------------------------------------------------

system_id='' system_version=''
if [ -r /etc/os-release ]; then
    # shellcheck source=/dev/null
    system_id="$(. /etc/os-release && printf '%s' "${ID:-}")"
    # shellcheck source=/dev/null
    system_version="$(. /etc/os-release && printf '%s' "${VERSION_ID:-}")"
fi
# vector_suite: the release whose pgvector source package is built where the system's own package is too old.
case "$system_id $system_version" in
    'debian 12') major=15 vector_suite=trixie vector_component=main ;;
    'debian 13') major=17 vector_suite=forky vector_component=main ;;
    'ubuntu 24.04') major=16 vector_suite=resolute vector_component=universe ;;
    *)
        die "${system_id:-unknown system} ${system_version:-} is not supported." \
            'Supported are Debian 12, Debian 13 and Ubuntu 24.04; elsewhere use docker/Dockerfile.postgres.'
        ;;
esac
vector_suite="${LOCI_PGVECTOR_SUITE:-$vector_suite}"
readonly pg_config="/usr/lib/postgresql/$major/bin/pg_config"
readonly vector_control="/usr/share/postgresql/$major/extension/vector.control"
readonly manual="/usr/share/doc/postgresql-doc-$major"

# --- what is missing ----------------------------------------------------------------------------------------------

at_least() { dpkg --compare-versions "$1" ge "$2"; }

# Packages of the argument list that are not installed.
absent() {
    local name
    local -A installed=()
    while read -r name; do installed["${name%%:*}"]=1; done < <(
        # shellcheck disable=SC2016
        dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p')
    for name in "$@"; do
        [ -n "${installed[$name]:-}" ] || printf '%s\n' "$name"
    done
}

vector_version() {
    [ -r "$vector_control" ] && sed -n "s/^default_version *= *'\([^']*\)'.*/\1/p" "$vector_control"
}

vector_is_current() {
    local version
    version="$(vector_version)" && [ -n "$version" ] && at_least "$version" "$vector_min"
}

requirements_stamp() {
    # The interpreter is part of it: a new minor version of Python needs the packages built for it.
    printf '%s %s\n' "$(sha256sum <"$requirements" | cut -d' ' -f1)" "$(readlink -f "$python")"
}

venv_is_current() {
    [ -x "$python" ] && [ "$(cat "$home/venv/.stamp" 2>/dev/null)" = "$(requirements_stamp)" ]
}

# The directory that every interpreter of the system reads, the one embedded in plpython3u included.
pth_file() {
    # -S: no .pth file is read and nobody's own packages, only the distribution's paths are asked for
    "$python" -I -c 'import site; print(site.getsitepackages()[0] + "/loci.pth")'
}

# Only a PostgreSQL server gets Loci's packages, and before the distribution's, so that the pinned versions win
# there and every other Python program of the system is left as it was.
pth_content() {
    local minor
    minor="$("$python" -I -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
    printf '%s\n' \
        '# Shows Loci'"'"'s Python packages to plpython3u. Written by docker/install-postgres.sh.' \
        "import os, sys; sys.path[-1:-1] = ['$home/python', '$home/venv/lib/python$minor/site-packages'] if os.path.basename(os.path.realpath('/proc/self/exe')).startswith('postgres') else []"
}

pth_is_current() { [ -x "$python" ] && pth_content | cmp -s - "$(pth_file)"; }

udfs_are_current() { diff -rq --exclude=__pycache__ "$udfs" "$home/python/loci_udfs" >/dev/null 2>&1; }

survey() {
    local wanted=("postgresql-$major" "postgresql-plpython3-$major" "postgresql-$major-cron" python3-venv ca-certificates)
    [ "$with_tests" = no ] || wanted+=("postgresql-$major-plpgsql-check" "postgresql-$major-pgtap" shellcheck)
    [ "$with_demo" = no ] || wanted+=("postgresql-doc-$major")
    # shellcheck disable=SC2207  # package names have no blanks
    packages=($(absent "${wanted[@]}"))
    # Slim systems drop /usr/share/doc when they unpack a package: then it counts as missing.
    if [ "$with_demo" = yes ] && [ ! -e "$manual/html/index.html" ] && [[ " ${packages[*]} " != *" postgresql-doc-$major "* ]]; then
        packages+=("postgresql-doc-$major")
    fi
    missing=("${packages[@]}")
    vector_is_current || missing+=("pgvector >= $vector_min for PostgreSQL $major (package postgresql-$major-pgvector where it is new enough)")
    venv_is_current || missing+=("the Python packages of docker/requirements-database.txt in $home/venv")
    pth_is_current || missing+=("loci.pth in the system's dist-packages directory")
    [ "$install_udfs" = no ] || udfs_are_current || missing+=("$home/python/loci_udfs, as in python/udfs")
}

survey
if [ "${#missing[@]}" -eq 0 ]; then
    exit 0
fi
if [ "$check_only" = yes ]; then
    printf 'install: missing:\n' >&2
    printf '  %s\n' "${missing[@]}" >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        say 'something is missing: going on as root, through sudo'
        exec sudo -n --preserve-env=http_proxy,https_proxy,no_proxy,HTTP_PROXY,HTTPS_PROXY,NO_PROXY,PIP_CERT,PIP_INDEX_URL,LOCI_PGVECTOR_MIN,LOCI_PGVECTOR_SUITE \
            bash "${BASH_SOURCE[0]}" "${arguments[@]}"
    fi
    printf 'install: missing:\n' >&2
    printf '  %s\n' "${missing[@]}" >&2
    die "that needs root. Run as root: docker/install-postgres.sh ${arguments[*]}"
fi

# --- one installer at a time, nothing left behind -----------------------------------------------------------------

mkdir -p "$home"
exec 9<"$home"
flock 9
survey # another installer may have done it all while this one waited

scratch="$(mktemp -d)"
chmod 755 "$scratch" # apt downloads as a user of its own
cleanup=()
tidy() {
    local path
    for path in "${cleanup[@]}"; do rm -rf "$path"; done
    rm -rf "$scratch"
}
trap tidy EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- packages -----------------------------------------------------------------------------------------------------

export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
lists_are_fresh=no
update_lists() {
    [ "$lists_are_fresh" = no ] || return 0
    say 'reading the package lists'
    quietly apt-get -q update
    lists_are_fresh=yes
}

candidate() { apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: \([^(].*\)/\1/p'; }

# A new PostgreSQL package makes and starts a cluster "main"; nobody asked for one.
no_main_cluster() {
    local settings=/etc/postgresql-common/createcluster.d/loci-no-main-cluster.conf
    cleanup+=("$settings")
    mkdir -p "$(dirname "$settings")"
    printf 'create_main_cluster = false\n' >"$settings"
}

apt_install() {
    quietly apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold \
        -o "Dpkg::Options::=--path-include=$manual/*" --no-install-recommends install "$@"
}

install_packages() {
    local name version chosen=() again=()
    update_lists
    for name in "${packages[@]}"; do
        version="$(candidate "$name")"
        if [ -z "$version" ]; then
            case "$name" in
                *-pgtap)
                    say "$name is not to be had here: going on without"
                    continue
                    ;;
            esac
            die "apt has no package $name. Is the component it lives in enabled (Ubuntu: universe)?"
        fi
        # plpython3u wants the very version of the server: take the one that runs rather than upgrade a server.
        if [ "$name" = "postgresql-plpython3-$major" ] && [ -x "/usr/lib/postgresql/$major/bin/postgres" ]; then
            # shellcheck disable=SC2016
            version="$(dpkg-query -W -f '${Version}' "postgresql-$major")"
            if apt-cache madison "$name" | cut -d'|' -f2 | grep -qxF " $version "; then
                name="$name=$version"
            else
                say "postgresql-$major is upgraded together with plpython3u, which restarts its running clusters"
            fi
        fi
        if [ "$name" = "postgresql-doc-$major" ] && [ -z "$(absent "$name")" ]; then
            again+=("$name")
        else
            chosen+=("$name")
        fi
    done
    if [ "${#chosen[@]}" -gt 0 ]; then
        say "installing ${chosen[*]}"
        no_main_cluster
        apt_install "${chosen[@]}"
    fi
    if [ "${#again[@]}" -gt 0 ]; then
        say "unpacking ${again[*]} again: its pages were left out"
        apt_install --reinstall "${again[@]}"
    fi
    if [ "$with_demo" = yes ] && [ ! -e "$manual/html/index.html" ]; then
        die "$manual/html is not there, although postgresql-doc-$major is installed"
    fi
}

# --- pgvector -----------------------------------------------------------------------------------------------------

# Mirror and keyring of the system's own release, so that a source package comes from where all else comes from.
write_source_list() {
    local codename field uri='' entry='' signed_by='' keyring
    # shellcheck source=/dev/null
    codename="$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")"
    # shellcheck disable=SC2016
    IFS='|' read -r uri entry < <(
        for field in Release Codename; do # the second for those who write "stable" instead of its name
            apt-get indextargets --format '$(REPO_URI)|$(SOURCESENTRY)' 'Created-By: Packages' \
                "$field: $codename" "Component: $vector_component"
        done
    ) || true
    [ -n "$uri" ] || die "apt's configuration names no mirror for component $vector_component of $codename"
    signed_by="$(signed_by_of "${entry%:*}" "${entry##*:}")"
    if [ -z "$signed_by" ]; then
        for keyring in "/usr/share/keyrings/$system_id-archive-keyring".{pgp,gpg}; do
            [ ! -r "$keyring" ] || signed_by="$keyring"
        done
    fi
    mkdir -p "$scratch"/{lists,cache/archives}/partial
    {
        printf 'Types: deb-src\nURIs: %s\nSuites: %s\nComponents: %s\n' "$uri" "$vector_suite" "$vector_component"
        [ -z "$signed_by" ] || printf 'Signed-By: %s\n' "$signed_by"
    } >"$scratch/loci.sources"
}

# The keyring file that an entry of apt's configuration names: the n-th stanza of a .sources file, the n-th line of a .list.
signed_by_of() { # file, number
    case "$1" in
        *.sources) sed '/^#/d' "$1" 2>/dev/null | awk -v RS= -v n="$2" 'NR == n' | sed -n 's/^[Ss]igned-[Bb]y:[[:space:]]*\(\/[^[:space:]]*\).*/\1/p' ;;
        *) sed -n "$2p" "$1" 2>/dev/null | sed -n 's/.*[[ ]signed-by=\(\/[^] ]*\).*/\1/p' ;;
    esac
}

private_apt() {
    apt-get -q -o Dir::Etc::sourcelist="$scratch/loci.sources" -o Dir::Etc::sourceparts=- \
        -o Dir::State::lists="$scratch/lists" -o Dir::Cache="$scratch/cache" -o Acquire::Languages=none \
        -o APT::Update::Error-Mode=any -o APT::Get::AllowUnauthenticated=false \
        -o Acquire::AllowInsecureRepositories=false -o Acquire::AllowDowngradeToInsecureRepositories=false "$@"
}

# The server's headers, unpacked aside: installed the ordinary way they bring a gigabyte of compiler that nothing
# here uses. (The makefiles come with the client package.)
unpack_server_headers() {
    local headers="$scratch/headers"
    mkdir -p "$headers"
    (cd "$scratch" && quietly apt-get -q download "postgresql-server-dev-$major")
    dpkg-deb -x "$scratch"/postgresql-server-dev-*.deb "$headers"
    cat >"$scratch/pg_config" <<END
#!/bin/sh
case "\$1" in
    --pkgincludedir) echo "$headers/usr/include/postgresql" ;;
    *) exec $pg_config "\$@" ;;
esac
END
    chmod 755 "$scratch/pg_config"
}

build_vector() {
    local source="$scratch/pgvector" config="$pg_config" tools version
    # shellcheck disable=SC2207  # package names have no blanks
    tools=($(absent gcc libc6-dev make dpkg-dev))
    if [ "${#tools[@]}" -gt 0 ]; then
        say "installing ${tools[*]}, to build pgvector"
        apt_install "${tools[@]}"
        [ "$docker_image" = no ] || purge+=("${tools[@]}")
    fi
    write_source_list
    quietly private_apt update
    # apt checks the signature of the release file and, through it, the sums of the files.
    (cd "$scratch" && quietly private_apt source --download-only --only-source pgvector)
    quietly dpkg-source --no-check -x "$scratch"/pgvector_*.dsc "$source"
    version="$(sed -n "s/^default_version *= *'\([^']*\)'.*/\1/p" "$source/vector.control")"
    at_least "$version" "$vector_min" || die "$vector_suite has pgvector $version, $vector_min is needed. LOCI_PGVECTOR_SUITE names another release."
    if ! [ -r "$("$pg_config" --includedir-server)/postgres.h" ]; then
        unpack_server_headers
        config="$scratch/pg_config"
    fi
    say "building pgvector $version from the source package of $vector_suite"
    # No -march=native: what is built here may run on another machine.
    quietly make -C "$source" -j "$(nproc)" OPTFLAGS= with_llvm=no "PG_CONFIG=$config"
    quietly make -C "$source" install OPTFLAGS= with_llvm=no "PG_CONFIG=$config"
}

install_vector() {
    local version
    update_lists
    version="$(candidate "postgresql-$major-pgvector")"
    if [ -n "$version" ] && at_least "$version" "$vector_min"; then
        say "installing postgresql-$major-pgvector"
        no_main_cluster
        apt_install "postgresql-$major-pgvector"
    else
        build_vector
    fi
    vector_is_current || die "pgvector $(vector_version) was installed, $vector_min is needed"
}

# --- Python packages of the database ------------------------------------------------------------------------------

install_venv() {
    local stamp target
    stamp="$(requirements_stamp)"
    target="$home/venv-$(printf '%s' "$stamp" | sha256sum | cut -c 1-12)"
    say "installing the Python packages of the database in $home/venv"
    rm -rf "$target"
    cleanup+=("$target")
    unset PYTHONPATH PYTHONHOME PIP_USER PIP_TARGET PIP_PREFIX
    quietly "$python" -m venv "$target"
    quietly "$target/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-cache-dir \
        --require-hashes --no-deps --only-binary :all: -r "$requirements"
    printf '%s\n' "$stamp" >"$target/.stamp"
    chmod -R a+rX "$target"
    # One rename makes the new set visible: a server that imports meanwhile never sees half of one.
    [ -L "$home/venv" ] || rm -rf "$home/venv"
    ln -sfn "${target##*/}" "$home/venv.new"
    mv -T "$home/venv.new" "$home/venv"
    unset 'cleanup[-1]'
    find "$home" -mindepth 1 -maxdepth 1 -name 'venv-*' ! -name "${target##*/}" -exec rm -rf {} +
}

install_pth() {
    local file
    file="$(pth_file)"
    mkdir -p "$(dirname "$file")"
    pth_content >"$scratch/loci.pth"
    install -m 644 "$scratch/loci.pth" "$file"
}

copy_udfs() {
    [ -d "$udfs" ] || die "python/udfs/loci_udfs is not there to be copied"
    say "copying loci_udfs to $home/python"
    rm -rf "$home/python.new"
    cleanup+=("$home/python.new")
    mkdir -p "$home/python.new"
    cp -R "$udfs" "$home/python.new/loci_udfs"
    find "$home/python.new" -name __pycache__ -prune -exec rm -rf {} +
    "$python" -I -m compileall -q "$home/python.new" >/dev/null
    chmod -R a+rX "$home/python.new"
    rm -rf "$home/python"
    mv -T "$home/python.new" "$home/python"
}

# --- all of it ----------------------------------------------------------------------------------------------------

purge=()
if [ "$docker_image" = yes ] && [ -n "$(absent python3-venv)" ]; then
    purge+=(python3-venv)
fi
[ "${#packages[@]}" -eq 0 ] || install_packages
vector_is_current || install_vector
venv_is_current || install_venv
pth_is_current || install_pth
[ "$install_udfs" = no ] || udfs_are_current || copy_udfs
if [ "$docker_image" = yes ]; then
    [ "${#purge[@]}" -eq 0 ] || quietly apt-get -q -y purge --auto-remove "${purge[@]}"
    quietly apt-get -q clean
    find /var/lib/apt/lists -mindepth 1 -delete
fi
say "done: PostgreSQL $major with plpython3u, pg_cron and pgvector $(vector_version)"

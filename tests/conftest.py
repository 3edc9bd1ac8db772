"""Fixtures: one server a run, one database a test module, made from a template.

With --server=docker the server is a container of Loci's image, otherwise a private cluster of this machine. Workers of
pytest-xdist share it.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.database import Connection, Database, connect, migrate
from tests.servers.local_server import LocalServer

# What it asserts says more than that it failed.
pytest.register_assert_rewrite("tests.pipeline.rows")

_HOME = "LOCI_TEST_HOME"
_DOCKER = "LOCI_TEST_DOCKER"
_docker_server: Any = None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--server", choices=["local", "docker"], default="local", help="where PostgreSQL runs")
    parser.addoption("--image", default=os.environ.get("LOCI_IMAGE", "loci-postgres"), help="image of --server=docker")


def pytest_configure(config: pytest.Config) -> None:
    global _docker_server
    if hasattr(config, "workerinput"):
        return
    home = Path(tempfile.mkdtemp(prefix="loci-test-"))
    home.chmod(0o711)
    os.environ[_HOME] = str(home)
    if config.getoption("--server") == "docker":
        from tests.servers.docker_server import DockerServer

        _docker_server = DockerServer(config.getoption("--image"), environment=None)
        _docker_server.start()
        os.environ[_DOCKER] = json.dumps(
            {
                "port": _docker_server.port,
                "password": _docker_server.password,
                "container": _docker_server.container.get_wrapped_container().id,
            }
        )


def pytest_unconfigure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput") or _HOME not in os.environ:
        return
    if _docker_server is not None:
        _docker_server.remove()
    home = Path(os.environ.pop(_HOME))
    for server in home.glob("server*"):
        LocalServer(server).remove()
    shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _only_one(name: str) -> Iterator[Path]:
    """One worker at a time; the path may be used to tell the others that something is done."""
    path = Path(os.environ[_HOME]) / name
    with open(f"{path}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield path


@pytest.fixture(scope="session")
def dsn_of(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Superuser's URI of a database on the server that all tests share."""
    if request.config.getoption("--server") == "docker":
        shared = json.loads(os.environ[_DOCKER])
        return lambda name: f"postgresql://postgres:{shared['password']}@127.0.0.1:{shared['port']}/{name}"
    server = LocalServer(Path(os.environ[_HOME]) / "server")
    with _only_one("starting"):
        server.start()
    prefix, _, query = server.dsn("loci").partition("?")
    return lambda name: f"{prefix.rsplit('/', 1)[0]}/{name}?{query}"


@pytest.fixture(scope="session")
def template(dsn_of: Callable[[str], str]) -> str:
    """Name of a migrated database whose default model is the hash provider: quick, and the same every time."""
    with _only_one("template") as done:
        if not done.exists():
            with connect(dsn_of("postgres")) as connection:
                # Left over where an earlier worker failed: its error must not hide behind another.
                connection.execute("drop database if exists loci_template")
                connection.execute("create database loci_template")
            migrate(dsn_of("loci_template"))
            with connect(dsn_of("loci_template")) as connection:
                connection.execute("select loci.add_embedding_model('hash', provider => 'hash', dimensions => 256)")
                connection.execute("select loci.use_embedding_model('hash')")
            done.touch()
    return "loci_template"


_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def new_database(dsn_of: Callable[[str], str], template: str, worker_id: str) -> Iterator[Callable[..., Database]]:
    """Make a database: from the template, or empty with template=None (and then not migrated)."""
    made: list[Database] = []

    def make(source: str | None = template) -> Database:
        name = f"t_{worker_id}_{next(_numbers)}"
        # A template can be copied by one at a time.
        with _only_one("copying"), connect(dsn_of("postgres")) as connection:
            connection.execute(f"create database {name} template {source or 'template0'}")
        database = Database(name, dsn_of)
        made.append(database)
        return database

    yield make
    for database in made:
        if not database.admin.closed:
            _drop(database, dsn_of)


def _drop(database: Database, dsn_of: Callable[[str], str]) -> None:
    database.close()
    with connect(dsn_of("postgres")) as connection:
        connection.execute(f"drop database if exists {database.name} with (force)")
        for row in connection.execute(
            "select rolname from pg_roles where starts_with(rolname, %s)", (f"{database.name}_",)
        ).fetchall():
            connection.execute(f'drop owned by "{row["rolname"]}"')
            connection.execute(f'drop role "{row["rolname"]}"')


@pytest.fixture(scope="module")
def db(new_database: Callable[..., Database], dsn_of: Callable[[str], str]) -> Iterator[Database]:
    """A database for the tests of one module."""
    database = new_database()
    yield database
    # Now, not at the end: a server has only so many connections.
    _drop(database, dsn_of)


@pytest.fixture
def cron_db(dsn_of: Callable[[str], str]) -> Iterator[Database]:
    """The one database of the server that pg_cron works in, migrated; for one test at a time."""
    with _only_one("cron") as done:
        if not done.exists():
            migrate(dsn_of("loci"))
            done.touch()
        database = Database("loci", dsn_of)
        yield database
        database.close()


@pytest.fixture(scope="module")
def own_server(request: pytest.FixtureRequest, worker_id: str) -> Iterator[Any]:
    """A server that a test may kill."""
    if request.config.getoption("--server") == "docker":
        from tests.servers.docker_server import DockerServer

        with DockerServer(request.config.getoption("--image")) as server:
            yield server
    else:
        home = Path(os.environ[_HOME]) / f"server-{worker_id}-{next(_numbers)}"
        with LocalServer(home, port=54500) as server:
            yield server


@pytest.fixture
def conn(db: Database) -> Iterator[Connection]:
    """A superuser's connection of its own."""
    with db.connect() as connection:
        yield connection


@pytest.fixture(scope="session")
def container(request: pytest.FixtureRequest) -> Any:
    """The container that PostgreSQL runs in, or None."""
    if request.config.getoption("--server") != "docker":
        return None
    import docker

    return docker.from_env().containers.get(json.loads(os.environ["LOCI_TEST_DOCKER"])["container"])


@pytest.fixture(scope="session")
def host_address(container: Any) -> str:
    """Address of this host as the database server sees it."""
    if container is None:
        return "127.0.0.1"
    networks = container.attrs["NetworkSettings"]["Networks"].values()
    return next(str(network["Gateway"]) for network in networks if network["Gateway"])


@pytest.fixture(scope="session")
def listen_address(host_address: str) -> str:
    return "127.0.0.1" if host_address == "127.0.0.1" else "0.0.0.0"

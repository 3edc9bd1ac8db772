"""Whatever version a database comes from, it can be upgraded with everything in it."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import release
import replay
import revision

from tests.catalogue.test_privileges import matrix
from tests.database import ROOT, Database, migrate
from tests.upgrade.test_upgrade import functions_of, schema_of

NewDatabase = Callable[..., Database]
RELEASED = ROOT / release.RELEASED
# Kept by every migration for itself.
OWN = {"loci_private.installation", "loci_private.alembic_version"}
# Not worth a row of their own: unlogged, and the vectors of a model that nothing uses.
EMPTY = {
    "loci_private.cache", "loci_private.changes", "loci_private.change_moments", "loci_private.embeddings_1",
    "loci_private.observations", "loci_private.counted_observations",
}  # fmt: skip


def psql(database: Database, script: str) -> None:
    done = subprocess.run(
        ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-o", os.devnull, database.dsn],
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def restore(new_database: NewDatabase, dump: str) -> Database:
    database = new_database(None)
    psql(database, dump)
    return database


def counts(database: Database) -> dict[str, int]:
    tables = database.rows(
        "select c.oid::regclass::text as name from pg_class as c "
        "where c.relnamespace in ('loci'::regnamespace, 'loci_private'::regnamespace, 'public'::regnamespace) "
        "and c.relkind in ('r', 'p') and not c.relispartition"
    )
    return {row["name"]: database.value(f"select count(*) from {row['name']}") for row in tables}


def check_upgraded(database: Database, present: Database, before: dict[str, int]) -> None:
    """As if it had been installed with this version: nothing lost, nothing left over, nobody with another right."""
    assert functions_of(database) == functions_of(present)
    assert schema_of(database) == schema_of(present)
    assert matrix(database) == matrix(present)
    after = counts(database)
    assert {name: n for name, n in before.items() if name not in OWN and after.get(name, 0) < n} == {}
    assert database.value("select version from loci_private.installation") == release.version_of(ROOT)
    assert (
        database.rows("select a.name from loci_private.actions as a where loci_private.registered_function(a) is null")
        == []
    )

    ada, bob, eve = (
        database.value("select user_id from loci.users where email = %s", f"{name}@example.org")
        for name in ("ada", "bob", "eve")
    )
    assert len(database.found(ada, "harbour light", sources=["documents"])) == 13
    assert "the harbour has a place for bob alone" in database.found(bob, "harbour place")
    assert database.found(eve, "harbour light") == set()
    with database.acting(ada) as connection:
        assert connection.execute("select content from loci.recall('light')").fetchall() == [
            {"content": "the harbour light is green"}
        ]
    # What was under way goes on, and new work is taken.
    place = database.value("select organization_id from loci.organizations where name = 'Acme'")
    database.execute("insert into tickets values ('n', 900, 'written after the upgrade', %s)", place)
    database.drain()
    assert database.waiting() == 0
    found = database.found(ada, "written upgrade", k=100, sources=["tickets"], mode="keyword")
    assert "written after the upgrade" in found and "written before the upgrade, ticket 140" in found
    assert database.value("select loci.reconcile(deep => true)") == 0


@pytest.fixture(scope="module")
def present(new_database: NewDatabase) -> Database:
    """The world, in a database that this version was installed in."""
    database = new_database(None)
    migrate(database.dsn)
    psql(database, (RELEASED / "world.sql").read_text())
    return database


@pytest.fixture(scope="module")
def present_dump(present: Database) -> str:
    return subprocess.run(
        [*present.pg_dump(), "--no-unlogged-table-data"], capture_output=True, text=True, check=True
    ).stdout


def test_the_world_has_rows_in_every_table(present: Database) -> None:
    assert {name for name, n in counts(present).items() if n == 0} <= EMPTY


@pytest.mark.parametrize("path", sorted(RELEASED.glob("*.sql.gz")), ids=lambda path: str(path.name))
def test_a_released_version_is_upgraded(new_database: NewDatabase, present: Database, path: Path) -> None:
    database = restore(new_database, gzip.decompress(path.read_bytes()).decode())
    before = counts(database)
    migrate(database.dsn)
    check_upgraded(database, present, before)


def test_this_version_will_be_upgraded(new_database: NewDatabase, present: Database, present_dump: str) -> None:
    """As it is about to be released."""
    database = restore(new_database, present_dump)
    before = counts(database)
    migrate(database.dsn)
    check_upgraded(database, present, before)


@pytest.mark.parametrize(
    "damage",
    [
        "alter table loci.documents add column of_another_version int",
        "drop index loci_private.chunks_lexemes",
        "delete from loci.messages",
        "grant select on loci_private.chunks to loci_app",
        "create function loci_private.left_over() returns int language sql as 'select 1'",
        "update loci_private.actions set pin = 'x'",
    ],
)
def test_what_an_upgrade_got_wrong_is_noticed(
    new_database: NewDatabase, present: Database, present_dump: str, damage: str
) -> None:
    database = restore(new_database, present_dump)
    before = counts(database)
    database.execute(damage)
    with pytest.raises(AssertionError):
        check_upgraded(database, present, before)


def test_a_database_of_a_newer_version_is_left_alone(new_database: NewDatabase) -> None:
    database = new_database()
    database.execute("update loci_private.alembic_version set version_num = '9999'")
    with pytest.raises(RuntimeError, match="revision 9999, which is not among migrations/") as caught:
        migrate(database.dsn)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("revision", ["base", "-1"])
def test_a_downgrade_is_refused(new_database: NewDatabase, revision: str) -> None:
    database = new_database()
    before = functions_of(database)
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "downgrade", revision],
        cwd=ROOT,
        env={**os.environ, "LOCI_DSN": database.dsn},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == ("Loci does not downgrade: restore the backup from before the upgrade (docs/backup.md).\n")
    assert functions_of(database) == before


def test_what_is_in_the_way_of_a_release(tmp_path: Path) -> None:
    for name in ("migrations/versions", "tests/released"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("migrations/replay.py", "sql"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    hash_of = release.tree_hash(ROOT)
    (tmp_path / "migrations/versions/0001_x.py").write_text(f'sql_hash = "{hash_of}"\nversion = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\n## 1.2.3 (today)\n\n- All of it.\n")
    (tmp_path / "tests/released/1.2.3.sql.gz").write_bytes(b"")
    (tmp_path / "README.md").write_text("Loci\n")
    assert release.problems(tmp_path) == []

    for name, text, complaint in (
        ("pyproject.toml", '[project]\nversion = "1.2.4.dev0"\n', "none of a release"),
        ("migrations/versions/0001_x.py", 'sql_hash = "0"\nversion = "1.2.3"\n', "sql/ has changed since"),
        ("CHANGELOG.md", "## Unreleased\n\n- More.\n\n## 1.2.3\n\n- It.\n", "listed as Unreleased"),
        ("CHANGELOG.md", "## Unreleased\n\n## 1.2.2\n\n- It.\n", "no changes of 1.2.3"),
        ("README.md", "Nothing has been released; wait.\n", "nothing has been released"),
    ):
        kept = (tmp_path / name).read_text()
        (tmp_path / name).write_text(text)
        assert any(complaint in line for line in release.problems(tmp_path)), complaint
        (tmp_path / name).write_text(kept)
    (tmp_path / "tests/released/1.2.3.sql.gz").unlink()
    assert release.problems(tmp_path) == ["tests/released/1.2.3.sql.gz is missing (make release-dump)"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What revisions are made in: 1.2.3 has been released with revision 0001."""
    shutil.copytree(
        ROOT / "migrations", tmp_path / "migrations", ignore=shutil.ignore_patterns("versions", "__pycache__")
    )
    for name in ("migrations/versions", "tests/released"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "sql").symlink_to(ROOT / "sql")
    shutil.copy(ROOT / "alembic.ini", tmp_path)
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    (tmp_path / "migrations/versions/0001_x.py").write_text(
        'revision = "0001"\ndown_revision = None\nsql_hash = "0"\nversion = "1.2.3"\n'
    )
    (tmp_path / "tests/released/1.2.3.sql.gz").write_bytes(b"")
    return tmp_path


def test_a_revision_is_numbered_and_stamped(tree: Path) -> None:
    (tree / "pyproject.toml").write_text('[project]\nversion = "1.2.4"\n')
    made = revision.make("What it does", tree)
    assert made.name == "0002_what_it_does.py"
    text = made.read_text()
    assert f'sql_hash = "{replay.tree_hash()}"\nversion = "1.2.4"\n' in text
    assert '"""What it does."""' in text and 'down_revision = "0001"' in text
    # On the way to that version it is stamped again, and it is the only one.
    made.write_text(text.replace(replay.tree_hash(), "0"))
    assert revision.stamp(tree) == made and made.read_text() == text
    with pytest.raises(SystemExit, match=r"0002_what_it_does\.py is not released yet"):
        revision.make("Something else", tree)


def test_what_is_released_is_never_revised(tree: Path) -> None:
    released = {path.name: path.read_text() for path in (tree / "migrations/versions").iterdir()}
    with pytest.raises(SystemExit, match=r"0001_x\.py is released"):
        revision.stamp(tree)
    with pytest.raises(SystemExit, match=r"Version 1\.2\.3 is released"):
        revision.make("What it does", tree)
    assert {path.name: path.read_text() for path in (tree / "migrations/versions").iterdir()} == released


def test_a_tree_of_a_released_version_is_whole() -> None:
    """After a release the next change of sql/ is a new revision, of a new version."""
    assert "dev" in release.version_of(ROOT) or release.problems() == []

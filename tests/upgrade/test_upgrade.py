"""However a database came to be - installed fresh or migrated - it is the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable

import pytest
import replay

from tests.database import ROOT, Database, migrate

NewDatabase = Callable[..., Database]


def schema_of(database: Database) -> str:
    """pg_dump -s without what differs by accident: comments of the dump, the order of grants, alembic's table."""
    dump = subprocess.run(
        [*database.pg_dump(), "--schema-only", "--no-comments"], capture_output=True, text=True, check=True
    ).stdout
    blocks = re.split(
        r"\n{2,}", re.sub(r"^(--.*|\\(un)?restrict .*|SET .*|SELECT pg_catalog\.set_config.*)$", "", dump, flags=re.M)
    )
    return "\n\n".join(sorted(block.strip() for block in blocks if block.strip() and "alembic_version" not in block))


def functions_of(database: Database) -> dict[str, str]:
    """Definition and comment of everything callable."""
    return {
        row["name"]: f"{row['definition']}\n{row['comment']}\n{row['owner']}\n{row['acl']}"
        for row in database.rows(
            "select p.oid::regprocedure::text as name, pg_get_functiondef(p.oid) as definition, "
            "obj_description(p.oid, 'pg_proc') as comment, pg_get_userbyid(p.proowner) as owner, p.proacl::text as acl "
            "from pg_proc as p where p.pronamespace in ('loci'::regnamespace, 'loci_private'::regnamespace)"
        )
    }


def install(database: Database) -> None:
    done = subprocess.run(
        ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "--single-transaction", "-f", "sql/install.sql", database.dsn],
        cwd=ROOT,
        env={**os.environ, "PGOPTIONS": "-c client_min_messages=warning"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def fresh(new_database: NewDatabase) -> Database:
    database = new_database(None)
    install(database)
    return database


@pytest.fixture(scope="module")
def upgraded(new_database: NewDatabase) -> Database:
    database = new_database(None)
    migrate(database.dsn)
    return database


def test_upgrade_equals_fresh(fresh: Database, upgraded: Database) -> None:
    assert functions_of(upgraded) == functions_of(fresh)
    assert schema_of(upgraded) == schema_of(fresh)


def test_every_setting_and_start_row_is_the_same(fresh: Database, upgraded: Database) -> None:
    for table in ("loci.settings", "loci.embedding_models", "loci_private.gateways", "loci.sources"):
        columns = ", ".join(
            row["column_name"]
            for row in fresh.rows(
                "select column_name from information_schema.columns "
                "where table_schema || '.' || table_name = %s and data_type not like 'timestamp%%' order by 1",
                table,
            )
        )
        sql = f"select {columns} from {table} order by {columns}"
        assert upgraded.rows(sql) == fresh.rows(sql)


def test_a_second_migration_changes_nothing(upgraded: Database) -> None:
    before = (schema_of(upgraded), functions_of(upgraded), upgraded.rows("select * from loci_private.installation"))
    migrate(upgraded.dsn)
    assert before == (
        schema_of(upgraded),
        functions_of(upgraded),
        upgraded.rows("select * from loci_private.installation"),
    )


def test_the_head_revision_is_stamped_with_the_tree(upgraded: Database) -> None:
    assert upgraded.value("select sql_hash from loci_private.installation") == replay.tree_hash()


def test_migrating_keeps_what_is_there(new_database: NewDatabase) -> None:
    database = new_database()
    people = database.people()
    database.document(people.acme, "kept through a migration")
    database.drain()
    database.execute("update loci.settings set value = '7' where name = 'split_batch'")
    migrate(database.dsn)
    assert database.found(people.ada, "kept migration") == {"kept through a migration"}
    assert database.value("select loci.setting('split_batch')") == "7"
    assert database.value("select count(*) from loci.embedding_models") == 2
    database.document(people.acme, "written after a migration")
    database.drain()
    assert database.found(people.ada, "written") == {"kept through a migration", "written after a migration"}


def test_a_dump_restored_elsewhere_goes_on(new_database: NewDatabase) -> None:
    """With work that a drain of the other server held, triggers that follow partitions, and jobs to schedule."""
    original = new_database()
    people = original.people()
    original.execute(
        "create table parts (id int, region text, body text, place uuid, primary key (region, id)) partition by list (region);"
        "create table parts_n partition of parts for values in ('n');"
        "select loci.watch('parts', content => 'body', scope => 'place')"
    )
    original.execute("insert into parts values (1, 'n', 'drained before the dump', %s)", people.acme)
    original.drain()
    original.execute("insert into parts values (2, 'n', 'held by a drain of the other server', %s)", people.acme)
    original.execute("select loci_private.claim_rows(gen_random_uuid())")
    dump = subprocess.run(original.pg_dump(), capture_output=True, text=True, check=True).stdout
    restored = new_database(None)
    done = subprocess.run(
        ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-o", os.devnull, restored.dsn],
        input=dump,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert restored.value("select count(*) from loci_private.leases") == 1
    # The very session is still there, but in another database.
    restored.drain()
    drained = {"drained before the dump", "held by a drain of the other server"}
    assert restored.found(people.ada, "drained held", sources=["parts"]) == drained
    restored.execute("create table parts_s partition of parts for values in ('s')")
    restored.execute("insert into parts_s values (3, 's', 'of a new partition', %s)", people.acme)
    restored.execute("alter table parts detach partition parts_n")
    assert restored.found(people.ada, "drained held", sources=["parts"]) == set()
    restored.drain()
    assert restored.found(people.ada, "of a new partition", sources=["parts"]) == {"of a new partition"}
    assert restored.value("select loci.reconcile(deep => true)") == 0
    assert original.value("select count(*) from loci_private.row_queue where lease is not null") == 1
    migrate(restored.dsn)
    assert functions_of(restored) == functions_of(original)


def test_a_missing_dsn_is_a_clear_error() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "LOCI_DSN"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert done.stderr.startswith("LOCI_DSN is not set")


def test_a_table_that_was_dropped_is_not_another_one_in_a_restored_dump(new_database: NewDatabase) -> None:
    """A dump has its number where its name was, and numbers are given out anew."""
    database = new_database()
    people = database.people()
    database.execute(
        "create table gone (id int primary key, body text, place uuid);"
        "select loci.watch('gone', content => 'body', scope => 'place')"
    )
    database.drain()
    database.execute("drop table gone; create table private_notes (id int primary key, body text, place uuid)")
    database.execute("insert into private_notes values (1, 'never meant to be found', %s)", people.acme)
    database.execute("update loci_private.sources set relation = 'private_notes'::regclass where name = 'gone'")
    database.execute("select loci.reconcile(deep => true)")
    database.drain()
    assert database.found(people.ada, "meant to be found") == set()
    assert database.rows("select from pg_trigger where tgrelid = 'private_notes'::regclass") == []
    (source,) = database.rows("select broken_error from loci.sources where name = 'gone'")
    assert "dropped" in source["broken_error"]


def test_schemas_of_somebody_else_are_not_taken_over(new_database: NewDatabase) -> None:
    """What is in them already would be Loci's afterwards, and run with its rights."""
    database = new_database(None)
    owner = database.login_role("squatter")
    database.execute(f'create schema loci_private authorization "{owner}"')
    with pytest.raises(RuntimeError, match='"loci_private" is there already and belongs to'):
        migrate(database.dsn)
    assert database.rows("select from pg_namespace where nspname = 'loci'") == []


def test_nothing_in_public_is_taken_for_postgresqls_own(new_database: NewDatabase) -> None:
    """Functions and operators there that fit better than PostgreSQL's, while a superuser installs and migrates."""
    database = new_database(None)
    trap = database.login_role("trap")
    database.execute(f'grant create on schema public to "{trap}"')
    with database.connect(trap) as connection:
        connection.execute("create table public.caught (who text, what text)")
        connection.execute("grant all on public.caught to public")
        for name, arguments, result in (
            ("format", "text, name", "text"),
            ("format", "text, name, name", "text"),
            ("sha256", "text", "bytea"),
            ("string_agg_of", "text", "text"),
        ):
            connection.execute(
                f"create function public.{name}({arguments}) returns {result} language plpgsql as $$ begin "
                f"insert into public.caught values (current_user, '{name}'); return null; end $$".encode()
            )
        connection.execute(
            "create function public.eq(name, text) returns boolean language plpgsql as $$ begin "
            "insert into public.caught values (current_user, '='); return true; end $$"
        )
        for operator in ("=", "<>", "~"):
            connection.execute(
                f"create operator public.{operator} (leftarg = name, rightarg = text, function = public.eq)".encode()
            )
    migrate(database.dsn)
    # Once more: the second time everything is looked at and nothing made.
    migrate(database.dsn)
    assert database.rows("select * from public.caught") == []

"""docs/operations.md, "A DBA who is not superuser": what such a login does every day, and what it cannot do."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.database import Connection, Database


@pytest.fixture(scope="module")
def dba(db: Database) -> Iterator[Connection]:
    role = db.login_role("dba")
    for group in ("loci_admin", "loci_app", "loci_monitor", "loci_worker"):
        db.execute(f"grant {group} to {role} with admin option")
    with db.connect(role) as connection:
        yield connection


def test_the_daily_work_needs_no_superuser(db: Database, dba: Connection) -> None:
    shop = db.login_role("shop")
    dba.execute(f"grant loci_app to {shop}")
    assert dba.execute("select severity from loci.doctor()").fetchone() == {"severity": "ok"}
    dba.execute("select * from loci.status()")
    dba.execute("select loci.metrics()")
    for view in ("progress", "failures", "jobs", "model_indexes", "cache_stats", "calls", "usage"):
        dba.execute(f"select * from loci.{view}")
    dba.execute("update loci.settings set value = '300' where name = 'drain_seconds'")
    dba.execute("update loci.settings set value = null where name = 'drain_seconds'")
    dba.execute("select loci.add_gateway('second', 'https://gateway.example/v1')")
    dba.execute("select loci.add_embedding_model('other', provider => 'hash', dimensions => 32)")
    dba.execute("select loci.drop_embedding_model('other')")
    organization = db.organization("Their own")
    db.execute(f"create schema theirs authorization {dba.info.user}")
    dba.execute("create table theirs.notes (note_id int primary key, place uuid, note text)")
    dba.execute("select loci.watch('theirs.notes', content => 'note', scope => 'place')")
    dba.execute("insert into theirs.notes values (1, %s, 'written by the DBA')", (organization,))
    dba.execute("call loci.drain()")
    dba.execute("select loci.reconcile(), loci.retry_failures(), loci.clear_cache()")
    assert db.value("select count(*) from loci_private.chunks where content = 'written by the DBA'") == 1
    dba.execute("select loci.unwatch('theirs.notes')")
    dba.execute("drop table theirs.notes")


@pytest.mark.parametrize(
    "statement",
    [
        "select * from loci_private.session_key",
        "select * from loci_private.chunks",
        "set role loci_owner",
        "select loci_private.refresh_source(1)",
        "alter table loci.documents disable row level security",
        "create function f() returns int language plpython3u as 'return 1'",
        "select loci.watch('pg_catalog.pg_authid', content => 'rolname', scope => 'null')",
        "set log_error_verbosity = verbose",
    ],
)
def test_and_ends_where_others_data_begin(dba: Connection, statement: str) -> None:
    with pytest.raises(psycopg.Error) as caught:
        dba.execute(statement)
    assert caught.value.sqlstate in ("42501", "LC243"), caught.value


def test_what_the_manual_says_only_a_superuser_can_do(db: Database) -> None:
    """The list in docs/operations.md, compared with the catalogue."""
    untrusted = db.value("select count(*) from pg_language where lanname = 'plpython3u' and not lanpltrusted")
    events = db.value("select count(*) from pg_event_trigger where evtname in ('loci_partitions', 'loci_drops')")
    assert (untrusted, events) == (1, 2)
    above = db.rows(
        "select p.oid::regprocedure::text as name from pg_proc as p "
        "where p.pronamespace in ('loci'::regnamespace, 'loci_private'::regnamespace) and exists ("
        "select from unnest(p.proconfig) as c (entry) join pg_settings as s on s.name = split_part(c.entry, '=', 1) "
        "where s.context = 'superuser')"
    )
    assert [row["name"] for row in above] == ["loci_private.log_event(text,jsonb)"]

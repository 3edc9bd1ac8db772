"""Two sessions make the same row at the same moment: one row, and a clear word to whoever came second."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.database import Connection, Database, wait_until
from tests.pipeline.background import Background, activity, background, wait_for_lock

OUTAGE = '{"sqlstate": "LC406", "message": "no answer"}'


@pytest.fixture
def gated_health(db: Database) -> Iterator[None]:
    """A gate within the making of a row of model_health, when it has been seen that there is none: in the first of its
    indexes, which has to be made before the others."""
    uniques = "drop constraint model_health_pkey, drop constraint model_health_model_id_key, "
    uniques += "drop constraint model_health_chat_gateway_key"
    remade = "add primary key (subject), add unique (model_id), add unique (chat_gateway)"
    db.execute(
        f"""
        create function public.gate(subject text) returns text language plpgsql immutable as $$ begin
            if current_setting('application_name') = 'gated' then
                perform pg_advisory_lock_shared(42);
                perform pg_advisory_unlock_shared(42);
            end if;
            return subject;
        end $$;
        alter table loci_private.model_health {uniques};
        create index gated on loci_private.model_health (public.gate(subject));
        alter table loci_private.model_health {remade};
        """
    )
    yield
    db.execute("truncate loci_private.model_health; drop index loci_private.gated; drop function public.gate(text)")


def at_the_gate(db: Database, running: Background) -> None:
    wait_until(
        lambda: (activity(db, running.pid) or {}).get("wait_event") == "advisory" or not running.running,
        "the session is at the gate",
    )
    assert running.running, running.error


@pytest.mark.parametrize("subject", ["(select min(model_id) from loci.embedding_models), {}", "null, {}, 'default'"])
def test_two_sessions_find_a_gateway_out_of_order_at_once(db: Database, gated_health: None, subject: str) -> None:
    call = f"select * from loci_private.cool_down({subject.format(f'null, {chr(39)}{OUTAGE}{chr(39)}')})"
    with db.connect() as gate:
        gate.execute("select pg_advisory_lock(42)")
        with background(db, call, application="gated") as second:
            at_the_gate(db, second)
            db.execute(call)
            gate.execute("select pg_advisory_unlock(42)")
            second.finish()
    (health,) = db.rows("select * from loci_private.model_health")
    # Nobody's failure is forgotten, and both are of one outage.
    assert health["outages"] == 2 and health["error"]["sqlstate"] == "LC406"
    assert health["since"] < health["cooldown_until"]


def test_a_limit_does_not_hide_an_outage_that_somebody_else_met(db: Database, gated_health: None) -> None:
    subject = "(select min(model_id) from loci.embedding_models)"
    with db.connect() as gate:
        gate.execute("select pg_advisory_lock(42)")
        with background(
            db, f"select * from loci_private.cool_down({subject}, null, null)", application="gated"
        ) as limited:
            at_the_gate(db, limited)
            db.execute(f"select * from loci_private.cool_down({subject}, null, '{OUTAGE}')")
            gate.execute("select pg_advisory_unlock(42)")
            limited.finish()
    (health,) = db.rows("select * from loci_private.model_health")
    assert health["outages"] == 1 and health["error"]["sqlstate"] == "LC406"


@pytest.fixture
def first(db: Database) -> Iterator[Connection]:
    """Whoever came first, in an open transaction."""
    db.execute(
        "create schema app; create table app.notes (id int primary key, body text, other text, place uuid); "
        "create table app.parts (id int primary key, body text, place uuid)"
    )
    with db.connect() as connection:
        connection.execute("begin")
        yield connection
    for row in db.rows("select relation::oid as oid from loci.sources where name <> 'documents'"):
        db.execute(f"select loci.unwatch({row['oid']}::regclass)")
    db.execute("drop schema app cascade")
    if db.rows("select from loci.embedding_models where name = 'twice'"):
        db.execute("select loci.drop_embedding_model('twice')")


@pytest.mark.parametrize(
    ("one", "another", "code"),
    [
        (
            "loci.watch('app.notes', content => 'body', scope => 'place')",
            "loci.watch('app.notes', content => 'other', scope => 'place')",
            "LC246",
        ),
        (
            "loci.watch('app.notes', content => 'body', scope => 'place', name => 'taken')",
            "loci.watch('app.parts', content => 'body', scope => 'place', name => 'taken')",
            "LC247",
        ),
        (
            "loci.add_embedding_model('twice', dimensions => 16)",
            "loci.add_embedding_model('twice', dimensions => 32)",
            "LC213",
        ),
    ],
)
def test_who_comes_second_is_told(db: Database, first: Connection, one: str, another: str, code: str) -> None:
    first.execute(f"select {one}".encode())
    with background(db, f"select {another}") as second:
        wait_for_lock(db, second, "the second waits for the first")
        first.execute("commit")
        second.wait()
    assert isinstance(second.error, psycopg.Error) and second.error.sqlstate == code, second.error
    assert second.error.diag.message_hint


def test_who_comes_second_may_try_again_if_the_first_gives_up(db: Database, first: Connection) -> None:
    first.execute("select loci.watch('app.notes', content => 'body', scope => 'place')")
    with background(db, "select loci.watch('app.notes', content => 'other', scope => 'place')") as second:
        wait_for_lock(db, second, "the second waits for the first")
        first.execute("rollback")
        second.finish()
    assert db.value("select content from loci.sources where relation = 'app.notes'::regclass") == "other"

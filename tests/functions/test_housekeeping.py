"""What the hourly job tidies, wherever pg_cron lives."""

from __future__ import annotations

from tests.database import Database


def test_caches_and_actions_are_tidied_where_pg_cron_lives_in_another_database(db: Database) -> None:
    """Its jobs run here, too (schedule_in_database)."""
    assert db.rows("select from pg_extension where extname = 'pg_cron'") == []
    people = db.people()
    with db.acting(people.ada) as connection:
        connection.execute("""select loci.cache_put('response', '{"q": 1}', '"answer"')""")
    db.execute(
        "insert into loci_private.action_events (happened_at, event, action, login, detail) "
        "values (now() - interval '100 years', 'removed', 'long ago', 'nobody', '{}')"
    )
    assert db.value("select count(*) from loci_private.cache") == 1
    db.set_clock(str(db.value("select (now() + interval '2 days')::text")))
    try:
        assert db.value("select loci_private.job_housekeeping()") == 0
    finally:
        db.set_clock(None)
    assert db.value("select count(*) from loci_private.cache") == 0
    assert db.rows("select from loci_private.action_events where action = 'long ago'") == []


def test_a_conversation_that_is_being_deleted_stops_no_job(db: Database) -> None:
    """Neither waiting for it nor failing over it; the others are summarised."""
    people = db.people()
    db.execute("update loci.settings set value = 'first' where name = 'chat_model'")
    leaving, staying = (
        db.value("insert into loci.conversations (user_id) values (%s) returning conversation_id", people.ada)
        for _ in range(2)
    )
    for conversation in (leaving, staying):
        db.execute(
            "insert into loci.messages (conversation_id, role, content) select %s, 'user', 'word ' || n "
            "from generate_series(1, 50) as n",
            conversation,
        )
    requested = "select conversation_id from loci_private.requests where conversation_id is not null"
    with db.connect() as connection, connection.transaction():
        connection.execute("delete from loci.conversations where conversation_id = %s", (leaving,))
        db.execute("set lock_timeout = '5s'")
        assert db.value("select loci_private.job_consolidation()") == 1
        db.execute("reset lock_timeout")
        assert db.rows(requested) == [{"conversation_id": staying}]
    assert db.value("select loci_private.job_consolidation()") == 0

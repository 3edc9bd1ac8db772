"""loci.doctor(): a system that is damaged in one way has exactly that finding, and its remedy mends it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.database import Connection, Database, migrate

Finding = dict[str, Any]


def findings(database: Database, *, notes: bool = False) -> list[Finding]:
    """All but what says that nothing is wrong, and notes."""
    return [
        row
        for row in database.rows("select * from loci.doctor()")
        if row["severity"] in ("error", "warning") or (notes and row["severity"] == "note")
    ]


def only(found: list[Finding]) -> Finding:
    assert len(found) == 1, found
    return found[0]


def run(database: Database, remedy: str) -> None:
    """As a DBA who pastes it into psql."""
    assert remedy.rstrip().endswith(";") or ";   -- " in remedy, f"not SQL: {remedy}"
    for statement in re.split(r";\s*(?:--[^\n]*)?(?:\n|$)", remedy):
        if statement.strip():
            database.execute(statement)


def mended(database: Database, area: str, object_: str, says: str, severity: str = "warning") -> Finding:
    """The one finding, whose remedy makes it go."""
    found = only(findings(database))
    assert (found["severity"], found["area"], found["object"]) == (severity, area, object_)
    assert re.search(says, found["finding"]), found["finding"]
    run(database, found["remedy"])
    assert findings(database) == []
    return found


def test_a_healthy_system_is_ok(db: Database) -> None:
    assert findings(db) == []
    first = db.rows("select * from loci.doctor()")[0]
    assert (first["severity"], first["finding"]) == ("ok", "nothing is wrong")


def test_monitors_may_ask_and_applications_may_not(db: Database) -> None:
    with db.connect(db.login_role("watchman", "loci_monitor")) as connection:
        assert connection.execute("select severity from loci.doctor()").fetchall()[0] == {"severity": "ok"}
        assert connection.execute("select loci.metrics() as text").fetchone() is not None
    with db.connect(db.app_role()) as connection, pytest.raises(Exception, match="permission denied"):
        connection.execute("select * from loci.doctor()")


# What is damaged, where it is found and what is said about it.
DAMAGES = {
    "row security off": (
        "alter table loci.documents disable row level security",
        ("privileges", "loci.documents", "row security is turned off", "error"),
    ),
    "function for everybody": (
        "grant execute on function loci.reconcile(boolean) to public",
        ("privileges", "function loci.reconcile(boolean)", "execute to public", "error"),
    ),
    "table for everybody": (
        "grant select on loci_private.session_key to public",
        ("privileges", "table loci_private.session_key", "select to public", "error"),
    ),
    "right of a role too many": (
        "grant select on loci_private.chunks to loci_app",
        ("privileges", "table loci_private.chunks", "select to loci_app"),
    ),
    "right of a role missing": (
        "revoke execute on function loci.visible_scopes() from loci_app",
        ("privileges", "function loci.visible_scopes()", "execute to loci_app is missing"),
    ),
    "owner changed": (
        "alter function loci.drop_metric(text) owner to postgres",
        ("privileges", "function loci.drop_metric(text)", "does not belong to loci_owner", "error"),
    ),
    "index dropped": (
        "drop index loci_private.row_queue_placing",
        ("objects", "loci_private.row_queue", "index row_queue_placing is missing"),
    ),
    "trigger of a watched table disabled": (
        "alter table loci.documents disable trigger loci_update",
        ("sources", "documents", "loci_update of loci.documents is disabled", "error"),
    ),
    "trigger of a watched table dropped": (
        "drop trigger loci_insert on loci.documents",
        ("sources", "documents", "loci_insert of loci.documents is missing", "error"),
    ),
    "event trigger disabled": (
        "alter event trigger loci_drops disable",
        ("sources", "loci_drops", "missing or disabled", "error"),
    ),
    "vectors of another size": (
        "select loci.add_embedding_model('odd', provider => 'hash', dimensions => 32); "
        "do $$ begin execute format('alter table loci_private.%I alter column embedding type halfvec(8)', "
        "loci_private.model_table((select model_id from loci.embedding_models where name = 'odd'))); end $$",
        ("models", "odd", "it has 32 dimensions, the table of its vectors 8", "error"),
    ),
    "gateway down": (
        "select loci.add_gateway('down', 'https://gateway.invalid/v1'), "
        "loci.add_embedding_model('far', dimensions => 8, gateway => 'down'); "
        "insert into loci_private.model_health (model_id, cooldown_until, outages, error, since) "
        "select model_id, loci_private.now() + interval '1 hour', 3, "
        '\'{"message": "connection refused", "sqlstate": "LC401"}\', loci_private.now() '
        "from loci.embedding_models where name = 'far'",
        ("models", "far", r"failed 3 times .* connection refused \(LC401\)"),
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_one_damage_one_finding_one_remedy(db: Database, name: str) -> None:
    damage, found = DAMAGES[name]
    db.execute(damage)
    mended(db, *found)


def test_what_hangs_on_a_constraint_comes_back_in_turn(new_database: Callable[..., Database]) -> None:
    db = new_database()
    db.execute("alter table loci_private.chunks drop constraint chunks_pkey cascade")
    for _ in range(5):
        if not (found := findings(db)):
            break
        assert {(f["severity"], f["area"]) for f in found} == {("error", "objects")}
        run(
            db,
            next(f for f in found if "_pkey" in f["finding"] or len(found) == 1 or "_fkey" in f["finding"])["remedy"],
        )
    assert findings(db) == []


def test_a_table_of_vectors_that_is_gone(new_database: Callable[..., Database]) -> None:
    db = new_database()
    people = db.people()
    db.document(people.acme, "embedded twice")
    db.drain()
    model = db.value("select active_model from loci_private.model_assignments where organization_id is null")
    db.execute(f"drop table loci_private.embeddings_{model}")
    found = only([f for f in findings(db) if "is not there" in f["finding"]])
    assert (found["severity"], found["area"], found["object"]) == ("error", "indexes", "hash")
    run(db, found["remedy"])
    db.drain()
    assert findings(db) == []
    assert db.found(people.ada, "embedded", mode="vector") == {"embedded twice"}


def test_a_gateway_without_an_address(new_database: Callable[..., Database]) -> None:
    db = new_database()
    db.execute("select loci.add_embedding_model('far', dimensions => 8)")
    db.execute(
        "update loci_private.model_assignments set target_model = (select max(model_id) from loci.embedding_models)"
    )
    found = only(findings(db))
    assert (found["severity"], found["area"], found["object"]) == ("error", "models", "far")
    assert 'gateway "default" has no address' in found["finding"]
    run(db, found["remedy"])
    # Next comes its key, which is not there yet.
    assert [f["area"] for f in findings(db)] == ["keys"]


def test_triggers_of_loci_that_were_turned_off(db: Database) -> None:
    db.execute("alter table loci.settings disable trigger user")
    found = findings(db)
    assert found and {(f["severity"], f["area"], f["object"]) for f in found} == {("error", "objects", "loci.settings")}
    for each in found:
        run(db, each["remedy"])
    assert findings(db) == []


def test_what_cannot_be_made_again_by_a_statement_is_migrated_again(new_database: Callable[..., Database]) -> None:
    db = new_database()
    db.execute("drop function loci.forget(bigint)")
    db.execute("drop policy if exists administrators on loci.settings")
    db.execute("update loci_private.installation set version = '0.0.1'")
    policy = db.value("select policyname from pg_policies where tablename = 'documents' order by 1 limit 1")
    db.execute(f'drop policy "{policy}" on loci.documents')
    said = {(f["severity"], f["area"]): f for f in findings(db)}
    assert set(said) >= {("error", "versions"), ("error", "objects"), ("error", "privileges")}
    assert "the schema is 0.0.1" in said["error", "versions"]["finding"]
    assert said["error", "objects"]["object"] == "function loci.forget(bigint)"
    assert {f["remedy"] for f in findings(db)} == {"LOCI_DSN=postgresql://... .venv/bin/alembic upgrade head"}
    migrate(db.dsn)
    assert findings(db) == []


def test_a_key_by_reference_that_leads_nowhere(db: Database, tmp_path: Any) -> None:
    db.execute("select loci.add_gateway('paid', 'https://gateway.invalid/v1', api_key_ref => 'env:LOCI_NO_SUCH_KEY')")
    found = only(findings(db))
    assert (found["severity"], found["area"], found["object"]) == ("error", "keys", "gateway paid")
    assert "LOCI_NO_SUCH_KEY" in found["finding"]
    run(db, found["remedy"])
    found = only(findings(db))
    assert found["remedy"] == "install -D -m 600 -o postgres /dev/stdin /etc/loci/gateway.key"
    db.execute("create temp table secret (line text)")
    db.execute("insert into secret values ('sk-very-secret')")
    path = db.value("select current_setting('data_directory') || '/doctor.key'")
    db.execute(f"copy secret to '{path}'")
    db.execute("select loci.add_gateway('paid', 'https://gateway.invalid/v1', api_key_ref => %s)", f"file:{path}")
    assert findings(db) == []
    assert "sk-very-secret" not in str(db.rows("select * from loci.doctor()"))


def test_an_invalid_index(db: Database, conn: Connection) -> None:
    # A build that fails leaves what is invalid behind.
    with pytest.raises(Exception, match="could not create unique index"):
        db.execute(
            "insert into loci_private.spending values (gen_random_uuid(), '2020-01-01', 1), (gen_random_uuid(), '2020-01-01', 1)"
        )
        db.execute("create unique index concurrently spending_month on loci_private.spending (month)")
    found = only(findings(db))
    assert (found["severity"], found["area"], found["object"]) == ("error", "indexes", "spending_month")
    db.execute("delete from loci_private.spending")
    run(db, found["remedy"])
    assert findings(db) == []
    db.execute("drop index loci_private.spending_month")


def test_what_an_interrupted_reindex_leaves(db: Database) -> None:
    db.execute("create index chunks_lexemes_ccnew on loci_private.chunks (chunk_id)")
    db.execute(
        "update pg_index set indisvalid = false where indexrelid = 'loci_private.chunks_lexemes_ccnew'::regclass"
    )
    mended(db, "indexes", "chunks_lexemes_ccnew", "invalid", "error")
    assert db.value("select to_regclass('loci_private.chunks_lexemes_ccnew')") is None


def test_words_of_texts_that_are_gone(new_database: Callable[..., Database]) -> None:
    db = new_database()
    people = db.people()
    db.document(people.acme, "what stays")
    db.drain()

    def said() -> list[Finding]:
        return [row for row in findings(db, notes=True) if row["object"] == "chunks_lexemes"]

    # Words that come once, as numbers and names do.
    db.execute(
        "insert into loci_private.chunks (row_id, source_id, chunking_id, organization_id, scope_id, ordinal, content, text_hash, "
        "token_count, lexemes, created_at, updated_at) "
        "select c.row_id, c.source_id, c.chunking_id, c.organization_id, c.scope_id, n, n::text, sha256(n::text::bytea), 1, "
        "array_to_tsvector(array(select n || '.' || w from generate_series(1, 200) as w)), now(), now() "
        "from loci_private.chunks as c cross join generate_series(1, 10000) as n"
    )
    db.execute("analyze loci_private.chunks")
    assert db.value("select pg_relation_size('loci_private.chunks_lexemes')") > 67108864
    assert said() == []
    db.execute("delete from loci_private.chunks where ordinal between 1 and 10000")
    db.execute("vacuum analyze loci_private.chunks")
    found = only(said())
    assert (found["severity"], found["area"]) == ("note", "indexes")
    run(db, found["remedy"])
    assert said() == []
    assert db.found(people.ada, "what stays") == {"what stays"}


def test_a_build_of_vectors_that_was_interrupted(db: Database) -> None:
    model = db.value("select active_model from loci_private.model_assignments where organization_id is null")
    db.execute(f"create index embeddings_{model}_hnsw on loci_private.embeddings_{model} (chunk_id)")
    db.execute(
        f"update pg_index set indisvalid = false where indexrelid = 'loci_private.embeddings_{model}_hnsw'::regclass"
    )
    mended(db, "indexes", f"embeddings_{model}_hnsw", "interrupted")


def test_memory_for_an_index_that_will_be_built(db: Database) -> None:
    people = db.people()
    db.document(people.acme, "one vector")
    db.drain()
    db.execute("update loci.settings set value = '1' where name = 'index_threshold'")
    db.execute(f"alter role postgres in database {db.name} set maintenance_work_mem = '1MB'")
    model = db.value("select active_model from loci_private.model_assignments where organization_id is null")
    table = f"loci_private.embeddings_{model}"
    # As many as a table of this size can hold, by its statistics.
    db.execute(
        "create or replace function loci_private.index_plan() returns table (model_id integer, model text, state text, "
        "vectors bigint, waiting bigint, phase text, percent numeric, bytes bigint, statement text) language sql "
        "set search_path = pg_catalog, pg_temp as $$ select m.model_id, m.name, 'waiting', 1000000::bigint, 0::bigint, "
        f"null::text, null::numeric, null::bigint, null::text from loci.embedding_models as m where m.model_id = {model} $$"
    )
    found = only([f for f in findings(db) if f["object"] == "maintenance_work_mem"])
    assert found["severity"] == "warning"
    run(db, found["remedy"])
    # Now as much as is needed is allowed; whether it fits into /dev/shm depends on the machine.
    rest = findings(db)
    assert [f["object"] for f in rest] in ([], ["/dev/shm"])
    for each in rest:
        run(db, each["remedy"])
    assert findings(db) == []
    db.execute(f"alter table {table} reset (parallel_workers)")
    db.execute(f"alter role postgres in database {db.name} reset maintenance_work_mem")
    db.execute("update loci.settings set value = null where name = 'index_threshold'")
    migrate(db.dsn)
    assert findings(db) == []


def test_jit_is_a_note(db: Database) -> None:
    db.execute(f"alter database {db.name} set jit = on")
    found = only([f for f in findings(db, notes=True) if f["object"] == "jit"])
    run(db, found["remedy"])
    assert not [f for f in findings(db, notes=True) if f["object"] == "jit"]


def test_more_drains_than_pg_cron_has_room_for(db: Database) -> None:
    if db.value("select loci_private.cron_slots()") is None:
        pytest.skip("pg_cron is not loaded")
    db.execute("update loci.settings set value = '16' where name = 'drain_workers'")
    if db.value("select loci_private.cron_slots()") > 16:
        pytest.skip("there is room for all of them")
    mended(db, "settings", "drain_workers", "no room")
    db.execute("update loci.settings set value = null where name = 'drain_workers'")


def test_a_table_that_cannot_be_read(db: Database) -> None:
    db.execute("create table cards (card_id int primary key, place uuid, front text, back text)")
    db.execute("select loci.watch('cards', content => 'front || back', scope => 'place')")
    db.execute("insert into cards values (1, %s, 'to find', 'trouver')", db.people().acme)
    db.execute("alter table cards rename column back to reverse")
    db.drain()
    db.execute("alter table cards rename column reverse to back")
    mended(db, "sources", "cards", "cannot be read since", "error")
    db.drain()
    db.execute("drop table cards")
    mended(db, "sources", "cards", "was dropped", "error")


def test_work_that_nobody_takes(db: Database) -> None:
    db.document(db.people().acme, "left lying about")
    db.execute("update loci_private.row_queue set enqueued_at = enqueued_at - interval '1 hour'")
    mended(db, "queues", "row_queue", "has been waiting since")


@pytest.mark.parametrize("queue", ["row_queue", "embed_queue", "completion_queue"])
def test_a_lease_of_a_session_that_is_gone(db: Database, queue: str) -> None:
    people = db.people()
    db.document(people.acme, f"leased in {queue}")
    if queue == "embed_queue":
        model = db.value("select active_model from loci_private.model_assignments where organization_id is null")
        db.drain()
        chunk = db.value("select max(chunk_id) from loci_private.chunks")
        db.execute("insert into loci_private.embed_queue (model_id, chunk_id) values (%s, %s)", model, chunk)
    elif queue == "completion_queue":
        db.drain()
        db.execute(
            "with r as (insert into loci_private.requests (request, submitted_at) "
            'values (\'{"messages": [], "purpose": "general"}\', now()) returning request_id) '
            "insert into loci_private.completion_queue (request_id, available_at) select request_id, 'infinity' from r"
        )
    lease = db.value("insert into loci_private.leases values (gen_random_uuid(), 1, '2000-01-01') returning lease")
    db.execute(
        f"update loci_private.{queue} set lease = %s, leased_at = now() - interval '1 hour', "
        "available_at = now() + interval '1 hour'",
        lease,
    )
    found = only(findings(db))
    assert (found["area"], found["object"]) == ("queues", queue)
    assert "a session that is gone" in found["finding"]
    # A claim of any queue ends the leases of those who are gone.
    db.document(people.acme, "something to claim")
    run(db, found["remedy"])
    # What became of the request is another matter.
    db.execute("delete from loci_private.requests")
    assert findings(db) == []
    assert db.value(f"select count(*) from loci_private.{queue} where lease is not null") == 0


def test_a_lease_of_a_session_that_hangs(db: Database) -> None:
    db.document(db.people().acme, "held by somebody")
    other = db.connect()
    lease = db.value(
        "insert into loci_private.leases select gen_random_uuid(), pid, backend_start from pg_stat_activity "
        "where pid = %s returning lease",
        other.info.backend_pid,
    )
    db.execute("update loci_private.row_queue set lease = %s, leased_at = now() - interval '1 hour'", lease)
    found = only(findings(db))
    assert f"by process {other.info.backend_pid}" in found["finding"]
    assert found["remedy"] == f"select pg_terminate_backend({other.info.backend_pid});"
    db.execute(found["remedy"])
    other.close()
    db.drain()
    assert findings(db) == []


def test_turns_whose_answer_never_came(db: Database) -> None:
    user = db.user("patient@example.org")
    conversation = db.value("insert into loci.conversations (user_id) values (%s) returning conversation_id", user)
    db.execute(
        "insert into loci_private.turns (conversation_id, user_id, status, passages, begun_at) "
        "values (%s, %s, 'open', '[]', now() - interval '1 day')",
        conversation,
        user,
    )
    mended(db, "queues", "turns", "1 questions wait")


def test_what_was_given_up(db: Database) -> None:
    document = db.document(db.people().acme, "not an image", mime_type="image/png")
    db.drain()
    found = only(findings(db))
    assert (found["area"], found["object"]) == ("queues", "documents")
    assert found["remedy"] == "select loci.retry_failures('documents');"
    # A row whose cause is removed behind the triggers' back, as by a new version of Loci.
    db.execute("alter table loci.documents disable trigger user")
    db.execute("update loci.documents set mime_type = 'text/plain' where document_id = %s", document)
    db.execute("alter table loci.documents enable trigger user")
    run(db, found["remedy"])
    db.drain()
    assert findings(db) == []


def test_transactions_that_stay_open(db: Database) -> None:
    with db.connect() as other:
        other.execute("begin isolation level repeatable read")
        other.execute("select 1")
        pid = other.info.backend_pid
        db.set_clock(str(db.value("select now()") + timedelta(hours=2)))
        try:
            found = only([f for f in findings(db) if f["area"] == "horizon" and f["object"] == f"process {pid}"])
            run(db, found["remedy"])
            assert not [f for f in findings(db) if f["object"] == f"process {pid}"]
        finally:
            db.set_clock(None)
        other.close()


def test_a_replication_slot_that_nobody_reads(db: Database) -> None:
    slot = f"{db.name}_slot"
    db.execute("select pg_create_physical_replication_slot(%s, true)", slot)
    found = only([f for f in findings(db, notes=True) if f["object"] == slot])
    run(db, found["remedy"])
    assert not [f for f in findings(db, notes=True) if f["object"] == slot]


def test_dead_rows(db: Database) -> None:
    db.execute("alter table loci_private.spending set (autovacuum_enabled = off)")
    db.execute(
        "insert into loci_private.spending select gen_random_uuid(), '2020-01-01', 1 from generate_series(1, 12000)"
    )
    db.execute("delete from loci_private.spending")
    db.execute("select pg_stat_force_next_flush()")
    db.execute("select pg_stat_clear_snapshot()")
    # It may just have happened.
    assert findings(db) == []
    installed = "update loci_private.installation set installed_at = installed_at %s interval '90 minutes'"
    db.execute(installed.replace("%s", "-"))
    mended(db, "storage", "loci_private.spending", "^[0-9]+ dead rows beside 0")
    db.execute(installed.replace("%s", "+"))
    db.execute("alter table loci_private.spending reset (autovacuum_enabled)")


def test_partitions_of_the_ledger_that_will_be_missing(db: Database) -> None:
    db.execute("update loci_private.installation set installed_at = installed_at - interval '1 day'")
    found = findings(db)
    assert [(f["area"], f["remedy"]) for f in found] == [("storage", "select loci_private.job_calls();")] * 2
    run(db, found[0]["remedy"])
    assert findings(db) == []


def test_a_check_that_fails_is_a_finding(db: Database) -> None:
    with db.connect() as other, other.transaction():
        other.execute("lock table loci_private.turns in access exclusive mode")
        found = {f["area"]: f for f in findings(db)}["queues"]
        assert found["severity"] == "error"
        assert "could not be looked at" in found["finding"]
    assert findings(db) == []
    db.execute("alter function loci_private.doctor_models() rename to doctor_gone")
    assert ("error", "models") in {(f["severity"], f["area"]) for f in findings(db)}
    db.execute("alter function loci_private.doctor_gone() rename to doctor_models")


def test_a_login_above_row_security(db: Database) -> None:
    role = db.login_role("mighty", "loci_app")
    db.execute(f"alter role {role} bypassrls")
    mended(db, "privileges", role, "above row security", "error")
    db.execute(f"grant loci_owner to {role}")
    mended(db, "privileges", role, "member of loci_owner", "error")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("select cron.unschedule('loci reconcile')", "not scheduled"),
        ("select cron.alter_job(jobid, active => false) from cron.job where jobname = 'loci reconcile'", "turned off"),
    ],
)
def test_jobs(cron_db: Database, damage: str, says: str) -> None:
    before = findings(cron_db)
    cron_db.execute(damage)
    found = only([f for f in findings(cron_db) if f not in before])
    assert (found["severity"], found["area"], found["object"]) == ("warning", "jobs", "loci reconcile")
    assert says in found["finding"]
    run(cron_db, found["remedy"])
    assert not [f for f in findings(cron_db) if f["object"] == "loci reconcile"]


def test_a_job_that_failed_or_does_not_run(cron_db: Database) -> None:
    job = cron_db.value("select jobid from cron.job where jobname = 'loci reconcile' and database = current_database()")
    run_id = cron_db.value(
        "insert into cron.job_run_details (jobid, runid, job_pid, database, username, command, status, return_message, "
        "start_time, end_time) values (%s, nextval('cron.runid_seq'), 1, current_database(), 'postgres', "
        "'SELECT loci.reconcile()', 'failed', 'ERROR: out of luck', now(), now()) returning runid",
        job,
    )
    try:
        found = only([f for f in findings(cron_db) if f["object"] == "loci reconcile"])
        assert "out of luck" in found["finding"]
        assert found["remedy"] == "SELECT loci.reconcile();"
        cron_db.execute(
            "update cron.job_run_details set status = 'succeeded', start_time = now() - interval '1 day' where runid = %s",
            run_id,
        )
        found = only([f for f in findings(cron_db) if f["object"] == "loci reconcile"])
        assert "ran last at" in found["finding"]
    finally:
        cron_db.execute("delete from cron.job_run_details where runid = %s", run_id)
    assert not [f for f in findings(cron_db) if f["object"] == "loci reconcile"]

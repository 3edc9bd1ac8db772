"""What was erased is nowhere in a dump of the whole database, and does not come back."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any, LiteralString, cast
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.database import Database, People, wait_until
from tests.pipeline.background import background, wait_for_lock


@pytest.fixture
def people(db: Database) -> People:
    return db.people()


@pytest.fixture(autouse=True)
def tickets(db: Database) -> Iterator[None]:
    """A watched table of the application's."""
    db.execute("drop schema if exists app cascade; create schema app")
    db.execute("create table app.tickets (id text primary key, body text, title text, place uuid)")
    db.execute(
        "select loci.watch('app.tickets', content => 'body', scope => 'place', title => 'title', "
        "metadata => 'jsonb_build_object(''title'', title)', name => 'tickets')"
    )
    yield
    db.execute("select loci.unwatch('app.tickets')")


def dump(db: Database) -> str:
    done = subprocess.run(db.pg_dump(), capture_output=True, text=True, check=True)
    assert "COPY loci_private.chunks" in done.stdout and "COPY loci_private.cache" in done.stdout
    return done.stdout


def lines_with(db: Database, text: str) -> list[str]:
    """Where a text is, in any spelling; with the table that it is in."""
    found, table = [], ""
    for line in dump(db).splitlines():
        if line.startswith("COPY "):
            table = line.split()[1]
        if text.lower() in line.lower():
            found.append(f"{table}: {line[:300]}")
    return found


def forget_user(db: Database, user: UUID, **arguments: Any) -> dict[str, int]:
    given = "".join(f", {name} => %s" for name in arguments)
    rows = db.rows(f"select * from loci.forget_user(%s{given})", user, *arguments.values())
    return {f"{row['relation']}": row["rows"] for row in rows}


def forget_source(db: Database, source: str, key: Any) -> dict[str, int]:
    return {
        row["relation"]: row["rows"] for row in db.rows("select * from loci.forget_source(%s, %s)", source, str(key))
    }


def one(connection: psycopg.Connection[dict[str, Any]], sql: str, *parameters: Any) -> Any:
    row = connection.execute(cast(LiteralString, sql), parameters or None).fetchone()
    assert row is not None
    return next(iter(row.values()))


def conversation(db: Database, user: UUID, *texts: str) -> tuple[UUID, list[int]]:
    made = db.value(
        "insert into loci.conversations (user_id, title) values (%s, %s) returning conversation_id", user, texts[0]
    )
    return made, [
        db.value(
            "insert into loci.messages (conversation_id, role, content) values (%s, 'user', %s) returning message_id",
            made,
            text,
        )
        for text in texts
    ]


def summarise(db: Database, conversation: UUID, messages: list[int], summary: str, *facts: str) -> None:
    """As the answer of a model would."""
    db.execute(
        "select loci_private.apply_consolidation(%s, jsonb_build_object('messages', %s::bigint[], 'hash', "
        "loci_private.hash_of_messages(%s)), %s)",
        conversation,
        messages,
        messages,
        Jsonb({"summary": summary, "facts": list(facts)}),
    )


def place_everywhere(db: Database, user: UUID, people: People, secret: str) -> None:
    """A user's text in every place that there is: stored, derived, cached, queued, failed, logged."""
    db.execute("update loci.organizations set settings = '{\"redact\": true}' where organization_id = %s", people.acme)
    document = db.document(
        user,
        f"My {secret} is a number, {secret}@example.org. {secret} again.",
        title=f"On {secret}",
        metadata=Jsonb({"of": secret}),
    )
    db.execute("insert into app.tickets values (%s, %s, %s, %s)", f"t-{uuid4()}", f"Ticket of {secret}", secret, user)
    conv, messages = conversation(db, user, f"I am {secret}.", f"As I said, {secret}.", "Well.")
    answer = db.value(
        "insert into loci.messages (conversation_id, role, content) values (%s, 'assistant', %s) returning message_id",
        conv,
        f"You are {secret} [1].",
    )
    db.drain()
    chunk = db.value("select min(c.chunk_id) from loci_private.chunks as c where c.scope_id = %s", user)
    db.execute(
        "insert into loci_private.turns (conversation_id, user_id, question_id, answer_id, status, passages, begun_at) "
        "values (%s, %s, %s, %s, 'complete', %s, now())",
        conv, user, messages[1], answer, Jsonb([{"number": 1, "source": "documents", "key": str(document), "title": secret}]),
    )  # fmt: skip
    db.execute(
        "insert into loci_private.citations values (%s, 1, 'documents', %s, %s)",
        answer,
        str(document),
        chunk,
    )
    summarise(db, conv, messages, f"It was about {secret}.", f"The user is {secret}.")
    db.execute("update loci.settings set value = '3' where name = 'condensed_memories'")
    with db.acting(user) as connection:
        for text in (f"{secret} drinks tea", f"{secret} has a boat"):
            parent = one(
                connection, "select loci.remember(%s, derived_from => %s)", text,
                Jsonb([{"source": "documents", "key": str(document)}]),
            )  # fmt: skip
        connection.execute(
            "select loci.remember(%s, derived_from => %s, metadata => %s)",
            (f"Sailing with {secret}", Jsonb([{"source": "memories", "key": str(parent)}]), Jsonb({"who": secret})),
        )
        connection.execute("select loci.cache_put('response', %s, %s)", (Jsonb({"q": secret}), Jsonb({"a": secret})))
        connection.execute("select * from loci.search(%s)", (secret,))
        connection.execute("select loci.submit(%s)", (Jsonb([{"role": "user", "content": f"Ask about {secret}"}]),))
    db.execute("select loci_private.evict_memories(array[%s])", parent)
    assert db.value("select count(*) from loci_private.evicted_memories where content like %s", f"%{secret}%") == 1
    # Ledger and kept texts.
    db.execute("select loci_private.add_call_partition(current_date)")
    db.execute(
        "insert into loci_private.calls (call_id, request_id, called_at, organization_id, user_id, purpose, gateway, model, "
        "fallback, status, cost_usd) values (gen_random_uuid(), gen_random_uuid(), now(), %s, %s, 'chat', 'default', 'm', false, "
        "'ok', 0.5)",
        people.acme, user,
    )  # fmt: skip
    db.execute(
        "insert into loci_private.call_texts values (gen_random_uuid(), now(), %s, %s, %s, %s)",
        people.acme, user, Jsonb([{"content": secret}]), Jsonb({"content": secret}),
    )  # fmt: skip
    # Failed, and waiting after a failure, with errors that quote the row.
    error = Jsonb({"sqlstate": "22P02", "message": f'invalid input syntax: "{secret}"', "detail": secret})
    db.execute(
        "insert into loci_private.failures (stage, source_id, key, op, attempts, error, enqueued_at, failed_at) "
        "select 'split', s.source_id, %s, 'upsert', 4, %s, now(), now() from loci_private.sources as s where s.name = 'documents'",
        str(document), error,
    )  # fmt: skip
    db.execute("insert into app.tickets values (%s, %s, %s, %s)", f"p-{uuid4()}", f"Pending {secret}", secret, user)
    db.execute("update loci_private.row_queue set attempts = 2, last_error = %s where key like 'p-%%'", error)
    db.execute("update loci_private.completion_queue set attempts = 1, last_error = %s", error)
    db.document(user, f"Pending document of {secret}")
    pending = db.document(user, f"Unsplit {secret}")
    assert db.value("select count(*) from loci_private.row_queue where key = %s", str(pending)) == 1


TABLES = {
    "loci.documents", "loci.conversations", "loci.messages", "loci.users", "loci_private.chunks", "loci_private.source_rows",
    "loci_private.memories", "loci_private.evicted_memories", "loci_private.turns",
    "loci_private.summaries", "loci_private.cache", "loci_private.requests", "loci_private.completion_queue",
    "loci_private.row_queue", "loci_private.failures", "loci_private.call_texts", "loci_private.word_counts", "app.tickets",
}  # fmt: skip


def test_a_user_is_nowhere_in_a_dump(db: Database, people: People) -> None:
    # A word with a figure is indexed as it is.
    secret = "Quillorb17"
    user = db.user(f"{secret}@example.org")
    db.execute("insert into loci.organization_members (organization_id, user_id) values (%s, %s)", people.acme, user)
    other = db.document(people.acme, "The others stay.")
    place_everywhere(db, user, people, secret)
    assert {line.split(":")[0] for line in lines_with(db, secret)} == TABLES
    assert db.value("select count(*) from loci_private.chunks where redacted is not null and scope_id = %s", user) > 0
    report = forget_user(db, user)
    assert {line.split(":")[0] for line in lines_with(db, secret)} == {"app.tickets"}
    assert report["app.tickets"] == 1 and report["loci.users"] == 1 and report["loci.documents"] == 3
    assert report["loci_private.memories"] >= 5 and report["loci.calls"] == 1
    assert lines_with(db, str(user))[0].startswith("app.tickets") and len(lines_with(db, str(user))) == 2
    assert db.value("select sum(cost_usd) from loci_private.calls where user_id is null") == 0.5
    # Nothing that runs afterwards brings it back.
    settle(db)
    assert {line.split(":")[0] for line in lines_with(db, secret)} == {"app.tickets"}
    assert "The others stay." in db.found(people.ada, "The others stay")
    db.execute("select loci.forget_source('documents', %s)", str(other))
    db.execute("delete from app.tickets")
    settle(db)
    assert lines_with(db, secret) == []
    assert lines_with(db, str(user)) == []
    (audit,) = db.rows("select distinct kind, source, by_administrator from loci.erasures where kind = 'user'")
    assert audit == {"kind": "user", "source": None, "by_administrator": True}


def settle(db: Database) -> None:
    """Everything that runs by itself."""
    for _ in range(2):
        db.execute("update loci_private.row_queue set available_at = '-infinity'")
        db.drain()
        db.execute("select loci.reconcile(true)")
        db.execute("select loci_private.sweep_memories(), loci_private.job_consolidation()")
        db.execute("select loci.retry_failures()")
        db.drain()


def test_only_oneself_and_administrators(db: Database, people: People) -> None:
    for who in (people.bob, None):
        with pytest.raises(psycopg.Error) as refused, db.acting(who) as connection:
            connection.execute("select loci.forget_user(%s)", (people.ada,))
        assert refused.value.sqlstate == "LC634"
    with pytest.raises(psycopg.Error) as refused:
        db.execute("select loci.forget_user(null)")
    assert refused.value.sqlstate == "LC634"
    with db.acting(people.ada) as connection:
        rows = connection.execute("select * from loci.forget_user(%s)", (people.ada,)).fetchall()
        assert {"relation": "loci.users", "rows": 1, "what": "deleted, with memberships"} in rows
        assert one(connection, "select count(*) from loci.visible_scopes() as s where cardinality(s) > 0") == 0
    with db.connect(db.login_role("eraser", "loci_admin")) as connection:
        connection.execute("select * from loci.forget_user(%s)", (people.bob,))
        # Once more does no harm.
        connection.execute("select * from loci.forget_user(%s)", (people.bob,))
    assert db.rows("select from loci.users where user_id = any(%s)", [people.ada, people.bob]) == []


def test_what_was_written_for_others(db: Database, people: People) -> None:
    """Shared rows are the organization's: they lose the name, or go where that is asked for."""
    for shared in (False, True):
        secret = f"bramble{1 + shared}"
        user = db.user(f"{uuid4()}@example.org")
        db.execute(
            "insert into loci.organization_members (organization_id, user_id) values (%s, %s)", people.acme, user
        )
        with db.acting(user) as connection:
            connection.execute(
                "insert into loci.documents (scope_id, content) values (%s, %s)", (people.acme, f"Plan {secret}")
            )
            connection.execute("select loci.remember(%s, scope_id => %s)", (f"Memory {secret}", people.acme))
        db.drain()
        report = forget_user(db, user, shared=shared)
        if shared:
            assert lines_with(db, secret) == []
        else:
            assert report["loci.documents"] == 1 and report["loci_private.memories"] == 1
            assert f"Plan {secret}" in db.found(people.ada, secret)
        assert lines_with(db, str(user)) == []


@pytest.mark.parametrize("source", ["documents", "tickets"])
def test_a_row_is_nowhere_in_a_dump(db: Database, people: People, source: str) -> None:
    """And neither is what was made of it, for whomever; what has nothing to do with it stays."""
    secret = {"documents": "marrowd17", "tickets": "marrowt17"}[source]
    if source == "documents":
        key = str(db.document(people.acme, f"The {secret} is old. {secret}!", title=secret))
        db.document(people.acme, "Other words of old")
    else:
        key = f"k-{secret}"
        db.execute(
            "insert into app.tickets values (%s, %s, %s, %s)",
            key,
            f"The {secret} is old. {secret}!",
            secret,
            people.acme,
        )
    db.document(people.acme, "Something old is kept")
    db.drain()
    assert f"The {secret} is old. {secret}!" in db.found(people.ada, secret, sources=[source])
    # An answer that was given with it in view, its summary, a memory of that, and an opinion of somebody's own.
    conv, messages = conversation(db, people.bob, "What of it?")
    answer = db.value(
        "insert into loci.messages (conversation_id, role, content) values (%s, 'assistant', %s) returning message_id",
        conv,
        f"{secret} [1]",
    )
    passages = Jsonb(
        [
            {"number": 1, "source": source, "key": key, "title": secret},
            {"number": 2, "source": "documents", "key": "x", "title": "y"},
        ]
    )
    db.execute(
        "insert into loci_private.turns (conversation_id, user_id, question_id, answer_id, status, passages, begun_at) "
        "values (%s, %s, %s, %s, 'complete', %s, now())", conv, people.bob, messages[0], answer, passages,
    )  # fmt: skip
    db.execute("insert into loci_private.citations values (%s, 1, %s, %s, 1)", answer, source, key)
    summarise(db, conv, [messages[0], answer], f"About {secret}.", f"Bob knows {secret}.")
    with db.acting(people.bob) as connection:
        kept = one(connection, "select loci.remember('Old things are fine')")
        connection.execute(
            "select loci.remember('Old things are fine', derived_from => %s)",
            (Jsonb([{"source": source, "key": key}]),),
        )
        connection.execute("select loci.remember(%s, scope_id => %s, derived_from => %s)",
            (f"Team on {secret}", people.acme, Jsonb([{"source": source, "key": key}])))  # fmt: skip
    db.execute(
        "insert into loci_private.call_texts values (gen_random_uuid(), now(), %s, %s, %s, null)",
        people.acme,
        people.bob,
        Jsonb([secret]),
    )
    db.drain()
    report = forget_source(db, source, key)
    assert report["loci_private.turns"] == 1 and report["loci.messages"] == 1 and report["loci.call_texts"] == 1
    left = {"app.tickets", "loci_private.source_rows"} if source == "tickets" else set()
    for _ in range(2):
        assert {line.split(":")[0] for line in lines_with(db, secret)} == left
        assert [
            row["content"] for row in db.rows("select content from loci_private.memories where memory_id = %s", kept)
        ]
        assert db.found(people.ada, "Something old is kept") >= {"Something old is kept"}
        assert not any(secret in content for content in db.found(people.ada, secret, sources=[source]))
        settle(db)
    assert db.value("select passages from loci_private.turns where conversation_id = %s", conv) == [
        {"number": 2, "source": "documents", "key": "x", "title": "y"}
    ]
    assert [m["content"] for m in db.rows("select content from loci.messages where conversation_id = %s", conv)] == [
        "What of it?"
    ]
    # The words of others are known again.
    assert db.value(
        "select count(*) from loci_private.word_counts where word = 'old' and scope_id = %s", people.acme
    ) == (1 if source == "documents" else 0)
    if source == "tickets":
        (row,) = db.rows("select title, metadata, scope_id, has_text from loci_private.source_rows where key = %s", key)
        assert row == {"title": None, "metadata": {}, "scope_id": None, "has_text": False}
        db.execute("update app.tickets set body = 'It says something else' where id = %s", key)
        db.drain()
        assert "It says something else" in db.found(people.ada, "something else", sources=[source])


def test_a_forgotten_row_stays_away_whatever_is_switched(db: Database, people: People) -> None:
    db.execute(
        "insert into app.tickets values ('s', 'Thistledown', 'x', %s), ('t', 'Gorse', 'x', %s)",
        people.acme,
        people.acme,
    )
    db.drain()
    forget_source(db, "tickets", "s")
    db.execute("select loci.set_chunking('app.tickets', 200, 20)")
    db.execute("update loci.organizations set settings = '{\"redact\": true}' where organization_id = %s", people.acme)
    settle(db)
    assert {line.split(":")[0] for line in lines_with(db, "Thistledown")} == {"app.tickets"}
    assert db.found(people.ada, "Gorse", sources=["tickets"]) == {"Gorse"}
    # Queued before it is erased, and never indexed.
    db.execute(
        "insert into app.tickets select 'b' || n, 'Teasel ' || n, 'x', %s from generate_series(1, 30) as n", people.acme
    )
    forget_source(db, "tickets", "b7")
    forget_source(db, "tickets", "b27")
    settle(db)
    found = db.found(people.ada, "Teasel", sources=["tickets"]) - {"Gorse"}
    assert found == {f"Teasel {n}" for n in range(1, 31)} - {"Teasel 7", "Teasel 27"}


def test_messages_memories_and_conversations(db: Database, people: People) -> None:
    conv, messages = conversation(db, people.ada, "one Hawthorn", "two", "three")
    summarise(db, conv, messages[:2], "A Hawthorn.", "Hawthorn fact.")
    db.drain()
    with db.acting(people.bob) as connection, pytest.raises(psycopg.Error) as refused:
        connection.execute("select loci.forget_source('messages', %s)", (str(messages[0]),))
    assert refused.value.sqlstate == "LC633"
    with db.acting(people.ada) as connection:
        connection.execute("select loci.forget_source('messages', %s)", (str(messages[0]),))
    assert {line.split(":")[0] for line in lines_with(db, "Hawthorn")} == {"loci.conversations"}
    db.execute("select loci.forget_source('conversations', %s)", str(conv))
    assert lines_with(db, "Hawthorn") == [] and lines_with(db, str(conv)) == []
    with db.acting(people.ada) as connection:
        memory = one(connection, "select loci.remember('Rowan berries')")
        child = one(
            connection,
            "select loci.remember('Rowan jam', derived_from => %s)",
            Jsonb([{"source": "memories", "key": memory}]),
        )
        assert child
        connection.execute("select loci.forget_source('memories', %s)", (str(memory),))
    assert lines_with(db, "Rowan") == []
    for source, key in (("nothing", "x"), (None, "x"), ("documents", None)):
        with pytest.raises(psycopg.Error) as refused:
            db.execute("select loci.forget_source(%s, %s)", source, key)
        assert refused.value.sqlstate == "LC632"
    # Messages that had been removed after they were summarised.
    db.execute("update loci.settings set value = 'true' where name = 'consolidation_removes'")
    try:
        conv, messages = conversation(db, people.ada, "a title", "Juniper", "else")
        summarise(db, conv, messages[1:], "On Juniper.", "Juniper fact.")
        assert len(lines_with(db, "Juniper")) >= 3
        # It is known by its number only, to administrators.
        forget_source(db, "messages", messages[1])
        assert lines_with(db, "Juniper") == []
    finally:
        db.execute("update loci.settings set value = null where name = 'consolidation_removes'")


def open_turn(db: Database, conv: UUID, user: UUID, question: int, shown: UUID) -> UUID:
    """A question whose answer is still to come, with this document in the model's view."""
    return db.value(  # type: ignore[no-any-return]
        "insert into loci_private.turns (conversation_id, user_id, question_id, status, passages, begun_at) "
        "values (%s, %s, %s, 'open', %s, now()) returning turn_id",
        conv,
        user,
        question,
        Jsonb([{"number": 1, "source": "documents", "key": str(shown), "title": None, "chunk_id": 1}]),
    )


def test_an_answer_that_is_still_to_come_is_not_taken(db: Database, people: People) -> None:
    document = db.document(people.acme, "Sorrel")
    conv, messages = conversation(db, people.ada, "What grows here?")
    turn = open_turn(db, conv, people.ada, messages[0], document)
    forget_source(db, "documents", document)
    with db.acting(people.ada) as connection, pytest.raises(psycopg.Error) as refused:
        connection.execute("select loci.finish_turn(%s, 'Sorrel [1]')", (turn,))
    assert refused.value.sqlstate == "LC708"
    # Nor what a call that began before it would like to keep.
    texts = "jsonb_build_array(jsonb_build_object('call_id', gen_random_uuid(), 'called_at', %s, 'messages', '[\"Sorrel\"]'::jsonb))"
    before, after = db.value("select loci_private.epoch()") - 60, db.value("select loci_private.epoch()") + 60
    for at in (before, after):
        db.execute(f"select loci_private.keep_texts(%s, %s, {texts})", people.acme, people.ada, at)
    (kept,) = db.rows("select extract(epoch from called_at)::float8 as at from loci_private.call_texts")
    assert kept["at"] == pytest.approx(after)
    db.execute("select loci.erase_call_texts()")
    assert lines_with(db, "Sorrel") == []


# --- beside others ----------------------------------------------------------------------------------------------------


def store(connection: psycopg.Connection[dict[str, Any]], lease: UUID, key: str, text: str) -> list[Any]:
    """A drain's way of storing a row that it has claimed: what to call, with which parameters."""
    claim = connection.execute(
        "select q.queue_id, q.source_id from loci_private.row_queue as q where q.key = %s and q.lease = %s",
        (key, lease),
    ).fetchone()
    assert claim is not None
    row = connection.execute("select * from loci_private.read_rows(%s, %s)", (claim["source_id"], [key])).fetchone()
    assert row is not None and text in row["content"]
    sets = [
        {"chunking_id": c["chunking_id"], "chunks": [{"content": row["content"], "token_count": 3}]}
        for c in connection.execute(
            "select * from loci_private.chunkings_of(%s, %s)", (claim["source_id"], row["organization_id"])
        ).fetchall()
    ]
    redaction = connection.execute(
        "select marker from loci_private.redaction_of(%s)", (row["organization_id"],)
    ).fetchone()
    assert redaction is not None
    return [
        claim["source_id"], key, claim["queue_id"], row["organization_id"], row["scope_id"], row["audience"], row["title"],
        Jsonb(row["metadata"]), row["fingerprint"], Jsonb(sets), lease, redaction["marker"],
    ]  # fmt: skip


STORE = "select loci_private.store_row(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) as stored"


@pytest.mark.parametrize("kind", ["document", "ticket", "one ticket"])
@pytest.mark.parametrize("order", ["stored before", "stored meanwhile", "stored after"])
def test_a_drain_that_has_read_a_row_does_not_bring_it_back(
    db: Database, people: People, kind: str, order: str
) -> None:
    """Read, then erased; stored before the erasure, in a transaction that is open when it begins, or after it."""
    settle(db)
    user = db.user(f"{uuid4()}@example.org")
    word = f"wormwood{uuid4().hex[:8]}7"
    lease = uuid4()
    if kind == "document":
        key = str(db.document(user, f"My {word}", title=word))
    else:
        key = f"w-{uuid4()}"
        db.execute("insert into app.tickets values (%s, %s, %s, %s)", key, f"My {word}", word, user)
    erasure = (
        f"select loci.forget_source('tickets', '{key}')"
        if kind == "one ticket"
        else f"select loci.forget_user('{user}')"
    )
    with db.connect() as drain:
        drain.execute("select * from loci_private.claim_rows(%s)", (lease,))
        arguments = store(drain, lease, key, word)
        if order == "stored after":
            db.execute(erasure)
            stored = drain.execute(STORE, arguments).fetchone()
        else:
            drain.execute("begin")
            stored = drain.execute(STORE, arguments).fetchone()
            assert stored == {"stored": True}
            if order == "stored before":
                drain.execute("commit")
                db.execute(erasure)
            else:
                with background(db, erasure) as erasing:
                    wait_for_lock(db, erasing)
                    drain.execute("commit")
                    erasing.finish()
    assert db.value("select count(*) from loci_private.chunks where content like %s", f"%{word}%") == 0
    for _ in range(2):
        assert {line.split(":")[0] for line in lines_with(db, word)} == (
            {"app.tickets"} if kind != "document" else set()
        )
        settle(db)


def test_erasing_holds_up_nobody_else(db: Database, people: People) -> None:
    """A user who leaves an erasure open keeps drains, and others who erase, from nothing."""
    settle(db)
    with db.acting(people.ada) as connection:
        memory = one(connection, "select loci.remember('Betony')")
    mine = db.document(people.ada, "Betony in a document")
    with db.acting(people.ada) as connection:
        connection.execute("select loci.forget_source('memories', %s)", (str(memory),))
        connection.execute("select loci.forget_user(%s)", (people.ada,))
        db.document(people.acme, "Lovage for all")
        db.drain()
        assert "Lovage for all" in db.found(people.bob, "Lovage")
        with db.acting(people.bob) as other:
            other.execute("set local lock_timeout = '5s'")
            other.execute("select loci.remember('Chervil', scope_id => %s)", (people.acme,))
            other.execute("select loci.forget_user(%s)", (people.bob,))
    assert mine and lines_with(db, "Betony") == []


def test_what_is_derived_meanwhile_goes_too(db: Database, people: People) -> None:
    document = db.document(people.acme, "Angelica")
    db.drain()
    with db.acting(people.ada) as connection:
        parent = one(
            connection,
            "select loci.remember('Angelica the first', derived_from => %s)",
            Jsonb([{"source": "documents", "key": str(document)}]),
        )
    for source in ("memories", "documents"):
        key = str(parent) if source == "memories" else str(document)
        with db.connect() as writer:
            writer.execute("begin")
            writer.execute("select loci.act_as(%s)", (people.ada,))
            writer.execute(
                "select loci.remember('Angelica once more', derived_from => %s)",
                (Jsonb([{"source": source, "key": key}]),),
            )
            with background(db, f"select loci.forget_source('documents', '{document}')") as erasing:
                wait_for_lock(db, erasing)
                writer.execute("commit")
                erasing.finish()
        assert lines_with(db, "Angelica") == []
        if source == "memories":
            document = db.document(people.acme, "Angelica")
            db.drain()
        else:
            with db.acting(people.ada) as connection, pytest.raises(psycopg.Error) as refused:
                connection.execute(
                    "select loci.remember('Angelica', derived_from => %s)", (Jsonb([{"source": source, "key": key}]),)
                )
            assert refused.value.sqlstate == "LC603"


def test_an_answer_that_comes_at_this_moment_goes_too(db: Database, people: People) -> None:
    document = db.document(people.acme, "Burdock")
    conv, messages = conversation(db, people.ada, "What else grows here?")
    turn = open_turn(db, conv, people.ada, messages[0], document)
    with db.connect() as writer:
        writer.execute("begin")
        writer.execute("select loci.act_as(%s)", (people.ada,))
        # As finish_turn() does it.
        writer.execute("select from loci_private.turns where turn_id = %s for update", (turn,))
        answer = one(
            writer,
            "insert into loci.messages (conversation_id, role, content) values (%s, 'assistant', 'Burdock') returning message_id",
            conv,
        )
        writer.execute(
            "update loci_private.turns set status = 'complete', answer_id = %s where turn_id = %s", (answer, turn)
        )
        with background(db, f"select loci.forget_source('documents', '{document}')") as erasing:
            wait_for_lock(db, erasing)
            writer.execute("commit")
            erasing.finish()
    assert lines_with(db, "Burdock") == []


def test_erasing_waits_for_what_is_just_being_stored(db: Database, people: People) -> None:
    """The other way round: stored, not committed, when the erasure begins."""
    user = db.user(f"{uuid4()}@example.org")
    document = db.document(user, "Mugwort in a document")
    with db.connect() as writer:
        writer.execute("begin")
        writer.execute("select loci.act_as(%s)", (user,))
        db.drain()
        writer.execute(
            "select loci.remember('Mugwort in a memory', derived_from => %s)",
            (Jsonb([{"source": "documents", "key": str(document)}]),),
        )
        with background(db, f"select loci.forget_user('{user}')") as erasing:
            wait_for_lock(db, erasing)
            writer.execute("commit")
            erasing.finish()
    settle(db)
    assert lines_with(db, "Mugwort") == []


def test_vectors_that_arrive_later_are_not_stored(db: Database, people: People) -> None:
    key = db.document(people.acme, "Tansy")
    db.drain()
    row = db.rows("select c.chunk_id, c.source_id from loci_private.chunks as c where c.content = 'Tansy'")[0]
    forget_source(db, "documents", key)
    model = db.value("select active_model from loci_private.model_assignments where organization_id is null")
    vector = "[" + ",".join(["0.1"] * 256) + "]"
    db.execute(
        "select loci_private.store_vectors(%s, gen_random_uuid(), '{}', array[%s::bigint], array[%s])",
        model,
        row["chunk_id"],
        vector,
    )
    table = db.value("select loci_private.model_table(%s)", model)
    assert db.value(f"select count(*) from loci_private.{table} where chunk_id = %s", row["chunk_id"]) == 0


def test_words_are_counted_while_their_user_is_erased(db: Database, people: People) -> None:
    user = db.user(f"{uuid4()}@example.org")
    for n in range(2):
        db.document(user, f"Bergamot and bergamot, number {n}")
    db.drain()
    db.execute("update loci_private.text_statistics set changed = 1000 where scope_id = %s", user)
    db.execute("delete from loci_private.word_counts where scope_id = %s", user)
    with db.connect() as eraser:
        eraser.execute("begin")
        eraser.execute("select * from loci.forget_user(%s)", (user,))
        with background(db, "select loci_private.count_words()") as counting:
            wait_for_lock(db, counting, "whoever counts waits for the scope")
            eraser.execute("commit")
            counting.finish()
    assert db.rows("select from loci_private.word_counts where scope_id = %s", user) == []
    assert db.value("select loci_private.count_words()") is False


def test_many_drains_while_users_are_erased(db: Database, people: People) -> None:
    users = [db.user(f"{uuid4()}@example.org") for _ in range(4)]
    for user in users:
        db.execute(
            "insert into loci.documents (scope_id, content) select %s, 'Yarrow ' || n from generate_series(1, 60) as n",
            user,
        )
        db.execute(
            "insert into app.tickets select %s || n, 'Yarrow ' || n, 'Yarrow', %s from generate_series(1, 60) as n",
            str(user),
            user,
        )
    stays = db.document(people.acme, "Comfrey")
    with background(db) as one_drain, background(db) as another:
        for user in users:
            before = db.value("select count(*) from loci_private.source_rows")
            wait_until(
                lambda n=before: (
                    not (one_drain.running or another.running)  # type: ignore[misc]
                    or db.value("select count(*) from loci_private.source_rows") > n
                ),
                "they get on",
            )
            forget_user(db, user)
        one_drain.wait()
        another.wait()
        assert one_drain.error is None and another.error is None
    settle(db)
    assert {line.split(":")[0] for line in lines_with(db, "Yarrow")} == {"app.tickets"}
    assert db.found(people.ada, "Comfrey") == {"Comfrey"} and stays

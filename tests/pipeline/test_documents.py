"""loci.documents: any text goes in, and what changes or goes is followed at once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.database import Database, People
from tests.pipeline.rows import chunks, consistent, failures, texts


@pytest.fixture
def people(db: Database) -> Iterator[People]:
    """A world of its own for each test."""
    yield db.people()
    db.execute("delete from loci.documents")
    db.drain()
    assert (db.waiting(), failures(db)) == (0, [])


def paragraphs(count: int, start: int = 0) -> list[str]:
    """Paragraphs of about 150 tokens, all different."""
    return [
        " ".join(f"Item {n}-{i} of the inventory lies on shelf {n * 31 + i} beside box {i}." for i in range(8))
        for n in range(start, start + count)
    ]


# --- content of every kind ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, "", "   ", "\n\t \r\n", "\u00a0\u2003\u3000"])
@pytest.mark.parametrize("mime_type", ["text/plain", "text/html", "text/markdown"])
def test_no_content_no_chunk(db: Database, people: People, content: str | None, mime_type: str) -> None:
    key = db.document(people.acme, content, mime_type=mime_type)
    db.drain()
    assert chunks(db, key) == []
    assert failures(db, key) == []
    assert db.waiting() == 0
    assert db.value("select loci.reconcile(deep => true)") == 0
    assert db.waiting() == 0


@pytest.mark.parametrize("content", ["<!-- nothing -->", "<p> </p>", "<script>alert(1)</script>"])
def test_html_without_text_has_no_chunk(db: Database, people: People, content: str) -> None:
    key = db.document(people.acme, content, mime_type="text/html")
    db.drain()
    assert chunks(db, key) == []
    assert failures(db, key) == []


def test_content_that_vanishes_takes_its_chunks_along(db: Database, people: People) -> None:
    key = db.document(people.acme, "a walrus on the ice")
    db.drain()
    assert texts(db, key) == ["a walrus on the ice"]
    db.execute("update loci.documents set content = null where document_id = %s", key)
    db.drain()
    assert chunks(db, key) == []
    assert db.found(people.ada, "walrus") == set()
    consistent(db)


@pytest.mark.parametrize(
    "content",
    [
        "👩‍👩‍👧‍👦 family 🇨🇭 flag 👍🏽 thumb",
        "東京は日本の首都です。人口は約千四百万人です。",
        "القطة تجلس على الحصيرة",
        "חתול יושב על המחצלת",
        "Ελληνικά και русский и ไทย और हिन्दी",
        "e\u0301 \u202eabc\u202c \u200b\u200d\ufeff zero width",
        "a\U0010ffffb",
    ],
)
def test_every_script_goes_in_and_is_found(db: Database, people: People, content: str) -> None:
    key = db.document(people.acme, content)
    db.drain()
    assert "".join(texts(db, key)) == content
    assert content in db.found(people.ada, content)


@pytest.mark.slow
def test_five_megabytes_of_text(db: Database, people: People) -> None:
    content = "\n\n".join(paragraphs(10_000))
    assert len(content) > 5_000_000
    key = db.document(people.acme, content)
    db.drain(110)
    found = chunks(db, key)
    assert len(found) > 2000
    assert [chunk["ordinal"] for chunk in found] == list(range(len(found)))
    assert all(chunk["content"] in content and chunk["token_count"] <= 400 for chunk in found)
    assert all(chunk["embedded_at"] is not None for chunk in found)
    assert "Item 9999-7 of the inventory" in found[-1]["content"]
    # Nothing fell between two chunks.
    end = 0
    for chunk in found:
        start = content.find(chunk["content"], max(0, end - len(chunk["content"])))
        assert start >= 0
        assert content[end:start].strip() == ""
        end = start + len(chunk["content"])
    assert content[end:].strip() == ""
    db.execute("delete from loci.documents where document_id = %s", key)
    assert chunks(db, key) == []
    db.drain()
    consistent(db)


@pytest.mark.slow
def test_five_megabytes_of_html(db: Database, people: People) -> None:
    body = "".join(
        f"<div class='row' style='color:#123456;margin:0;padding:0' data-n='{n}'>"
        f"<h2>Part {n}</h2><p>{'<span style=&quot;font-weight:bold&quot;></span>' * 12}Text <b>number</b> {n}.</p></div>\n"
        for n in range(7200)
    )
    content = f"<html><head><title>A long page</title></head><body>{body}</body></html>"
    assert len(content) > 5_000_000
    key = db.document(people.acme, content, mime_type="text/html")
    db.drain(110)
    found = chunks(db, key)
    assert len(found) > 100
    assert not any("<" in chunk["content"] for chunk in found)
    assert "Text number 7199." in found[-1]["content"]
    assert all(chunk["embedded_at"] is not None for chunk in found)
    db.execute("delete from loci.documents where document_id = %s", key)
    db.drain()


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        (r"convert_from('\xc328'::bytea, 'UTF8')", "22021"),
        (r"convert_from('\x610062'::bytea, 'UTF8')", "22021"),
        (r"'{\"a\": \"\u0000\"}'::jsonb ->> 'a'".replace('\\"', '"'), "22P05"),
    ],
)
def test_invalid_text_is_refused_by_the_server(db: Database, people: People, expression: str, code: str) -> None:
    with pytest.raises(psycopg.Error) as caught:
        db.execute(f"insert into loci.documents (scope_id, content) values ('{people.acme}', {expression})")
    assert caught.value.sqlstate == code
    assert caught.value.diag.message_primary
    assert db.waiting() == 0


# --- rows that cannot be indexed ------------------------------------------------------------------------------------


def test_unsupported_type_is_parked_until_the_row_is_corrected(db: Database, people: People) -> None:
    key = db.document(people.acme, "%PDF-1.7 nonsense", mime_type="application/pdf")
    neighbour = db.document(people.acme, "a neighbour of the broken one")
    db.drain()
    assert texts(db, neighbour) == ["a neighbour of the broken one"]
    (failure,) = failures(db, key)
    assert (failure["state"], failure["stage"], failure["code"]) == ("parked", "split", "LC201")
    assert "application/pdf" in failure["detail"]
    assert "text/markdown" in failure["hint"]
    assert db.waiting() == 0
    assert db.value("select loci.reconcile()") == 0

    db.execute("update loci.documents set mime_type = 'text/plain' where document_id = %s", key)
    db.drain()
    assert failures(db, key) == []
    assert texts(db, key) == ["%PDF-1.7 nonsense"]


def test_a_row_that_turns_bad_is_not_found_by_its_old_text(db: Database, people: People) -> None:
    key = db.document(people.acme, "platypus facts")
    db.drain()
    db.execute("update loci.documents set mime_type = 'image/png', content = 'other' where document_id = %s", key)
    db.drain()
    assert [f["code"] for f in failures(db, key)] == ["LC201"]
    assert db.found(people.ada, "platypus") == set()


def test_deleting_a_parked_row_ends_its_failure(db: Database, people: People) -> None:
    key = db.document(people.acme, "x", mime_type="image/png")
    db.drain()
    assert len(failures(db, key)) == 1
    db.execute("delete from loci.documents where document_id = %s", key)
    db.drain()
    assert failures(db, key) == []


def test_too_much_text_is_parked(db: Database, people: People) -> None:
    db.execute("update loci.settings set value = '2000' where name = 'max_content_bytes'")
    try:
        key = db.document(people.acme, "ü" * 1001)
        fits = db.document(people.acme, "ü" * 1000)
        db.drain()
        (failure,) = failures(db, key)
        assert (failure["state"], failure["code"]) == ("parked", "LC203")
        assert "2002" in failure["detail"]
        assert failure["hint"]
        assert len(texts(db, fits)) >= 1
    finally:
        db.execute("update loci.settings set value = null where name = 'max_content_bytes'")
    assert db.value("select loci.retry_failures('documents')") == 1
    db.drain()
    assert failures(db, key) == []
    assert len(texts(db, key)) >= 1


def test_a_batch_reads_no_more_text_than_it_may(db: Database, people: People) -> None:
    """Short rows in one reading, long ones in others, the longest alone; none is forgotten."""
    keys = [db.document(people.acme, f"{n} " + "word " * 20) for n in range(30)]
    keys += [db.document(people.acme, f"{n} " + "long " * 1000) for n in range(5)]
    keys += [db.document(people.acme, f"{n} " + "longest " * 3000) for n in range(2)]
    keys.append(db.document(people.acme, None))
    db.execute("delete from loci.documents where document_id = %s", keys.pop(3))
    source = db.value("select source_id from loci.sources where name = 'documents'")
    left, readings = [str(key) for key in keys], []
    while left:
        rows = db.rows("select * from loci_private.read_rows(%s, %s, 10000)", source, left)
        read = [row for row in rows if not row["held_back"]]
        readings.append(len(read))
        assert len(read) == 1 or sum(len(row["content"] or "") for row in read) <= 10000
        assert all(row["fingerprint"] is not None for row in read)
        assert all(row["content"] is None and row["title"] is None for row in rows if row["held_back"])
        left = [row["key"] for row in rows if row["held_back"]]
    # 29 short ones, the empty one and a long one; the other long ones; each of the longest alone.
    assert readings == [31, 1, 1, 1, 1, 1, 1]

    calls = "select calls from pg_stat_user_functions where funcname = 'read_rows'"
    try:
        db.execute("update loci.settings set value = '10000' where name = 'split_batch_bytes'")
        db.execute("set track_functions = 'all'; select pg_stat_force_next_flush()")
        before = sum(row["calls"] for row in db.rows(calls))
        db.drain()
        db.execute("select pg_stat_force_next_flush()")
        assert db.value(calls) - before == len(readings)
    finally:
        db.execute("reset track_functions; update loci.settings set value = null where name = 'split_batch_bytes'")
    assert [key for key in keys[:-1] if not texts(db, key)] == []


def test_unknown_scope_is_refused(db: Database) -> None:
    with pytest.raises(psycopg.Error) as caught:
        db.document(uuid4(), "nowhere")
    assert caught.value.sqlstate == "LC141"
    assert caught.value.diag.message_hint


def test_unknown_organization_and_model_are_refused(db: Database, people: People) -> None:
    for statement, code in (
        (f"select loci.use_embedding_model('hash', '{uuid4()}')", "LC105"),
        ("select loci.use_embedding_model('no such model')", "LC214"),
        (f"select loci.use_embedding_model('no such model', '{people.acme}')", "LC214"),
        ("select loci.use_embedding_model(null)", "LC214"),
        ("select loci.embed('text', model => 'no such model')", "LC214"),
        ("select loci.drop_embedding_model('no such model')", "LC214"),
        ("select loci.drop_embedding_model('hash')", "LC215"),
        ("select loci.embed('text', kind => 'poem')", "LC216"),
        ("select loci.add_embedding_model('x', provider => 'magic')", "LC211"),
        ("select loci.add_embedding_model('x', provider => 'hash', dimensions => 7)", "LC212"),
        ("select loci.add_embedding_model('x', provider => 'hash', dimensions => null)", "LC212"),
        ("select loci.add_embedding_model('x', provider => 'local', dimensions => null)", "LC212"),
        ("select loci.add_embedding_model('hash', provider => 'hash', dimensions => 64)", "LC213"),
        ("select loci.add_embedding_model(' ', provider => 'hash', dimensions => 64)", "LC210"),
        ("select loci.retry_failures('no such source')", "LC249"),
    ):
        with pytest.raises(psycopg.Error) as caught:
            db.execute(statement)
        assert (statement, caught.value.sqlstate) == (statement, code)
        assert caught.value.diag.message_hint


# --- what goes ------------------------------------------------------------------------------------------------------


def test_deleted_before_it_was_embedded(db: Database, people: People) -> None:
    key = db.document(people.acme, "an ephemeral mayfly")
    db.execute("delete from loci.documents where document_id = %s", key)
    db.drain()
    assert chunks(db, key) == []
    assert db.found(people.ada, "mayfly") == set()
    consistent(db)


def test_deleted_between_split_and_embed(db: Database, people: People) -> None:
    """The chunks are there, their vectors are not yet."""
    key = db.document(people.acme, "a half finished heron")
    db.drain()
    chunk = chunks(db, key)[0]["chunk_id"]
    table = db.value(
        "select 'loci_private.' || loci_private.model_table(active_model) from loci_private.model_assignments"
    )
    db.execute(f"delete from {table} where chunk_id = %s", chunk)
    assert db.value("select loci.reconcile()") == 1
    db.execute("delete from loci.documents where document_id = %s", key)
    assert db.found(people.ada, "heron") == set()
    db.drain()
    consistent(db)


def test_deleted_after_it_was_embedded_is_gone_in_the_same_transaction(db: Database, people: People) -> None:
    key = db.document(people.acme, "the secret of the stork")
    db.drain()
    with db.acting(people.ada) as connection:
        search = "select * from loci.search('secret stork', k => 50)"
        assert len(connection.execute(search).fetchall()) == 1
        connection.execute("delete from loci.documents where document_id = %s", (key,))
        assert connection.execute(search).fetchall() == []
    assert db.found(people.ada, "secret stork") == set()
    # Not hidden only: removed.
    assert chunks(db, key) == []
    db.drain()
    consistent(db)


def test_a_rolled_back_delete_leaves_everything(db: Database, people: People) -> None:
    key = db.document(people.acme, "a persistent pelican")
    db.drain()
    with db.acting(people.ada) as connection:
        connection.execute("delete from loci.documents where document_id = %s", (key,))
        assert connection.execute("select * from loci.search('pelican')").fetchall() == []
        raise psycopg.Rollback
    assert db.found(people.ada, "pelican") == {"a persistent pelican"}
    assert db.waiting() == 0
    consistent(db)


def test_moved_before_it_was_embedded(db: Database, people: People) -> None:
    key = db.document(people.acme, "a wandering albatross")
    db.execute("update loci.documents set scope_id = %s where document_id = %s", people.umbrella, key)
    db.drain()
    assert db.found(people.ada, "albatross") == set()
    assert db.found(people.eve, "albatross") == {"a wandering albatross"}
    consistent(db)


def test_moved_after_it_was_embedded_arrives_in_the_same_transaction(db: Database, people: People) -> None:
    project = db.project(people.acme, "closed", visibility="private")
    db.execute("insert into loci.project_members (project_id, user_id) values (%s, %s)", project, people.ada)
    key = db.document(people.acme, "a migrating goose")
    db.drain()
    before = chunks(db, key)
    assert db.found(people.bob, "goose") == {"a migrating goose"}
    with db.acting(people.ada) as connection:
        connection.execute("update loci.documents set scope_id = %s where document_id = %s", (project, key))
        rows = connection.execute("select scope_id from loci.search('goose')").fetchall()
        assert [row["scope_id"] for row in rows] == [project]
    assert db.found(people.bob, "goose") == set()
    assert db.found(people.ada, "goose") == {"a migrating goose"}
    after = chunks(db, key)
    assert [(c["chunk_id"], c["embedded_at"]) for c in after] == [(c["chunk_id"], c["embedded_at"]) for c in before]
    assert after[0]["vector_scope"] == project
    db.drain()
    assert db.found(people.bob, "goose") == set()
    assert db.found(people.ada, "goose") == {"a migrating goose"}
    consistent(db)


def test_a_narrowed_audience_counts_in_the_same_transaction(db: Database, people: People) -> None:
    key = db.document(people.acme, "for few ears only")
    db.drain()
    assert db.found(people.bob, "few ears") == {"for few ears only"}
    db.execute("update loci.documents set audience = array[%s] where document_id = %s", people.ada, key)
    assert db.found(people.bob, "few ears") == set()
    assert db.found(people.ada, "few ears") == {"for few ears only"}
    db.execute("update loci.documents set audience = '{}' where document_id = %s", key)
    assert db.found(people.ada, "few ears") == set()
    db.drain()
    assert db.found(people.ada, "few ears") == set()
    consistent(db)


def test_text_never_follows_a_move_that_replaced_it(db: Database, people: People) -> None:
    """One statement makes a row public and takes the secret out of it: the secret is never public."""
    for separate in (False, True):
        key = db.document(people.ada, "the combination of the safe is swordfish")
        db.drain()
        if separate:
            db.execute("update loci.documents set content = 'a safe is mentioned' where document_id = %s", key)
            db.execute("update loci.documents set scope_id = %s where document_id = %s", people.acme, key)
        else:
            db.execute(
                "update loci.documents set content = 'a safe is mentioned', scope_id = %s where document_id = %s",
                people.acme,
                key,
            )
        assert db.found(people.bob, "combination safe swordfish") == set()
        db.drain()
        assert db.found(people.bob, "safe") == {"a safe is mentioned"}
        assert db.found(people.ada, "safe") == {"a safe is mentioned"}
        consistent(db)
        db.execute("delete from loci.documents where document_id = %s", key)
        db.drain()


def test_text_never_comes_back_under_a_key_used_again(db: Database, people: People) -> None:
    """Deleted without a trace in the chunks (snapshot isolation), inserted anew elsewhere, and moved."""
    key = uuid4()
    db.document(people.ada, "the old secret is marmalade", document_id=key)
    db.drain()
    with db.connect() as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with connection.transaction():
            connection.execute("delete from loci.documents where document_id = %s", (key,))
    assert db.found(people.ada, "marmalade") == set()
    db.document(people.umbrella, "nothing to see", document_id=key)
    db.execute("update loci.documents set scope_id = %s where document_id = %s", people.acme, key)
    for user in (people.ada, people.bob, people.eve):
        assert db.found(user, "marmalade secret") == set()
    db.drain()
    assert db.found(people.bob, "nothing to see") == {"nothing to see"}
    consistent(db)


def test_truncate_forgets_all_at_once(db: Database, people: People) -> None:
    key = uuid4()
    db.document(people.ada, "a doomed dodo", document_id=key)
    db.drain()
    db.execute("truncate loci.documents")
    assert db.found(people.ada, "dodo") == set()
    # The same key again, for others: what it was before is not theirs, nor anybody's.
    db.document(people.acme, "a living dove", document_id=key)
    assert db.found(people.ada, "dodo dove") == set()
    db.execute(
        "select loci_private.sweep_source(source_id, op, queue_id, gen_random_uuid()) from loci_private.row_queue where op = 'truncate'"
    )
    db.execute("delete from loci_private.row_queue where op = 'truncate'")
    assert db.found(people.ada, "dodo") == set()
    db.drain()
    assert db.found(people.ada, "dodo dove") == {"a living dove"}
    consistent(db)


# --- what stays -----------------------------------------------------------------------------------------------------


def test_rollback_enqueues_nothing(db: Database, people: People) -> None:
    with db.connect() as connection, connection.transaction(force_rollback=True):
        connection.execute("insert into loci.documents (scope_id, content) values (%s, 'never')", (people.acme,))
    assert db.waiting() == 0
    with db.connect() as connection, connection.transaction():
        with connection.transaction(force_rollback=True):
            connection.execute("insert into loci.documents (scope_id, content) values (%s, 'never')", (people.acme,))
        connection.execute("insert into loci.documents (scope_id, content) values (%s, 'kept')", (people.acme,))
    assert db.waiting() == 1
    db.drain()


@pytest.mark.parametrize(
    "assignment",
    [
        "source_uri = 'file:///x'",
        "updated_at = now()",
        "content = content",
        "content = content || ''",
        "audience = audience",
    ],
)
def test_an_irrelevant_update_enqueues_nothing(db: Database, people: People, assignment: str) -> None:
    key = db.document(people.acme, "steady", audience=[people.ada])
    db.drain()
    db.execute(f"update loci.documents set {assignment} where document_id = %s", key)
    assert db.waiting() == 0


def test_a_changed_title_is_embedded_again(db: Database, people: People) -> None:
    key = db.document(people.acme, "It is grown in Assam.", title="Coffee")
    db.drain()
    before = chunks(db, key)
    assert [c["context"] for c in before] == ["Coffee"]
    assert db.found(people.ada, "tea") == {"It is grown in Assam."}  # nearest, though not by this word
    db.execute("update loci.documents set title = 'Tea' where document_id = %s", key)
    db.drain()
    after = chunks(db, key)
    assert [c["context"] for c in after] == ["Tea"]
    assert after[0]["text_hash"] != before[0]["text_hash"]
    assert after[0]["embedded_at"] > before[0]["embedded_at"]
    (row,) = db.search(people.ada, "tea", k=1)
    assert (row["title"], row["keyword_rank"]) == ("Tea", 1)
    consistent(db)


def test_metadata_changes_without_embedding(db: Database, people: People) -> None:
    key = db.document(people.acme, "labelled jar", metadata=Jsonb({"label": "red"}))
    db.drain()
    before = chunks(db, key)
    db.execute("""update loci.documents set metadata = '{"label": "blue"}' where document_id = %s""", key)
    db.drain()
    after = chunks(db, key)
    assert [(c["chunk_id"], c["embedded_at"]) for c in after] == [(c["chunk_id"], c["embedded_at"]) for c in before]
    assert db.search(people.ada, "jar", metadata='{"label": "red"}') == []
    (row,) = db.search(people.ada, "jar", metadata='{"label": "blue"}')
    assert row["metadata"] == {"label": "blue"}
    consistent(db)


def test_only_changed_chunks_are_embedded_again(db: Database, people: People) -> None:
    parts = paragraphs(12, start=20_000)
    key = db.document(people.acme, "\n\n".join(parts))
    db.drain()
    before = {c["text_hash"]: c for c in chunks(db, key)}
    assert len(before) >= 4
    parts[-1] = parts[-1].replace("inventory", "catalogue")
    db.execute("update loci.documents set content = %s where document_id = %s", "\n\n".join(parts), key)
    db.drain()
    after = chunks(db, key)
    kept = [c for c in after if c["text_hash"] in before]
    assert len(after) - len(kept) in (1, 2)
    assert all(
        (c["chunk_id"], c["embedded_at"]) == (before[c["text_hash"]]["chunk_id"], before[c["text_hash"]]["embedded_at"])
        for c in kept
    )
    assert [c["ordinal"] for c in after] == list(range(len(after)))
    assert "catalogue" in after[-1]["content"]
    consistent(db)


def test_a_paragraph_in_front_moves_ordinals_only(db: Database, people: People) -> None:
    content = "# One\n\n" + paragraphs(1, 30_000)[0] + "\n\n# Two\n\n" + paragraphs(1, 30_001)[0]
    key = db.document(people.acme, content, mime_type="text/markdown")
    db.drain()
    before = {c["text_hash"]: c for c in chunks(db, key)}
    db.execute(
        "update loci.documents set content = '# Zero' || E'\\n\\nA word in advance.\\n\\n' || content where document_id = %s",
        key,
    )
    db.drain()
    after = chunks(db, key)
    assert [c["ordinal"] for c in after] == list(range(len(after)))
    assert len(after) == len(before) + 1 or len(after) == len(before)
    consistent(db)


def test_identical_text_is_embedded_once(db: Database, people: People) -> None:
    """The model is never asked for a vector that it has made already."""
    text = f"boilerplate {uuid4()}"
    first = db.document(people.acme, text)
    db.drain()
    # Nothing can be embedded while the model's provider does not exist.
    db.execute("update loci.embedding_models set provider = 'nobody' where name = 'hash'")
    try:
        second, third = db.document(people.umbrella, text), db.document(people.ada, text)
        db.drain()
    finally:
        db.execute("update loci.embedding_models set provider = 'hash' where name = 'hash'")
    assert failures(db, second) == failures(db, third) == []
    for key, scope in ((second, people.umbrella), (third, people.ada)):
        (chunk,) = chunks(db, key)
        assert chunk["embedded_at"] is not None
        assert chunk["vector_scope"] == scope
    assert chunks(db, first)[0]["text_hash"] == chunks(db, second)[0]["text_hash"]
    consistent(db)


def test_twin_chunks_in_one_document(db: Database, people: People) -> None:
    part = paragraphs(1, 40_000)[0] * 2
    content = "\n\n".join(f"# Same\n\n{part}" for _ in range(3))
    key = db.document(people.acme, content, mime_type="text/markdown")
    db.drain()
    found = chunks(db, key)
    assert len({c["text_hash"] for c in found}) < len(found)
    assert len({c["chunk_id"] for c in found}) == len(found)
    assert [c["ordinal"] for c in found] == list(range(len(found)))
    db.execute(
        "update loci.documents set content = %s where document_id = %s",
        "\n\n".join(f"# Same\n\n{part}" for _ in range(2)),
        key,
    )
    db.drain()
    assert 0 < len(chunks(db, key)) < len(found)
    consistent(db)


# --- structure ------------------------------------------------------------------------------------------------------


def test_headings_and_ordinals(db: Database, people: People) -> None:
    parts = ["\n\n".join(paragraphs(4, start=50_000 + 4 * n)) for n in range(4)]
    content = f"Preface.\n\n# Animals\n\n{parts[0]}\n\n## Birds\n\n{parts[1]}\n\n{parts[2]}\n\n# Plants\n\n{parts[3]}\n"
    key = db.document(people.acme, content, mime_type="text/markdown")
    db.drain()
    found = chunks(db, key)
    assert [c["ordinal"] for c in found] == list(range(len(found)))
    headings = [c["metadata"].get("heading") for c in found]
    assert [heading for heading, _ in itertools.groupby(headings)] == [None, "Animals", "Animals > Birds", "Plants"]
    rows = db.search(people.ada, "Item 50015-3 of the inventory", k=1, mode="keyword")
    assert [row["metadata"] for row in rows] == [{"heading": "Plants"}]


def test_the_title_of_an_html_page(db: Database, people: People) -> None:
    page = "<html><head><title>On {}</title></head><body><p>They fly south in autumn.</p></body></html>"
    named = db.document(people.acme, page.format("Swallows"), mime_type="text/html", title="Our own name")
    unnamed = db.document(people.acme, page.format("Storks"), mime_type="text/html; charset=utf-8")
    db.drain()
    assert [c["context"] for c in chunks(db, named)] == ["Our own name"]
    assert [c["context"] for c in chunks(db, unnamed)] == ["On Storks"]
    assert {row["title"] for row in db.search(people.ada, "fly south", k=2)} == {"Our own name", "On Storks"}


def test_a_very_long_title_is_cut_to_fit(db: Database, people: People) -> None:
    key = db.document(people.acme, "short text", title="long " * 40_000)
    db.drain()
    assert failures(db, key) == []
    (chunk,) = chunks(db, key)
    assert chunk["embedded_at"] is not None


def test_rows_of_nobody_are_kept_out(db: Database, people: People) -> None:
    """Whoever is named by no act_as() sees nothing, and a project that goes takes its rows along."""
    project = db.project(people.acme, "temporary")
    db.document(project, "scaffolding")
    db.drain()
    assert db.found(people.ada, "scaffolding") == {"scaffolding"}
    assert db.found(None, "scaffolding") == set()
    db.execute("delete from loci.projects where project_id = %s", project)
    assert db.found(people.ada, "scaffolding") == set()
    db.drain()
    consistent(db)


def test_a_users_own_rows_have_the_model_of_the_organization_joined_first(db: Database) -> None:
    """Who joins one with a model of its own, or leaves it, finds their own rows by meaning after the next drain."""
    db.execute("select loci.add_embedding_model('of_the_house', provider => 'hash', dimensions => 32)")
    house = db.organization("House")
    db.execute("select loci.use_embedding_model('of_the_house', %s)", house)
    user = db.user("wanderer@example.org")
    db.document(user, "the diary of a wanderer")
    db.drain()

    def found() -> set[str]:
        return db.found(user, "diary", mode="vector")

    assert found() == {"the diary of a wanderer"}
    db.execute("insert into loci.organization_members (organization_id, user_id) values (%s, %s)", house, user)
    db.drain()
    assert found() == {"the diary of a wanderer"}
    # A second organization changes nothing.
    other = db.organization("Other", user)
    assert db.waiting() == 0
    db.execute("delete from loci.organizations where organization_id = %s", house)
    db.drain()
    assert found() == {"the diary of a wanderer"}
    db.execute("delete from loci.users where user_id = %s", user)
    db.execute("delete from loci.organizations where organization_id = %s", other)
    db.drain()
    assert db.rows("select * from loci.failures") == []

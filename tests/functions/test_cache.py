"""The caches: what they keep, for whom, for how long; and that everything works without them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, LiteralString, cast
from uuid import UUID

import psycopg
import pytest

from tests.database import Connection, Database, People, connect, wait_until

KINDS = ("search", "embedding", "context", "similarity", "routing", "response")


@pytest.fixture(scope="module")
def people(db: Database) -> People:
    people = db.people()
    for number in range(6):
        db.document(people.acme, f"red apples and green pears, basket {number}")
    db.drain()
    return people


@pytest.fixture(autouse=True)
def fresh(db: Database, people: People) -> Iterator[None]:
    db.execute("select loci.clear_cache()")
    yield
    db.set_clock(None)
    db.execute("update loci.settings set value = null where value is not null")


def setting(db: Database, name: str, value: object) -> None:
    db.execute("update loci.settings set value = %s where name = %s", str(value), name)


def stats(db: Database, kind: str = "search") -> dict[str, Any]:
    return db.rows("select * from loci.cache_stats where kind = %s", kind)[0]


def gained(db: Database, before: dict[str, Any]) -> tuple[int, int]:
    """Hits and misses since."""
    after = stats(db, before["kind"])
    return after["hits"] - before["hits"], after["misses"] - before["misses"]


def put(db: Database, user: UUID, kind: str, parts: str, value: str) -> bool:
    with db.acting(user) as connection:
        return put_in(connection, kind, parts, value)


def put_in(connection: Connection, kind: str, parts: str, value: str) -> bool:
    row = connection.execute("select loci.cache_put(%s, %s, %s) as kept", (kind, parts, value)).fetchone()
    assert row is not None
    return cast(bool, row["kept"])


def get(db: Database, user: UUID | None, kind: str, parts: str) -> Any:
    with db.acting(user) as connection:
        row = connection.execute("select loci.cache_get(%s, %s) as value", (kind, parts)).fetchone()
    assert row is not None
    return row["value"]


# --- search -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["hybrid", "vector", "keyword"])
def test_the_second_search_is_a_hit_and_says_the_same(db: Database, people: People, mode: str) -> None:
    before = stats(db)
    first = db.search(people.ada, "green pears", mode=mode)
    assert len(first) == 5
    assert db.search(people.ada, "green pears", mode=mode) == first
    assert db.search(people.ada, "  Green \n PEARS ", mode=mode) == first
    assert gained(db, before) == (2, 1)


def test_every_argument_and_user_counts(db: Database, people: People) -> None:
    before = stats(db)
    searches: list[dict[str, Any]] = [
        {}, {"k": 3}, {"mode": "keyword"}, {"min_similarity": 0.01}, {"min_similarity": 0.011}, {"scopes": [people.acme]},
        {"sources": ["documents"]}, {"metadata": "{}"}, {"since": "2000-01-01"}, {"since": "2000-01-02"}, {"until": "2100-01-01"},
    ]  # fmt: skip
    for user in (people.ada, people.bob):
        for arguments in searches:
            assert db.search(user, "pears", **arguments)
    assert gained(db, before) == (0, 2 * len(searches))
    for user in (people.ada, people.bob):
        for arguments in searches:
            assert db.search(user, "pears", **arguments)
    assert gained(db, before) == (2 * len(searches), 2 * len(searches))


@pytest.mark.parametrize("bad", [{"query": " "}, {"k": 0}, {"mode": "magic"}, {"sources": ["nowhere"]}])
def test_what_is_wrong_stays_wrong(db: Database, people: People, bad: dict[str, Any]) -> None:
    for _ in range(2):
        with pytest.raises(psycopg.Error) as caught:
            db.search(people.ada, **{"query": "pears", **bad})  # type: ignore[arg-type]
        assert str(caught.value.sqlstate).startswith("LC")


def test_time_ends_an_entry(db: Database, people: People) -> None:
    db.set_clock("2030-01-01 12:00:00+00")
    before = stats(db)
    db.search(people.ada, "pears")
    db.set_clock("2030-01-01 12:59:59+00")
    db.search(people.ada, "pears")
    assert gained(db, before) == (1, 1)
    db.set_clock("2030-01-01 13:00:01+00")
    db.search(people.ada, "pears")
    assert gained(db, before) == (1, 2)


@pytest.mark.parametrize("name", ["seconds", "entries"])
def test_zero_turns_a_kind_off(db: Database, people: People, name: str) -> None:
    db.search(people.ada, "pears")
    put(db, people.ada, "response", '"q"', '"a"')
    for kind in KINDS:
        setting(db, f"cache_{kind}_{name}", 0)
    before = stats(db), stats(db, "embedding"), stats(db, "response")
    first = db.search(people.ada, "pears")
    assert len(first) == 5
    assert db.search(people.ada, "pears") == first
    assert get(db, people.ada, "response", '"q"') is None
    assert put(db, people.ada, "response", '"q"', '"b"') is False
    assert [gained(db, each) for each in before] == [(0, 0)] * 3


def test_truncated_at_any_moment(db: Database, people: People) -> None:
    first = db.search(people.ada, "pears")
    db.execute("truncate loci_private.cache")
    assert db.search(people.ada, "pears") == first
    # Without what it knows of changes, nothing from before may be believed.
    db.execute("update loci.documents set content = content || ' ripe' where scope_id = %s", people.acme)
    db.drain()
    second = db.search(people.ada, "pears")
    assert all(row["content"].endswith(" ripe") for row in second)
    with db.acting(people.ada) as connection:
        db.execute("update loci.documents set content = content || ' sweet' where scope_id = %s", people.acme)
        db.drain()
        db.execute("truncate loci_private.changes, loci_private.change_moments")
        rows = connection.execute("select content from loci.search('pears')").fetchall()
    assert len(rows) == 5
    assert all(row["content"].endswith(" sweet") for row in rows)


def test_purging_changes_brings_nothing_back(db: Database, people: People) -> None:
    """Not even an entry that outlives the purge because somebody prolonged its time."""
    db.set_clock("2031-01-01 12:00:00+00")
    db.execute("select loci_private.purge_caches()")
    old = db.search(people.ada, "pears")
    entry = db.rows("select * from loci_private.cache where kind = 'search'")
    assert len(entry) == 1
    db.execute("update loci.documents set content = content || ' cooked' where scope_id = %s", people.acme)
    db.drain()
    changes = db.value("select count(*) from loci_private.changes")
    years = itertools.count(2032)

    def purged() -> bool:
        db.set_clock(f"{next(years)}-01-01 12:00:00+00")
        db.execute("select loci_private.purge_caches()")
        return bool(db.value("select count(*) < %s from loci_private.changes", changes))

    # Transactions of other databases, too, hold up what may go.
    wait_until(purged, "changes are gone")
    assert db.value("select count(*) from loci_private.cache where kind = 'search'") == 0
    # As if its transaction had committed only now.
    db.execute(
        "insert into loci_private.cache (kind, key, snapshot, made_at, used_at, chunk_ids, scores, similarities, vector_ranks, "
        "keyword_ranks) values ('search', %s, %s::text::pg_snapshot, loci_private.now(), loci_private.now(), %s, %s, %s, %s, %s)",
        *(
            entry[0][name]
            for name in ("key", "snapshot", "chunk_ids", "scores", "similarities", "vector_ranks", "keyword_ranks")
        ),
    )
    assert db.search(people.ada, "pears") != old


def test_what_a_dump_brought_along_heals(db: Database, people: People) -> None:
    """Transaction ids of another server: never believed, and gone after the next purge."""
    db.execute("insert into loci_private.changes values ('00000000-0000-0000-0000-000000000000', '1000000000000')")
    db.execute("insert into loci_private.change_moments values ('-infinity', '1000000000001', '1000000000000')")
    before = stats(db)
    for _ in range(2):
        db.search(people.ada, "pears")
    assert gained(db, before) == (0, 2)
    db.execute("select loci_private.purge_caches()")
    for _ in range(2):
        db.search(people.ada, "pears")
    assert gained(db, before) == (1, 3)


def test_own_changes_before_and_after(db: Database, people: People) -> None:
    """What a transaction finds before, between and after its own changes never reaches others."""
    document = db.document(people.acme, "a quince in the basket")
    db.drain()
    with db.acting(people.ada) as connection:

        def find() -> list[UUID]:
            return [
                row["scope_id"]
                for row in connection.execute("select * from loci.search('quince', mode => 'keyword')").fetchall()
            ]

        # A transaction id from the start, so that snapshots of its own do not list it.
        connection.execute("insert into loci.documents (scope_id, content) values (%s, 'unrelated')", (people.ada,))
        assert find() == [people.acme]
        connection.execute("update loci.documents set scope_id = %s where document_id = %s", (people.ada, document))
        assert find() == [people.ada]
        assert db.found(people.bob, "quince", mode="keyword") == {"a quince in the basket"}
        assert find() == [people.ada]
    assert db.found(people.bob, "quince", mode="keyword") == set()
    assert [row["scope_id"] for row in db.search(people.ada, "quince", mode="keyword")] == [people.ada]
    db.execute("delete from loci.documents where document_id = %s or content = 'unrelated'", document)
    assert db.found(people.ada, "quince", mode="keyword") == set()
    db.drain()


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_no_cache_in_a_snapshot_that_lasts(db: Database, people: People, level: str) -> None:
    first = db.search(people.ada, "pears")
    before = stats(db)
    with db.connect(db.app_role()) as connection, connection.transaction():
        connection.execute(cast(LiteralString, f"set transaction isolation level {level}"))
        connection.execute("select loci.act_as(%s)", (people.ada,))
        for _ in range(2):
            assert connection.execute("select * from loci.search('pears')").fetchall() == first
        assert put_in(connection, "response", '"q"', '"a"') is False
    assert gained(db, before) == (0, 0)


def test_read_only_transactions_read_and_write_nothing(db: Database, people: People) -> None:
    first = db.search(people.ada, "pears")
    put(db, people.ada, "response", '"q"', '"a"')
    before = stats(db)
    with db.connect(db.app_role()) as connection, connection.transaction():
        connection.execute("set transaction read only")
        connection.execute("select loci.act_as(%s)", (people.ada,))
        assert connection.execute("select * from loci.search('pears')").fetchall() == first
        assert len(connection.execute("select * from loci.search('apples', k => 4)").fetchall()) == 4
        assert connection.execute("select loci.cache_get('response', '\"q\"') as value").fetchall() == [{"value": "a"}]
        assert put_in(connection, "response", '"other"', '"a"') is False
        assert connection.execute("select loci.embed('never seen') is not null as made").fetchall() == [{"made": True}]
    assert stats(db) == before


def test_a_degraded_result_is_not_kept(db: Database, people: People) -> None:
    model = db.value("select active_model from loci_private.model_assignments where organization_id is null")
    db.execute(
        "insert into loci_private.model_health (model_id, cooldown_until, outages, error, since) "
        'values (%s, \'infinity\', 1, \'{"sqlstate": "LC221", "message": "gone"}\', now())',
        model,
    )
    try:
        before = stats(db)
        for _ in range(2):
            assert {row["similarity"] for row in db.search(people.ada, "a pear, never asked for")} == {None}
        assert gained(db, before) == (0, 2)
        assert stats(db)["entries"] == 0
    finally:
        db.execute("delete from loci_private.model_health")
    assert None not in {row["similarity"] for row in db.search(people.ada, "a pear, never asked for")}


SETTINGS = {
    "weights": "update loci.settings set value = '0' where name = 'keyword_weight'",
    "text_search_config": 'update loci.organizations set settings = \'{"text_search_config": "simple"}\'',
    "redaction": "update loci.redaction_patterns set enabled = enabled",
    "model": "update loci.embedding_models set query_prefix = query_prefix",
    "assignments": "update loci_private.model_assignments set assigned_at = now()",
    "names of sources": "update loci_private.sources set name = name",
    "memberships": "update loci.organization_members set joined_at = joined_at",
    "a mark that went": "with q as (insert into loci_private.row_queue (source_id, key, op) select source_id, '', 'resync' "
    "from loci_private.sources returning queue_id) select from q; delete from loci_private.row_queue",
}


@pytest.mark.parametrize("what", SETTINGS)
def test_what_all_searches_depend_on(db: Database, people: People, what: str) -> None:
    db.search(people.ada, "pears", scopes=[people.acme])
    before = stats(db)
    db.search(people.ada, "pears", scopes=[people.acme])
    for statement in SETTINGS[what].split("; "):
        db.execute(statement)
    db.search(people.ada, "pears", scopes=[people.acme])
    assert gained(db, before) == (1, 1)
    db.execute("update loci.organizations set settings = '{}'")


# --- vectors of questions -----------------------------------------------------------------------------------------


def vectors(db: Database) -> int:
    return cast(int, stats(db, "embedding")["entries"])


def test_a_question_is_embedded_once(db: Database, people: People) -> None:
    before = stats(db, "embedding")
    first = db.search(people.ada, "one question", mode="vector", scopes=[people.acme])
    db.execute("truncate loci_private.changes")
    assert db.search(people.ada, "one question", mode="vector", scopes=[people.acme]) == first
    assert db.search(people.bob, "one question", mode="vector", scopes=[people.acme]) == first
    with db.acting(people.ada) as connection:
        query = "select loci.embed(%s)::text as v, loci.embed(%s, kind => 'passage')::text as p"
        connection.execute(query, ("one question", "one question"))
        assert gained(db, before) == (3, 1)
        connection.execute(query, ("One question", "One question"))
    assert gained(db, before) == (3, 2)
    assert vectors(db) == 2


def test_cached_vectors_are_the_vectors(db: Database, people: People) -> None:
    texts = ["alpha", "beta", "gamma", "alpha"]
    query = "select v::text as v from loci.embed_batch(%s) with ordinality as e (v, n) order by n"
    with db.acting(people.ada) as connection:
        setting(db, "cache_embedding_seconds", 0)
        plain = connection.execute(query, (texts,)).fetchall()
    setting(db, "cache_embedding_seconds", 60)
    with db.acting(people.ada) as connection:
        connection.execute(query, (["beta"],))
        assert connection.execute(query, (texts,)).fetchall() == plain
        assert connection.execute(query, (texts,)).fetchall() == plain
        assert connection.execute(query, ([],)).fetchall() == []


def test_a_known_question_needs_no_gateway(db: Database, people: People) -> None:
    first = db.search(people.ada, "what do we know?", mode="vector")
    model = db.value("select active_model from loci_private.model_assignments where organization_id is null")
    db.execute("delete from loci_private.cache where kind = 'search'")
    db.execute(
        "insert into loci_private.model_health (model_id, cooldown_until, outages, error, since) "
        'values (%s, \'infinity\', 1, \'{"sqlstate": "LC221", "message": "gone"}\', now())',
        model,
    )
    try:
        assert db.search(people.ada, "what do we know?", mode="vector") == first
    finally:
        db.execute("delete from loci_private.model_health")


def test_vectors_go_with_their_model(db: Database, people: People) -> None:
    db.execute("select loci.add_embedding_model('short', provider => 'hash', dimensions => 16)")
    ask = "select loci.embed('who?', model => 'short')::text as v"
    with db.acting(people.ada) as connection:
        connection.execute(ask)
    assert vectors(db) == 1
    db.execute("update loci.embedding_models set query_prefix = 'query: ' where name = 'short'")
    assert vectors(db) == 0
    with db.acting(people.ada) as connection:
        connection.execute(ask)
    assert vectors(db) == 1
    db.execute("update loci.embedding_models set version = '2' where name = 'short'")
    assert vectors(db) == 0
    with db.acting(people.ada) as connection:
        connection.execute(ask)
    db.execute("select loci.drop_embedding_model('short')")
    assert vectors(db) == 0


# --- what users put -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_put_and_get(db: Database, people: People, kind: str) -> None:
    before = stats(db, kind)
    assert get(db, people.ada, kind, '{"q": "what"}') is None
    assert put(db, people.ada, kind, '{"q": "what"}', '{"a": [1]}')
    assert get(db, people.ada, kind, '{"q": "what"}') == {"a": [1]}
    assert put(db, people.ada, kind, '{"q": "what"}', '{"a": [2]}')
    assert get(db, people.ada, kind, '{"q": "what"}') == {"a": [2]}
    assert gained(db, before) == (2, 1)
    assert stats(db, kind)["entries"] == 1
    assert db.value("select loci.clear_cache(%s)", kind) == 1
    assert get(db, people.ada, kind, '{"q": "what"}') is None


def test_keys_fold_case_and_white_space_but_not_of_vectors(db: Database, people: People) -> None:
    for kind, folded in (("response", True), ("embedding", False)):
        put(db, people.ada, kind, '{"q": ["What  is\\nit? ", 1, null]}', "1")
        assert (get(db, people.ada, kind, '{"q": ["what is it?", 1, null]}') == 1) is folded
        assert get(db, people.ada, kind, '{"q": ["what is it?", "1", null]}') is None
        assert get(db, people.ada, kind, '["what is it?", 1, null]') is None


def test_entries_that_quote_rows_go_when_rows_change(db: Database, people: People) -> None:
    for kind in KINDS:
        assert put(db, people.ada, kind, '"q"', '"a"')
    db.document(people.umbrella, "nothing to do with ada")
    db.drain()
    assert {kind for kind in KINDS if get(db, people.ada, kind, '"q"')} == set(KINDS)
    document = db.document(people.acme, "something new")
    db.drain()
    assert {kind for kind in KINDS if get(db, people.ada, kind, '"q"')} == {"embedding", "routing"}
    db.execute("delete from loci.documents where document_id = %s", document)
    db.drain()


def test_as_of_a_moment_before_the_change(db: Database, people: People) -> None:
    with db.connect(db.app_role()) as connection, connection.transaction():
        connection.execute("select loci.act_as(%s)", (people.ada,))
        row = connection.execute("select pg_current_snapshot()::text as s").fetchone()
        assert row is not None
        put_as_of = "select loci.cache_put('response', '\"q\"', '\"a\"', as_of => %s::text::pg_snapshot) as kept"
        assert connection.execute(put_as_of, (row["s"],)).fetchall() == [{"kept": True}]
        document = db.document(people.acme, "something newer")
        db.drain()
        assert connection.execute(put_as_of, (row["s"],)).fetchall() == [{"kept": False}]
    assert get(db, people.ada, "response", '"q"') is None
    db.execute("delete from loci.documents where document_id = %s", document)
    db.drain()


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("select loci.cache_get('nonsense', '1')", "LC320"),
        ("select loci.cache_get(null, '1')", "LC320"),
        ("select loci.cache_put('nonsense', '1', '1')", "LC320"),
        ("select loci.cache_put('response', null, '1')", "LC322"),
        ("select loci.cache_put('response', '1', null)", "LC322"),
        ("select loci.cache_put('response', '1', to_jsonb((select string_agg(md5(n::text), '') from generate_series(1, 40000) as n)))",
         "LC323"),
    ],
)  # fmt: skip
def test_bad_arguments(db: Database, people: People, statement: str, code: str) -> None:
    with pytest.raises(psycopg.Error) as caught, db.acting(people.ada) as connection:
        connection.execute(cast(LiteralString, statement))
    assert caught.value.sqlstate == code
    assert caught.value.diag.message_hint


def test_clearing_an_unknown_kind(db: Database) -> None:
    with pytest.raises(psycopg.Error) as caught:
        db.execute("select loci.clear_cache('nonsense')")
    assert caught.value.sqlstate == "LC320"


# --- room ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 40])
def test_never_more_than_fit(db: Database, people: People, size: int) -> None:
    setting(db, "cache_routing_entries", size)
    before = stats(db, "routing")["evictions"]
    with db.acting(people.ada) as connection:
        for number in range(3 * size):
            assert put_in(connection, "routing", str(number), str(number))
    with db.acting(people.ada) as connection:
        for number in range(3 * size, 4 * size):
            assert put_in(connection, "routing", str(number), str(number))
    entries = stats(db, "routing")["entries"]
    assert size - max(size // 20, 1) < entries <= size
    assert stats(db, "routing")["evictions"] - before == 4 * size - entries
    assert get(db, people.ada, "routing", str(4 * size - 1)) == 4 * size - 1
    assert get(db, people.ada, "routing", "0") is None


def test_what_is_used_stays(db: Database, people: People) -> None:
    setting(db, "cache_routing_entries", 10)
    db.set_clock("2032-01-01 12:00:00+00")
    for number in range(10):
        put(db, people.ada, "routing", str(number), str(number))
    db.set_clock("2032-01-01 12:30:00+00")
    for number in (0, 1, 2):
        assert get(db, people.ada, "routing", str(number)) == number
    db.set_clock("2032-01-01 12:40:00+00")
    for number in range(10, 17):
        put(db, people.ada, "routing", str(number), str(number))
    kept = {number for number in range(17) if get(db, people.ada, "routing", str(number)) is not None}
    assert kept == {0, 1, 2, *range(10, 17)}


def test_hits_write_rows_a_few_times_at_most(db: Database, people: People) -> None:
    db.set_clock("2033-01-01 12:00:00+00")
    db.search(people.ada, "pears")
    version = "select xmin::text from loci_private.cache where kind = 'search'"
    first = db.value(version)
    for _ in range(20):
        db.search(people.ada, "pears")
    assert db.value(version) == first
    db.set_clock("2033-01-01 12:30:00+00")
    for _ in range(8):
        db.search(people.ada, "pears")
    second = db.value(version)
    assert second != first
    for _ in range(20):
        db.search(people.ada, "pears")
    assert db.value(version) == second


def test_nobody_waits_for_a_held_entry(db: Database, people: People) -> None:
    """Neither a hit, nor a put under the same key, nor an eviction."""
    setting(db, "cache_routing_entries", 2)
    db.set_clock("2034-01-01 12:00:00+00")
    first = db.search(people.ada, "pears")
    put(db, people.ada, "routing", "1", "1")
    put(db, people.ada, "routing", "2", "2")
    db.set_clock("2034-01-01 12:30:00+00")
    with db.connect() as holder, holder.transaction():
        holder.execute("select from loci_private.cache for update")
        with connect(db.dsn_as(db.app_role()), options="-c lock_timeout=1ms") as app, app.transaction():
            app.execute("select loci.act_as(%s)", (people.ada,))
            for _ in range(8):
                assert app.execute("select * from loci.search('pears')").fetchall() == first
            for number in ("1", "2", "3", "4"):
                assert put_in(app, "routing", number, '"new"')
    assert get(db, people.ada, "routing", "1") == "new" or get(db, people.ada, "routing", "4") == "new"
    # What was held is evicted by the next.
    put(db, people.ada, "routing", "5", "5")
    put(db, people.ada, "routing", "6", "6")
    assert stats(db, "routing")["entries"] <= 2


def test_expired_entries_are_removed(db: Database, people: People) -> None:
    db.set_clock("2035-01-01 12:00:00+00")
    for kind in KINDS:
        put(db, people.ada, kind, '"q"', '"a"')
    db.set_clock("2035-01-01 12:31:00+00")
    db.execute("select loci_private.purge_caches()")
    assert {kind for kind in KINDS if stats(db, kind)["entries"]} == set(KINDS) - {"context"}
    db.set_clock("2035-01-02 12:01:00+00")
    db.execute("select loci_private.purge_caches()")
    assert not any(stats(db, kind)["entries"] for kind in KINDS)


def test_stats_fit_a_terminal(db: Database) -> None:
    rows = db.rows("select * from loci.cache_stats")
    assert [row["kind"] for row in rows] == list(KINDS)
    assert sum(max(len(name), *(len(str(row[name])) for row in rows)) + 3 for name in rows[0]) <= 80

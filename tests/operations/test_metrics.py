"""loci.metrics() and loci.observe(): what Prometheus reads, whoever measured it."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from psycopg.types.json import Jsonb

from tests.database import Database

# Requirement O1, by the names it gives.
WANTED = {
    "requests_total",
    "routing_fallbacks_total",
    "llm_failures_total",
    "node_latency_ms",
    "llm_cost_usd_total",
    "llm_tokens_total",
    "vector_search_latency_ms",
    "vector_search_results",
    "vector_search_similarity",
    "cache_hit_rate",
    "queue_depth",
    "rag_latency_ms",
}


def families(text: str) -> dict[str, Metric]:
    """By the name that is in the text: the parser takes _total off."""
    return {
        f"{metric.name}_total" if metric.type == "counter" else metric.name: metric
        for metric in text_string_to_metric_families(text)
    }


def metrics(database: Database) -> dict[str, Metric]:
    return families(database.value("select loci.metrics()"))


def value(database: Database, sample: str, **labels: str) -> float | None:
    for metric in metrics(database).values():
        for each in metric.samples:
            if each.name == sample and each.labels == labels:
                return each.value
    return None


def observe(database: Database, metric: str, labels: Any = None, value: float | None = 1) -> Any:
    return database.value("select loci.observe(%s, %s, %s)", metric, Jsonb(labels or {}), value)


def test_the_series_that_were_asked_for(db: Database) -> None:
    found = metrics(db)
    assert set(found) >= WANTED
    assert {name: found[name].type for name in ("requests_total", "node_latency_ms", "queue_depth")} == {
        "requests_total": "counter",
        "node_latency_ms": "histogram",
        "queue_depth": "gauge",
    }
    assert all(metric.documentation for metric in found.values())


def test_no_series_twice(db: Database) -> None:
    observe(db, "requests_total", {"agent": "router", "node": "plan"})
    samples = [(s.name, tuple(sorted(s.labels.items()))) for m in metrics(db).values() for s in m.samples]
    assert len(samples) == len(set(samples))


def test_a_search_is_measured_once_and_a_hit_counted(db: Database) -> None:
    people = db.people()
    db.document(people.acme, "the spare key hangs behind the clock")
    db.drain()
    before = value(db, "vector_search_latency_ms_count") or 0
    for _ in range(3):
        assert db.search(people.ada, "spare key", k=5)
    found = metrics(db)
    counts = {s.name: s.value for s in found["vector_search_latency_ms"].samples if not s.labels}
    assert counts["vector_search_latency_ms_count"] == before + 1
    assert counts["vector_search_latency_ms_sum"] > 0
    assert value(db, "vector_search_results_count") == before + 1
    assert 0 < (value(db, "vector_search_similarity_sum") or 0) <= before + 1
    assert value(db, "cache_hits_total", kind="search") == 2
    assert value(db, "cache_hit_rate", kind="search") == pytest.approx(2 / 3)


def test_a_search_that_may_not_write_writes_nothing(db: Database) -> None:
    people = db.people()
    db.document(people.acme, "read me only")
    db.drain()
    metrics(db)
    role = db.app_role()
    with db.connect(role) as connection:
        connection.execute("begin read only")
        connection.execute("select loci.act_as(%s)", (people.ada,))
        assert connection.execute("select * from loci.search('read me')").fetchall()
        assert connection.execute("select loci.observe('lamps_total') as noted").fetchone() == {"noted": False}
        assert connection.execute("select pg_current_xact_id_if_assigned() as xid").fetchone() == {"xid": None}
        connection.execute("rollback")
    assert db.value("select count(*) from loci_private.observations") == 0


def test_what_the_ledger_is_told_is_counted_for_good(db: Database) -> None:
    def call(**columns: Any) -> dict[str, Any]:
        return {
            "call_id": str(db.value("select gen_random_uuid()")),
            "request_id": "00000000-0000-0000-0000-000000000001",
            "called_at": float(db.value("select extract(epoch from now())")),
            "purpose": "chat",
            "gateway": "default",
            "model": "gpt-large",
            "fallback": False,
            "status": "ok",
            "cost_estimated": False,
            "latency_ms": 40,
            **columns,
        }

    calls = [
        call(status="error", sqlstate="LC401", latency_ms=7),
        call(model="gpt-small", fallback=True, tokens_in=100, tokens_out=20, cost_usd=0.25),
        call(purpose="whatever an application likes", tokens_in=1, tokens_out=1, cost_usd=0.5),
    ]
    for _ in range(2):
        # The drain may be interrupted before the meter has forgotten them.
        db.execute("select loci_private.write_calls(%s)", Jsonb(calls))
    db.execute("delete from loci_private.calls")
    assert value(db, "requests_total", agent="loci", node="loci.chat") == 2
    assert value(db, "requests_total", agent="loci", node="loci.other") == 1
    assert value(db, "llm_failures_total", component="loci.chat") == 1
    assert value(db, "routing_fallbacks_total", from_agent="loci.gpt-large", to_agent="loci.gpt-small") == 1
    assert value(db, "llm_cost_usd_total", model="gpt-small") == 0.25
    assert value(db, "llm_cost_usd_total", model="gpt-large") == 0.5
    assert value(db, "llm_tokens_total", model="gpt-small", type="input") == 100
    assert value(db, "llm_tokens_total", model="gpt-small", type="output") == 20
    buckets = {
        s.labels["le"]: s.value
        for s in metrics(db)["node_latency_ms"].samples
        if s.name == "node_latency_ms_bucket" and s.labels["node"] == "loci.chat"
    }
    assert (buckets["5.0"] if "5.0" in buckets else buckets["5"], buckets["10"], buckets["50"], buckets["+Inf"]) == (
        0,
        1,
        2,
        2,
    )
    assert value(db, "rag_latency_ms_count", stage="model") == 1


def test_gauges_of_the_moment(db: Database) -> None:
    people = db.people()
    db.execute("insert into loci.documents (scope_id, content) select %s, 'x' from generate_series(1, 30)", people.acme)
    assert value(db, "queue_depth", queue="row_queue") == 30
    assert (value(db, "queue_oldest_seconds", queue="row_queue") or 0) > 0
    db.drain()
    assert value(db, "queue_depth", queue="row_queue") == 0
    db.document(people.acme, "no image", mime_type="image/png")
    db.drain()
    assert value(db, "failures", state="parked") == 1
    assert value(db, "model_up", model="hash") == 1
    db.execute(
        "insert into loci_private.model_health (model_id, cooldown_until, outages, error, since) "
        "select model_id, now(), 1, '{}', now() from loci.embedding_models where name = 'hash'"
    )
    assert value(db, "model_up", model="hash") == 0
    db.execute("delete from loci_private.model_health")
    db.execute(
        "insert into loci_private.model_usage (model_id, day, tokens, cost_usd) "
        "select model_id, day, 10, 0.5 from loci.embedding_models, (values (date '2020-01-01'), ('2020-01-02')) as d (day) "
        "where name = 'hash'"
    )
    assert value(db, "llm_tokens_total", model="hash", type="embedding") == 20
    assert value(db, "llm_cost_usd_total", model="hash") == 1


# --- observe ------------------------------------------------------------------------------------------------------------


def test_kinds_follow_from_names(db: Database) -> None:
    for amount in (2, 3):
        observe(db, "shop_orders_total", {"country": "CH"}, amount)
        observe(db, "shop_stock", {}, amount)
        observe(db, "shop_checkout_seconds", {}, amount)
    found = metrics(db)
    assert (found["shop_orders_total"].type, found["shop_stock"].type, found["shop_checkout_seconds"].type) == (
        "counter",
        "gauge",
        "histogram",
    )
    assert value(db, "shop_orders_total", country="CH") == 5
    assert value(db, "shop_stock") == 3
    assert value(db, "shop_checkout_seconds_sum") == 5
    assert value(db, "shop_checkout_seconds_bucket", le="1") == 0
    assert value(db, "shop_checkout_seconds_bucket", le="5") == 2
    observe(db, "shop_orders_total", {"country": "CH"})
    assert value(db, "shop_orders_total", country="CH") == 6


def test_labels_are_escaped(db: Database) -> None:
    label = 'a "quoted" \\ back\\slash\nand a line, {braces}'
    observe(db, "odd_total", {"odd": label, "empty": "", "number": 7, "flag": True})
    (sample,) = metrics(db)["odd_total"].samples
    assert sample.labels == {"odd": label, "number": "7", "flag": "true"}


@pytest.mark.parametrize(
    ("metric", "labels", "amount", "code"),
    [
        (None, {}, 1, "LC820"),
        ("no spaces", {}, 1, "LC820"),
        ("newline\n_total", {}, 1, "LC820"),
        ("loci_mine", {}, 1, "LC820"),
        ("mine_bucket", {}, 1, "LC820"),
        ("llm_cost_usd_total", {}, 1, "LC821"),
        ("queue_depth", {}, 1, "LC821"),
        ("mine", {"le": "1"}, 1, "LC822"),
        ("mine", {"__name__": "x"}, 1, "LC822"),
        ("mine", {"a": {"b": 1}}, 1, "LC822"),
        ("mine", {"a": None}, 1, "LC822"),
        ("mine", {"a b": "1"}, 1, "LC822"),
        ("mine", {"a": "x" * 101}, 1, "LC822"),
        ("mine", {f"l{n}": "1" for n in range(9)}, 1, "LC822"),
        ("mine", [1], 1, "LC822"),
        ("requests_total", {"agent": "loci", "node": "loci.chat"}, 1, "LC822"),
        ("node_latency_ms", {"node": "loci.chat"}, 1, "LC822"),
        ("mine", {}, None, "LC823"),
        ("mine", {}, float("nan"), "LC823"),
        ("mine", {}, float("inf"), "LC823"),
        ("mine_total", {}, -1, "LC823"),
    ],
)
def test_bad_observations(db: Database, metric: str, labels: Any, amount: Any, code: str) -> None:
    with pytest.raises(psycopg.Error) as caught:
        observe(db, metric, labels, amount)
    assert caught.value.sqlstate == code
    assert caught.value.diag.message_hint


def test_series_are_bounded(db: Database) -> None:
    mine = db.value("select count(*) from loci_private.metric_series where not own")
    db.execute("update loci.settings set value = %s where name = 'metric_series_max'", str(mine + 3))
    try:
        # Faster than they are counted.
        for n in range(5):
            observe(db, "crowd_total", {"n": n})
        found = metrics(db)
        assert len(found["crowd_total"].samples) == 3
        assert value(db, "observations_dropped_total") == 2
        with pytest.raises(psycopg.Error) as caught:
            observe(db, "crowd_total", {"n": 9})
        assert caught.value.sqlstate == "LC824"
        # Those that exist go on, and Loci's own come about all the same.
        observe(db, "crowd_total", {"n": 0})
        assert value(db, "crowd_total", n="0") == 2
        db.execute("select loci_private.note_stage('some stage', loci_private.now())")
        assert value(db, "rag_latency_ms_count", stage="some stage") == 1
        assert db.value("select loci.drop_metric('crowd_total')") == 3
        assert observe(db, "crowd_total", {"n": 9})
    finally:
        db.execute("update loci.settings set value = null where name = 'metric_series_max'")


def test_where_nobody_counts_nothing_is_noted_and_nobody_fails(db: Database) -> None:
    observe(db, "much_total")
    metrics(db)
    db.execute(
        "select setval('loci_private.observations_observation_id_seq', "
        "(select up_to from loci_private.counted_observations) + 1000001)"
    )
    assert observe(db, "much_total") is False
    assert db.value("select count(*) from loci_private.observations") == 0
    db.execute("update loci_private.counted_observations set up_to = up_to + 1000001")
    assert observe(db, "much_total") is True
    assert value(db, "much_total") == 2


def test_applications_observe_and_see_nothing(db: Database) -> None:
    with db.connect(db.app_role()) as connection:
        assert connection.execute("select loci.observe('lamps_total', '{\"room\": \"hall\"}')").fetchone()
        for forbidden in (
            "select loci.metrics()",
            "select * from loci_private.observations",
            "select * from loci_private.metric_series",
            "select loci.drop_metric('lamps_total')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(forbidden)
    assert value(db, "lamps_total", room="hall") == 1


def test_what_is_rolled_back_was_not_observed(db: Database) -> None:
    with db.connect() as connection, connection.transaction(force_rollback=True):
        connection.execute("select loci.observe('undone_total')")
    assert "undone_total" not in metrics(db)


def test_observers_do_not_wait_for_each_other_nor_for_whoever_counts(db: Database) -> None:
    observe(db, "busy_total")
    metrics(db)
    with db.connect() as first, first.transaction():
        first.execute("select loci.observe('busy_total')")
        # One that counts, and does not commit.
        first.execute("select loci.metrics()")
        with db.connect() as second:
            second.execute("set lock_timeout = '100ms'")
            second.execute("select loci.observe('busy_total')")
            # Another that counts finds that somebody does.
            text = second.execute("select loci.metrics() as text").fetchone()
            assert text is not None
            assert families(text["text"])["busy_total"].samples[0].value == 1
    assert value(db, "busy_total") == 3


def test_nothing_is_counted_twice_or_lost(db: Database) -> None:
    def work(n: int) -> None:
        with db.connect() as connection:
            for _ in range(50):
                connection.execute("select loci.observe('race_total', %s)", (Jsonb({"n": n % 2}),))
                if n == 0:
                    connection.execute("select loci.metrics()")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (value(db, "race_total", n="0"), value(db, "race_total", n="1")) == (100, 100)


def test_the_drain_counts_too(db: Database) -> None:
    metrics(db)
    observe(db, "drained_total")
    db.drain()
    assert db.value("select count(*) from loci_private.observations") == 0
    assert db.value("select total from loci_private.metric_series where metric = 'drained_total'") == 1

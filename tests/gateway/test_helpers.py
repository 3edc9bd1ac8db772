"""loci.search(rerank => true, expand => true) against an endpoint that fails in every way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.database import Connection, Database, People, contents
from tests.gateway import fault_server as faults
from tests.gateway.fault_server import FaultServer

TEXTS = ("a boat on the lake", "a lake without boats", "the lake in winter", "write to bob@example.org about boats")


@pytest.fixture(scope="module")
def people(db: Database) -> People:
    people = db.people()
    for text in TEXTS:
        db.document(people.acme, text)
    db.drain()
    return people


@pytest.fixture(autouse=True)
def helpers(db: Database, people: People, fault_server: FaultServer) -> Iterator[None]:
    db.execute("select loci.add_gateway('default', base_url => %s)", fault_server.base_url)
    db.execute("update loci.settings set value = 'ranker' where name = 'rerank_model'")
    db.execute("update loci.settings set value = 'talker' where name = 'expansion_model'")
    db.execute("update loci.settings set value = '0.5' where name = 'helper_seconds'")
    yield
    db.execute("update loci.settings set value = null")
    db.execute("update loci.organizations set settings = '{}'")


def last_is_best(exchange: faults.Exchange) -> None:
    count = len(exchange.request.body.get("documents", []))
    exchange.answer({"results": [{"index": n, "relevance_score": n / count} for n in range(count)]})


def says(text: Any) -> faults.Behaviour:
    return faults.body({"choices": [{"message": {"role": "assistant", "content": text}}]})


def search(db: Database, people: People, query: str, **arguments: Any) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows and notices."""
    notices: list[str] = []

    def ask(connection: Connection) -> list[dict[str, Any]]:
        connection.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
        given = "".join(f", {name} => %s" for name in arguments)
        return connection.execute(
            f"select * from loci.search(%s{given})".encode(), (query, *arguments.values())
        ).fetchall()

    with db.acting(people.ada) as connection:
        return ask(connection), notices


def test_a_model_puts_passages_in_order(db: Database, people: People, fault_server: FaultServer) -> None:
    plain, _ = search(db, people, "boat on a lake", k=4)
    fault_server.always(last_is_best)
    rows, notices = search(db, people, "boat on a lake", k=4, rerank=True)
    assert notices == []
    assert contents(rows) == contents(plain)[::-1]
    assert [row["score"] for row in rows] == [0.75, 0.5, 0.25, 0]
    (request,) = fault_server.requests
    assert request.path.endswith("/v1/rerank")
    assert request.body["model"] == "ranker"
    assert request.body["query"] == "boat on a lake"
    # It chooses from more than is asked for.
    rows, _ = search(db, people, "boat on a lake", k=1, rerank=True)
    assert contents(rows) == contents(plain)[-1:]


@pytest.mark.parametrize(
    "behaviour",
    [
        faults.status(500), faults.status(429), faults.status(400), faults.reset, faults.hang, faults.no_http,
        faults.body({}), faults.body({"results": []}), faults.body({"results": [{"index": 99, "relevance_score": 1}]}),
        faults.body({"results": [{"index": 0, "relevance_score": "NaN"}]}), faults.body([1]),
        faults.body({"choices": [{"message": {"content": None}}]}), faults.body({"choices": "x"}),
    ],
)  # fmt: skip
def test_search_does_without_them(
    db: Database, people: People, fault_server: FaultServer, behaviour: faults.Behaviour
) -> None:
    plain, _ = search(db, people, "boat on a lake", k=3)
    fault_server.always(behaviour)
    rows, notices = search(db, people, "boat on a lake", k=3, rerank=True, expand=True)
    assert rows == plain
    assert sorted(" ".join(notice.split()[:3]) for notice in notices) == [
        "searching without expansion:", "searching without reranking:",
    ]  # fmt: skip
    assert not any("boat" in notice for notice in notices)


@pytest.mark.parametrize(("setting", "value"), [("{}_model", None), ("{}_gateway", "nowhere")])
@pytest.mark.parametrize(("argument", "purpose"), [("rerank", "rerank"), ("expand", "expansion")])
def test_not_set_is_a_notice(
    db: Database,
    people: People,
    fault_server: FaultServer,
    argument: str,
    purpose: str,
    setting: str,
    value: str | None,
) -> None:
    db.execute("update loci.settings set value = %s where name = %s", value, setting.format(purpose))
    rows, notices = search(db, people, "boat", **{argument: True})
    assert len(rows) == 4
    assert len(notices) == 1
    assert fault_server.requests == []


def test_other_words_find_more(db: Database, people: People, fault_server: FaultServer) -> None:
    assert search(db, people, "vessel", mode="keyword")[0] == []
    fault_server.always(says('boat -lake "no such phrase"\nship'))
    rows, notices = search(db, people, "vessel", mode="keyword", expand=True)
    assert notices == []
    assert "a boat on the lake" in contents(rows)
    request = fault_server.requests[0]
    assert request.path.endswith("/v1/chat/completions")
    assert request.body["model"] == "talker"
    assert request.body["messages"][-1]["content"] == "vessel"


@pytest.mark.parametrize("text", ["", "\x00'); drop table x; --", "a" * 100_000, '"', "\ud83d", "& | !"])
def test_a_model_may_say_anything(db: Database, people: People, fault_server: FaultServer, text: str) -> None:
    fault_server.always(says(text))
    rows, _ = search(db, people, "boat", expand=True)
    assert len(rows) == 4


def test_no_helper_sees_what_is_redacted(db: Database, people: People, fault_server: FaultServer) -> None:
    fault_server.always(last_is_best)
    db.execute(
        """update loci.organizations set settings = '{"redact": true}' where organization_id = %s""", people.acme
    )
    # Split before that was wanted: none of it may go out.
    search(db, people, "mail bob@example.org boats", rerank=True, expand=True)
    assert all("/rerank" not in request.path for request in fault_server.requests)
    assert "bob@example.org" not in json.dumps([request.body for request in fault_server.requests])
    db.execute("select loci.reconcile()")
    db.drain()
    rows, _ = search(db, people, "mail bob@example.org boats", rerank=True, expand=True)
    assert len(rows) == 4
    sent = json.dumps([request.body for request in fault_server.requests if "/rerank" in request.path])
    assert "boats" in sent
    assert "bob@example.org" not in sent
    assert "bob@example.org" not in json.dumps([request.body for request in fault_server.requests])


def test_helpers_are_the_administrators(db: Database, people: People) -> None:
    """Neither model nor address is an argument, and the functions are nobody's to call."""
    for sql in (
        "select loci_private.rerank('a', array['b'], '{}')", "select loci_private.expand('a', '{}')",
        "select * from loci_private.reranked('a', array[1], array[]::uuid[])", "select loci_private.helper_config('rerank')",
        "select * from loci_private.word_counts", "select * from loci_private.text_statistics",
    ):  # fmt: skip
        with db.acting(people.ada) as connection, pytest.raises(Exception, match="permission denied"):
            connection.execute(sql.encode())

"""loci.search(): the right rows, and all of them."""

from __future__ import annotations

import psycopg
import pytest

from tests.database import Database, People


@pytest.fixture(scope="module")
def people(db: Database) -> People:
    people = db.people()
    for content in ("red apples and green pears", "a boat on the lake", "apples from the lake side"):
        db.document(people.acme, content)
    db.drain()
    return people


def test_the_best_match_comes_first(db: Database, people: People) -> None:
    rows = db.search(people.ada, "red apples", k=1)
    assert [row["content"] for row in rows] == ["red apples and green pears"]
    assert rows[0]["source"] == "documents"
    assert rows[0]["scope_id"] == people.acme
    assert rows[0]["vector_rank"] == rows[0]["keyword_rank"] == 1
    assert 0 < rows[0]["similarity"] <= 1


@pytest.mark.parametrize("mode", ["hybrid", "vector"])
def test_k_rows_come_back_when_k_are_visible(db: Database, people: People, mode: str) -> None:
    assert len(db.search(people.bob, "zebra", k=3, mode=mode)) == 3


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"query": " "}, "LC300"),
        ({"query": None}, "LC300"),
        ({"k": 0}, "LC302"),
        ({"k": None}, "LC302"),
        ({"mode": "magic"}, "LC303"),
        ({"sources": ["nowhere"]}, "LC249"),
    ],
)
def test_bad_arguments_are_refused(db: Database, people: People, arguments: dict[str, object], code: str) -> None:
    with pytest.raises(psycopg.Error) as caught:
        db.search(people.ada, **{"query": "apples", **arguments})  # type: ignore[arg-type]
    assert caught.value.sqlstate == code
    assert caught.value.diag.message_hint


@pytest.mark.parametrize("mode", ["hybrid", "vector", "keyword"])
def test_a_passage_with_vectors_of_two_models_comes_once(db: Database, mode: str) -> None:
    """Who sees organizations with different models asks both; a switch leaves vectors of the old one behind."""
    user = db.user(f"traveller.{mode}@example.org")
    old, new = db.organization("Old", user), db.organization("New", user)
    db.document(old, "a lighthouse of the old house")
    db.document(new, "a lighthouse of the new house")
    db.drain()
    db.execute("select loci.add_embedding_model(%s, provider => 'hash', dimensions => 32)", f"second_{mode}")
    db.execute("select loci.use_embedding_model(%s, %s)", f"second_{mode}", new)
    db.drain()
    rows = db.search(user, "lighthouse", k=2, mode=mode)
    assert {row["content"] for row in rows} == {"a lighthouse of the old house", "a lighthouse of the new house"}
    assert len(rows) == 2

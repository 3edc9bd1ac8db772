"""The full-text arm: phrases, exclusions, identifiers, numbers, common words, and text that means harm."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.database import Database, People, contents

TEXTS = {
    "phrase": "the red apples of the old orchard",
    "scattered": "apples that are red, and pears in an orchard",
    "snake": "set max_parallel_workers before the import",
    "camel": "call parseHttpRequest and then HTTPServerError",
    "dotted": "see loci.search_text in the manual",
    "path": "the rule is in sql/functions/search/fuse.sql today",
    "version": "fixed since v2.14.3 of the driver",
    "code": "complaint INC-4711 about a late delivery",
    "number": "the invoice was for 1250.75 euros on 2024-05-17",
    "mail": "write to ada.lovelace@example.org about it",
    "quote": "it's Bob's \\ back'slash",
}


@pytest.fixture(scope="module")
def people(db: Database) -> People:
    people = db.people()
    for text in TEXTS.values():
        db.document(people.acme, text)
    for number in range(60):
        db.document(people.acme, f"common words are everywhere in text {'x' * number}")
    db.drain()
    return people


def first(db: Database, people: People, query: str, mode: str = "keyword") -> str | None:
    rows = db.search(people.ada, query, k=1, mode=mode)
    return rows[0]["content"] if rows else None


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("which red apples grow in the old orchard?", "phrase"),
        ("max_parallel_workers", "snake"), ("parallel workers", "snake"),
        ("parseHttpRequest", "camel"), ("parsehttprequest", "camel"), ("how to parse a request", "camel"),
        ("HTTPServerError", "camel"), ("server errors", "camel"),
        ("loci.search_text", "dotted"), ("search_text", "dotted"),
        ("sql/functions/search/fuse.sql", "path"), ("fuse.sql", "path"),
        ("v2.14.3", "version"), ("2.14.3", "version"),
        ("INC-4711", "code"), ("4711", "code"), ("inc 4711", "code"),
        ("1250.75", "number"), ("2024-05-17", "number"),
        ("ada.lovelace@example.org", "mail"), ("lovelace", "mail"),
    ],
)  # fmt: skip
def test_names_and_numbers_are_found(db: Database, people: People, query: str, name: str) -> None:
    assert first(db, people, query) == TEXTS[name]


@pytest.mark.parametrize("mode", ["keyword", "hybrid"])
def test_a_phrase_must_occur(db: Database, people: People, mode: str) -> None:
    assert db.found(people.ada, '"red apples" orchard', mode=mode) == {TEXTS["phrase"]}
    assert db.found(people.ada, "“red apples” orchard", mode=mode) == {TEXTS["phrase"]}
    assert db.found(people.ada, '"apples red"', mode=mode) == set()
    assert {TEXTS["phrase"], TEXTS["scattered"]} <= db.found(people.ada, "red apples orchard", mode=mode)


@pytest.mark.parametrize("mode", ["keyword", "hybrid"])
def test_what_is_excluded_does_not_come(db: Database, people: People, mode: str) -> None:
    assert TEXTS["phrase"] not in db.found(people.ada, "orchard -old", mode=mode)
    assert TEXTS["scattered"] in db.found(people.ada, "orchard -old", mode=mode)
    assert TEXTS["phrase"] not in db.found(people.ada, 'orchard -"red apples"', mode=mode)
    # Numbers below zero, and hyphens within words, exclude nothing.
    assert TEXTS["phrase"] in db.found(people.ada, "orchard -5 old-red", mode=mode)


def test_meaning_alone_knows_no_operators(db: Database, people: People) -> None:
    assert TEXTS["phrase"] in db.found(people.ada, 'orchard "no such phrase" -old', mode="vector")


def test_common_words_find_but_do_not_decide(db: Database, people: People) -> None:
    assert len(db.search(people.ada, "common words everywhere", k=60, mode="keyword")) == 60
    assert first(db, people, "common words everywhere in the text about apples in the old orchard") == TEXTS["phrase"]


def test_every_match_comes_however_little_may_be_looked_at(db: Database, people: People) -> None:
    """All of them are too many to be judged; k still come, and among them the one that has a rare word as well."""
    db.execute("update loci.settings set value = '100' where name = 'keyword_candidates'")
    try:
        more = [db.document(people.bob, f"sand and water {n}") for n in range(240)]
        rare = db.document(people.bob, "sand and water and amber")
        db.drain()
        rows = db.search(people.bob, "sand water amber", k=50, mode="keyword")
        assert len(rows) == 50
        assert rows[0]["content"] == "sand and water and amber"
        assert len(db.search(people.bob, "sand water", k=200, mode="keyword")) == 200
    finally:
        db.execute("update loci.settings set value = null where name = 'keyword_candidates'")
    db.execute("delete from loci.documents where document_id = any(%s)", [*more, rare])
    db.drain()


@pytest.mark.parametrize(
    "query", ["the of and", "?!", "-apples", '""', '"the"', "- -", '-"', "'", "\\", "& | ! <-> :*"]
)
def test_nothing_to_look_for(db: Database, people: People, query: str) -> None:
    assert db.search(people.ada, query, mode="keyword") == []
    assert len(db.search(people.ada, query, k=3)) == 3


@pytest.mark.parametrize(
    "query",
    [
        "apples " * 1500, '"apples ' * 1200, "-apples " * 1200, "a.b/c:d@" * 1250, "aB" * 5000, " ".join(f"w{n}" for n in range(2000)),
        "'); drop table loci_private.chunks; --", "apples' | 'x", "\\'apples\\", "apples:*A <2> pears", "%s %L $1 {apples}",
        "\u202eapples\u0301 \U0001f34e", "$$ apples $$", "apples\x01\x7f",
    ],
)  # fmt: skip
@pytest.mark.parametrize("mode", ["keyword", "hybrid"])
def test_any_text_is_a_question(db: Database, people: People, query: str, mode: str) -> None:
    db.search(people.ada, query, mode=mode)
    assert db.value("select count(*) from loci_private.chunks") > 60


@pytest.mark.parametrize("name", ["sources", "metadata", "scopes"])
def test_hostile_arguments_are_refused_or_harmless(db: Database, people: People, name: str) -> None:
    hostile: dict[str, Any] = {
        "sources": ["x'); drop table loci_private.chunks; --"],
        "metadata": '{"a\'); drop table loci_private.chunks; --": "$1"}',
        "scopes": [people.umbrella],
    }
    try:
        assert db.search(people.ada, "apples", **{name: hostile[name]}) == []
    except psycopg.Error as error:
        assert error.sqlstate == "LC249"
    assert db.value("select count(*) from loci_private.chunks") > 60


def test_quotes_and_backslashes_are_text(db: Database, people: People) -> None:
    assert first(db, people, "back'slash Bob's \\") == TEXTS["quote"]


def test_the_more_often_and_the_shorter_the_better(db: Database, people: People) -> None:
    scope = db.project(people.acme, "bm25")
    texts = [
        "zinc",
        "zinc and some other things in a text that goes on",
        "zinc zinc and other things in a text that goes on",
    ]
    for text in [*texts, *(f"filler {n} without it" for n in range(20))]:
        db.document(scope, text)
    db.drain()
    found = contents(db.search(people.ada, "zinc", mode="keyword", scopes=[scope]))
    assert found == [texts[0], texts[2], texts[1]]


def test_each_organization_has_its_language(db: Database) -> None:
    user = db.user("heidi@example.org")
    organization = db.organization("Berge", user)
    db.execute(
        """update loci.organizations set settings = '{"text_search_config": "german"}' where organization_id = %s""",
        organization,
    )
    db.document(organization, "die Ziegen stehen auf den Wiesen")
    db.drain()
    assert db.found(user, "Wiese mit einer Ziege", mode="keyword") == {"die Ziegen stehen auf den Wiesen"}
    assert db.found(user, "die auf den", mode="keyword") == set()

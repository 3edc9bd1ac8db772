"""docs/reference.md is what the catalogue says."""

from __future__ import annotations

import difflib

import reference

from tests.database import Database


def test_the_committed_reference_is_the_catalogue(db: Database) -> None:
    with db.connect() as connection:
        text = reference.generate(connection)
    committed = reference.PATH.read_text(encoding="utf-8")
    difference = "".join(
        difflib.unified_diff(
            committed.splitlines(True), text.splitlines(True), "docs/reference.md", "the catalogue", n=1
        )
    )
    assert not difference, f"run `make docs`:\n{difference}"


def test_the_reference_names_every_function_once_and_explains_it(db: Database) -> None:
    with db.connect() as connection:
        text = reference.generate(connection)
    for row in db.rows(
        "select p.proname, count(*) from pg_proc as p "
        "where p.pronamespace = 'loci'::regnamespace and p.prorettype <> 'trigger'::regtype group by p.proname"
    ):
        assert text.count(f"\n### {row['proname']}\n") == row["count"], row["proname"]
    assert "\n\n\n\n" not in text

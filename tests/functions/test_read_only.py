"""Search writes nothing: read-only transactions can use it."""

from __future__ import annotations

import pytest

from tests.database import Database


@pytest.mark.parametrize("mode", ["hybrid", "vector", "keyword"])
def test_search_in_a_read_only_transaction(db: Database, mode: str) -> None:
    people = db.people()
    db.document(people.acme, f"lighthouse {mode}")
    db.drain()
    with db.connect(db.app_role()) as connection, connection.transaction():
        connection.execute("set transaction read only")
        connection.execute("select loci.act_as(%s)", (people.bob,))
        rows = connection.execute("select content from loci.search('lighthouse', mode => %s)", (mode,)).fetchall()
    assert [row["content"] for row in rows] == [f"lighthouse {mode}"]

"""What a passage is: its context, copies, neighbours, and what both arms say of it."""

from __future__ import annotations

import pytest

from tests.database import Database, People, contents


@pytest.fixture(scope="module")
def people(db: Database) -> People:
    return db.people()


def test_both_arms_judge_what_either_found(db: Database, people: People) -> None:
    for text in ("a boat on the lake", "boats and more boats", "the lake in winter", "nothing of the kind"):
        db.document(people.ada, text)
    db.drain()
    rows = db.search(people.ada, "a boat on the lake", k=4)
    assert rows[0]["score"] == 1
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    assert all(0 <= row["score"] <= 1 and row["similarity"] is not None for row in rows)
    assert [row["keyword_rank"] is None for row in rows if row["content"] == "nothing of the kind"] == [True]
    by_words = db.search(people.ada, "a boat on the lake", k=4, mode="keyword")
    assert by_words[0]["score"] == 1
    assert all(row["vector_rank"] is None for row in by_words)


def test_copies_are_one_passage_and_k_still_come(db: Database, people: People) -> None:
    scope = db.project(people.acme, "copies")
    for n in range(120):
        db.document(scope, "The same notice again." if n % 2 else "the same  NOTICE\nagain.")
    for n in range(5):
        db.document(scope, f"another notice {n}")
    db.drain()
    for mode in ("hybrid", "vector", "keyword"):
        found = contents(db.search(people.ada, "the same notice", k=5, mode=mode, scopes=[scope]))
        assert len(found) == 5
        assert len({" ".join(text.lower().split()) for text in found}) == 5


def test_what_differs_in_a_sign_is_no_copy(db: Database, people: People) -> None:
    scope = db.project(people.acme, "signs")
    for text in ("the valve opens at -5 degrees", "the valve opens at 5 degrees", "the valve opens at 5 degrees!"):
        db.document(scope, text)
    db.document(scope, "the valve opens at 5 degrees", title="Another valve")
    db.drain()
    assert len(db.search(people.ada, "when does the valve open?", k=10, scopes=[scope])) == 4


def test_neighbours_become_one_passage(db: Database, people: People) -> None:
    scope = db.project(people.acme, "long")
    sentences = [f"Sentence number {n} tells of the lighthouse keeper." for n in range(120)]
    db.document(scope, " ".join(sentences))
    db.document(scope, "The harbour has a lighthouse.")
    db.drain()
    apart = db.search(people.ada, "lighthouse keeper", k=10, scopes=[scope])
    assert len({row["ordinal"] for row in apart if "keeper" in row["content"]}) > 2
    merged = db.search(people.ada, "lighthouse keeper", k=10, scopes=[scope], merge=True)
    assert len(merged) == 2
    text = next(row["content"] for row in merged if "keeper" in row["content"])
    assert text == " ".join(sentences)
    assert len(db.search(people.ada, "lighthouse keeper", k=2, scopes=[scope], merge=True)) == 2


def test_headings_and_title_find_a_chunk_and_are_not_its_content(db: Database, people: People) -> None:
    scope = db.project(people.acme, "manual")
    filler = "Turn the handle slowly and wait. " * 60
    text = f"# Brewing\n\n## Espresso\n\n{filler}\n\n## Filter\n\n{filler.replace('handle', 'kettle')}"
    db.document(scope, text, title="Handbook of the kitchen", mime_type="text/markdown")
    db.drain()
    chunks = db.rows("select context, content from loci_private.chunks where scope_id = %s order by ordinal", scope)
    assert any("Espresso" in c["context"] and "Espresso" not in c["content"] for c in chunks)
    assert any("Filter" in c["context"] and "Espresso" not in c["context"] for c in chunks)
    assert all(c["context"].startswith("Handbook of the kitchen") for c in chunks)
    found = db.search(people.ada, '"Espresso" kitchen', mode="keyword", scopes=[scope])
    assert any("Espresso" not in row["content"] for row in found)
    assert all("Handbook" not in content for content in contents(db.search(people.ada, "handbook", scopes=[scope])))


def test_neighbouring_rows_are_context_and_never_wrong_for_ever(db: Database, people: People) -> None:
    db.execute("create table talk (n integer primary key, scope uuid, said text)")
    db.execute("insert into talk values (1, %s, 'Do you like Lisbon?'), (2, %s, 'Very much.')", people.bob, people.bob)
    db.execute(
        "select loci.watch('talk', content => 'said', scope => 'scope', "
        "context => '(select p.said from talk as p where p.n = talk.n - 1)')"
    )
    db.drain()
    assert "Very much." in db.found(people.bob, "Lisbon", mode="keyword")
    db.execute("update talk set said = 'Do you like Porto?' where n = 1")
    db.drain()
    # Nobody told the second row; reconcile() finds out.
    assert "Very much." not in db.found(people.bob, "Porto", mode="keyword")
    assert db.value("select loci.reconcile()") == 1
    assert "Very much." in db.found(people.bob, "Lisbon", mode="keyword")
    db.drain()
    assert "Very much." in db.found(people.bob, "Porto", mode="keyword")
    assert db.found(people.bob, "Lisbon", mode="keyword") == set()
    assert db.value("select loci.reconcile()") == 0


def test_words_are_counted_again_when_a_scope_has_changed(db: Database, people: People) -> None:
    scope = db.project(people.acme, "counted")

    def counted(word: str) -> int:
        return int(
            db.value(
                "select coalesce(sum(chunks), 0) from loci_private.word_counts where scope_id = %s and word = %s",
                scope,
                word,
            )
        )

    made = [db.document(scope, f"basalt {n}") for n in range(20)]
    db.drain()
    assert counted("basalt") == 20
    last = db.document(scope, "basalt")
    db.drain()
    # One more changes little, and is not counted yet.
    assert counted("basalt") == 20
    db.execute("delete from loci.documents where document_id = %s", last)
    db.execute("delete from loci.documents where document_id = any(%s)", made[:10])
    for n in range(5):
        db.document(scope, f"granite {n}")
    db.drain()
    assert counted("basalt") == 10
    assert counted("granit") == 5
    assert db.value("select count(*) from loci_private.text_changes") == 0
    db.execute("delete from loci.documents where scope_id = %s", scope)
    db.drain()
    assert counted("basalt") == 0
    assert db.rows("select * from loci_private.text_statistics where scope_id = %s", scope) == []

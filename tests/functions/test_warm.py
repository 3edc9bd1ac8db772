"""loci.warm(): what the first turn of a session would wait for is there already."""

from __future__ import annotations

from tests.database import Database

_LOADED = """
create function pg_temp.loaded() returns text[] language plpython3u as $$
import sys
return [name for name in ("loci_udfs.context", "bpe_openai._bindings") if name in sys.modules]
$$
"""


def test_a_warm_session_has_the_tokenizer(db: Database) -> None:
    connection = db.connect()
    connection.execute(_LOADED)
    question = "select pg_temp.loaded() as loaded"
    assert connection.execute(question).fetchone() == {"loaded": []}
    connection.execute("select loci.warm()")
    assert connection.execute(question).fetchone() == {"loaded": ["loci_udfs.context", "bpe_openai._bindings"]}
    connection.close()


def test_it_needs_no_user(db: Database) -> None:
    with db.connect(db.login_role("pool", "loci_app")) as connection:
        assert connection.execute("select loci.warm()").fetchone() is not None

"""loci.doctor() about what is the whole server's, on one that nobody else uses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.database import Database, migrate
from tests.operations.test_doctor import findings, mended, only, run


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, own_server: Any) -> Iterator[Database]:
    if request.config.getoption("--server") != "local":
        pytest.skip("its settings need a restart")
    migrate(own_server.dsn("loci"))
    first = Database("loci", own_server.dsn)
    first.execute("alter system set max_prepared_transactions = 4")
    first.close()
    own_server.stop()
    own_server.start()
    database = Database("loci", own_server.dsn)
    yield database
    database.close()


def test_freshly_migrated_with_jobs_scheduled_nothing_is_wrong(server: Database) -> None:
    assert server.value("select count(*) from loci.jobs") > 5
    assert findings(server) == []


@pytest.mark.parametrize("attribute", ["login", "createrole", "bypassrls", "superuser"])
def test_group_roles_that_became_more(server: Database, attribute: str) -> None:
    server.execute(f"alter role loci_worker {attribute}")
    mended(server, "privileges", "loci_worker", "rights of its own, or may log in", "error")


def test_a_transaction_that_was_prepared_and_forgotten(server: Database) -> None:
    with server.connect() as other:
        other.execute("begin")
        other.execute("create table public.halfway (n int)")
        other.execute("prepare transaction 'it''s forgotten'")
    server.set_clock(str(server.value("select now()") + timedelta(minutes=90)))
    try:
        found = only([f for f in findings(server) if f["area"] == "horizon"])
        assert (found["object"], found["remedy"]) == ("it's forgotten", "rollback prepared 'it''s forgotten';")
        run(server, found["remedy"])
        assert not [f for f in findings(server) if f["area"] == "horizon"]
    finally:
        server.set_clock(None)


def test_autovacuum_turned_off(server: Database) -> None:
    server.execute("alter system set autovacuum = off")
    server.execute("select pg_reload_conf()")
    found = only(_seen(server, lambda rows: bool(rows)))
    assert (found["severity"], found["area"], found["object"]) == ("error", "settings", "autovacuum")
    run(server, found["remedy"])
    assert _seen(server, lambda rows: not rows) == []


def _seen(server: Database, wanted: Any) -> list[dict[str, Any]]:
    """Findings, as soon as the server has read its configuration again."""
    for _ in range(100):
        if wanted(found := findings(server)):
            break
    return found


def test_pg_cron_taken_away(server: Database) -> None:
    if not server.rows("select from pg_extension where extname = 'pg_cron'"):
        pytest.skip("pg_cron is not installed")
    server.execute("drop extension pg_cron")
    mended(server, "jobs", "pg_cron", "not installed in this database")
    assert server.value("select count(*) from loci.jobs") > 5

"""`make demo`, with the quick model of the tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import demo
import pytest

from tests.database import ROOT, Database


def counts(database: Database) -> list[object]:
    return [
        database.value(f"select count(*) from {table}")
        for table in (
            "loci.organizations", "loci.users", "loci.organization_members", "loci.projects", "loci.project_members",
            "loci.documents", "loci_private.chunks", "loci_private.row_queue", "loci_private.failures",
        )
    ] + [database.value("select count(*) from pg_roles where starts_with(rolname, %s)", database.name)]  # fmt: skip


@pytest.mark.slow
def test_the_demo_runs_and_changes_nothing_the_second_time(
    new_database: Callable[..., Database], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    database = new_database()
    monkeypatch.setattr(demo, "ROLE", f"{database.name}_demo")
    demo.run(database.dsn)
    first = capsys.readouterr().out
    state = counts(database)
    assert database.value("select count(*) from loci.documents") >= 120
    assert database.rows("select * from loci.failures") == []
    assert {
        row["name"]: row["documents"] > 0
        for row in database.rows(
            "select p.name, count(*) as documents from loci.documents as d join loci.projects as p on p.project_id = d.scope_id "
            "join loci.users as u on u.user_id = d.created_by where u.email = %s group by p.name",
            demo.ANN,
        )
    } == {"SQL": True, "Operations": True}
    for question in demo.QUESTIONS:
        assert question in first
    of_ben = first.partition("ben, who sees SQL only:")[2]
    assert "(2 rows)" in of_ben
    assert "Operations" not in of_ben

    demo.run(database.dsn)
    assert "nothing to insert" in capsys.readouterr().out
    assert counts(database) == state


def test_without_the_manual_it_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(demo.DemoError, match=r"install-postgres\.sh --with-demo"):
        demo.find_manual(tmp_path)


@pytest.mark.parametrize("environment", [{}, {"LOCI_DSN": "postgresql://nobody@127.0.0.1:1/none"}])
def test_errors_are_one_line(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "python/tools/demo.py"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("\ndemo: error: ")
    assert len(done.stderr.strip().splitlines()) == 1

"""A key in use: where it must not be found, as bytes, while it is used and afterwards."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.database import Database, wait_until
from tests.gateway import fault_server as faults
from tests.gateway.fault_server import FaultServer
from tests.pipeline.background import background

KEY = "sk-live-7Qm2vXw9Zr4TbN8kLp3HcYd6"


def test_a_key_in_use_is_nowhere(
    db: Database,
    fault_server: FaultServer,
    file_on_server: Callable[[str], str],
    request: pytest.FixtureRequest,
) -> None:
    people = db.people()
    # As talkative as a server can be made.
    for setting in ("log_statement = 'all'", "log_min_duration_statement = 0", "log_parameter_max_length = -1"):
        db.execute(f'alter database "{db.name}" set {setting}')
    statements = bool(
        db.rows("select from pg_available_extensions where name = 'pg_stat_statements'")
        and "pg_stat_statements" in db.value("show shared_preload_libraries")
    )
    if statements:
        db.execute("create extension pg_stat_statements")
        db.execute(f"alter database \"{db.name}\" set pg_stat_statements.track = 'all'")
    # What is found of this process's own doing would say nothing: the key comes from a file of the server.
    reference = f"file:{file_on_server(KEY)}"
    db.execute("select loci.add_gateway('default', %s, %s)", fault_server.base_url, reference)
    db.execute("select loci.add_embedding_model('remote', provider => 'litellm', dimensions => 8)")
    db.execute("select loci.use_embedding_model('remote')")
    db.execute("update loci.settings set value = 'first' where name = 'chat_model'")
    pieces = [KEY[start : start + 8].encode() for start in range(8, len(KEY) - 7)]
    seen: dict[str, bytes] = {}

    with db.connect() as user:
        for behaviour in (faults.echo_key(401), faults.echo_key(500)):
            fault_server.always(behaviour)
            for sql in ("select loci.embed('one')", """select loci.complete('[{"role": "user", "content": "x"}]')"""):
                with pytest.raises(psycopg.Error) as failed:
                    user.execute(sql)
                seen[f"{sql}: error"] = repr(
                    (failed.value, failed.value.diag.message_detail, failed.value.diag.context)
                ).encode()
    fault_server.always(faults.hang)
    db.execute("select loci.add_gateway('default', %s, %s)", fault_server.base_url, reference)
    before = len(fault_server.requests)
    db.document(people.acme, "a text for the model")
    with background(db) as drain:
        wait_until(lambda: len(fault_server.requests) > before, "the key is being used")
        seen["pg_stat_activity"] = str(db.rows("select * from pg_stat_activity")).encode()
        seen["pg_settings"] = str(db.rows("select * from pg_settings")).encode()
        if request.config.getoption("--server") == "local":
            # Its command line is what ps shows to everybody.
            seen["command line"] = Path(f"/proc/{drain.pid}/cmdline").read_bytes()
    assert any(KEY in sent.headers.get("authorization", "") for sent in fault_server.requests)

    dump = subprocess.run([*db.pg_dump(), "--create"], capture_output=True, check=True).stdout
    assert reference.encode() in dump, "the reference is there, so what is looked for would be"
    seen["pg_dump"] = dump
    if statements:
        found = str(
            db.rows(
                "select query from pg_stat_statements where dbid = (select oid from pg_database where datname = current_database())"
            )
        )
        assert "add_gateway" in found
        seen["pg_stat_statements"] = found.encode()
    if request.config.getoption("--server") == "local":
        home = Path(os.environ["LOCI_TEST_HOME"]) / "server"
        log = (home / "postgresql.log").read_bytes()
        assert b"call loci.drain" in log
        seen["log"] = log
        # Tables, indexes, the write-ahead log, statistics, the meter; whole after this.
        db.execute("checkpoint")
        files = [file for file in (home / "pgdata").rglob("*") if file.is_file()]
        assert any("pg_wal" in str(file) for file in files)
        found_reference = False
        for file in files:
            try:
                content = file.read_bytes()
            except FileNotFoundError:
                continue
            found_reference = found_reference or reference.encode() in content
            for piece in pieces:
                assert piece not in content, file
        assert found_reference
    assert {where for where, content in seen.items() for piece in pieces if piece in content} == set()

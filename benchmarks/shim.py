"""The streaming shim: time to the first token beside the gateway's own, and many streams at once.

A gateway that answers after a fixed time is asked directly and through the shim, in turns; the difference is what Loci adds. The
statements that come before the first token, login() and begin_turn(), are also run by hand in the same rounds: what is left is the
shim. Then so many streams are open at once as the load says; what is lost is counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import psycopg
from matplotlib.figure import Figure
from psycopg.conninfo import make_conninfo

from benchmarks import Result, median, percentile

HERE = Path(__file__).resolve().parent.parent
_CONNECTIONS = 10
_WARM = (
    "select count(*) from pg_stat_activity where application_name = 'loci shim' and usename = current_database() || '_a' "
    "and datname = current_database() and state = 'idle' and query in ('ROLLBACK', 'COMMIT')"
)
_KEY = "a key for benchmarks that is longer than 32 bytes"


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    parser.add_argument("--shim-rounds", type=int, default=200, help="questions to each side, one at a time (200)")
    parser.add_argument("--shim-streams", type=int, nargs="+", default=[1, 50, 200], help="open at once (1 50 200)")
    parser.add_argument("--shim-documents", type=int, default=1000, help="documents (1000)")
    parser.add_argument("--shim-pieces", type=int, default=100, help="pieces of an answer under load (100)")


def run(dsn: str, arguments: argparse.Namespace) -> Result:
    with psycopg.connect(dsn, autocommit=True) as admin:
        logins = {
            f"{admin.info.dbname}_{kind}": role for kind, role in (("a", "loci_proposer"), ("d", "loci_approver"))
        }
        path = f"/tmp/{admin.info.dbname}.{secrets.token_hex(8)}.key"
        for login, role in logins.items():
            admin.execute(f"create role \"{login}\" login password 'bench' in role loci_app, {role}".encode())
        try:
            user = _fill(admin, arguments.shim_documents, path)
            environment = {
                f"LOCI_{side}_DSN": make_conninfo(dsn, user=login, password="bench")
                for side, login in zip(("TURNS", "DECISIONS"), logins, strict=True)
            }
            token = jwt.encode({"sub": str(user), "exp": time.time() + 36000}, _KEY, algorithm="HS256")
            direct, statements, through = _first_tokens(admin, environment, user, token, arguments.shim_rounds)
            loads = [
                (streams, *_load(admin, environment, user, token, streams, arguments.shim_pieces))
                for streams in arguments.shim_streams
            ]
        finally:
            admin.execute(f"copy (select 1) to program 'rm -f {path}'".encode())
            for login in logins:
                admin.execute(f'drop owned by "{login}"'.encode())
                admin.execute(f'drop role "{login}"'.encode())
    added = [a - b for a, b in zip(through, direct, strict=True)]
    rest = [a - b for a, b in zip(added, statements, strict=True)]
    rows: list[Sequence[str | float | int]] = []
    for name, times in (
        ("first token: gateway", direct),
        ("first token: shim", through),
        ("first token: added", added),
        ("of that: login() and begin_turn()", statements),
        ("of that: the shim", rest),
    ):
        rows.append((name, median(times), percentile(times, 95), "", ""))
    for streams, waits, rate, lost in loads:
        rows.append((f"load: {streams} streams", median(waits), percentile(waits, 95), round(rate), lost))
    return Result(
        title="The streaming shim",
        columns=["what", "median ms", "p95 ms", "pieces a second", "pieces lost"],
        rows=rows,
        parameters={
            "rounds": arguments.shim_rounds, "documents": arguments.shim_documents, "pieces": arguments.shim_pieces,
            "model": "hash, 384 dimensions",
        },
        notes=[
            "To be reached: p95 of what is added below 30 ms; nothing lost with 200 streams.",
            "The gateway sends its first piece after 50 ms; all are asked in turns over connections that stay open. login() and "
            "begin_turn() are run by hand as one transaction; the shim is what is added less their time in the same round.",
            "Under load, ms is the time to the first token of streams that all begin at the same moment; the gateway sends a piece "
            "every 20 ms. Gateway, shim, clients and PostgreSQL share the machine's cores.",
        ],
        series={"direct": sorted(direct), "through": sorted(through), "added": sorted(added), "rest": sorted(rest)},
    )  # fmt: skip


def _fill(admin: psycopg.Connection[Any], documents: int, key: str) -> Any:
    admin.execute(f"copy (select '{_KEY}') to '{key}'".encode())
    for name, value in {
        "jwt_key_ref": f"file:{key}", "chat_model": "bench", "chat_user_requests_per_minute": "1000000",
        "chat_organization_requests_per_minute": "1000000", "chat_max_in_flight": "1000",
    }.items():  # fmt: skip
        admin.execute("update loci.settings set value = %s where name = %s", (value, name))
    admin.execute("select loci.add_embedding_model('bench', provider => 'hash', dimensions => 384)")
    admin.execute("select loci.use_embedding_model('bench')")
    admin.execute("select loci.add_gateway('default', 'http://127.0.0.1:9/v1', requests_per_minute => 1000000)")
    user = _one(admin, "insert into loci.users (email) values ('bench@example.org') returning user_id")
    admin.execute(
        "insert into loci.documents (scope_id, content) select %s, 'Case ' || n || ' is closed, ' || repeat('and so on ', 30) "
        "from generate_series(1, %s) as n",
        (user, documents),
    )
    while _one(admin, "select sum(pending) from loci.progress"):
        admin.execute("call loci.drain()")
    admin.execute("vacuum analyze")
    return user


def _one(connection: psycopg.Connection[Any], query: str, *parameters: Any) -> Any:
    row = connection.execute(query.encode(), parameters or None).fetchone()
    assert row is not None
    return row[0]


@contextmanager
def _serving(
    admin: psycopg.Connection[Any], environment: dict[str, str], first: float, pieces: int, pause: float
) -> Iterator[tuple[str, str]]:
    """Addresses of a gateway and a shim before it, whose connections are all there."""
    command = [sys.executable, "-m", "benchmarks._chat_server", str(first), str(pieces), str(pause)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE) as gateway:
        assert gateway.stdout is not None
        behind = f"http://127.0.0.1:{int(gateway.stdout.readline())}/v1"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        given = {**environment, "LOCI_GATEWAY_URL": behind, "LOCI_SHIM_PORT": str(port)}
        shim = subprocess.Popen(
            [sys.executable, "-m", "loci_shim"], stdout=subprocess.DEVNULL,
            env={**os.environ, **given, "PYTHONPATH": str(HERE / "python/shim")},
        )  # fmt: skip
        try:
            address = f"http://127.0.0.1:{port}"
            while not (_ready(address) and _one(admin, _WARM) == _CONNECTIONS):
                if shim.poll() is not None:
                    raise RuntimeError("the shim did not start")
                time.sleep(0.05)
            yield behind, address
        finally:
            shim.terminate()
            shim.wait()
            gateway.terminate()


def _ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def _conversations(admin: psycopg.Connection[Any], user: Any, count: int) -> list[Any]:
    sql = "insert into loci.conversations (user_id) select %s from generate_series(1, %s) returning conversation_id"
    return [row[0] for row in admin.execute(sql, (user, count))]


def _first_tokens(
    admin: psycopg.Connection[Any], environment: dict[str, str], user: Any, token: str, rounds: int
) -> tuple[list[float], list[float], list[float]]:
    """Milliseconds until the first text of the gateway; of the statements before it; until the first text of the shim."""
    times: tuple[list[float], list[float], list[float]] = ([], [], [])
    headers = {"Authorization": f"Bearer {token}"}
    # Each connection's first turn loads what the others have: 20 turns reach all ten.
    warm = min(20, rounds)
    conversations = _conversations(admin, user, 2 * (rounds + warm))
    with (
        _serving(admin, environment, 0.05, 2, 0.001) as (behind, shim), httpx.Client(timeout=60, headers=headers) as http,
        psycopg.connect(environment["LOCI_TURNS_DSN"]) as database,
    ):  # fmt: skip

        def ask(url: str, body: dict[str, Any]) -> float:
            begun, first = time.perf_counter(), None
            with http.stream("POST", url, json={**body, "stream": True}) as response:
                for piece in response.iter_bytes():
                    if first is None and b"word " in piece:
                        first = (time.perf_counter() - begun) * 1000
            if first is None:
                raise RuntimeError(f"no answer: {response.status_code}")
            return first

        def begin(conversation: Any, question: str) -> float:
            begun = time.perf_counter()
            with database.pipeline():
                database.execute("select loci.login(%s)", (token,))
                turn = database.execute("select turn_id from loci.begin_turn(%s, %s)", (conversation, question))
                database.commit()
            took = (time.perf_counter() - begun) * 1000
            database.execute("select loci.act_as(%s)", (user,))
            database.execute("select loci.finish_turn(%s, '', status => 'cancelled')", turn.fetchone())
            database.commit()
            return took

        for n in range(rounds + warm):
            # Each its own: the same question again finds its vector in the cache.
            questions = [f"What became of case {2 * n + which}?" for which in (0, 1)]
            found = (
                ask(f"{behind}/chat/completions", {"messages": [{"role": "user", "content": "x" * 2000}]}),
                begin(conversations[2 * n], questions[0]),
                ask(f"{shim}/v1/conversations/{conversations[2 * n + 1]}/messages", {"content": questions[1]}),
            )
            if n >= warm:
                for each, took in zip(times, found, strict=True):
                    each.append(took)
    return times


def _load(
    admin: psycopg.Connection[Any], environment: dict[str, str], user: Any, token: str, streams: int, pieces: int
) -> tuple[list[float], float, int]:
    """Milliseconds to the first text of each stream, pieces a second of all, and how many never came or were not stored."""
    warm = 20
    conversations = _conversations(admin, user, streams + warm)

    async def ask(http: httpx.AsyncClient, n: int) -> tuple[float, int]:
        begun, first, came, name = time.perf_counter(), float("nan"), 0, ""
        url, body = f"/v1/conversations/{conversations[n]}/messages", {"content": f"What of case {n}?", "stream": True}
        async with http.stream("POST", url, json=body, headers={"Authorization": f"Bearer {token}"}) as response:
            async for line in response.aiter_lines():
                name = line[7:] if line.startswith("event: ") else name
                if line.startswith("data: ") and name == "message":
                    first = first if came else (time.perf_counter() - begun) * 1000
                    came += len(json.loads(line[6:])["content"].split())
        return first, came

    async def everybody(address: str, first: int, count: int) -> list[tuple[float, int]]:
        limits = httpx.Limits(max_connections=count)
        async with httpx.AsyncClient(base_url=address, timeout=300, limits=limits) as http:
            return await asyncio.gather(*(ask(http, n) for n in range(first, first + count)))

    with _serving(admin, environment, 0.05, pieces, 0.02) as (_, shim):
        asyncio.run(everybody(shim, streams, warm))
        begun = time.perf_counter()
        found = asyncio.run(everybody(shim, 0, streams))
        seconds = time.perf_counter() - begun
    stored = _one(
        admin,
        "select coalesce(sum(array_length(regexp_split_to_array(trim(content), ' '), 1)), 0)::int from loci.messages "
        "where role = 'assistant' and status = 'complete' and conversation_id = any(%s)",
        conversations[:streams],
    )
    came = sum(count for _, count in found)
    return [first for first, _ in found], came / seconds, 2 * streams * pieces - came - stored


def plot(result: Result, figure: Figure) -> None:
    left, right = figure.subplots(1, 2)
    for name, color in (
        ("direct", "tab:gray"),
        ("through", "tab:blue"),
        ("added", "tab:orange"),
        ("rest", "tab:green"),
    ):
        values = result.series[name]
        share = [(n + 1) / len(values) * 100 for n in range(len(values))]
        label = {"direct": "gateway", "through": "shim", "added": "added", "rest": "added, without begin_turn()"}[name]
        left.plot(values, share, color=color, label=label)
    left.axvline(30, color="tab:red", linestyle="--", label="budget of p95 added")
    left.axhline(95, color="lightgray", linewidth=0.8)
    left.set(xlabel="first token, milliseconds", ylabel="percent of questions", xlim=(0, None), ylim=(0, 100))
    left.legend(loc="lower right", fontsize=8)
    loads = [row for row in result.rows if str(row[0]).startswith("load")]
    names = [str(row[0]).removeprefix("load: ") for row in loads]
    right.bar(names, [float(row[2]) for row in loads], color="tab:blue")
    for place, row in enumerate(loads):
        right.annotate(
            f"{row[3]} pieces/s\n{row[4]} lost", (place, float(row[2])), ha="center", va="bottom", fontsize=8,
            xytext=(0, 3), textcoords="offset points",
        )  # fmt: skip
    right.set(
        ylabel="first token when all begin at once, p95, ms", ylim=(0, max(float(row[2]) for row in loads) * 1.25)
    )

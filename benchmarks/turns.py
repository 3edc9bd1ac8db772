"""begin_turn() and finish_turn() in a conversation with a long history, without the gateway.

Each turn is two transactions of an application, as a streaming client makes them: the question is new, so that nothing comes
from a cache. Beside it stands the same with an empty history, and two bare INSERTs of messages.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from matplotlib.figure import Figure

from benchmarks import Result, median, percentile
from benchmarks._pipeline import one
from benchmarks._plots import bars, limit

_TEXT = "In part {n} of the report is written what became of case {n}, " + "and so on " * 30


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    parser.add_argument("--turn-messages", type=int, default=10_000, help="messages of history (10000)")
    parser.add_argument("--turn-documents", type=int, default=10_000, help="documents, one chunk each (10000)")
    parser.add_argument("--turn-rounds", type=int, default=200, help="turns measured (200)")


def run(dsn: str, arguments: argparse.Namespace) -> Result:
    with psycopg.connect(dsn, autocommit=True) as admin:
        role = f"{admin.info.dbname}_app"
        admin.execute(f"create role \"{role}\" login password 'bench' in role loci_app".encode())
        try:
            user = _fill(admin, arguments.turn_documents)
            long, short = _conversation(admin, user, arguments.turn_messages), _conversation(admin, user, 0)
            while one(admin, "select sum(pending) from loci.progress"):
                admin.execute("call loci.drain()")
            # As the job of indexes does it.
            for (statement,) in admin.execute(
                "select statement from loci.model_indexes where state = 'due'"
            ).fetchall():
                admin.execute(statement.encode())
            admin.execute("vacuum analyze")
            with psycopg.connect(dsn, autocommit=True, user=role, password="bench") as app:
                begun: dict[str, list[float]] = {}
                finished: dict[str, list[float]] = {}
                for what, conversation in (("long history", long), ("no history", short)):
                    begun[what], finished[what] = _turns(app, user, conversation, arguments.turn_rounds, what)
                inserts = _inserts(app, user, short, arguments.turn_rounds)
        finally:
            admin.execute(f'drop owned by "{role}"'.encode())
            admin.execute(f'drop role "{role}"'.encode())
    rows: list[Sequence[str | float | int]] = []
    for what in begun:
        both = [a + b for a, b in zip(begun[what], finished[what], strict=True)]
        for name, times in (("begin_turn", begun[what]), ("finish_turn", finished[what]), ("both", both)):
            rows.append((f"{name}, {what}", median(times), percentile(times, 95)))
    rows.append(("INSERT of two messages", median(inserts), percentile(inserts, 95)))
    return Result(
        title="A turn of a conversation",
        columns=["step", "median ms", "p95 ms"],
        rows=rows,
        parameters={
            "messages": arguments.turn_messages,
            "documents": arguments.turn_documents,
            "turns": arguments.turn_rounds,
            "model": "hash, 384 dimensions",
        },
        notes=[
            "To be reached: p95 of both together below 30 ms with a long history.",
            "Each step is a transaction of an application: act_as(), the step, commit; over a connection that stays open.",
            "The provider hash computes the vector of the question, so that no model's own time is in it.",
        ],
    )


def _fill(admin: psycopg.Connection[Any], documents: int) -> Any:
    """A user whose organization has documents; nothing limits how often a model is asked."""
    admin.execute("select loci.add_embedding_model('bench', provider => 'hash', dimensions => 384)")
    admin.execute("select loci.use_embedding_model('bench')")
    admin.execute("update loci.settings set value = 'bench' where name = 'chat_model'")
    admin.execute(
        "update loci.settings set value = '1000000' where name in "
        "('chat_user_requests_per_minute', 'chat_organization_requests_per_minute')"
    )
    admin.execute("select loci.add_gateway('default', 'http://127.0.0.1:9/v1', requests_per_minute => 1000000)")
    user = one(admin, "insert into loci.users (email) values ('bench@example.org') returning user_id")
    organization = one(admin, "insert into loci.organizations (name) values ('Bench') returning organization_id")
    admin.execute(
        "insert into loci.organization_members (organization_id, user_id) values (%s, %s)", (organization, user)
    )
    with admin.cursor() as cursor, cursor.copy("copy loci.documents (scope_id, title, content) from stdin") as copy:
        for n in range(documents):
            copy.write_row((organization, f"Report {n}", _TEXT.format(n=n)))
    return user


def _conversation(admin: psycopg.Connection[Any], user: Any, messages: int) -> Any:
    conversation = one(admin, "insert into loci.conversations (user_id) values (%s) returning conversation_id", user)
    admin.execute(
        "insert into loci.messages (conversation_id, role, content) select %s, case n %% 2 when 1 then 'user' else 'assistant' end, "
        "'Message ' || n || ' says what became of case ' || n || repeat(', and what was thought of it', 10) "
        "from generate_series(1, %s) as n",
        (conversation, messages),
    )
    return conversation


def _turns(
    app: psycopg.Connection[Any], user: Any, conversation: Any, rounds: int, what: str
) -> tuple[list[float], list[float]]:
    begun, finished = [], []
    warm = min(10, rounds)
    for n in range(rounds + warm):
        question = f"What became of case {n} in the {what} of part {n}?"
        first, row = _timed(
            app, user,
            lambda question=question: app.execute("select turn_id from loci.begin_turn(%s, %s)", (conversation, question)).fetchone(),
        )  # fmt: skip
        assert row is not None
        second, _ = _timed(
            app, user,
            lambda turn=row[0], n=n: app.execute(
                "select message_id from loci.finish_turn(%s, %s, %s)",
                (turn, f"Case {n} was closed [1], and so was the one after it [2].", '{"prompt_tokens": 900, "completion_tokens": 20}'),
            ).fetchone(),
        )  # fmt: skip
        if n >= warm:
            begun.append(first)
            finished.append(second)
    return begun, finished


def _inserts(app: psycopg.Connection[Any], user: Any, conversation: Any, rounds: int) -> list[float]:
    statement = "insert into loci.messages (conversation_id, role, content) values (%s, %s, 'Something was said.')"
    times = []
    for _ in range(rounds):
        seconds = 0.0
        for role in ("user", "assistant"):
            seconds += _timed(app, user, lambda role=role: app.execute(statement, (conversation, role)))[0]
        times.append(seconds)
    return times


def _timed(app: psycopg.Connection[Any], user: Any, act: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds of one transaction that acts for the user, and what it gave."""
    started = time.perf_counter()
    with app.transaction():
        app.execute("select loci.act_as(%s)", (user,))
        found = act()
    return (time.perf_counter() - started) * 1000, found


def plot(result: Result, figure: Figure) -> None:
    axes = figure.subplots()
    bars(axes, [str(row[0]) for row in result.rows], [float(row[2]) for row in result.rows], "p95, milliseconds")
    limit(axes, 30, "budget of both: 30 ms")

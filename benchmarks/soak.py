"""Everything at once for twenty minutes: does anything grow without bound?

Writers replace documents, searchers search, users chat and remember, drains, consolidation, eviction and housekeeping run, all of it
steadily: what is stored is soon as much as it will ever be. So memory of the servers' processes, sizes of tables, dead rows, the lag
of the queues and latencies have to be level in the second half of the run. It ends with an error where one is not.

The rule: a line is laid through the samples of the second half. What it rises by must not exceed a share of their mean (5 % of
the memory, 10 % of the room, a quarter of the others) and an allowance for what is small: LEVEL. Runs below five minutes are
too short to be judged: autovacuum has not been everywhere.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString, cast

import psycopg
from matplotlib.figure import Figure

from benchmarks import Result, percentile
from benchmarks._pipeline import add_index, add_model, gateway, one, use_gateway

_JUDGED_SECONDS = 300
# What has to be level: unit, the share of its mean that it may rise by, and what may come on top, so that noise of small
# figures says nothing.
LEVEL = {
    "memory of processes": ("MB", 0.05, 16.0),
    "tables and indexes": ("MB", 0.1, 16.0),
    "dead rows": ("thousands", 0.25, 50.0),
    "entries in queues": ("rows", 0.25, 500.0),
    "oldest entry": ("s", 0.25, 10.0),
    "write p95": ("ms", 0.25, 20.0),
    "search p95": ("ms", 0.25, 30.0),
    "chat p95": ("ms", 0.25, 100.0),
    "remember p95": ("ms", 0.25, 20.0),
}
# Kept by month or by day on purpose, and a row for each turn: they go by age, not within this run.
_KEPT = ("calls", "turns", "model_usage", "spending", "call_texts", "erasures")


def add_arguments(parser: argparse._ArgumentGroup) -> None:
    parser.add_argument("--soak-seconds", type=float, default=1200, help="length of the run (1200)")
    parser.add_argument("--soak-documents", type=int, default=5000, help="documents, replaced all the time (5000)")
    parser.add_argument("--soak-dimensions", type=int, default=384, help="dimensions of vectors (384)")
    parser.add_argument("--soak-pause", type=float, default=0.05, help="seconds that each client pauses (0.05)")


def run(dsn: str, arguments: argparse.Namespace) -> Result:
    seconds = arguments.soak_seconds
    with (
        psycopg.connect(dsn, autocommit=True) as admin,
        gateway(arguments.soak_dimensions, 0.05) as address,
    ):
        table = add_model(admin, arguments.soak_dimensions)
        use_gateway(admin, address)
        role = f"{admin.info.dbname}_app"
        admin.execute(f"create role \"{role}\" login password 'bench' in role loci_app".encode())
        try:
            users, scope = _fill(admin, arguments.soak_documents)
            add_index(admin, table)
            soak = _Soak(dsn, role, users, scope, arguments)
            with soak.running():
                soak.watch(admin, seconds)
            done = {name: len(times) for name, times in soak.times.items()}
        finally:
            admin.execute(f'drop owned by "{role}"'.encode())
            admin.execute(f'drop role "{role}"'.encode())
    verdicts = {name: verdict(soak.samples[name], *LEVEL[name][1:]) for name in LEVEL}
    judged = seconds >= _JUDGED_SECONDS
    rows: list[Sequence[str | float | int]] = [
        (
            f"{name}, {LEVEL[name][0]}", found["mean"], found["last"], found["rise"], found["may rise"],
            ("level" if found["level"] else "GROWS") if judged else "not judged",
        )
        for name, found in verdicts.items()
    ]  # fmt: skip
    growing = [name for name, found in verdicts.items() if judged and not found["level"]]
    risen = sorted(soak.grown.items(), key=lambda item: -item[1])[:3]
    return Result(
        title="Soak",
        columns=["what", "mean of the 2nd half", "last", "rises by", "may rise by", "verdict"],
        rows=rows,
        parameters={
            "seconds": seconds, "documents": arguments.soak_documents, "dimensions": arguments.soak_dimensions,
            **{f"{name}s": n for name, n in done.items()},
        },
        notes=[
            "rises by: of a line through the samples of the second half, from its beginning to its end; may rise by: a share "
            "of their mean and an allowance.",
            "memory of processes: of the sessions of this run, resident without what they share, together. "
            f"tables and indexes: of Loci, without what is kept by age ({', '.join(_KEPT)}).",
            "Two writers, two searchers, one user who chats, one who remembers, two drains; jobs run every five seconds "
            "instead of pg_cron's.",
            "Texts have twenty thousand words. Words that never come again, such as numbers, stay in the index of words until it is "
            "built anew (docs/operations.md).",
            "What grew most between middle and end: " + ", ".join(f"{name} {by / 1e6:.1f} MB" for name, by in risen) + ".",
        ],
        series={"samples": dict(soak.samples), "half": seconds / 2},
        fault=f"grows without bound: {', '.join(growing)}" if growing else None,
    )  # fmt: skip


def verdict(samples: Sequence[tuple[float, float]], share: float, allowance: float) -> dict[str, Any]:
    """Whether values over time are level in the second half: what they rise by, what they may, their mean and the last."""
    end = samples[-1][0] if samples else 0.0
    half = [(at, value) for at, value in samples if at >= end / 2]
    if len({at for at, _ in half}) < 2:
        last = half[-1][1] if half else 0.0
        return {"mean": last, "last": last, "rise": 0.0, "may rise": 0.0, "level": True}
    slope = statistics.linear_regression(*zip(*half, strict=True)).slope
    mean = statistics.fmean(value for _, value in half)
    rise, may = slope * (half[-1][0] - half[0][0]), share * mean + allowance
    return {"mean": mean, "last": half[-1][1], "rise": rise, "may rise": may, "level": rise <= may}


def _fill(admin: psycopg.Connection[Any], documents: int) -> tuple[list[Any], Any]:
    for name, value in (
        ("chat_model", "bench"), ("consolidation_removes", "true"), ("context_messages", "4"),
        ("consolidation_messages", "4"), ("condensed_memories", "5"), ("chat_user_requests_per_minute", "1000000"),
        ("chat_organization_requests_per_minute", "1000000"), ("result_hours", "1"),
        # What has changed is noted as long as a cached result may be used: that ends within the first half, too.
        *((f"cache_{kind}_seconds", "300") for kind in ("search", "context", "similarity", "response")),
    ):  # fmt: skip
        admin.execute("update loci.settings set value = %s where name = %s", (value, name))
    # Small ones, so that they are full, and evict, within the first minute.
    admin.execute("select loci.set_capacity('user', 50)")
    scope = one(admin, "insert into loci.organizations (name) values ('Bench') returning organization_id")
    users = [
        one(admin, "insert into loci.users (email) values (%s) returning user_id", f"u{n}@example.org")
        for n in range(4)
    ]
    for user in users:
        admin.execute("insert into loci.organization_members (organization_id, user_id) values (%s, %s)", (scope, user))
    with admin.cursor() as cursor, cursor.copy("copy loci.documents (scope_id, content) from stdin") as copy:
        for number in range(documents):
            copy.write_row((scope, _text(number)))
    while one(admin, "select coalesce(sum(pending), 0) from loci.progress"):
        admin.execute("call loci.drain()")
    admin.execute("vacuum analyze")
    return users, scope


def _text(number: int) -> str:
    rng = random.Random(number)
    # As many words as a language has, common ones and rare ones.
    words = [f"w{int(20000 * rng.random() ** 3):x}" for _ in range(60)]
    return f"Report {number} says what became of case {rng.randint(0, 999)}. {' '.join(words)}"


class _Soak:
    """What runs, what it took, and what was seen meanwhile."""

    def __init__(self, dsn: str, role: str, users: list[Any], scope: Any, arguments: argparse.Namespace) -> None:
        self.times: dict[str, list[float]] = defaultdict(list)
        self.samples: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self.grown: dict[str, int] = {}
        self._dsn, self._role, self._users, self._scope = dsn, role, users, scope
        self._pause = arguments.soak_pause
        self._seconds = arguments.soak_seconds
        self._ended = threading.Event()
        self._errors: list[BaseException] = []
        self._fresh: dict[str, list[float]] = defaultdict(list)
        self._lock = threading.Lock()
        self._pids: dict[int, str] = {}
        self._number = 1_000_000

    @contextmanager
    def running(self) -> Iterator[None]:
        acting: list[tuple[str, Callable[[psycopg.Connection[Any], random.Random], None]]] = [
            ("write", self._write), ("write", self._write), ("search", self._search), ("search", self._search),
            ("chat", self._chat), ("remember", self._remember),
        ]  # fmt: skip
        threads = [
            threading.Thread(target=self._client, args=(name, act, n), daemon=True)
            for n, (name, act) in enumerate(acting)
        ]
        threads += [
            threading.Thread(target=self._guard, args=(work,), daemon=True)
            for work in (self._drain, self._drain, self._jobs)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._ended.set()
            for thread in threads:
                thread.join(60)
        if self._errors:
            raise self._errors[0]

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._errors.append(error)
            self._ended.set()

    def _client(self, name: str, act: Callable[[psycopg.Connection[Any], random.Random], None], seed: int) -> None:
        def work() -> None:
            rng = random.Random(seed)
            with psycopg.connect(self._dsn, autocommit=True, user=self._role, password="bench") as connection:
                self._pids[connection.info.backend_pid] = name
                while not self._ended.is_set():
                    begun = time.perf_counter()
                    act(connection, rng)
                    took = (time.perf_counter() - begun) * 1000
                    with self._lock:
                        self.times[name].append(took)
                        self._fresh[name].append(took)
                    self._ended.wait(self._pause)

        self._guard(work)

    @contextmanager
    def _as(self, connection: psycopg.Connection[Any], user: Any) -> Iterator[None]:
        with connection.transaction():
            connection.execute("select loci.act_as(%s)", (user,))
            yield

    def _write(self, connection: psycopg.Connection[Any], rng: random.Random) -> None:
        """One document goes, another comes, a third is written anew: there are never more."""
        with self._lock:
            self._number += 1
            number = self._number
        with self._as(connection, self._users[0]):
            connection.execute(
                "delete from loci.documents where document_id = (select document_id from loci.documents where "
                "scope_id = %s order by md5(document_id::text || %s) limit 1)",
                (self._scope, str(number)),
            )
            connection.execute(
                "insert into loci.documents (scope_id, content) values (%s, %s)", (self._scope, _text(number))
            )

    def _search(self, connection: psycopg.Connection[Any], rng: random.Random) -> None:
        with self._as(connection, rng.choice(self._users)):
            connection.execute(
                "select * from loci.search(%s, k => 5)", (f"What became of case {rng.randint(0, 999)}?",)
            ).fetchall()

    def _chat(self, connection: psycopg.Connection[Any], rng: random.Random) -> None:
        """Conversations of twenty turns; a deleted one takes everything along."""
        with self._as(connection, self._users[1]):
            row = connection.execute(
                "select c.conversation_id, (select count(*) from loci.messages as m where m.conversation_id = c.conversation_id) "
                "from loci.conversations as c order by c.created_at desc limit 1"
            ).fetchone()
            if row is None or rng.random() < 0.05:
                if row is not None:
                    connection.execute("delete from loci.conversations where conversation_id = %s", (row[0],))
                row = connection.execute(
                    "insert into loci.conversations default values returning conversation_id"
                ).fetchone()
            assert row is not None
            connection.execute(
                "select * from loci.chat(%s, %s)", (row[0], f"And what became of case {rng.randint(0, 999)}?")
            ).fetchall()

    def _remember(self, connection: psycopg.Connection[Any], rng: random.Random) -> None:
        with self._as(connection, rng.choice(self._users[2:])):
            connection.execute(
                "select loci.remember(%s)", (f"Case {rng.randint(0, 999)} is of number {rng.random()}.",)
            )
            connection.execute("select * from loci.recall('which case?')").fetchall()

    def _drain(self) -> None:
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            self._pids[connection.info.backend_pid] = "drain"
            while not self._ended.is_set():
                connection.execute("call loci.drain(5)")
                self._ended.wait(0.5)

    def _jobs(self) -> None:
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            self._pids[connection.info.backend_pid] = "jobs"
            while not self._ended.is_set():
                for (command,) in connection.execute(
                    "select command from loci_private.job_definitions where job not in ('loci drain', 'loci reconcile')"
                ).fetchall():
                    connection.execute(cast(LiteralString, command))
                self._ended.wait(5)

    def watch(self, admin: psycopg.Connection[Any], seconds: float) -> None:
        """Look at everything, two hundred times a run, at least ten times a minute."""
        begun = time.perf_counter()
        every = max(min(seconds / 200, 6.0), 0.25)
        middle: dict[str, int] = {}
        while (at := time.perf_counter() - begun) < seconds and not self._ended.is_set():
            if at >= seconds / 2 and not middle:
                middle = _sizes(admin)
            for name, value in self._look(admin).items():
                self.samples[name].append((round(at, 2), value))
            self._ended.wait(every)
        self.grown = {name: size - middle.get(name, 0) for name, size in _sizes(admin).items()}

    def _look(self, admin: psycopg.Connection[Any]) -> dict[str, float]:
        row = admin.execute(
            "select sum(pg_total_relation_size(s.relid)) / 1e6, sum(s.n_dead_tup) / 1e3, "
            "(select count(*) from loci_private.row_queue) + (select count(*) from loci_private.embed_queue) "
            "+ (select count(*) from loci_private.completion_queue), "
            "extract(epoch from clock_timestamp() - least((select min(enqueued_at) from loci_private.row_queue), "
            "(select min(enqueued_at) from loci_private.embed_queue), (select min(enqueued_at) from loci_private.completion_queue))) "
            "from pg_stat_user_tables as s where s.schemaname in ('loci', 'loci_private') "
            "and s.relname <> all(%s) and s.relname !~ '^calls_'",
            (list(_KEPT),),
        ).fetchone()
        assert row is not None
        found = dict(
            zip(
                ("tables and indexes", "dead rows", "entries in queues", "oldest entry"),
                (float(v or 0) for v in row),
                strict=True,
            )
        )
        found["memory of processes"] = sum(_own_memory(pid) for pid in list(self._pids)) / 1e6
        with self._lock:
            fresh, self._fresh = self._fresh, defaultdict(list)
        for name, times in fresh.items():
            found[f"{name} p95"] = percentile(times, 95)
        return found


def _sizes(admin: psycopg.Connection[Any]) -> dict[str, int]:
    """Bytes of each table and index that is not kept by age."""
    return dict(
        admin.execute(
            "select c.relname, pg_relation_size(c.oid) from pg_class as c "
            "left join pg_index as i on i.indexrelid = c.oid join pg_class as t on t.oid = coalesce(i.indrelid, c.oid) "
            "where c.relnamespace in ('loci'::regnamespace, 'loci_private'::regnamespace) and c.relkind in ('r', 'i') "
            "and t.relname <> all(%s) and t.relname !~ '^calls_'",
            (list(_KEPT),),
        ).fetchall()
    )


def _own_memory(pid: int) -> float:
    """Bytes that a process holds alone: resident without what it shares. 0 where it is not on this machine."""
    try:
        with open(f"/proc/{pid}/statm") as statm:
            _, resident, shared, *_ = map(int, statm.read().split())
    except OSError:
        return 0.0
    return float((resident - shared) * os.sysconf("SC_PAGE_SIZE"))


def plot(result: Result, figure: Figure) -> None:
    axes = figure.subplots(3, 3, sharex=True).flatten()
    for place, (name, (unit, *_)) in zip(axes, LEVEL.items(), strict=True):
        samples = result.series["samples"].get(name, [])
        place.plot([at for at, _ in samples], [value for _, value in samples], linewidth=0.9)
        place.axvline(result.series["half"], color="gray", linestyle=":", linewidth=0.8)
        place.set_title(f"{name}, {unit}", fontsize=8)
        place.tick_params(labelsize=7)
        # The first calls of a session load Python and models: they would flatten everything else.
        steady = [value for at, value in samples if at >= result.series["half"] / 2]
        place.set_ylim(0, max(steady, default=1.0) * 1.2 or 1.0)
    for place in axes[-3:]:
        place.set_xlabel("seconds", fontsize=8)

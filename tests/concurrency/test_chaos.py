"""Everything goes wrong at once, for minutes; at the end the index is exactly what the tables say.

LOCI_CHAOS_SECONDS says how long, LOCI_CHAOS_SEED repeats a run as far as threads let it.
"""

from __future__ import annotations

import json
import os
import random
import re
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString, cast
from uuid import UUID

import psycopg
import pytest

from loci_udfs.chunking import iter_split_document
from loci_udfs.extract import to_document
from loci_udfs.tokens import get_tokenizer
from tests.database import Connection, Database, People, embeddings_table, migrate, wait_until
from tests.gateway import fault_server as faults
from tests.gateway.fault_server import Exchange, FaultServer, vector_of
from tests.pipeline.rows import consistent

SECONDS = float(os.environ.get("LOCI_CHAOS_SECONDS", "150"))
SEED = os.environ.get("LOCI_CHAOS_SEED") or secrets.token_hex(4)

pytestmark = [pytest.mark.crash, pytest.mark.slow, pytest.mark.timeout(int(SECONDS) + 600)]

WRITERS = 4
DRAINS = 3
KEYS = 12
DIMENSIONS = 16
# A session that is ended by others.
_ENDED = {"57P01", "57P02", "57P03", "08006", "08003"}
# What faults of the gateway do to a text in the end: it is parked, until somebody says so.
_GATEWAYS_FAULT = re.compile(r"LC(23[1-4]|40\d)")


@pytest.fixture(scope="module")
def db(request: pytest.FixtureRequest, own_server: Any) -> Iterator[Database]:
    """Three sources; each version of a text has a tag in every chunk, whose places app.history knows."""
    if request.config.getoption("--server") == "local":
        migrate(own_server.dsn("loci"))
    database = Database("loci", own_server.dsn)
    if database.rows("select from pg_extension where extname = 'pg_cron'"):
        database.execute("update cron.job set active = false")
    # The tests' servers do not wait for their commits to be written; here they must.
    database.execute("alter database loci set synchronous_commit = on")
    database.execute(
        """
        create schema app;
        create sequence app.lives;
        create table app.notes (
            id int primary key, body text, place uuid, audience uuid[], life bigint not null default nextval('app.lives')
        );
        create table app.parts (
            region text, id int, head text, body text, place uuid, life bigint not null default nextval('app.lives'),
            primary key (region, id)
        ) partition by list (region);
        create table app.parts_n partition of app.parts for values in ('n');
        create table app.parts_s partition of app.parts for values in ('s');
        create table app.history (source text, key text, life bigint, tag text, place uuid, audience uuid[]);
        create index on app.history (source, key);
        create function app.tag(body text) returns text language sql immutable
            return pg_catalog.substring(body, 't[0-9a-f]{12}');
        create function app.remember() returns trigger language plpgsql security definer as $$
        begin
            insert into app.history
            select case tg_table_name when 'documents' then 'documents' when 'notes' then 'notes' else 'parts' end,
                case when tg_table_name = 'documents' then r ->> 'document_id' when tg_table_name = 'notes' then r ->> 'id'
                    else jsonb_build_array(r -> 'region', r -> 'id')::text end,
                coalesce((r ->> 'life')::bigint, 0), app.tag(coalesce(r ->> 'body', r ->> 'content')),
                coalesce(r ->> 'place', r ->> 'scope_id')::uuid,
                case jsonb_typeof(r -> 'audience') when 'array' then
                    array(select a::uuid from jsonb_array_elements_text(r -> 'audience') as a) end
            from (select to_jsonb(new) as r) as n;
            return null;
        end $$;
        create trigger remember after insert or update on app.notes for each row execute function app.remember();
        create trigger remember after insert or update on app.parts for each row execute function app.remember();
        create trigger remember after insert or update on loci.documents for each row execute function app.remember();
        create view app.live as
            select 'notes' as source, id::text as key, life, body, null as context, place, audience from app.notes
            union all select 'parts', jsonb_build_array(region, id)::text, life, body, head, place, null from app.parts
            union all select 'documents', document_id::text, 0, content, title, scope_id, audience from loci.documents;
        alter view app.live set (security_invoker = true);
        grant usage on schema app to public;
        grant all on all tables in schema app to public;
        grant all on all sequences in schema app to public;
        select loci.watch('app.notes', content => 'body', scope => 'place', audience => 'audience', name => 'notes',
            chunk_tokens => 100, chunk_overlap => 20);
        select loci.watch('app.parts', content => 'body', scope => 'place', context => 'head', name => 'parts',
            chunk_tokens => 120, chunk_overlap => 0, on_update => 'hide');
        update loci.settings set value = '7' where name = 'split_batch';
        update loci.settings set value = '3' where name = 'inline_rows';
        update loci.settings set value = '0.05' where name = 'retry_base_seconds';
        update loci.settings set value = '1' where name in ('retry_max_seconds', 'cooldown_max_seconds');
        """
    )
    database.execute(f"select loci.add_embedding_model('remote', dimensions => {DIMENSIONS}, max_batch => 5)")
    database.execute("select loci.use_embedding_model('remote')")
    yield database
    database.close()


@pytest.fixture
def gateway(request: pytest.FixtureRequest, own_server: Any) -> Iterator[FaultServer]:
    if request.config.getoption("--server") == "local":
        listen, reached_as = "127.0.0.1", "127.0.0.1"
    else:
        networks = own_server.container.get_wrapped_container().attrs["NetworkSettings"]["Networks"].values()
        listen, reached_as = "0.0.0.0", next(str(n["Gateway"]) for n in networks if n["Gateway"])
    with FaultServer(dimensions=DIMENSIONS, listen=listen, reached_as=reached_as) as server:
        yield server


# --- what goes wrong --------------------------------------------------------------------------------------------------


def random_faults(chance: random.Random) -> Callable[[Exchange], None]:
    """Most requests are answered well; the others in every bad way there is."""
    bad = [
        faults.status(429, retry_after="1"),
        faults.status(429),
        faults.status(500),
        faults.status(503, retry_after="0"),
        faults.reset,
        faults.reset_within,
        faults.hang,
        faults.truncated,
        faults.length_too_short,
        faults.broken_chunks,
        faults.no_http,
        faults.body(b"<html>a login page</html>", content_type="text/html"),
        faults.dimensions(DIMENSIONS + 1),
        faults.changed(lambda data: data[:-1]),
        faults.changed(lambda data: [*data, *data]),
        faults.changed(lambda data: [{**item, "embedding": [0.0] * DIMENSIONS} for item in data]),
        faults.after(0.5),
        faults.trickle(0.001),
    ]
    lock = threading.Lock()

    def act(exchange: Exchange) -> None:
        with lock:
            behaviour = chance.choice(bad) if chance.random() < 0.3 else faults.ok()
        behaviour(exchange)

    return act


@dataclass
class Chaos:
    """problems: what must not be; counts: what happened, so that nobody mistakes silence for success.

    waiting: rows in the queue a moment ago.
    """

    db: Database
    server: Any
    people: People
    stopped: threading.Event = field(default_factory=threading.Event)
    problems: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    waiting: int = 0

    def start(self, name: str, role: str | None, act: Callable[[Connection, random.Random], None]) -> threading.Thread:
        """Let an actor act until the end, in one session after the other."""
        kind = name.split()[0]
        chance = random.Random(f"{SEED} {name}")

        def run() -> None:
            while not self.stopped.is_set() and len(self.problems) < 20:
                try:
                    connection = self.db.connect(role)
                except psycopg.OperationalError:
                    time.sleep(0.1)
                    continue
                try:
                    with connection:
                        connection.execute("select set_config('application_name', %s, false)", (kind,))
                        connection.add_notice_handler(self.warned)
                        while not self.stopped.is_set():
                            act(connection, chance)
                            self.counts[kind] += 1
                except psycopg.Error as error:
                    if error.sqlstate in _ENDED or (
                        error.sqlstate is None and isinstance(error, psycopg.OperationalError)
                    ):
                        self.counts[f"{kind} ended"] += 1
                    elif kind == "drain" and error.sqlstate == "57014":
                        self.counts["drain cancelled"] += 1
                    else:
                        self.problems.append(f"{name}: {error.sqlstate} {error} {error.diag.context}")
                except Exception as error:
                    self.problems.append(f"{name}: {error!r}")

        thread = threading.Thread(target=run, name=name, daemon=True)
        thread.start()
        return thread

    def warned(self, notice: psycopg.errors.Diagnostic) -> None:
        if notice.severity == "WARNING" and notice.sqlstate not in _ENDED:
            self.problems.append(f"warning: {notice.sqlstate} {notice.message_primary} {notice.context}")

    # --- actors -----------------------------------------------------------------------------------------------------

    def drain(self, connection: Connection, chance: random.Random) -> None:
        connection.execute(cast(LiteralString, f"call loci.drain({chance.choice([1, 3, 10, 30])})"))
        time.sleep(chance.random() * 0.2)

    def watch_queue(self, connection: Connection, chance: random.Random) -> None:
        row = connection.execute("select count(*) as waiting from loci_private.row_queue").fetchone()
        self.waiting = row["waiting"] if row else 0
        time.sleep(0.2)

    def reconcile(self, connection: Connection, chance: random.Random) -> None:
        time.sleep(chance.random() * 10)
        connection.execute("select loci.reconcile(deep => %s)", (chance.random() < 0.3,))

    def repartition(self, connection: Connection, chance: random.Random) -> None:
        """A partition that comes, goes and comes again, changed meanwhile."""
        time.sleep(chance.random() * 3)
        row = connection.execute(
            "select c.relispartition from pg_class as c where c.oid = to_regclass('app.parts_e')"
        ).fetchone()
        if row is None:
            connection.execute("create table app.parts_e partition of app.parts for values in ('e')")
            self.counts["partition made"] += 1
        elif not row["relispartition"]:
            with connection.transaction():
                connection.execute("update app.parts_e set place = %s where id > -3", (self.place(chance),))
                connection.execute("update app.parts_e set body = %s where id = -4", (text(chance),))
                connection.execute("delete from app.parts_e where id < %s", (-chance.randrange(10),))
                # Rows that nobody tells Loci of, nor the history.
                connection.execute(
                    "insert into app.history select 'parts', jsonb_build_array(region, id)::text, life, app.tag(body), place"
                    " from app.parts_e"
                )
                connection.execute("alter table app.parts attach partition app.parts_e for values in ('e')")
            self.counts["partition attached"] += 1
        elif chance.random() < 0.3:
            connection.execute("drop table app.parts_e")
            self.counts["partition dropped"] += 1
        elif chance.random() < 0.5:
            connection.execute("alter table app.parts detach partition app.parts_e")
            self.counts["partition detached"] += 1
        else:
            with connection.transaction():
                connection.execute("lock table app.parts in row exclusive mode")
                # Keys that are no writer's.
                for key in range(-6, 0):
                    connection.execute(
                        "insert into app.parts_e (region, id, body, place) values ('e', %s, %s, %s)"
                        " on conflict (region, id) do update set body = excluded.body, place = excluded.place",
                        (key, text(chance), self.place(chance)),
                    )

    def write(self, connection: Connection, chance: random.Random, slot: int) -> None:
        """One transaction on one table, on rows that no other writer touches: all that can fail is Loci's fault."""
        # Slowly enough for the drains to get somewhere, also on a busy machine.
        time.sleep(chance.random() * 0.02 * max(1, min(self.waiting / 10, 50)))
        table = chance.choice([self.note, self.note, self.part, self.document])
        if table != self.document and chance.random() < 0.004:
            connection.execute(
                cast(LiteralString, f"truncate {chance.choice(['app.notes', 'app.parts', 'app.parts_n'])}")
            )
            self.counts["truncated"] += 1
            return
        level = chance.choice(["read committed", "read committed", "repeatable read"])
        rolled_back = chance.random() < 0.1
        with connection.transaction(force_rollback=rolled_back):
            connection.execute(cast(LiteralString, f"set transaction isolation level {level}"))
            connection.execute("select loci.act_as(%s)", (self.people.ada,))
            if table == self.part:
                # Parents before partitions, like TRUNCATE: else PostgreSQL itself finds deadlocks here.
                connection.execute("lock table app.parts in row exclusive mode")
            for _ in range(chance.choice([1, 1, 1, 2, 5])):
                table(connection, chance, slot)
        self.counts["rolled back" if rolled_back else level] += 1

    def place(self, chance: random.Random, *others: None) -> UUID | None:
        return chance.choice([self.people.acme, self.people.umbrella, self.people.ada, *others])

    def audience(self, chance: random.Random) -> list[UUID] | None:
        return chance.choice([None, None, None, [self.people.ada], [self.people.bob, self.people.ada], []])

    def note(self, c: Connection, chance: random.Random, slot: int) -> None:
        key = chance.randrange(KEYS) * WRITERS + slot
        mine = f"mod(id, {WRITERS}) = {slot}"
        match chance.randrange(11):
            case 0 | 1:
                c.execute(
                    "insert into app.notes (id, body, place, audience) values (%s, %s, %s, %s) on conflict (id)"
                    " do update set body = excluded.body, place = excluded.place, audience = excluded.audience",
                    (key, text(chance), self.place(chance, None), self.audience(chance)),
                )
            case 2:
                rows = [(n * WRITERS + slot, text(chance), self.place(chance)) for n in range(0, KEYS, 2)]
                c.cursor().executemany(
                    "insert into app.notes (id, body, place) values (%s, %s, %s) on conflict do nothing", rows
                )
            case 3:
                c.execute("update app.notes set body = %s where id = %s", (text(chance), key))
            case 4:
                c.execute("update app.notes set place = %s where id = %s", (self.place(chance, None), key))
            case 5:
                c.execute("update app.notes set audience = %s where id = %s", (self.audience(chance), key))
            case 6:
                c.execute(
                    cast(LiteralString, f"update app.notes set place = %s, body = %s where {mine} and id < %s"),
                    (self.place(chance), text(chance), key),
                )
            case 7:
                c.execute("delete from app.notes where id = %s", (key,))
            case 8:
                c.execute(cast(LiteralString, f"delete from app.notes where {mine} and id > %s"), (key,))
            case 9:
                # To a key that is free, and may have been another row's before.
                c.execute(
                    "update app.notes set id = %s where id = %s"
                    " and not exists (select from app.notes as n where n.id = %s)",
                    (other := chance.randrange(KEYS) * WRITERS + slot, key, other),
                )
            case 10:
                c.execute("delete from app.notes where id = %s", (key,))
                c.execute(
                    "insert into app.notes (id, body, place) values (%s, %s, %s)",
                    (key, text(chance), self.place(chance)),
                )

    def part(self, c: Connection, chance: random.Random, slot: int) -> None:
        key = chance.randrange(KEYS) * WRITERS + slot
        region = chance.choice("ns")
        match chance.randrange(6):
            case 0 | 1:
                c.execute(
                    "insert into app.parts (region, id, head, body, place) values (%s, %s, %s, %s, %s)"
                    " on conflict (region, id) do update set body = excluded.body, head = excluded.head",
                    (region, key, chance.choice([None, "a heading", "another one"]), text(chance), self.place(chance)),
                )
            case 2:
                c.execute(
                    cast(LiteralString, f"update app.parts_{region} set body = %s where id = %s"), (text(chance), key)
                )
            case 3:
                # To the other partition, if its key is free there.
                c.execute(
                    "update app.parts as p set region = %s, place = %s where region <> %s and id = %s"
                    " and not exists (select from app.parts as o where o.region = %s and o.id = p.id)",
                    (region, self.place(chance), region, key, region),
                )
            case 4:
                c.execute("update app.parts set place = %s where id = %s", (self.place(chance), key))
            case 5:
                c.execute(
                    cast(LiteralString, f"delete from app.parts where mod(id, {WRITERS}) = {slot} and id >= %s"), (key,)
                )

    def document(self, c: Connection, chance: random.Random, slot: int) -> None:
        mine = f"source_uri = 'writer {slot}'"
        one = f"document_id = (select document_id from loci.documents where {mine} order by random() limit 1)"
        match chance.randrange(6):
            case 0 | 1:
                c.execute(
                    "insert into loci.documents (scope_id, title, content, source_uri) values (%s, %s, %s, %s)",
                    (self.place(chance), chance.choice([None, "A title"]), text(chance), f"writer {slot}"),
                )
            case 2:
                c.execute(cast(LiteralString, f"update loci.documents set content = %s where {one}"), (text(chance),))
            case 3:
                c.execute(
                    cast(LiteralString, f"update loci.documents set scope_id = %s where {one}"), (self.place(chance),)
                )
            case 4:
                c.execute(cast(LiteralString, f"delete from loci.documents where {one}"))
            case 5:
                c.execute(
                    cast(
                        LiteralString,
                        f"delete from loci.documents where {mine} and document_id not in"
                        f" (select document_id from loci.documents where {mine} limit 10)",
                    )
                )

    def search(self, connection: Connection, chance: random.Random) -> None:
        """What is found and what the tables hold, in one snapshot."""
        user, scopes = chance.choice(
            [
                (self.people.ada, [self.people.acme, self.people.umbrella, self.people.ada]),
                (self.people.bob, [self.people.acme, self.people.bob]),
                (self.people.eve, [self.people.umbrella, self.people.eve]),
            ]
        )
        time.sleep(chance.random() * 0.2)
        with connection.transaction():
            connection.execute("set transaction isolation level repeatable read")
            # TRUNCATE empties a table for snapshots that are older, too: none may come between snapshot and reading.
            connection.execute("lock table app.notes, app.parts in access share mode")
            connection.execute("select loci.act_as(%s)", (user,))
            rows = connection.execute(
                """
                with found as materialized (
                    select f.*, app.tag(f.content) as tag
                    from loci.search('everywhere', k => 1000, mode => %(mode)s) as f
                )
                select f.source, f.key, f.tag, f.scope_id, l.key is null as gone,
                    l.key is null
                    or l.place is distinct from f.scope_id
                    or not (l.place = any(%(scopes)s) and (l.audience is null or %(user)s = any(l.audience)))
                    or (f.source = 'parts' and f.tag is distinct from app.tag(l.body))
                    or not exists (
                        select from app.history as h
                        where h.source = f.source and h.key = f.key and h.life = l.life and h.tag = f.tag
                            and h.place = any(%(scopes)s) and (h.audience is null or %(user)s = any(h.audience))
                    ) as wrong,
                    l.life, l.place, l.audience, app.tag(l.body) as tag_now
                from found as f
                left join app.live as l on l.source = f.source and l.key = f.key
                """,
                {"mode": chance.choice(["keyword", "keyword", "hybrid"]), "scopes": scopes, "user": user},
            ).fetchall()
            wrong = [row for row in rows if row["wrong"]]
            if wrong:
                total = Counter(row["source"] for row in rows)
                self.problems.append(f"{len(wrong)} of {total} found by {user} in {scopes} were wrong")
                for row in wrong[:3]:
                    history = connection.execute(
                        "select * from app.history where (source, key) = (%s, %s) order by ctid desc limit 10",
                        (row["source"], row["key"]),
                    ).fetchall()
                    self.problems.append(f"shown: {row}; its history: {history}")
        self.counts["found"] += len(rows)

    def kill(self) -> None:
        """Until time is up: end random sessions, mostly by SIGKILL, which takes all others along."""
        chance = random.Random(f"{SEED} kill")
        until = time.monotonic() + SECONDS
        while time.monotonic() < until and not self.problems:
            time.sleep(min(chance.uniform(1, 16), max(until - time.monotonic(), 0)))
            connection = wait_until(self.connected, "the server has recovered")
            with connection:
                kind = chance.choice(["drain", "drain", "write"])
                victims = connection.execute(
                    "select pid from pg_stat_activity where application_name = %s", (kind,)
                ).fetchall()
                if not victims:
                    continue
                pid = chance.choice(victims)["pid"]
                how = chance.choice(["kill", "kill", "kill", "terminate", "cancel"])
                if how == "kill":
                    self.server.run(["kill", "-9", str(pid)])
                elif kind == "drain":
                    connection.execute(cast(LiteralString, f"select pg_{how}_backend({pid})"))
                self.counts[how] += 1
        self.stopped.set()

    def connected(self) -> Connection | None:
        try:
            return self.db.connect()
        except psycopg.OperationalError:
            return None


def text(chance: random.Random) -> str | None:
    """Every chunk of it has its tag; none is like another."""
    if chance.random() < 0.05:
        return chance.choice([None, "", "  \n "])
    tag = f"t{chance.getrandbits(48):012x}"
    words = []
    for n in range(chance.choice([1, 5, 30, 30, 200, 700])):
        words.append(f"{tag} everywhere word{chance.randrange(500)} ünï{n}" + chance.choice([" ", ". ", "\n\n"]))
    return "".join(words)


# --- what must be at the end ------------------------------------------------------------------------------------------


def expected_chunks(db: Database) -> dict[tuple[str, str, int], dict[str, Any]]:
    """By source, key and ordinal: what the drain has to have made of the tables, computed here."""
    config = {
        row["name"]: row
        for row in db.rows(
            "select s.name, k.tokenizer, k.size, k.overlap from loci_private.sources as s "
            "join loci_private.chunking_assignments as c on c.source_id = s.source_id "
            "join loci_private.chunkings as k on k.chunking_id = c.active_chunking where s.watched"
        )
    }
    expected = {}
    for row in db.rows("select * from app.live"):
        if row["place"] is None or not row["body"]:
            continue
        source = config[row["source"]]
        for ordinal, chunk in enumerate(
            iter_split_document(
                to_document(row["body"], "text/plain"),
                chunk_tokens=source["size"],
                overlap_tokens=source["overlap"],
                tokenizer=get_tokenizer(source["tokenizer"]),
            )
        ):
            passage = f"{row['context']}\n\n{chunk.content}" if row["context"] else chunk.content
            expected[row["source"], row["key"], ordinal] = {
                "content": chunk.content,
                "context": row["context"],
                "token_count": chunk.token_count,
                "scope_id": row["place"],
                "audience": row["audience"],
                "vector": vector_of(passage, DIMENSIONS),
            }
    return expected


def difference(db: Database) -> list[str]:
    """What the index has too much, too little or otherwise; empty when it is right."""
    found = {}
    problems = []
    for row in db.rows(
        f"""
        select s.name, r.key, c.ordinal, c.content, c.context, c.token_count, c.scope_id, c.audience,
            e.embedding::text as vector
        from loci_private.chunks as c
        join loci_private.source_rows as r on r.row_id = c.row_id
        join loci_private.sources as s on s.source_id = r.source_id
        left join {embeddings_table(db)} as e on e.chunk_id = c.chunk_id
        """
    ):
        name = (row.pop("name"), row.pop("key"), row.pop("ordinal"))
        if name in found:
            problems.append(f"{name} is there twice")
        found[name] = row
    expected = expected_chunks(db)
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            problems.append(f"missing: {name} {str(expected[name]['content'])[:60]!r}")
        elif name not in expected:
            problems.append(f"left over: {name} {str(found[name]['content'])[:60]!r}")
        else:
            for column, value in expected[name].items():
                is_ = found[name][column]
                if column == "vector":
                    same = is_ is not None and json.loads(is_) == pytest.approx(value, abs=1e-3)
                else:
                    same = is_ == value
                if not same:
                    problems.append(f"{name}: {column} is {str(is_)[:80]!r}, should be {str(value)[:80]!r}")
    problems += [
        f"rows differ: {row}"
        for row in db.rows(
            """
            with known as (
                select s.name, r.key from loci_private.source_rows as r join loci_private.sources as s using (source_id)
            ), live as (
                select source, key from app.live
            )
            (select 'left over' as what, * from (table known except table live) as k)
            union all (select 'missing', * from (table live except table known) as l)
            """
        )
    ]
    for table in ("row_queue", "embed_queue", "failures", "leases"):
        problems += [f"left in {table}: {row}" for row in db.rows(f"select * from loci_private.{table} limit 5")]
    return problems


def settle(db: Database, gateway: FaultServer) -> None:
    """Faults are over: drain until nothing is left."""
    gateway.always(faults.ok())
    db.execute(
        f"select loci.add_gateway('default', '{gateway.base_url}', requests_per_minute => 100000, timeout_seconds => 30)"
    )
    for year in range(2100, 2110):
        # What was put off because of faults is due.
        db.set_clock(f"{year}-01-01")
        db.drain()
        parked = db.rows("select stage, code, message from loci.failures where state = 'parked'")
        assert [p for p in parked if p["stage"] != "embed" or not _GATEWAYS_FAULT.fullmatch(p["code"])] == []
        db.execute("select loci.retry_failures()")
        if db.waiting() == 0:
            break
    db.set_clock(None)


def test_chaos(db: Database, own_server: Any, gateway: FaultServer, request: pytest.FixtureRequest) -> None:
    print(f"LOCI_CHAOS_SEED={SEED} LOCI_CHAOS_SECONDS={SECONDS:g}")
    people = db.people()
    db.execute(
        "insert into loci.organization_members (organization_id, user_id) values (%s, %s)", people.umbrella, people.ada
    )
    app = db.app_role()
    worker = db.login_role("worker", "loci_worker")
    db.execute(
        f"select loci.add_gateway('default', '{gateway.base_url}', requests_per_minute => 100000, timeout_seconds => 1)"
    )
    gateway.always(random_faults(random.Random(f"{SEED} faults")))
    chaos = Chaos(db, own_server, people)
    threads = [chaos.start(f"drain {n}", worker, chaos.drain) for n in range(DRAINS)]
    threads += [
        chaos.start(f"write {n}", app, lambda c, chance, slot=n: chaos.write(c, chance, slot)) for n in range(WRITERS)
    ]
    threads.append(chaos.start("search", app, chaos.search))
    threads.append(chaos.start("reconcile", None, chaos.reconcile))
    threads.append(chaos.start("repartition", None, chaos.repartition))
    threads.append(chaos.start("watch", None, chaos.watch_queue))
    chaos.kill()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), f"{thread.name} never ended"
    report = f"LOCI_CHAOS_SEED={SEED}; {dict(chaos.counts)}"
    print(report)
    assert not chaos.problems, "\n".join([report, *chaos.problems[:20]])

    calm = wait_until(lambda: reconnected(own_server), "the server has recovered")
    try:
        settle(calm, gateway)
        problems = difference(calm)
        assert not problems, "\n".join([report, f"{len(problems)} differences:", *problems[:40]])
        consistent(calm)
        assert calm.value("select loci.reconcile(deep => true)") == 0
    finally:
        calm.close()
    # It was no quiet time.
    assert all(chaos.counts[name] for name in ("kill", "drain", "write", "found", "rolled back")), report
    if request.config.getoption("--server") == "local":
        # Whoever died was killed by the test.
        log = (Path(own_server.home) / "postgresql.log").read_text(errors="replace")
        signals = Counter(re.findall(r"was terminated by (signal \d+)", log))
        assert set(signals) == {"signal 9"} and "PANIC" not in log, f"{report}; {signals}"


def reconnected(server: Any) -> Database | None:
    try:
        return Database("loci", server.dsn)
    except psycopg.OperationalError:
        return None

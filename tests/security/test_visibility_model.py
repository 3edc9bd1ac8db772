"""Random worlds, changed step by step: after each step every user finds and reads what the model says, through every door.

Not a row more at any time; not a row less once a drain has run. The model (visibility_model.py) knows nothing of SQL. Doors
are looked up in the catalogue: a table, view or function of loci that gives rows to applications and is not known
here fails the test.

LOCI_MODEL_STEPS: how many steps (1200); LOCI_MODEL_SEED: another seed than the one of every run, or "random".
"""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from inspect import signature
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as use_seed
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.database import Connection, Database
from tests.security.visibility_model import TAGS, Filter, Found, Model, Project, Row, Source, Team
from tests.security.world import run

STEPS = int(os.environ.get("LOCI_MODEL_STEPS", "1200"))
SEED = os.environ.get("LOCI_MODEL_SEED", "1")
WORLD_STEPS = 60
MODELS = ("hash", "hash_b", "hash_c")
# Every text has this word; so has the question.
WORD = "harbour"
# Loci's clock starts here, and goes on by an hour a drain.
EPOCH = datetime(2040, 1, 1, tzinfo=UTC)

# --- watched tables ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """How a row of the model is written to a table. Values: key, n (version), scope, audience."""

    relation: str
    columns: str
    values: str
    where: str
    text: str
    place: str
    watch: str


_DATA = "jsonb_build_object({})".format(
    ", ".join(["'v', {n}"] + [f"'{tag}', {{n}} >> {i} & 1 = 1" for i, tag in enumerate(TAGS)])
)
_TEXT = f"'{WORD} v' || {{n}}"
_N = "v.n"
TABLES = {
    # Made with Loci.
    "documents": Table(
        "loci.documents", "document_id, content, title, metadata, scope_id, audience",
        f"v.key::uuid, {_TEXT.format(n=_N)}, 'title v' || v.n, {_DATA.format(n=_N)}, v.scope, v.audience",
        "t.document_id = v.key::uuid",
        f"content = {_TEXT.format(n=_N)}, title = 'title v' || v.n, metadata = {_DATA.format(n=_N)}",
        "scope_id = v.scope, audience = v.audience",
        "content => 'content', scope => 'scope_id', audience => 'audience', metadata => 'metadata', title => 'title', "
        "mime_type => 'mime_type'",
    ),
    # Columns, and a backfill of what was there.
    "notes": Table(
        "public.notes", "id, body, heading, data, place, readers",
        f"v.key::int, {_TEXT.format(n=_N)}, 'title v' || v.n, {_DATA.format(n=_N)}, v.scope, v.audience",
        "t.id = v.key::int",
        f"body = {_TEXT.format(n=_N)}, heading = 'title v' || v.n, data = {_DATA.format(n=_N)}",
        "place = v.scope, readers = v.audience",
        "content => 'body', scope => 'place', audience => 'readers', metadata => 'data', title => 'heading'",
    ),
    # Expressions, two columns as key, and old text that is hidden at once.
    "cards": Table(
        "public.cards", "a, b, n, project, fallback, secret, readers",
        "split_part(v.key, '/', 1)::int, split_part(v.key, '/', 2), v.n, case when mod(v.n, 2) = 0 then v.scope end, v.scope, "
        "v.audience is not null, v.audience",
        "(t.a, t.b) = (split_part(v.key, '/', 1)::int, split_part(v.key, '/', 2))",
        "n = v.n",
        "project = case when mod(v.n, 2) = 0 then v.scope end, fallback = v.scope, secret = v.audience is not null, "
        "readers = v.audience",
        f"content => $${_TEXT.format(n='n')}$$, scope => 'coalesce(project, fallback)', "
        "audience => 'case when secret then readers end', "
        f"metadata => $${_DATA.format(n='n')}$$, title => $$'title v' || n$$, on_update => 'hide'",
    ),
    # Partitions, and a place that is inside JSON.
    "entries": Table(
        "public.entries", "id, part, n, place",
        "split_part(v.key, '/', 1)::int, split_part(v.key, '/', 2)::int, v.n, "
        "jsonb_build_object('scope', v.scope, 'audience', v.audience)",
        "(t.id, t.part) = (split_part(v.key, '/', 1)::int, split_part(v.key, '/', 2)::int)",
        "n = v.n",
        "place = jsonb_build_object('scope', v.scope, 'audience', v.audience)",
        f"content => $${_TEXT.format(n='n')}$$, scope => $$(place ->> 'scope')::uuid$$, "
        "audience => $$case jsonb_typeof(place -> 'audience') when 'array' then "
        "array(select e::uuid from jsonb_array_elements_text(place -> 'audience') as e) end$$, "
        f"metadata => $${_DATA.format(n='n')}$$, title => $$'title v' || n$$",
    ),
}  # fmt: skip
SCHEMA = """
create table public.notes (id int primary key, body text, heading text, data jsonb, place uuid, readers uuid[]);
create table public.cards (
    a int, b text, n int, project uuid, fallback uuid, secret boolean, readers uuid[], primary key (a, b)
);
create table public.entries (id int, part int, n int, place jsonb, primary key (id, part)) partition by list (part);
create table public.entries_0 partition of public.entries for values in (0);
create table public.entries_1 partition of public.entries for values in (1);
create function public.attempt(statement text, source text, key text) returns jsonb language plpgsql as $$
declare
    answer jsonb;
begin
    execute statement into answer using source, key;
    return answer;
exception when others then
    return to_jsonb(sqlstate);
end $$;
"""


def key_of(source: str, number: int) -> str:
    if source == "documents":
        return str(UUID(int=0xD0C << 100 | number))
    return {"notes": f"{number}", "cards": f"{number}/x{number % 3}", "entries": f"{number}/{number % 2}"}[source]


# --- doors ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """What a user asks in one look. seed: source and key of a row that another door starts from."""

    mode: str
    k: int
    filter: Filter
    seed: tuple[str, str]


Expected = Callable[[Model, UUID | None, Question], tuple[set[Found], set[Found]]]


def _all(model: Model, user: UUID | None, question: Question) -> tuple[set[Found], set[Found]]:
    return model.look(user)


def _filtered(model: Model, user: UUID | None, question: Question) -> tuple[set[Found], set[Found]]:
    return model.look(user, question.filter)


def _of_one_model(model: Model, user: UUID | None, question: Question) -> tuple[set[Found], set[Found]]:
    """A vector of one model finds all there is only where there never was another."""
    must, may = model.look(user)
    return set() if model.mixed else must, may


def _like_the_seed(model: Model, user: UUID | None, question: Question) -> tuple[set[Found], set[Found]]:
    """Nothing at all for those who do not see the row that it starts from; which is not like itself."""
    must, may = model.look(user)
    if not any(found[:2] == question.seed for found in may):
        return set(), set()
    known = not model.mixed and any(found[:2] == question.seed for found in must)
    return {f for f in must if known and f[:2] != question.seed}, {f for f in may if f[:2] != question.seed}


_FILTERS = (
    "scopes => %(scopes)s::uuid[], sources => %(sources)s::text[], metadata => %(metadata)s::jsonb, "
    "since => %(since)s::timestamptz, until => %(until)s::timestamptz"
)


@dataclass(frozen=True)
class Door:
    """A function that answers with passages. expected: what it must and what it may answer."""

    name: str
    function: str
    call: str
    expected: Expected = _all
    columns: str = ""
    # It asks for question.k rows; otherwise for as many as there can be.
    few: bool = False
    # Codes of errors that it may answer with instead, as long as nothing must be found.
    errors: frozenset[str] = frozenset()

    @property
    def sql(self) -> str:
        passage = f"jsonb_build_array(source, key, content, title, metadata -> 'v', scope_id{self.columns})"
        answer = f"select coalesce(jsonb_agg({passage}), '[]') from loci.{self.function}({self.call}) as answer"
        # $1 and $2: source and key of the seed.
        return f"public.attempt($_${answer}$_$, %(source)s, %(key)s)" if self.errors else f"({answer})"

    def k(self, question: Question) -> int:
        return question.k if self.few else 1000


# One that does not exist in this database is left out; one that exists and is granted to loci_app is asked each time.
DOORS = [
    Door("hybrid", "search", f"'{WORD}', k => 1000", columns=", vector_rank, keyword_rank"),
    Door("filtered", "search", f"'{WORD}', k => %(k)s, mode => %(mode)s, {_FILTERS}", _filtered, few=True),
    Door(
        "by vector",
        "search_vector",
        f"loci.embed('{WORD}'), k => 1000",
        _of_one_model,
        errors=frozenset({"LC305", "LC306"}),
    ),
    Door("similar", "similar", "$1, $2, k => 1000", _like_the_seed, errors=frozenset({"LC304", "LC307"})),
]
# Functions for applications that return sets but no rows of others.
HARMLESS = {"embed_batch", "explain_search"}
# Functions that are looked at otherwise: below, or in tests/security.
OTHER_DOORS = {"visible_projects", "recall", "recent_calls", "result", "citations", "forget_user", "forget_source"}


def doors_of(db: Database) -> set[str]:
    """Functions of loci that give rows to applications."""
    rows = db.rows(
        "select distinct p.proname as name from pg_proc as p where p.pronamespace = 'loci'::regnamespace and p.proretset "
        "and has_function_privilege('loci_app', p.oid, 'execute')"
    )
    return {row["name"] for row in rows}


def relations_of(db: Database) -> dict[str, list[str]]:
    """Tables and views of loci that applications may read, with the columns they may read."""
    rows = db.rows(
        "select c.relname as name, array_agg(a.attname::text order by a.attnum) as columns "
        "from pg_class as c join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped "
        "where c.relnamespace = 'loci'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f') "
        "and has_column_privilege('loci_app', c.oid, a.attnum, 'select') group by c.relname"
    )
    return {row["name"]: row["columns"] for row in rows}


# Relations: what identifies a row in them, as the model tells it.
RELATIONS = {
    "organizations": "organization_id",
    "organization_members": "organization_id, user_id, role",
    "users": "user_id",
    "teams": "team_id",
    "team_members": "team_id, user_id",
    "projects": "project_id, visibility, team_id",
    "project_members": "project_id, user_id",
    "documents": "document_id, substring(content from 'v([0-9]+)$')",
    "conversations": "conversation_id, user_id",
    "messages": "message_id, conversation_id, substring(content from 'v([0-9]+)$')",
}
# The same rows for everybody, whoever asks.
PUBLIC = {"settings", "embedding_models"}
# What chat models cost, in tests/gateway/test_completions.py; what was proposed, in test_action_attacks.py.
ELSEWHERE = {"calls", "usage", "proposals"}


def test_every_door_is_known(db: Database) -> None:
    """A new way for applications to read something has to be added to the model, or said to be harmless."""
    readable = set(relations_of(db))
    assert readable - PUBLIC - ELSEWHERE <= set(RELATIONS), "relations without an expectation in the model"
    known = {door.function for door in DOORS} | HARMLESS | OTHER_DOORS
    assert doors_of(db) <= known, "functions without an expectation in the model"
    assert {"search", "visible_projects"} <= doors_of(db)


# --- the machine ------------------------------------------------------------------------------------------------------


class House:
    """The database that all worlds follow each other in, and the connections that look at it."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.clock = itertools.count(1)
        self.world = itertools.count(1)
        self.steps = 0
        self.looks = 0
        # Keys of several columns, as searches return them.
        self.keys: dict[tuple[str, str], str] = {}
        # What happened, and how often.
        self.done: Counter[str] = Counter()
        # What was found to be wrong.
        self.noticed: list[str] = []
        for name in MODELS[1:]:
            db.execute("select loci.add_embedding_model(%s, provider => 'hash', dimensions => 64)", name)
        db.execute(SCHEMA)
        for name in TABLES:
            if name != "documents":
                self.watch(name)
        # The clock of each drain, read from a table rather than put into the function each time.
        db.execute("create table loci_private.test_clock as select 0 as hours")
        db.execute("alter table loci_private.test_clock owner to loci_owner")
        db.execute(
            "create or replace function loci_private.now() returns timestamptz language sql volatile parallel restricted as "
            f"$$select timestamptz '{EPOCH}' + make_interval(hours => c.hours) from loci_private.test_clock as c$$"
        )
        self.parked = db.user("parked@example.org")
        self.mapped_role = db.login_role("mapped", "loci_app")
        db.execute("update loci.users set db_role = %s where user_id = %s", self.mapped_role, self.parked)
        self.app = db.connect(db.app_role())
        self.mapped = db.connect(self.mapped_role)
        self.functions = doors_of(db)
        self.doors = [door for door in DOORS if door.function in self.functions]
        columns = relations_of(db)
        parts = [
            f"select 'table:{name}', (select coalesce(jsonb_agg(jsonb_build_array({RELATIONS[name]})), '[]') from loci.{name})"
            for name in RELATIONS
            if name in columns
        ]
        parts += [
            "select 'user', to_jsonb(loci.current_user_id())",
            "select 'scopes', to_jsonb(loci.visible_scopes())",
            "select 'principals', to_jsonb(loci.current_principals())",
            "select 'projects', coalesce((select jsonb_agg(project_id) from loci.visible_projects()), '[]')",
        ]
        if "recall" in self.functions:
            parts.append(
                f"select 'memories', coalesce((select jsonb_agg(memory_id) from loci.recall('{WORD}', k => 1000)), '[]')"
            )
        # What one user put there is not there for another; nor is what was found for one by loci.search().
        self.caches = bool(db.rows("select from pg_proc where oid::regproc = to_regproc('loci.cache_get')"))
        if self.caches:
            parts.append("""select 'cache', loci.cache_get('response', '{"question": 1}')""")
        # Of the doors beside the first, one after the other is tried in each look: searches are what takes time.
        asked = [f"select 'door:{door.name}' as what, {door.sql} as answer" for door in self.doors]
        self.look = [" union all ".join([asked[0], other, *parts]) for other in (asked[1], *asked[2:], asked[1])]
        self.looking = itertools.cycle(self.look)
        for connection in (self.app, self.mapped):
            connection.prepare_threshold = 0
            run(connection, "set plan_cache_mode = force_generic_plan")
            run(connection, "set jit = off")

    def watch(self, name: str) -> None:
        table = TABLES[name]
        self.db.execute(f"select loci.watch('{table.relation}', name => '{name}', {table.watch})")

    def close(self) -> None:
        self.app.close()
        self.mapped.close()


house: House


@dataclass(frozen=True)
class Change:
    """Something that happens besides the changes of rows."""

    method: Callable[..., None]
    possible: Callable[[World], Any]


PEOPLE: list[Change] = []
MACHINERY: list[Change] = []
ROLES = ("member", "admin", "owner")


def may(
    group: list[Change], possible: Callable[[World], Any] = lambda self: True
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Put a method of World into a group. Rules are chosen evenly: rows are to change more often than all this."""

    def put(method: Callable[..., None]) -> Callable[..., None]:
        group.append(Change(method, possible))
        return method

    return put


def new_model() -> Model:
    return Model({name: Source(hides=name == "cards") for name in (*TABLES, "messages")})


class World(RuleBasedStateMachine):
    """One world, from its beginning to its end. `pick` chooses among what there is."""

    @initialize(size=st.integers(0, 2), seed=st.integers(0, 2**16))
    def begin(self, size: int, seed: int) -> None:
        self.number = next(house.world)
        self.ids = itertools.count(1)
        self.versions = itertools.count(1)
        self.random = random.Random(seed)
        self.model = new_model()
        self.dead: list[UUID] = []
        self.memories: dict[int, UUID] = {}
        self.mapped: UUID | None = None
        self.model.clock = 0
        for _ in range(3 + size):
            self.add_user()
        for _ in range(1 + size):
            self.add_organization()
        organizations, users = sorted(self.model.organizations), sorted(self.model.users)
        for user in users[1:]:
            self.join(
                self.random.choice(organizations), user, self.random.choice(["member", "member", "admin", "owner"])
            )
        for _ in range(1 + size):
            self.add_team(self.random.choice(organizations))
            self.add_project(self.random.choice(organizations))
        for name in TABLES:
            self.write(name, 1 + size)

    # --- helpers ------------------------------------------------------------------------------------------------

    def new_id(self) -> UUID:
        return UUID(int=self.number << 96 | 4 << 76 | 8 << 60 | next(self.ids))

    def pick(self, things: Any, number: int) -> Any:
        things = sorted(things, key=str)
        return things[number % len(things)]

    def execute(self, sql: str, *parameters: Any) -> None:
        house.db.execute(sql, *parameters)

    def add_user(self) -> None:
        user = self.new_id()
        self.execute("insert into loci.users (user_id, email) values (%s, %s)", user, f"{user}@example.org")
        self.model.users.add(user)

    def add_organization(self) -> None:
        organization = self.new_id()
        self.execute("insert into loci.organizations (organization_id, name) values (%s, 'x')", organization)
        self.model.organizations[organization] = {}

    def join(self, organization: UUID, user: UUID, role: str) -> None:
        self.execute("insert into loci.organization_members values (%s, %s, %s)", organization, user, role)
        self.model.join(organization, user, role)

    def add_team(self, organization: UUID) -> None:
        team = self.new_id()
        self.execute(
            "insert into loci.teams (team_id, organization_id, name) values (%s, %s, %s)", team, organization, str(team)
        )
        self.model.teams[team] = Team(organization)
        for user in self.model.organizations[organization]:
            if self.random.random() < 0.5:
                self.team_member(team, user)

    def team_member(self, team: UUID, user: UUID) -> None:
        self.execute("insert into loci.team_members (team_id, user_id) values (%s, %s)", team, user)
        self.model.teams[team].members.add(user)

    def project_member(self, project: UUID, user: UUID) -> None:
        self.execute("insert into loci.project_members (project_id, user_id) values (%s, %s)", project, user)
        self.model.projects[project].members.add(user)

    def visibility(self, organization: UUID) -> tuple[str, UUID | None]:
        teams = [t for t, team in self.model.teams.items() if team.organization == organization]
        visibility = self.random.choice(["organization", "private", *(["team"] * 2 if teams else [])])
        return visibility, self.pick(teams, self.random.randrange(99)) if visibility == "team" else None

    def add_project(self, organization: UUID) -> None:
        project, (visibility, team) = self.new_id(), self.visibility(organization)
        self.execute(
            "insert into loci.projects (project_id, organization_id, name, visibility, team_id) values (%s, %s, 'x', %s, %s)",
            project, organization, visibility, team,
        )  # fmt: skip
        self.model.projects[project] = Project(organization, visibility, team)
        for user in self.model.organizations[organization]:
            if self.random.random() < 0.3:
                self.project_member(project, user)

    def place(self, source: str) -> tuple[UUID | None, frozenset[UUID | None] | None]:
        """A scope, mostly of this world, and an audience, mostly of nobody in particular."""
        model, chance = self.model, self.random.random()
        scopes: list[UUID | None] = [*model.organizations, *model.projects, *model.projects, *model.users]
        if source != "documents" and chance < 0.15:
            scopes = [None, *self.dead]
        scope = self.pick(scopes, self.random.randrange(9999))
        if self.random.random() < 0.55:
            return scope, None
        people: list[UUID | None] = [*model.users, *model.teams, *self.dead, *model.organizations]
        size = self.random.choice([0, 1, 1, 2, 3])
        audience = {self.pick(people, self.random.randrange(9999)) for _ in range(size)}
        if self.random.random() < 0.1:
            audience.add(None)
        return scope, frozenset(audience)

    def with_rows(self, name: str) -> str:
        """This table or, where it is empty, another one that is not."""
        return min(TABLES, key=lambda other: (not self.model.sources[other].rows, other != name))

    def rows_in(self, source: str, numbers: list[int]) -> list[str]:
        keys = sorted(self.model.sources[source].rows)
        return sorted({keys[n % len(keys)] for n in numbers}) if keys else []

    def statement(self, name: str, kind: str, rows: list[tuple[str, Row]]) -> tuple[str, list[Any]]:
        table = TABLES[name]
        values = ", ".join(["(%s, %s::int, %s::uuid, %s::uuid[])"] * len(rows))
        parameters = [
            value
            for key, row in rows
            for value in (key, row.version, row.scope, None if row.audience is None else sorted(row.audience, key=str))
        ]
        given = f"(values {values}) as v (key, n, scope, audience)"
        if kind == "insert":
            return f"insert into {table.relation} ({table.columns}) select {table.values} from {given}", parameters
        if kind == "delete":
            return f"delete from {table.relation} as t using {given} where {table.where}", parameters
        sets = {"rewrite": table.text, "move": table.place, "both": f"{table.text}, {table.place}"}[kind]
        return f"update {table.relation} as t set {sets} from {given} where {table.where}", parameters

    def change(self, name: str, kind: str, rows: list[tuple[str, Row]], how: int = 0) -> bool:
        """Do it; how: at which level, and whether it is taken back. True if it stands."""
        sql, parameters = self.statement(name, kind, rows)
        house.done[f"{kind} {name}" + " taken back" * (how == 3)] += 1
        with house.db.connect() if how else ExitStack() as other:
            connection: Connection = other if how else house.db.admin  # type: ignore[assignment]
            if not how:
                run(connection, sql, parameters)
                return True
            level = ("read committed", "repeatable read", "serializable", "read committed")[how]
            run(connection, f"begin isolation level {level}")
            run(connection, "select count(*) from loci_private.chunks")
            run(connection, "savepoint s")
            run(connection, sql, parameters)
            if how == 3:
                run(connection, "rollback to s")
            run(connection, "commit")
            return how != 3

    def write(self, name: str, count: int, how: int = 0) -> None:
        rows = []
        for _ in range(count):
            scope, audience = self.place(name)
            version = next(self.versions)
            rows.append((key_of(name, self.random.randrange(40)), Row(scope, audience, version, here={version})))
        held = self.model.sources[name].rows
        rows = list({key: row for key, row in rows if key not in held}.items())
        if rows and self.change(name, "insert", [(key, row) for key, row in rows], how):
            held.update(rows)

    # --- people -------------------------------------------------------------------------------------------------

    def one_of(self, group: list[Change], number: int, **arguments: Any) -> None:
        """One of the changes of a group that are possible now."""
        possible = [change for change in group if change.possible(self)]
        if possible:
            change = possible[number % len(possible)].method
            change(self, **{name: arguments[name] for name in list(signature(change).parameters)[1:]})

    @rule(what=st.integers(0, 99), pick=st.integers(0, 99), who=st.integers(0, 99))
    def people_come_and_go(self, what: int, pick: int, who: int) -> None:
        self.one_of(PEOPLE, what, pick=pick, who=who)

    @rule(what=st.integers(0, 99), pick=st.integers(0, 99), who=st.integers(0, 99))
    def rights_are_given_and_taken(self, what: int, pick: int, who: int) -> None:
        self.one_of(PEOPLE, what, pick=pick, who=who)

    @may(PEOPLE, lambda self: len(self.model.users) < 6)
    def new_user(self) -> None:
        self.add_user()

    @may(PEOPLE, lambda self: len(self.model.organizations) < 3)
    def new_organization(self) -> None:
        self.add_organization()

    @may(PEOPLE, lambda self: self.model.organizations and len(self.model.teams) < 5)
    def new_team(self, pick: int) -> None:
        self.add_team(self.pick(self.model.organizations, pick))

    @may(PEOPLE, lambda self: self.model.organizations and len(self.model.projects) < 7)
    def new_project(self, pick: int) -> None:
        self.add_project(self.pick(self.model.organizations, pick))

    @may(PEOPLE, lambda self: self.model.organizations and self.model.users)
    def joins_or_leaves(self, pick: int, who: int) -> None:
        organization, user = self.pick(self.model.organizations, pick), self.pick(self.model.users, who)
        if user not in self.model.organizations[organization]:
            self.join(organization, user, ROLES[(pick + who) % 3])
        else:
            self.execute(
                "delete from loci.organization_members where organization_id = %s and user_id = %s", organization, user
            )
            self.model.leave(organization, user)

    @may(PEOPLE, lambda self: any(self.model.organizations.values()))
    def another_role(self, pick: int, who: int) -> None:
        organization = self.pick([o for o, members in self.model.organizations.items() if members], pick)
        user = self.pick(self.model.organizations[organization], who)
        role = ROLES[(pick + who) % 3]
        self.execute(
            "update loci.organization_members set role = %s where organization_id = %s and user_id = %s",
            role, organization, user,
        )  # fmt: skip
        self.model.organizations[organization][user] = role

    @may(PEOPLE, lambda self: self.model.teams)
    def joins_or_leaves_a_team(self, pick: int, who: int) -> None:
        team = self.pick(self.model.teams, pick)
        held = self.model.teams[team]
        if not self.model.organizations[held.organization]:
            return
        user = self.pick(self.model.organizations[held.organization], who)
        if user in held.members:
            self.execute("delete from loci.team_members where team_id = %s and user_id = %s", team, user)
            held.members.remove(user)
        else:
            self.team_member(team, user)

    @may(PEOPLE, lambda self: self.model.projects)
    def joins_or_leaves_a_project(self, pick: int, who: int) -> None:
        project = self.pick(self.model.projects, pick)
        held = self.model.projects[project]
        if not self.model.organizations[held.organization]:
            return
        user = self.pick(self.model.organizations[held.organization], who)
        if user in held.members:
            self.execute("delete from loci.project_members where project_id = %s and user_id = %s", project, user)
            held.members.remove(user)
        else:
            self.project_member(project, user)

    @may(PEOPLE, lambda self: self.model.projects)
    def a_project_opens_or_closes(self, pick: int) -> None:
        project = self.pick(self.model.projects, pick)
        held = self.model.projects[project]
        held.visibility, held.team = self.visibility(held.organization)
        self.execute(
            "update loci.projects set visibility = %s, team_id = %s where project_id = %s",
            held.visibility,
            held.team,
            project,
        )

    @may(PEOPLE, lambda self: self.model.projects)
    def a_project_ends(self, pick: int) -> None:
        project = self.pick(self.model.projects, pick)
        self.execute("delete from loci.projects where project_id = %s", project)
        self.model.delete_project(project)
        self.dead.append(project)

    @may(PEOPLE, lambda self: self.model.teams)
    def a_team_ends(self, pick: int) -> None:
        team = self.pick(self.model.teams, pick)
        self.execute("update loci.projects set visibility = 'private', team_id = null where team_id = %s", team)
        for project in self.model.projects.values():
            if project.team == team:
                project.visibility, project.team = "private", None
        self.execute("delete from loci.teams where team_id = %s", team)
        self.model.delete_team(team)
        self.dead.append(team)

    @may(PEOPLE, lambda self: len(self.model.organizations) > 1)
    def an_organization_ends(self, pick: int) -> None:
        organization = self.pick(self.model.organizations, pick)
        self.dead += [organization, *(p for p, x in self.model.projects.items() if x.organization == organization)]
        self.execute("delete from loci.organizations where organization_id = %s", organization)
        self.model.delete_organization(organization)

    @may(PEOPLE, lambda self: len(self.model.users) > 2)
    def a_user_goes(self, pick: int) -> None:
        user = self.pick(self.model.users, pick)
        if user == self.mapped:
            self.map_to(None)
        self.execute("delete from loci.users where user_id = %s", user)
        self.model.delete_user(user)
        self.dead.append(user)

    def map_to(self, user: UUID | None) -> None:
        with house.db.connect() as connection, connection.transaction():
            run(connection, "update loci.users set db_role = null where db_role = %s", (house.mapped_role,))
            run(
                connection,
                "update loci.users set db_role = %s where user_id = %s",
                (house.mapped_role, user or house.parked),
            )
        self.mapped = user

    @may(PEOPLE, lambda self: self.model.users)
    def a_login_role_becomes_a_user(self, pick: int) -> None:
        self.map_to(self.pick(self.model.users, pick))

    # --- rows ---------------------------------------------------------------------------------------------------

    name = st.sampled_from(list(TABLES))
    numbers = st.lists(st.integers(0, 99), min_size=1, max_size=4)
    # Mostly as applications do.
    how = st.sampled_from([0, 0, 0, 1, 2, 3])

    @precondition(lambda self: self.model.users and sum(len(s.rows) for s in self.model.sources.values()) < 30)
    @rule(name=name, count=st.integers(1, 3), how=how)
    def rows_come(self, name: str, count: int, how: int) -> None:
        self.write(name, count, how)

    @rule(name=name, numbers=numbers, kind=st.sampled_from(["rewrite", "rewrite", "both"]), how=how)
    def rows_are_rewritten(self, name: str, numbers: list[int], kind: str, how: int) -> None:
        self.rows_change(name, numbers, kind, how)

    @rule(name=name, numbers=numbers, kind=st.sampled_from(["move", "move", "both"]), how=how)
    def rows_are_moved(self, name: str, numbers: list[int], kind: str, how: int) -> None:
        self.rows_change(name, numbers, kind, how)

    @rule(name=name, numbers=numbers, how=how)
    def rows_go(self, name: str, numbers: list[int], how: int) -> None:
        self.rows_change(name, numbers[:2], "delete", how)

    def rows_change(self, name: str, numbers: list[int], kind: str, how: int) -> None:
        name = self.with_rows(name)
        source = self.model.sources[name]
        keys = self.rows_in(name, numbers)
        if not keys or not self.model.users:
            return
        scope, audience = self.place(name)
        after = []
        for key in keys:
            row = source.rows[key]
            version = next(self.versions) if kind in ("rewrite", "both") else row.version
            placed = (scope, audience) if kind in ("move", "both") else (row.scope, row.audience)
            after.append((key, Row(*placed, version)))
        if not self.change(name, kind, after, how):
            return
        for key, row in after:
            if kind == "delete":
                del source.rows[key]
                continue
            if kind in ("rewrite", "both"):
                source.rows[key].rewrite(row.version, source.hides)
            if kind in ("move", "both"):
                source.rows[key].move(row.scope, row.audience)

    @rule(name=name, numbers=numbers)
    def audiences_are_narrowed(self, name: str, numbers: list[int]) -> None:
        name = self.with_rows(name)
        source = self.model.sources[name]
        after = []
        for key in self.rows_in(name, numbers):
            row = source.rows[key]
            fewer = sorted(row.audience, key=str)[1:] if row.audience is not None else sorted(self.model.users)[:1]
            after.append((key, Row(row.scope, frozenset(fewer), row.version)))
        if after:
            self.change(name, "move", after)
            for key, row in after:
                source.rows[key].move(row.scope, row.audience)

    @rule(name=name, numbers=numbers)
    def nothing_changes(self, name: str, numbers: list[int]) -> None:
        source = self.model.sources[name]
        rows = [(key, source.rows[key]) for key in self.rows_in(name, numbers)]
        if rows:
            self.change(name, "both", rows)

    @rule(name=name, numbers=numbers)
    def rows_come_back_under_their_keys(self, name: str, numbers: list[int]) -> None:
        """Deleted and inserted in one transaction: other rows, for other people."""
        name = self.with_rows(name)
        source = self.model.sources[name]
        after = []
        for key in self.rows_in(name, numbers):
            version = next(self.versions)
            after.append((key, Row(*self.place(name), version, here={version})))
        if after and self.model.users:
            with house.db.admin.transaction():
                self.change(name, "delete", after)
                self.change(name, "insert", after)
            source.rows.update(after)

    @precondition(lambda self: self.model.users)
    @rule(pick=st.integers(0, 99), numbers=numbers, kind=st.sampled_from(["insert", "rewrite", "move", "delete"]))
    def an_application_writes(self, pick: int, numbers: list[int], kind: str) -> None:
        """As a user, to documents: what is out of sight cannot be changed, and nothing goes where the user sees nothing."""
        model = self.model
        user = self.pick(model.users, pick)
        rows = model.sources["documents"].rows
        keys = self.rows_in("documents", numbers)
        scope = self.pick([*model.organizations, *model.projects, *model.users], numbers[0])
        allowed = scope in model.scopes_of(user)
        seen = {key for key, _ in model.documents(user)}
        version = next(self.versions)
        with house.app.transaction():
            run(house.app, "select loci.act_as(%s)", (user,))
            try:
                with house.app.transaction():
                    if kind == "insert":
                        key = key_of("documents", 40 + numbers[0])
                        if key in rows:
                            return
                        row = Row(scope, None, version, here={version})
                        run(house.app, *self.statement("documents", "insert", [(key, row)]))
                        assert allowed, "a document was inserted out of sight"
                        rows[key] = row
                    elif kind == "delete":
                        sql = "delete from loci.documents where document_id = any(%s::uuid[])"
                        assert run(house.app, sql, (keys,)).rowcount == len(seen & set(keys))
                        for key in seen & set(keys):
                            del rows[key]
                    else:
                        after = [(key, Row(rows[key].scope, rows[key].audience, version)) for key in keys]
                        if kind == "move":
                            after = [(key, Row(scope, row.audience, rows[key].version)) for key, row in after]
                        if not after:
                            return
                        done = run(house.app, *self.statement("documents", kind, after)).rowcount
                        assert done == len(seen & set(keys))
                        assert not done or kind == "rewrite" or allowed, "a document was moved out of sight"
                        for key, row in after:
                            if key in seen and kind == "rewrite":
                                rows[key].rewrite(version, hide=False)
                            elif key in seen:
                                rows[key].move(scope, row.audience)
            except psycopg.Error as error:
                assert error.sqlstate == "LC141" and not allowed and kind in ("insert", "move"), error

    # --- conversations ------------------------------------------------------------------------------------------

    @precondition(lambda self: self.model.users and len(self.model.messages) < 12)
    @rule(pick=st.integers(0, 99), which=st.integers(0, 99), count=st.integers(1, 2))
    def somebody_talks(self, pick: int, which: int, count: int) -> None:
        """In a conversation, perhaps a new one, perhaps another's."""
        model = self.model
        user = self.pick(model.users, pick)
        version = next(self.versions)
        with house.app.transaction():
            run(house.app, "select loci.act_as(%s)", (user,))
            if which % 3 == 0 or not model.conversations:
                row = run(
                    house.app, "insert into loci.conversations default values returning conversation_id"
                ).fetchone()
                assert row is not None
                model.conversations[row["conversation_id"]] = user
            conversation = self.pick(model.conversations, which)
            mine = model.conversations[conversation] == user
            for _ in range(count):
                try:
                    with house.app.transaction():
                        said = run(
                            house.app,
                            "insert into loci.messages (conversation_id, role, content) values (%s, %s, %s) returning message_id",
                            (conversation, ("user", "assistant")[which % 2], f"{WORD} v{version}"),
                        ).fetchone()
                        assert said is not None and mine, "a message was put into another's conversation"
                        model.say(conversation, str(said["message_id"]), version, True)
                except psycopg.Error as error:
                    assert error.sqlstate == "LC702" and not mine, error
                version = next(self.versions)

    @may(MACHINERY, lambda self: self.model.conversations)
    def a_model_fails_in_the_middle(self, pick: int) -> None:
        """What came until then is kept, and not searched."""
        conversation, version = self.pick(self.model.conversations, pick), next(self.versions)
        key = house.db.value(
            "insert into loci.messages (conversation_id, role, content, status) values (%s, 'assistant', %s, 'failed') "
            "returning message_id",
            conversation, f"{WORD} v{version}",
        )  # fmt: skip
        self.model.say(conversation, str(key), version, False)

    @precondition(lambda self: self.model.conversations)
    @rule(pick=st.integers(0, 99), who=st.integers(0, 99))
    def somebody_takes_back_what_was_said(self, pick: int, who: int) -> None:
        """A message or a whole conversation; that of others stays."""
        model = self.model
        conversation, user = self.pick(model.conversations, pick), self.pick(model.users, who)
        mine = model.conversations[conversation] == user
        keys = sorted(key for key, (c, _) in model.messages.items() if c == conversation)
        with house.app.transaction():
            run(house.app, "select loci.act_as(%s)", (user,))
            if keys and who % 4:
                done = run(house.app, "delete from loci.messages where message_id = %s", (keys[0],)).rowcount
            else:
                done = run(
                    house.app, "delete from loci.conversations where conversation_id = %s", (conversation,)
                ).rowcount
        assert done == int(mine)
        if mine and keys and who % 4:
            model.delete_message(keys[0])
        elif mine:
            model.delete_conversation(conversation)

    # --- the machinery ------------------------------------------------------------------------------------------

    @rule()
    def a_drain_runs(self) -> None:
        self.drain()

    @rule()
    def another_drain_runs(self) -> None:
        """Often: exactly what is visible can be asserted only then."""
        self.drain()

    @rule(what=st.integers(0, 99), pick=st.integers(0, 99), name=name, keep=st.booleans())
    def the_machinery_is_tended(self, what: int, pick: int, name: str, keep: bool) -> None:
        self.one_of(MACHINERY, what, pick=pick, name=name, keep=keep)

    def drain(self) -> None:
        clock = next(house.clock)
        self.execute("update loci_private.test_clock set hours = %s", clock)
        house.db.drain()
        self.model.drain(clock)
        waiting = house.db.rows("select source_id, key, op, last_error from loci_private.row_queue")
        assert waiting == [], "a drain left something behind"
        assert house.db.rows("select * from loci_private.embed_queue") == []

    @may(MACHINERY)
    def a_table_is_truncated(self, name: str, pick: int) -> None:
        source = self.model.sources[name]
        partition = (None, 0, 1)[pick % 3] if name == "entries" else None
        suffix = "" if partition is None else f"_{partition}"
        self.execute(f"truncate {TABLES[name].relation}{suffix}")
        for key in list(source.rows):
            if partition is None or key.endswith(f"/{partition}"):
                del source.rows[key]
        source.hidden = source.watched

    @may(MACHINERY)
    def a_drain_dies(self) -> None:
        """It has claimed all there is, and never comes back."""
        self.execute("select loci_private.claim_rows(gen_random_uuid())")
        self.execute(
            "select loci_private.claim('embed_queue', gen_random_uuid(), 100, m.model_id) from loci.embedding_models as m"
        )

    @may(MACHINERY)
    def everything_is_reconciled(self) -> None:
        self.execute("select loci.reconcile()")

    @may(MACHINERY)
    def a_table_is_no_longer_watched(self, name: str, keep: bool) -> None:
        """Or it is again."""
        source = self.model.sources[name]
        if source.watched:
            self.execute("select loci.unwatch(%s::regclass, drop_index => %s)", TABLES[name].relation, not keep)
            self.model.unwatch(name, keep)
        else:
            house.watch(name)
            self.model.watch(name)

    @may(MACHINERY)
    def another_model(self, pick: int) -> None:
        self.model.mixed = True
        model, organization = MODELS[pick % 3], self.pick([None, *self.model.organizations], pick)
        self.execute("select loci.use_embedding_model(%s, %s)", model, organization)

    @may(MACHINERY, lambda self: self.model.organizations)
    def back_to_the_default_model(self, pick: int) -> None:
        organization = self.pick(self.model.organizations, pick)
        self.execute("update loci.organizations set embedding_model = null where organization_id = %s", organization)

    @may(MACHINERY)
    def applications_clean_up_less(self, pick: int) -> None:
        value = ("0", "1", None)[pick % 3]
        self.execute("update loci.settings set value = %s where name = 'inline_rows'", value)

    @may(MACHINERY)
    def the_index_is_used_sooner(self, pick: int) -> None:
        value = ("0", "3", None)[pick % 3]
        self.execute("update loci.settings set value = %s where name = 'exact_scan_limit'", value)

    # --- looking ------------------------------------------------------------------------------------------------

    def question(self) -> Question:
        model, choose = self.model, self.random.choice
        filter = Filter()
        if self.random.random() < 0.4:
            filter.scopes = {
                choose([*model.organizations, *model.projects, *model.users, *self.dead]) for _ in range(3)
            }
        if self.random.random() < 0.3:
            known = [name for name, source in model.sources.items() if source.watched or source.frozen is not None]
            filter.sources = set(self.random.sample(known, min(len(known), self.random.randrange(3))))
        if self.random.random() < 0.4:
            filter.tag = choose(TAGS)
        if self.random.random() < 0.3:
            filter.since = max(0, model.clock - self.random.randrange(3))
        if self.random.random() < 0.3:
            filter.until = max(0, model.clock - self.random.randrange(3))
        rows = [
            (name, key)
            for name, source in model.sources.items()
            for key in source.searched()
            if "/" not in key or (name, key) in house.keys
        ]
        return Question(
            choose(["vector", "keyword", "vector", "keyword", "hybrid"]), choose([1, 3, 1000, 1000]), filter,
            choose(rows) if rows else ("documents", key_of("documents", 0)),
        )  # fmt: skip

    @invariant()
    def everybody_looks(self) -> None:
        try:
            self.look()
        except AssertionError as error:
            house.noticed.append(str(error))
            raise

    def look(self) -> None:
        house.steps += 1
        users: list[UUID | None] = [*sorted(self.model.users), None]
        questions = {user: self.question() for user in users}
        cursors: list[tuple[UUID | None, Any]] = []
        with ExitStack() as stack:
            stack.enter_context(house.app.transaction())
            stack.enter_context(house.app.pipeline())
            for user in users:
                run(house.app, "select loci.act_as(%s)", (user,))
                cursors.append((user, run(house.app, next(house.looking), self.parameters(questions[user]))))
                if house.caches and user is not None:
                    run(
                        house.app,
                        "select loci.cache_put('response', '{\"question\": 1}', to_jsonb(%s::text))",
                        (str(user),),
                    )
            stack.close()
        for user, cursor in cursors:
            self.check(user, questions[user], cursor.fetchall())
        if self.mapped is not None:
            question = self.question()
            self.check(
                self.mapped, question, run(house.mapped, next(house.looking), self.parameters(question)).fetchall()
            )

    def parameters(self, question: Question) -> dict[str, Any]:
        filter = question.filter
        return {
            "k": question.k,
            "mode": question.mode,
            "scopes": None if filter.scopes is None else sorted(filter.scopes),
            "sources": None if filter.sources is None else sorted(filter.sources),
            "metadata": None if filter.tag is None else json.dumps({filter.tag: True}),
            "since": None if filter.since is None else EPOCH + timedelta(hours=filter.since),
            "until": None if filter.until is None else EPOCH + timedelta(hours=filter.until),
            "source": question.seed[0],
            "key": house.keys.get(question.seed, question.seed[1]),
        }

    def check(self, user: UUID | None, question: Question, rows: list[dict[str, Any]]) -> None:
        """Compare what one user got with what the model says."""
        house.looks += 1
        answers = {row["what"]: row["answer"] for row in rows}
        model, who = self.model, f"{user} asks {question}"
        assert answers["user"] == (str(user) if user else None), who
        for what, expected in {
            "scopes": model.scopes_of(user),
            "principals": model.principals_of(user),
            "projects": model.projects_of(user),
        }.items():
            assert sorted(answers[what]) == sorted(map(str, expected)), f"{what}: {who}"
        for name in RELATIONS:
            if f"table:{name}" in answers:
                got = [tuple("" if part is None else str(part) for part in key) for key in answers[f"table:{name}"]]
                assert sorted(got) == sorted(model.relation(name, user) or ()), f"loci.{name}: {who}"
        for door in house.doors:
            if f"door:{door.name}" in answers:
                house.done[door.name] += 1
                self.check_door(door, user, question, answers[f"door:{door.name}"], who)
        assert answers.get("cache") in (None, str(user)), f"cache: {who}"
        if "memories" in answers:
            seen = {memory for memory, scope in self.memories.items() if scope in model.scopes_of(user)}
            assert set(answers["memories"]) <= seen, f"recall: {who}"

    def check_door(
        self, door: Door, user: UUID | None, question: Question, answer: list[list[Any]] | str, who: str
    ) -> None:
        must, may = door.expected(self.model, user, question)
        scopes = set(map(str, self.model.scopes_of(user)))
        if isinstance(answer, str):
            assert answer in door.errors and not must, f"{door.name}: {answer} instead of {must}: {who}"
            return
        got: list[Found] = []
        for source, key, content, title, metadata, scope, *ranks in answer:
            version = version_of(content)
            found = (source, "/".join(map(str, json.loads(key))) if key.startswith("[") else key, version)
            house.keys[found[:2]] = key
            said = (None, None) if source == "messages" else (f"title v{version}", version)
            assert (title, metadata) == said, f"{door.name}: texts are mixed up: {found}"
            assert scope in scopes, f"{door.name}: the scope of {found} is out of sight: {who}"
            assert None not in ranks or found not in must, f"{door.name}: {found} is in one arm only {ranks}: {who}"
            got.append(found)
        where = f"{door.name}: {who}\nclock {self.model.clock}\n{self.model.sources}"
        assert len({found[:2] for found in got}) == len(got), f"a row is found twice: {where}"
        assert not set(got) - may, f"LEAK {set(got) - may}: {where}"
        if door.k(question) >= len(may):
            assert not must - set(got), f"MISSING {must - set(got)}: {where}"
        else:
            assert min(door.k(question), len(must)) <= len(got) <= door.k(question), (
                f"{len(got)} rows of {must}: {where}"
            )

    def teardown(self) -> None:
        """Everything goes, and nothing is left of it."""
        if not hasattr(self, "model"):
            return
        self.map_to(None)
        self.execute("update loci.settings set value = null where name in ('inline_rows', 'exact_scan_limit')")
        for name in TABLES:
            self.execute(f"delete from {TABLES[name].relation}")
            if not self.model.sources[name].watched:
                house.watch(name)
        self.execute("delete from loci.organizations")
        self.execute("delete from loci.users where user_id <> %s", house.parked)
        self.execute("select loci.use_embedding_model('hash')")
        self.model = new_model()
        self.drain()
        assert house.db.rows("select * from loci_private.source_rows") == []
        assert house.db.rows("select * from loci_private.chunks") == []
        assert house.db.rows("select * from loci_private.scopes where scope_id <> %s", house.parked) == []


def version_of(content: str) -> int:
    found = re.fullmatch(rf"{WORD} v([0-9]+)", content)
    assert found is not None, f"not a text of any world: {content!r}"
    return int(found[1])


def live(house_: House, steps: int, number: int) -> None:
    """One world after the other, until there were so many steps."""
    global house
    house = house_
    while house.steps < steps:
        machine = use_seed(number)(type("World", (World,), {}))
        run_state_machine_as_test(
            machine,
            settings=settings(
                # Worlds end before their time, too: more are made until it is enough.
                max_examples=max(1, (steps - house.steps) // WORLD_STEPS),
                stateful_step_count=WORLD_STEPS,
                deadline=None,
                database=None,
                phases=(Phase.generate, Phase.shrink) if "LOCI_MODEL_SHRINK" in os.environ else (Phase.generate,),
                suppress_health_check=list(HealthCheck),
                report_multiple_bugs=False,
                print_blob=False,
            ),
        )
        number += 1


@pytest.mark.slow
@pytest.mark.timeout(max(600, STEPS))
def test_nobody_sees_a_row_more_or_less(db: Database) -> None:
    number = random.randrange(2**32) if SEED == "random" else int(SEED)
    with closing(House(db)) as lived_in:
        started = time.monotonic()
        print(f"\nLOCI_MODEL_SEED={number} LOCI_MODEL_STEPS={STEPS}")
        live(lived_in, STEPS, number)
        doors = ", ".join(door.name for door in lived_in.doors)
        seconds = time.monotonic() - started
        assert set(lived_in.done) >= {door.name for door in lived_in.doors}, "a door was never tried"
    print(f"{lived_in.steps} steps, {lived_in.looks} looks of a user in {seconds:.0f} s; doors: {doors}")


def replaced(text: str, by: str, source: str = "pg_get_functiondef({}::regproc)", *, name: str) -> str:
    """Statement that makes a function (or what source tells the definition of) again, with other words in one place."""
    definition = f"({source.format(repr(name))})"
    return f"""do $do$
    begin
        assert strpos({definition}, $old${text}$old$) > 0, 'there is no such text in {name}';
        execute replace({definition}, $old${text}$old$, $new${by}$new$);
    end $do$"""


# Faults that must be noticed: what is broken, how, and what is said then.
FAULTS = {
    "an audience is for everybody": (
        "create or replace function loci.is_visible(scope_id uuid, audience uuid[], scopes uuid[], principals uuid[]) "
        "returns boolean language sql immutable parallel safe return scope_id = any(scopes)",
        "LEAK|loci.documents",
    ),
    "private projects are open": (
        replaced("p.visibility = 'organization'", "p.visibility <> 'team'", name="loci_private.scopes_of"),
        "scopes",
    ),
    "marks hide nothing": (
        "create or replace view loci_private.hidden_rows as select 0::bigint as row_id where false; "
        + replaced("<> 'read committed'", "is not null", name="loci_private.place_rows"),
        "LEAK",
    ),
    "old metadata stay with new text": (
        replaced("metadata = excluded.metadata", "metadata = r.metadata", name="loci_private.store_row"),
        "texts are mixed up",
    ),
    "messages are everybody's": (
        "alter policy own on loci.messages using (true)",
        "loci.messages",
    ),
    "a policy is too wide": (
        "alter policy seen on loci.documents using (scope_id = any(loci.visible_scopes()))",
        "loci.documents",
    ),
    "words find less": (
        replaced(
            "where %s and x.chunk_id <> all",
            "where mod(length(x.content), 2) = 0 and %s and x.chunk_id <> all",
            name="loci_private.keyword_candidates",
        ),
        "one arm only|MISSING|rows of",
    ),
}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", FAULTS)
def test_the_model_notices(new_database: Callable[..., Database], fault: str) -> None:
    statement, said = FAULTS[fault]
    with closing(House(new_database())) as lived_in:
        lived_in.db.execute(statement)
        # The same steps are tried once more, and then what drains did in between may differ.
        with pytest.raises((AssertionError, Flaky)):
            live(lived_in, 600, 1)
    assert any(re.search(said, text) for text in lived_in.noticed)

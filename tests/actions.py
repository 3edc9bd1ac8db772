"""What tests of supervised actions have in common: an action that writes a row, and the logins of both sides."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, LiteralString, cast
from uuid import UUID

from psycopg.types.json import Jsonb

from tests.database import Connection, Database, People

SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "amount": {"type": "number"}},
    "required": ["title"],
    "additionalProperties": False,
}
_FUNCTIONS = """
create table public.orders (
    order_id int generated always as identity, title text not null, amount numeric, role text default current_user
);
create function public.place_order(arguments jsonb) returns jsonb language plpgsql as $$
declare
    v_order int;
begin
    insert into public.orders (title, amount) values (arguments ->> 'title', (arguments ->> 'amount')::numeric)
    returning order_id into v_order;
    if arguments ->> 'title' = 'break' then
        raise exception 'the shop is closed' using errcode = 'SHOP1', detail = 'until Monday', hint = 'come back';
    end if;
    return jsonb_build_object('order_id', v_order);
end $$;
"""


@dataclass
class Shop:
    """agent: the login that runs in the name of a model; desk: the one through which users decide."""

    db: Database
    people: People
    agent: str
    desk: str
    # Kept open: a session's first look at a schema takes half a second.
    sessions: dict[str, Connection] = field(default_factory=dict)

    @contextmanager
    def _acting(self, login: str, user: UUID | None) -> Iterator[Connection]:
        connection = self.sessions.get(login)
        if connection is None or connection.closed:
            connection = self.sessions[login] = self.db.connect(login)
        with connection.transaction():
            if user is not None:
                connection.execute("select loci.act_as(%s)", (user,))
            yield connection

    def register(
        self, name: str = "place_order", function: str = "public.place_order(jsonb)", **arguments: Any
    ) -> None:
        arguments = {"description": "Order something.", "parameters": SCHEMA, **arguments}
        values = [Jsonb(value) if isinstance(value, dict) else value for value in arguments.values()]
        given = "".join(f", {key} => %s" for key in arguments)
        self.db.execute(
            f"select loci.register_action(%s, function => %s::regprocedure{given})", name, function, *values
        )

    def action(self, name: str, body: str, returns: str = "jsonb") -> None:
        """An action of one's own, with any arguments."""
        self.db.execute(
            f"create or replace function public.{name}(arguments jsonb) returns {returns} language plpgsql as $$ {body} $$"
        )
        self.register(name, f"public.{name}(jsonb)", parameters={"type": "object"})

    @contextmanager
    def agent_for(self, user: UUID | None) -> Iterator[Connection]:
        with self._acting(self.agent, user) as connection:
            yield connection

    @contextmanager
    def desk_for(self, user: UUID | None) -> Iterator[Connection]:
        with self._acting(self.desk, user) as connection:
            yield connection

    def propose(
        self,
        user: UUID,
        arguments: Any = None,
        *,
        action: str = "place_order",
        conversation: UUID | None = None,
    ) -> UUID:
        with self.agent_for(user) as connection:
            row = connection.execute(
                "select loci.propose(%s, %s, %s) as id",
                (action, Jsonb({"title": "tea"} if arguments is None else arguments), conversation),
            ).fetchone()
        assert row is not None
        return cast(UUID, row["id"])

    def confirm(self, user: UUID, proposal: UUID) -> dict[str, Any]:
        with self.desk_for(user) as connection:
            row = connection.execute("select * from loci.confirm(%s)", (proposal,)).fetchone()
        assert row is not None
        return row

    def reject(self, user: UUID, proposal: UUID, reason: str | None = None) -> bool:
        with self.desk_for(user) as connection:
            row = connection.execute("select loci.reject(%s, %s) as done", (proposal, reason)).fetchone()
        assert row is not None
        return cast(bool, row["done"])

    def proposal(self, proposal: UUID) -> dict[str, Any]:
        (row,) = self.db.rows("select * from loci.proposals where proposal_id = %s", proposal)
        return row

    def orders(self, title: str) -> int:
        return cast(int, self.db.value("select count(*) from public.orders where title = %s", title))

    def conversation(self, user: UUID) -> UUID:
        with self.agent_for(user) as connection:
            row = connection.execute(
                "insert into loci.conversations default values returning conversation_id as id"
            ).fetchone()
        assert row is not None
        return cast(UUID, row["id"])

    def call(self, user: UUID, sql: str, *parameters: Any) -> Any:
        """A private function of Loci, with its owner's rights and in the name of a user; the login is the agent's."""
        self.db.execute(
            "create or replace function public.as_loci(statement text) returns jsonb language plpgsql security definer "
            "set search_path = pg_catalog, pg_temp as $$ declare answer jsonb; begin execute statement into answer; "
            "return answer; end $$"
        )
        self.db.execute("alter function public.as_loci(text) owner to loci_owner")
        with self.agent_for(user) as connection:
            statement = connection.execute(
                cast(LiteralString, "select format(" + ", ".join(["%s::text"] * (len(parameters) + 1)) + ") as sql"),
                (sql, *parameters),
            ).fetchone()
            assert statement is not None
            row = connection.execute("select public.as_loci(%s) as answer", (statement["sql"],)).fetchone()
        assert row is not None
        return row["answer"]


@contextmanager
def open_shop(db: Database) -> Iterator[Shop]:
    if not db.rows("select where to_regclass('public.orders') is not null"):
        db.execute(_FUNCTIONS)
    agent = db.login_role("agent", "loci_app", "loci_proposer")
    desk = db.login_role("desk", "loci_app", "loci_approver")
    db.execute(f'grant select, insert on public.orders to "{desk}"')
    shop = Shop(db, db.people(), agent, desk)
    shop.register()
    try:
        yield shop
    finally:
        for connection in shop.sessions.values():
            connection.close()

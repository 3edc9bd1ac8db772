"""Whoever runs in the name of a model proposes and never decides; what runs is what was reviewed, as who confirmed it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.actions import Shop, open_shop
from tests.database import Connection, Database
from tests.security.world import refused, run

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def shop(db: Database) -> Iterator[Shop]:
    with open_shop(db) as shop:
        yield shop


@pytest.fixture
def ada(shop: Shop) -> UUID:
    return shop.people.ada


def unused(kind: str) -> str:
    return f"{kind}_{next(_numbers)}"


def attempt(connection: Connection, sql: str, *codes: str) -> None:
    """A statement that is refused, in a transaction that goes on."""
    with refused(*codes), connection.transaction():
        run(connection, sql)


# --- the role that proposes -------------------------------------------------------------------------------------------


def test_the_role_that_proposes_cannot_decide(shop: Shop, ada: UUID) -> None:
    proposal = shop.propose(ada, {"title": "self"})
    with shop.agent_for(ada) as connection:
        for call in (
            "confirm('{}')",
            "reject('{}')",
            "confirm_step('{}', null)",
            "confirm_step('{}', '{{\"result\": 1}}')",
        ):
            attempt(connection, f"select loci.{call.format(proposal)}", "42501")
    assert shop.orders("self") == 0
    assert shop.proposal(proposal)["status"] == "proposed"


def test_the_role_that_decides_cannot_propose(shop: Shop, ada: UUID) -> None:
    with shop.desk_for(ada) as connection:
        attempt(connection, "select loci.propose('place_order', '{\"title\": \"x\"}')", "42501")


@pytest.mark.parametrize("role", ["loci_app", "loci_admin", "loci_worker", "loci_monitor"])
def test_no_other_role_does_either(shop: Shop, role: str) -> None:
    proposal = shop.propose(shop.people.ada, {"title": "other roles"})
    login = shop.db.login_role(f"plain_{role}", role)
    with shop.db.connect(login) as connection:
        for call in (
            f"confirm('{proposal}')",
            f"reject('{proposal}')",
            f"confirm_step('{proposal}', null)",
            "propose('x', '{}')",
        ):
            with refused("42501"):
                run(connection, f"select loci.{call}")


@pytest.mark.parametrize("chain", ["direct", "through another role"])
def test_a_login_with_both_roles_decides_nothing(shop: Shop, ada: UUID, chain: str) -> None:
    proposal = shop.propose(ada, {"title": "both"})
    if chain == "direct":
        login = shop.db.login_role(unused("both"), "loci_app", "loci_proposer", "loci_approver")
    else:
        middle = shop.db.login_role(unused("middle"), "loci_proposer")
        login = shop.db.login_role(unused("both"), "loci_app", "loci_approver", f'"{middle}"')
    with shop.db.acting(ada, login) as connection:
        for call in ("confirm", "reject"):
            attempt(connection, f"select loci.{call}('{proposal}')", "LC743")
        # The role of the moment is not who is there.
        connection.execute("set local role loci_approver")
        for call in ("confirm", "reject"):
            attempt(connection, f"select loci.{call}('{proposal}')", "LC743")
    assert shop.proposal(proposal)["status"] == "proposed"


def test_a_superuser_runs_nothing_by_confirming(shop: Shop, ada: UUID) -> None:
    """What a model made up would run with a superuser's rights."""
    proposal = shop.propose(ada, {"title": "superuser"})
    with shop.db.connect() as connection, connection.transaction():
        connection.execute("select loci.act_as(%s)", (ada,))
        attempt(connection, f"select loci.confirm('{proposal}')", "LC743")


def test_a_login_that_is_a_user_keeps_the_sides_apart(shop: Shop) -> None:
    """Whoever logs in as the user herself decides only over a login that no model runs in."""
    users = {side: shop.db.user(f"{unused(side)}@example.org") for side in ("agent", "desk")}
    logins = {
        "agent": shop.db.login_role(unused("her_agent"), "loci_app", "loci_proposer"),
        "desk": shop.db.login_role(unused("her_desk"), "loci_app", "loci_approver"),
    }
    shop.db.execute(f'grant insert, select on public.orders to "{logins["desk"]}"')
    for side, login in logins.items():
        shop.db.execute("update loci.users set db_role = %s where user_id = %s", login, users[side])
    with shop.db.connect(logins["agent"]) as connection:
        (row,) = run(connection, "select loci.propose('place_order', '{\"title\": \"mine\"}') as id").fetchall()
        with refused("42501"):
            run(connection, f"select loci.confirm('{row['id']}')")
    proposal = shop.propose(users["desk"], {"title": "mine"})
    with shop.db.connect(logins["desk"]) as connection:
        with refused("LC740"):
            run(connection, f"select loci.confirm('{row['id']}')")
        with refused("LC102"):
            run(connection, f"select loci.act_as('{users['agent']}')")
        assert run(connection, f"select status from loci.confirm('{proposal}')").fetchall() == [{"status": "confirmed"}]


def test_set_role_and_sessions_lead_nowhere(shop: Shop, ada: UUID) -> None:
    proposal = shop.propose(ada, {"title": "roles"})
    with shop.agent_for(ada) as connection:
        for sql in (
            f'set local role "{shop.desk}"', "set local role loci_approver", f'set session authorization "{shop.desk}"',
            f'grant loci_approver to "{shop.agent}"', "alter function loci.confirm(uuid) security definer",
            "grant execute on function loci.confirm(uuid) to public",
        ):  # fmt: skip
            attempt(connection, sql, "42501")
        for setting in ("loci.identity", "role", "session_authorization"):
            attempt(
                connection, f"select set_config('{setting}', '{shop.desk}', true), loci.confirm('{proposal}')", "42501"
            )
    assert shop.proposal(proposal)["status"] == "proposed"


def test_a_function_of_an_approver_is_no_bridge(shop: Shop, ada: UUID) -> None:
    """It runs with the approver's rights, whoever calls it; who is connected still counts."""
    proposal = shop.propose(ada, {"title": "bridge"})
    shop.db.execute(
        "create or replace function public.bridge(id uuid) returns text language plpgsql security definer as "
        "$$ declare answer text; begin select status into answer from loci.confirm(id); return answer; end $$"
    )
    shop.db.execute(f'alter function public.bridge(uuid) owner to "{shop.desk}"')
    with shop.agent_for(ada) as connection:
        attempt(connection, f"select public.bridge('{proposal}')", "LC743")
    assert shop.orders("bridge") == 0


# --- whose it is ------------------------------------------------------------------------------------------------------


def test_a_proposal_of_another_is_none(shop: Shop, ada: UUID) -> None:
    proposal = shop.propose(ada, {"title": "hers"})
    unknown = uuid4()
    for user in (shop.people.bob, shop.people.eve, None):
        with shop.desk_for(user) as connection:
            assert run(connection, "select from loci.proposals where proposal_id = %s", (proposal,)).fetchall() == []
            for call in ("confirm", "reject"):
                messages = []
                for some in (proposal, unknown):
                    with pytest.raises(psycopg.Error) as caught, connection.transaction():
                        run(connection, f"select loci.{call}('{some}')")
                    assert caught.value.sqlstate == "LC740"
                    messages.append(str(caught.value.diag.message_primary).replace(str(some), ""))
                # One answer for what does not exist and what is another's.
                assert messages[0] == messages[1]
    assert shop.proposal(proposal)["status"] == "proposed"


def test_nothing_is_written_by_hand(shop: Shop, ada: UUID) -> None:
    proposal = shop.propose(ada, {"title": "by hand"})
    for login in (shop.agent, shop.desk):
        with shop.db.acting(ada, login) as connection:
            for sql in (
                "update loci.proposals set status = 'confirmed'", "delete from loci.proposals",
                "insert into loci.proposals (action) values ('x')", "select * from loci_private.proposals",
                "update loci_private.proposals set user_id = null", "select loci_private.propose_calls(null, null, '[]')",
                "insert into loci_private.action_events (event) values ('x')", "select loci_private.in_confirm(null)",
            ):  # fmt: skip
                attempt(connection, sql, "42501", "55000", "0A000")
    assert shop.proposal(proposal)["status"] == "proposed"


def test_the_bookkeeping_is_not_done_by_hand(shop: Shop, ada: UUID) -> None:
    """Else a proposal could be on record as done, with a result that somebody made up."""
    proposal = shop.propose(ada, {"title": "made up"})
    with shop.desk_for(ada) as connection:
        for outcome in ("null", '\'{"result": "all done"}\'', "'{\"error\": {}}'"):
            attempt(connection, f"select loci.confirm_step('{proposal}', {outcome})", "LC745")
        # Nor after the real thing has been there.
        attempt(connection, f"select loci.confirm('{uuid4()}')", "LC740")
        attempt(connection, f"select loci.confirm_step('{proposal}', '{{\"result\": 1}}')", "LC745")
    assert shop.proposal(proposal)["status"] == "proposed"


# --- an action that does more than it should --------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["loci.confirm(%L)", "loci.reject(%L)", "loci.confirm_step(%L, '{\"result\": 1}')"])
def test_an_action_decides_nothing(shop: Shop, ada: UUID, call: str) -> None:
    victim = shop.propose(ada, {"title": "nested"})
    name = unused("nesting")
    shop.action(name, f"begin execute format($q$select {call}$q$, arguments ->> 'id'); return 'true'; end")
    proposal = shop.propose(ada, {"id": str(victim)}, action=name)
    failed = shop.confirm(ada, proposal)
    assert failed["status"] == "failed"
    assert failed["error"]["sqlstate"] in ("LC744", "LC745")
    assert shop.proposal(victim)["status"] == "proposed"
    # And it is over when the action is.
    assert shop.confirm(ada, victim)["status"] == "confirmed"


def test_an_action_does_not_confirm_itself(shop: Shop, ada: UUID) -> None:
    name = unused("itself")
    shop.action(
        name,
        'begin perform loci.confirm_step(p.proposal_id, \'{"result": "forged"}\') from loci.proposals as p '
        f"where p.action = '{name}'; return 'true'; end",
    )
    assert shop.confirm(ada, shop.propose(ada, {}, action=name))["error"]["sqlstate"] == "LC745"


def test_an_action_that_catches_the_refusal_gains_nothing(shop: Shop, ada: UUID) -> None:
    victim = shop.propose(ada, {"title": "caught"})
    name = unused("catching")
    shop.action(
        name,
        "begin begin perform loci.confirm((arguments ->> 'id')::uuid); exception when others then null; end; return 'true'; end",
    )
    assert shop.confirm(ada, shop.propose(ada, {"id": str(victim)}, action=name))["status"] == "confirmed"
    assert shop.orders("caught") == 0
    assert shop.proposal(victim)["status"] == "proposed"


def test_an_action_that_waits_for_the_commit_decides_nothing(shop: Shop, ada: UUID) -> None:
    """Deferred triggers run while it is still known that an action is running."""
    victim = shop.propose(ada, {"title": "deferred"})
    shop.db.execute(
        """
        create table if not exists public.later (id uuid);
        grant insert, select on public.later to public;
        create or replace function public.act_later() returns trigger language plpgsql as
        $$ begin perform loci.confirm(new.id); return null; end $$;
        drop trigger if exists act on public.later;
        create constraint trigger act after insert on public.later deferrable initially deferred
        for each row execute function public.act_later();
        """
    )
    name = unused("deferring")
    shop.action(name, "begin insert into public.later values ((arguments ->> 'id')::uuid); return 'true'; end")
    failed = shop.confirm(ada, shop.propose(ada, {"id": str(victim)}, action=name))
    assert (failed["status"], failed["error"]["sqlstate"]) == ("failed", "LC744")
    assert shop.orders("deferred") == 0


def test_an_action_proposes_nothing(shop: Shop, ada: UUID) -> None:
    """Not even through a function that may."""
    shop.db.execute(
        "create or replace function public.propose_for() returns uuid language plpgsql security definer as "
        "$$ begin return loci.propose('place_order', '{\"title\": \"chain\"}'); end $$"
    )
    shop.db.execute(f'alter function public.propose_for() owner to "{shop.agent}"')
    name = unused("proposing")
    shop.action(name, "begin return to_jsonb(public.propose_for()); end")
    failed = shop.confirm(ada, shop.propose(ada, {}, action=name))
    assert (failed["status"], failed["error"]["sqlstate"]) == ("failed", "LC744")


def test_an_action_changes_neither_user_nor_role(shop: Shop, ada: UUID) -> None:
    shop.db.execute(f'grant loci_monitor to "{shop.desk}"')
    for body, code in (
        ("set local role loci_monitor", "LC746"),
        ("set role loci_monitor", "LC746"),
        (f"perform loci.act_as('{shop.people.eve}')", "LC740"),
        ("perform loci.act_as(null)", "LC740"),
    ):
        name = unused("changing")
        shop.action(name, f"begin insert into public.orders (title) values ('{name}'); {body}; return 'true'; end")
        proposal = shop.propose(ada, {}, action=name)
        with shop.desk_for(ada) as connection:
            (failed,) = run(connection, "select * from loci.confirm(%s)", (proposal,)).fetchall()
            assert (failed["status"], failed["error"]["sqlstate"]) == ("failed", code), body
            (who,) = run(connection, "select loci.current_user_id() as id, current_user::text as role").fetchall()
            assert who == {"id": ada, "role": shop.desk}
        assert shop.orders(name) == 0


def test_an_action_has_no_more_rights_than_the_caller(shop: Shop, ada: UUID) -> None:
    shop.db.execute("create table if not exists public.vault (secret text)")
    shop.db.execute("revoke all on public.vault from public")
    for body in ("select secret from public.vault", "select key::text from loci_private.session_key"):
        name = unused("greedy")
        shop.action(name, f"begin return to_jsonb(({body})); end")
        failed = shop.confirm(ada, shop.propose(ada, {}, action=name))
        assert (failed["status"], failed["error"]["sqlstate"]) == ("failed", "42501")
    name = unused("closed")
    shop.action(name, "begin return 'true'; end")
    shop.db.execute(f"revoke execute on function public.{name}(jsonb) from public")
    failed = shop.confirm(ada, shop.propose(ada, {}, action=name))
    assert (failed["status"], failed["error"]["sqlstate"]) == ("failed", "42501")


def test_it_runs_as_the_role_that_was_set(shop: Shop, ada: UUID) -> None:
    """SET ROLE to something smaller before confirming counts."""
    smaller = shop.db.login_role(unused("smaller"), "loci_app", "loci_approver")
    shop.db.execute(f'grant "{smaller}" to "{shop.desk}"')
    proposal = shop.propose(ada, {"title": "smaller"})
    with shop.desk_for(ada) as connection:
        run(connection, f'set local role "{smaller}"')
        (failed,) = run(connection, "select * from loci.confirm(%s)", (proposal,)).fetchall()
    assert failed["error"]["sqlstate"] == "42501"


# --- text and names ---------------------------------------------------------------------------------------------------

SQL = "x'); select loci.confirm(p.proposal_id) from loci.proposals p; drop table public.orders; --"


def test_text_of_a_model_is_never_sql(shop: Shop, ada: UUID) -> None:
    victim = shop.propose(ada, {"title": "innocent"})
    proposal = shop.propose(ada, {"title": SQL})
    assert shop.confirm(ada, proposal)["status"] == "confirmed"
    assert shop.orders(SQL) == 1
    for name in (SQL, "place_order; select loci.confirm()", 'public."place_order"', "loci.confirm", "confirm"):
        with refused("LC733"):
            shop.propose(ada, action=name)
    assert shop.proposal(victim)["status"] == "proposed"


def test_names_that_need_quotes_are_called_as_they_are(shop: Shop, ada: UUID) -> None:
    shop.db.execute('create schema if not exists "o""dd; --"')
    shop.db.execute('grant usage on schema "o""dd; --" to public')
    shop.db.execute(
        'create or replace function "o""dd; --"."f(jsonb); select 1"(a jsonb) returns jsonb language sql as $$select a$$'
    )
    shop.register("odd", '"o""dd; --"."f(jsonb); select 1"(jsonb)')
    assert shop.confirm(ada, shop.propose(ada, action="odd"))["result"] == {"title": "tea"}


def test_objects_of_the_session_shadow_nothing(shop: Shop, ada: UUID) -> None:
    proposal = shop.propose(ada, {"title": "shadowed"})
    with shop.db.acting(ada, shop.desk) as connection:
        for sql in (
            "create function pg_temp.place_order(jsonb) returns jsonb language sql as $$select '\"shadow\"'::jsonb$$",
            "create function pg_temp.to_jsonb(jsonb) returns jsonb language sql as $$select '\"shadow\"'::jsonb$$",
            "create function pg_temp.confirm_step(uuid, jsonb) returns jsonb language sql as "
            '$$select \'{"status": "confirmed", "result": null, "error": null}\'::jsonb$$',
            "create temporary table orders (title text, amount numeric, order_id int)",
            "create temporary table proposals (proposal_id uuid)",
            "create type pg_temp.uuid as (x text)",
            "set local search_path = pg_temp, public, pg_catalog",
        ):
            run(connection, sql)
        (done,) = run(connection, "select * from loci.confirm(%s)", (proposal,)).fetchall()
    assert done["status"] == "confirmed"
    assert shop.orders("shadowed") == 1


def test_the_callers_search_path_is_not_the_actions(shop: Shop, ada: UUID) -> None:
    shop.action("asking", "begin return to_jsonb(current_setting('search_path')); end")
    proposal = shop.propose(ada, {}, action="asking")
    with shop.desk_for(ada) as connection:
        run(connection, "set local search_path = evil, public")
        (done,) = run(connection, "select * from loci.confirm(%s)", (proposal,)).fetchall()
        assert done["result"] == "pg_catalog, pg_temp"
        assert run(connection, "show search_path").fetchall() == [{"search_path": "evil, public"}]


# --- what changes between proposing and confirming --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("select loci.enable_action('{name}', false)", "LC733"),
        ("select loci.unregister_action('{name}')", "LC733"),
        ("drop function public.{name}(jsonb)", "LC734"),
        ("drop function public.{name}(jsonb); {create}", "LC734"),
        ("{replace}", "LC734"),
        ("alter function public.{name}(jsonb) security definer", "LC734"),
        ("alter function public.{name}(jsonb) set search_path = public", "LC734"),
        ("alter function public.{name}(jsonb) rename to {name}_old; {create}", "LC734"),
        ("alter function public.{name}(jsonb) owner to loci_monitor", "LC734"),
        # Registered again: other words for the same function would do, another function does not.
        ("{replace}; {register}", "LC734"),
    ],
)
def test_what_was_registered_is_what_runs(shop: Shop, ada: UUID, change: str, code: str) -> None:
    name = unused("moving")
    shop.action(name, f"begin insert into public.orders (title) values ('{name}'); return 'true'; end")
    proposal = shop.propose(ada, {}, action=name)
    body = f"begin insert into public.orders (title) values ('{name}'); return 'true'; end"
    create = f"create function public.{name}(arguments jsonb) returns jsonb language plpgsql as $$ {body} $$"
    replace = create.replace("create function", "create or replace function").replace("'true'", "'false'")
    register = f"select loci.register_action('{name}', 'x', '{{\"type\": \"object\"}}', 'public.{name}(jsonb)')"
    shop.db.execute(change.format(name=name, create=create, replace=replace, register=register))
    answer = shop.confirm(ada, proposal)
    assert (answer["status"], answer["ran"], answer["error"]["sqlstate"]) == ("refused", False, code)
    assert shop.orders(name) == 0
    if code == "LC734" and "{register}" not in change:
        with refused("LC734"):
            shop.propose(ada, {}, action=name)


def test_an_action_that_is_replaced_while_it_runs_is_undone(shop: Shop, ada: UUID) -> None:
    name = unused("changing")
    shop.action(
        name,
        f"begin insert into public.orders (title) values ('{name}'); perform public.replace_it(); return 'true'; end",
    )
    shop.db.execute(
        "create or replace function public.replace_it() returns void language plpgsql security definer as "
        f"$f$ begin alter function public.{name}(jsonb) cost 7; end $f$"
    )
    failed = shop.confirm(ada, shop.propose(ada, {}, action=name))
    assert (failed["status"], failed["error"]["sqlstate"]) == ("failed", "LC734")
    assert shop.orders(name) == 0


def test_the_model_is_told_nothing_of_others(shop: Shop, ada: UUID) -> None:
    conversation = shop.conversation(ada)
    shop.propose(ada, {"title": "secret plan"}, conversation=conversation)
    for user in (shop.people.bob, shop.people.eve):
        assert (
            shop.call(
                user, "select coalesce(jsonb_agg(r), '[]') from loci_private.action_results(%L) as r", conversation
            )
            == []
        )
        assert shop.call(user, "select coalesce(jsonb_agg(p), '[]') from loci.proposals as p") == []


def test_arguments_do_not_reach_messages_of_errors(shop: Shop, ada: UUID) -> None:
    proposal = shop.propose(ada, {"title": "the secret recipe"})
    shop.reject(ada, proposal)
    for user in (ada, shop.people.bob):
        with pytest.raises(psycopg.Error) as caught, shop.desk_for(user) as connection:
            run(connection, "select loci.confirm(%s)", (proposal,))
        assert "recipe" not in str(caught.value)


@pytest.mark.parametrize(
    "schema",
    [
        '{"type": "object", "$ref": "#"}',
        '{"type": "object", "x": ' + "[" * 3000 + "]" * 3000 + "}",
        '{"$ref": "http://x/"}',
    ],
)
def test_a_schema_without_an_end_is_refused(shop: Shop, schema: str) -> None:
    with refused("LC512", "LC732"):
        run(shop.db.admin, "select loci.register_action('deep', 'x', %s, 'public.place_order(jsonb)')", (schema,))

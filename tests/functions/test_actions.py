"""Actions from registration to result: what is proposed, shown, run, told, and kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg.types.json import Jsonb

from tests.actions import SCHEMA, Shop, open_shop
from tests.database import Database
from tests.security.world import refused


@pytest.fixture(scope="module")
def shop(db: Database) -> Iterator[Shop]:
    with open_shop(db) as shop:
        yield shop


@pytest.fixture
def ada(shop: Shop) -> UUID:
    return shop.people.ada


def turn(shop: Shop, user: UUID, conversation: UUID) -> UUID:
    return shop.db.value(  # type: ignore[no-any-return]
        "insert into loci_private.turns (conversation_id, user_id, status, passages, begun_at) "
        "values (%s, %s, 'complete', '[]', loci_private.now()) returning turn_id",
        conversation,
        user,
    )


def propose_calls(shop: Shop, user: UUID, turn_id: UUID, conversation: UUID, calls: Any) -> list[dict[str, Any]]:
    """What the end of a turn does with a model's reply; the proposals that come of it."""
    shop.call(
        user, "select to_jsonb(loci_private.propose_calls(%L, %L, %L)::text)", turn_id, conversation, json.dumps(calls)
    )
    answer = shop.call(user, "select loci_private.turn_proposals(%L)", turn_id)
    assert isinstance(answer, list)
    return answer


def results(shop: Shop, user: UUID, conversation: UUID) -> list[str]:
    answer = shop.call(
        user, "select coalesce(jsonb_agg(r), '[]') from loci_private.action_results(%L) as r", conversation
    )
    assert isinstance(answer, list)
    return answer


# --- from proposal to result ------------------------------------------------------------------------------------------


def test_nothing_happens_until_it_is_confirmed(shop: Shop, ada: UUID) -> None:
    proposal = shop.propose(ada, {"title": "first", "amount": 2})
    assert shop.orders("first") == 0
    with shop.desk_for(ada) as connection:
        (row,) = connection.execute("select * from loci.proposals where proposal_id = %s", (proposal,)).fetchall()
    assert (row["status"], row["action"], row["arguments"]) == (
        "proposed", "place_order", {"title": "first", "amount": 2},
    )  # fmt: skip
    assert row["summary"].splitlines() == ["place_order: Order something.", '  title: "first"', "  amount: 2"]
    assert (row["proposed_by"], row["decided_by"], row["removed"]) == (shop.agent, None, 0)
    done = shop.confirm(ada, proposal)
    assert (done["status"], done["ran"], done["error"]) == ("confirmed", True, None)
    assert set(done["result"]) == {"order_id"}
    assert shop.orders("first") == 1
    assert shop.db.value("select role from public.orders where title = 'first'") == shop.desk


def test_again_is_the_same_answer_and_no_second_run(shop: Shop, ada: UUID) -> None:
    proposal = shop.propose(ada, {"title": "once"})
    first = shop.confirm(ada, proposal)
    again = shop.confirm(ada, proposal)
    assert again == {**first, "ran": False}
    assert shop.orders("once") == 1


def test_it_is_one_with_the_callers_transaction(shop: Shop, ada: UUID) -> None:
    proposal = shop.propose(ada, {"title": "undone"})
    with pytest.raises(ZeroDivisionError), shop.desk_for(ada) as connection:
        connection.execute("select loci.confirm(%s)", (proposal,))
        raise ZeroDivisionError
    assert shop.orders("undone") == 0
    assert shop.proposal(proposal)["status"] == "proposed"
    assert shop.confirm(ada, proposal)["ran"]
    assert shop.orders("undone") == 1


def test_a_failure_undoes_the_action_and_is_kept(shop: Shop, ada: UUID) -> None:
    proposal = shop.propose(ada, {"title": "break"})
    failed = shop.confirm(ada, proposal)
    assert failed["status"] == "failed"
    assert failed["error"] == {
        "sqlstate": "SHOP1", "message": "the shop is closed", "detail": "until Monday", "hint": "come back",
    }  # fmt: skip
    assert shop.orders("break") == 0
    assert shop.confirm(ada, proposal) == {**failed, "ran": False}
    assert shop.proposal(proposal)["reason"] == "the shop is closed: until Monday"


def test_what_was_put_off_until_commit_belongs_to_the_action(shop: Shop, ada: UUID) -> None:
    shop.db.execute("create table if not exists public.once (n int unique deferrable initially deferred)")
    shop.db.execute("grant select, insert on public.once to public")
    shop.action("twice", "begin insert into public.once values (1), (1); return null; end")
    failed = shop.confirm(ada, shop.propose(ada, {}, action="twice"))
    assert (failed["status"], failed["error"]["sqlstate"]) == ("failed", "23505")


def test_who_is_in_the_way_is_no_failure_of_the_action(shop: Shop, ada: UUID) -> None:
    """A lock, a cancel: nothing has happened, and it can be confirmed once more."""
    proposal = shop.propose(ada, {"title": "waiting"})
    with shop.db.connect() as other:
        other.execute("begin")
        other.execute("lock table public.orders in access exclusive mode")
        for name in ("lock_timeout", "statement_timeout"):
            with refused("55P03", "57014"), shop.desk_for(ada) as connection:
                connection.execute(f"set local {name} = '200ms'")  # type: ignore[arg-type]
                connection.execute("select loci.confirm(%s)", (proposal,))
        other.execute("rollback")
    assert shop.confirm(ada, proposal)["status"] == "confirmed"


@pytest.mark.parametrize(
    ("body", "returns", "result"),
    [
        ("begin return null; end", "jsonb", None),
        ("begin end", "void", None),
        ("begin return 12345678901234567890.10; end", "numeric", None),
        ("begin return 'said'; end", "text", "said"),
        ("begin return array[1, 2]; end", "int[]", [1, 2]),
    ],
)
def test_results_of_any_type(shop: Shop, ada: UUID, body: str, returns: str, result: Any) -> None:
    name = f"returns_{returns.strip('[]')}"
    shop.action(name, body, returns)
    proposal = shop.propose(ada, {}, action=name)
    done = shop.confirm(ada, proposal)
    assert done["status"] == "confirmed"
    if returns == "numeric":
        kept = shop.db.value("select result::text from loci.proposals where proposal_id = %s", proposal)
        assert kept == "12345678901234567890.10"
    else:
        assert done["result"] == result


def test_a_result_that_is_too_long_undoes_the_action(shop: Shop, ada: UUID) -> None:
    shop.action(
        "chatty",
        "begin insert into public.orders (title) values ('chatty'); return to_jsonb(repeat('x', 70000)); end",
    )
    failed = shop.confirm(ada, shop.propose(ada, {}, action="chatty"))
    assert (failed["status"], failed["error"]["sqlstate"]) == ("failed", "LC747")
    assert shop.orders("chatty") == 0


def test_rejected_is_never_run(shop: Shop, ada: UUID) -> None:
    proposal = shop.propose(ada, {"title": "no"})
    assert shop.reject(ada, proposal, "too dear\u202e")
    assert not shop.reject(ada, proposal, "again")
    with refused("LC742"):
        shop.confirm(ada, proposal)
    row = shop.proposal(proposal)
    assert (row["status"], row["reason"], row["decided_by"]) == ("rejected", "too dear", shop.desk)
    assert shop.orders("no") == 0
    done = shop.propose(ada, {"title": "yes"})
    shop.confirm(ada, done)
    with refused("LC742"):
        shop.reject(ada, done)


def test_expired_is_never_run(shop: Shop, ada: UUID) -> None:
    shop.register("brief", expires_seconds=60)
    proposal, longer = shop.propose(ada, {"title": "late"}, action="brief"), shop.propose(ada, {"title": "in time"})
    shop.db.set_clock(shop.db.value("select clock_timestamp() + interval '2 minutes'").isoformat())
    try:
        assert shop.proposal(proposal)["status"] == "expired"
        with refused("LC741"):
            shop.confirm(ada, proposal)
        assert shop.confirm(ada, longer)["status"] == "confirmed"
    finally:
        shop.db.set_clock(None)
    assert shop.orders("late") == 0


# --- arguments --------------------------------------------------------------------------------------------------------


def test_what_is_run_is_what_was_shown(shop: Shop, ada: UUID) -> None:
    shop.action("echo", "begin return arguments; end")
    sent = {"to": "b\u202eob\u200b", "n\u2060ote": "a\r\nb\u0007", "deep": [{"x": "\U000e0041"}]}
    proposal = shop.propose(ada, sent, action="echo")
    shown = shop.proposal(proposal)
    assert shown["arguments"] == {"to": "bob", "note": "a\nb", "deep": [{"x": ""}]}
    assert shown["removed"] == 5
    assert shown["summary"].splitlines()[1:] == ['  to: "bob"', '  deep: [{"x": ""}]', '  note: "a\\nb"']
    assert shop.confirm(ada, proposal)["result"] == shown["arguments"]


def test_numbers_are_run_with_every_digit(shop: Shop, ada: UUID) -> None:
    with shop.agent_for(ada) as connection:
        row = connection.execute(
            """select loci.propose('place_order', '{"title": "exact", "amount": 0.10000000000000000000001}') as id"""
        ).fetchone()
    assert row is not None
    shop.confirm(ada, row["id"])
    assert str(shop.db.value("select amount from public.orders where title = 'exact'")) == "0.10000000000000000000001"


@pytest.mark.parametrize(
    "arguments",
    [{}, {"title": 1}, {"title": "x", "colour": "red"}, [], "title", {"title": "x", "t\u200bitle": "y"}],
)
def test_arguments_have_to_fit(shop: Shop, ada: UUID, arguments: Any) -> None:
    with refused("LC735"):
        shop.propose(ada, arguments)


def test_arguments_have_to_be_there_and_short(shop: Shop, ada: UUID) -> None:
    with refused("LC735"), shop.agent_for(ada) as connection:
        connection.execute("select loci.propose('place_order', null)")
    with refused("LC736"):
        shop.propose(ada, {"title": "x" * 20_000})


def test_they_have_to_fit_when_they_are_confirmed_too(shop: Shop, ada: UUID) -> None:
    shop.register("strict")
    proposal = shop.propose(ada, {"title": "strict"}, action="strict")
    shop.register("strict", parameters={**SCHEMA, "required": ["title", "amount"]})
    answer = shop.confirm(ada, proposal)
    assert (answer["status"], answer["error"]["sqlstate"], answer["ran"]) == ("refused", "LC735", False)
    assert shop.confirm(ada, proposal) == answer
    assert shop.orders("strict") == 0


def test_patterns_are_the_servers(shop: Shop, ada: UUID) -> None:
    shop.register("coded", parameters={"type": "object", "properties": {"title": {"pattern": "^[A-Z]{2}\\d+$"}}})
    shop.propose(ada, {"title": "AB12"}, action="coded")
    with refused("LC735"):
        shop.propose(ada, {"title": "ab12"}, action="coded")
    with refused("LC512"):
        shop.register("broken", parameters={"type": "object", "properties": {"title": {"pattern": "("}}})
        shop.propose(ada, {"title": "x"}, action="broken")


# --- registering ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"name": "no spaces"}, "LC730"),
        ({"name": ""}, "LC730"),
        ({"description": " \u200b "}, "LC730"),
        ({"expires_seconds": 0}, "LC730"),
        ({"parameters": {"type": "array"}}, "LC732"),
        ({"parameters": {"type": "nothing"}}, "LC512"),
        ({"parameters": None}, "LC732"),
        ({"function": "pg_catalog.jsonb_pretty(jsonb)"}, "LC731"),
        ({"function": "loci.proposal_status(text, timestamptz)"}, "LC731"),
        ({"function": "pg_catalog.jsonb_array_elements(jsonb)"}, "LC731"),
        ({"function": "public.two(jsonb, jsonb)"}, "LC731"),
        ({"function": "public.many(jsonb)"}, "LC731"),
        ({"function": "public.variable(jsonb[])"}, "LC731"),
        ({"function": "public.elevated(jsonb)"}, "LC731"),
        ({"organizations": [str(uuid4())]}, "LC749"),
        ({"member_roles": ["boss"]}, "LC749"),
    ],
)
def test_what_cannot_be_an_action(shop: Shop, arguments: dict[str, Any], code: str) -> None:
    shop.db.execute(
        """
        create or replace function public.two(jsonb, jsonb) returns jsonb language sql as 'select null::jsonb';
        create or replace function public.many(jsonb) returns setof jsonb language sql as 'select null::jsonb';
        create or replace function public.variable(variadic jsonb[]) returns jsonb language sql as 'select null::jsonb';
        create or replace function public.elevated(jsonb) returns jsonb language sql security definer as 'select null::jsonb';
        """
    )
    with refused(code):
        shop.register(**{"name": "bad", **arguments})
    assert not shop.db.rows("select from loci.actions where name = 'bad'")


def test_only_administrators_register(shop: Shop) -> None:
    for login in (shop.agent, shop.desk, shop.db.app_role()):
        with shop.db.connect(login) as connection:
            for statement in (
                "select loci.register_action('x', 'y', '{}', 'public.place_order(jsonb)')",
                "select loci.unregister_action('place_order')",
                "select loci.enable_action('place_order')",
                "select * from loci.actions",
                "select * from loci.action_log",
            ):
                with refused("42501"):
                    connection.execute(statement)  # type: ignore[arg-type]
    admin = shop.db.login_role("boss", "loci_admin")
    with shop.db.connect(admin) as connection:
        connection.execute(
            "select loci.register_action('by_admin', 'y', %s, 'public.place_order(jsonb)')", (Jsonb(SCHEMA),)
        )
        assert connection.execute("select registered_by from loci.actions where name = 'by_admin'").fetchall() == [
            {"registered_by": admin}
        ]
        assert connection.execute("select loci.unregister_action('by_admin') as gone").fetchall() == [{"gone": True}]
        assert connection.execute("select loci.unregister_action('by_admin') as gone").fetchall() == [{"gone": False}]


# --- for whom ---------------------------------------------------------------------------------------------------------


def tools(shop: Shop, user: UUID, organization: UUID | None) -> set[str]:
    answer = shop.call(user, "select loci_private.action_tools(%L)", organization)
    assert all(
        tool["type"] == "function" and tool["function"].keys() == {"name", "description", "parameters"}
        for tool in answer
    )
    return {tool["function"]["name"] for tool in answer}


def test_an_action_may_be_for_some_only(shop: Shop) -> None:
    people = shop.people
    shop.register("for_acme", organizations=[people.acme])
    shop.register("for_owners", member_roles=["owner"])
    shop.register("for_nobody", organizations=[])
    shop.register("turned_off")
    shop.db.execute("select loci.enable_action('turned_off', false)")
    named = {"for_acme", "for_owners", "for_nobody", "turned_off", "place_order"}
    assert tools(shop, people.ada, people.acme) & named == {"for_acme", "place_order"}
    assert tools(shop, people.eve, people.umbrella) & named == {"place_order"}
    # The name of an organization is not enough: the user has to belong to it.
    assert tools(shop, people.eve, people.acme) & named == {"place_order"}
    assert tools(shop, people.ada, None) & named == {"place_order"}
    for action in ("for_owners", "for_nobody", "turned_off", "nothing"):
        with refused("LC733"):
            shop.propose(people.ada, action=action)
    proposal = shop.propose(people.ada, {"title": "left"}, action="for_acme")
    shop.db.execute("update loci.organization_members set role = 'owner' where user_id = %s", people.ada)
    assert "for_owners" in tools(shop, people.ada, people.acme)
    shop.db.execute("update loci.organization_members set role = 'member' where user_id = %s", people.ada)
    # Who has left the organization cannot confirm what was proposed before.
    shop.db.execute("delete from loci.organization_members where user_id = %s", people.ada)
    try:
        answer = shop.confirm(people.ada, proposal)
        assert (answer["status"], answer["error"]["sqlstate"]) == ("refused", "LC733")
    finally:
        shop.db.execute(
            "insert into loci.organization_members (organization_id, user_id) values (%s, %s)", people.acme, people.ada
        )


def test_tools_are_offered_to_logins_of_models_only(shop: Shop, ada: UUID) -> None:
    shop.call(ada, "select loci_private.action_tools(null)")
    with shop.desk_for(ada) as connection:
        row = connection.execute("select public.as_loci('select loci_private.action_tools(null)') as t").fetchone()
    assert row == {"t": []}


def test_nobody_named_has_no_proposals(shop: Shop, ada: UUID) -> None:
    shop.propose(ada)
    with shop.agent_for(None) as connection:
        assert connection.execute("select from loci.proposals").fetchall() == []
        with refused("LC739"):
            connection.execute("""select loci.propose('place_order', '{"title": "x"}')""")


def test_a_user_has_only_so_many_to_decide(shop: Shop) -> None:
    user = shop.people.bob
    shop.db.execute("update loci.settings set value = '2' where name = 'max_open_proposals'")
    try:
        first = shop.propose(user)
        shop.propose(user)
        with refused("LC738"):
            shop.propose(user)
        shop.reject(user, first)
        shop.propose(user)
    finally:
        shop.db.execute("update loci.settings set value = null where name = 'max_open_proposals'")


# --- calls of a model -------------------------------------------------------------------------------------------------


def test_calls_of_a_reply_become_proposals(shop: Shop, ada: UUID) -> None:
    conversation = shop.conversation(ada)
    turn_id = turn(shop, ada, conversation)
    calls = [
        {"id": "a", "type": "function", "function": {"name": "place_order", "arguments": '{"title": "as sent\u200b"}'}},
        {"id": "b", "name": "place_order", "arguments": {"title": "as read"}},
        {"id": "c", "name": "place_order", "arguments": None, "text": "{broken"},
        {"id": "d", "type": "function", "function": {"name": "place_order", "arguments": "{broken"}},
        {"id": "e", "name": "drop_everything", "arguments": {}},
        {"id": "f", "name": "place_order", "arguments": {"title": 1}},
        {"id": "g", "name": "place_order\u202e", "arguments": {"title": "x"}},
        "nonsense",
        None,
        {"id": 7, "function": "nonsense"},
    ]
    found = propose_calls(shop, ada, turn_id, conversation, calls)
    assert len(found) == len(calls)
    waiting = [p for p in found if p["status"] == "proposed"]
    assert sorted(p["arguments"]["title"] for p in waiting) == ["as read", "as sent"]
    assert all(p["reason"] and p["arguments"] == {} for p in found if p["status"] == "refused")
    for proposal in waiting:
        assert shop.confirm(ada, UUID(proposal["proposal_id"]))["status"] == "confirmed"
    refused_one = next(p for p in found if p["action"] == "drop_everything")
    answer = shop.confirm(ada, UUID(refused_one["proposal_id"]))
    assert (answer["status"], answer["ran"], answer["error"]["sqlstate"]) == ("refused", False, "LC733")


@pytest.mark.parametrize("calls", [None, {}, "x", 1, []])
def test_no_calls_are_no_proposals(shop: Shop, ada: UUID, calls: Any) -> None:
    conversation = shop.conversation(ada)
    assert propose_calls(shop, ada, turn(shop, ada, conversation), conversation, calls) == []


def test_a_flood_of_calls_is_cut_off(shop: Shop, ada: UUID) -> None:
    conversation = shop.conversation(ada)
    call = {"id": "x", "name": "place_order", "arguments": {"title": "flood"}}
    found = propose_calls(shop, ada, turn(shop, ada, conversation), conversation, [call] * 500)
    assert len(found) == 17
    assert [p["status"] for p in found].count("proposed") == 16
    assert "too many calls" in next(p["reason"] for p in found if p["status"] == "refused")


def test_calls_in_the_conversation_of_another_are_nothing(shop: Shop, ada: UUID) -> None:
    conversation = shop.conversation(ada)
    turn_id = turn(shop, ada, conversation)
    call = {"id": "x", "name": "place_order", "arguments": {"title": "strange"}}
    assert propose_calls(shop, shop.people.eve, turn_id, conversation, [call]) == []
    assert not shop.db.rows("select from loci.proposals where conversation_id = %s", conversation)
    with refused("LC702"):
        shop.propose(shop.people.eve, conversation=conversation)


# --- the next turn ----------------------------------------------------------------------------------------------------


def test_the_next_turn_is_told(shop: Shop, ada: UUID) -> None:
    conversation = shop.conversation(ada)
    done = shop.propose(ada, {"title": "told"}, conversation=conversation)
    broken = shop.propose(ada, {"title": "break"}, conversation=conversation)
    declined = shop.propose(ada, {"title": "declined"}, conversation=conversation)
    shop.propose(ada, {"title": "open"}, conversation=conversation)
    shop.confirm(ada, done)
    shop.confirm(ada, broken)
    shop.reject(ada, declined, "too\ndear")
    lines = results(shop, ada, conversation)
    assert len(lines) == 4
    said = "\n".join(lines)
    for words in (
        '{"title": "told"}) was confirmed and done; result: {"order_id": ',
        '{"title": "break"}) was confirmed and failed; nothing was changed: the shop is closed',
        '{"title": "declined"}) was rejected by the user: "too\\ndear"',
        '{"title": "open"}) waits for the user to confirm it',
    ):
        assert words in said
    assert results(shop, shop.people.eve, conversation) == []
    # Two turns later it is history; what waits is still there.
    turn(shop, ada, conversation)
    assert len(results(shop, ada, conversation)) == 4
    turn(shop, ada, conversation)
    (left,) = results(shop, ada, conversation)
    assert '"open"' in left


# --- the log ----------------------------------------------------------------------------------------------------------


def test_everything_is_in_the_log(shop: Shop, ada: UUID) -> None:
    shop.register("logged")
    shop.db.execute("select loci.enable_action('logged', false)")
    shop.db.execute("select loci.enable_action('logged')")
    first = shop.propose(ada, {"title": "logged\u200b"}, action="logged")
    shop.confirm(ada, first)
    shop.confirm(ada, first)
    second = shop.propose(ada, {"title": "logged"}, action="logged")
    shop.reject(ada, second, "no")
    shop.db.execute("select loci.unregister_action('logged')")
    events = shop.db.rows(
        "select event, proposal_id, user_id, login, detail from loci.action_log where action = 'logged' order by event_id"
    )
    assert [(e["event"], e["proposal_id"]) for e in events] == [
        ("registered", None), ("changed", None), ("changed", None), ("proposed", first), ("confirmed", first),
        ("proposed", second), ("rejected", second), ("removed", None),
    ]  # fmt: skip
    by_id = {(e["event"], e["proposal_id"]): e for e in events}
    assert by_id["proposed", first]["detail"]["arguments"] == {"title": "logged"}
    assert by_id["proposed", first]["login"] == shop.agent
    assert by_id["confirmed", first]["login"] == shop.desk
    assert by_id["confirmed", first]["user_id"] == ada
    assert by_id["rejected", second]["detail"]["reason"] == "no"


def test_the_log_is_only_added_to(shop: Shop, ada: UUID) -> None:
    shop.propose(ada)
    for statement in (
        "update loci_private.action_events set login = 'nobody'",
        "delete from loci_private.action_events",
        "truncate loci_private.action_events",
    ):
        with refused("LC748"):
            shop.db.execute(statement)


def test_what_was_proposed_never_changes(shop: Shop, ada: UUID) -> None:
    proposal = shop.propose(ada, {"title": "kept"})
    before = shop.proposal(proposal)
    shop.db.execute(
        """update loci_private.proposals set arguments = '{"title": "other"}', summary = 'x', action = 'y', user_id = %s,
        expires_at = 'infinity', pin = null where proposal_id = %s""",
        shop.people.eve,
        proposal,
    )
    assert shop.proposal(proposal) == before
    shop.confirm(ada, proposal)
    after = shop.proposal(proposal)
    shop.db.execute(
        "update loci_private.proposals set status = 'proposed', result = null where proposal_id = %s", proposal
    )
    assert shop.proposal(proposal) == after


def test_old_proposals_and_events_go(new_database: Callable[..., Database]) -> None:
    with open_shop(new_database()) as shop:
        ada = shop.people.ada
        shop.confirm(ada, shop.propose(ada, {"title": "old"}))
        shop.propose(ada, {"title": "open"})
        events = shop.db.value("select count(*) from loci.action_log")
        for days, proposals, left in ((89, 2, events), (91, 0, events), (731, 0, 0)):
            shop.db.set_clock(shop.db.value("select clock_timestamp() + make_interval(days => %s)", days).isoformat())
            shop.db.value("select loci_private.purge_actions()")
            assert shop.db.value("select count(*) from loci_private.proposals") == proposals
            assert shop.db.value("select count(*) from loci.action_log") == left


def test_a_user_who_is_deleted_leaves_the_log(shop: Shop) -> None:
    user = shop.db.user("leaving@example.org")
    proposal = shop.propose(user, {"title": "leaving"})
    shop.db.execute("delete from loci.users where user_id = %s", user)
    assert not shop.db.rows("select from loci_private.proposals where proposal_id = %s", proposal)
    assert shop.db.rows("select event from loci.action_log where proposal_id = %s", proposal) == [{"event": "proposed"}]

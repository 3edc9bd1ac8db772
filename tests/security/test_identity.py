"""Who is asking: act_as(), mapped login roles, and the setting that nobody can forge.

The model of trust: a login that is a member of loci_app is an application. It acts for any user it names, as it must
when one connection pool serves all of them. A login that is mapped to a user (loci.users.db_role) is that user.
"""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.sql import SQL, Identifier, Literal

from tests.database import Connection, Database, People
from tests.security.world import refused


@pytest.fixture(scope="module")
def people(db: Database) -> People:
    people = db.people()
    db.document(people.ada, "the diary of ada")
    db.document(people.acme, "the charter of acme")
    db.document(people.eve, "the diary of eve")
    return people


@pytest.fixture(scope="module")
def mapped(db: Database, people: People) -> str:
    """A login role that is eve."""
    role = db.login_role("eve", "loci_app")
    db.execute("update loci.users set db_role = %s where user_id = %s", role, people.eve)
    return role


def who(connection: Connection) -> UUID | None:
    row = connection.execute("select loci.current_user_id() as id").fetchone()
    assert row is not None
    return row["id"]


def setting(connection: Connection) -> str:
    row = connection.execute("select current_setting('loci.identity', true) as value").fetchone()
    assert row is not None
    return row["value"] or ""


def titles(connection: Connection) -> set[str]:
    return {row["content"] for row in connection.execute("select content from loci.documents").fetchall()}


# --- act_as -----------------------------------------------------------------------------------------------------------


def test_an_application_acts_for_whom_it_names(db: Database, people: People) -> None:
    with db.acting(people.ada) as connection:
        assert who(connection) == people.ada
        assert titles(connection) == {"the diary of ada", "the charter of acme"}
        connection.execute("select loci.act_as(%s)", (people.eve,))
        assert titles(connection) == {"the diary of eve"}


def test_an_unknown_user_is_refused(db: Database, people: People) -> None:
    with db.acting(people.ada) as connection:
        with refused("LC101") as caught, connection.transaction():
            connection.execute("select loci.act_as(%s)", (uuid4(),))
        assert caught.value.diag.message_hint
        assert who(connection) == people.ada


def test_null_is_nobody(db: Database, people: People) -> None:
    with db.acting(people.ada) as connection:
        connection.execute("select loci.act_as(null)")
        assert who(connection) is None
        assert titles(connection) == set()


@pytest.mark.parametrize("ending", ["commit", "rollback"])
def test_it_ends_with_the_transaction(db: Database, people: People, ending: str) -> None:
    with db.connect(db.app_role()) as connection:
        connection.execute("begin")
        connection.execute("select loci.act_as(%s)", (people.ada,))
        connection.execute(ending)
        assert who(connection) is None
        assert titles(connection) == set()
        connection.execute("begin")
        assert who(connection) is None


def test_outside_a_transaction_it_ends_with_the_statement(db: Database, people: People) -> None:
    with db.connect(db.app_role()) as connection:
        connection.execute("select loci.act_as(%s)", (people.ada,))
        assert who(connection) is None


def test_a_savepoint_takes_it_back(db: Database, people: People) -> None:
    with db.acting(people.ada) as connection:
        connection.execute("savepoint s")
        connection.execute("select loci.act_as(%s)", (people.eve,))
        assert who(connection) == people.eve
        connection.execute("rollback to s")
        assert who(connection) == people.ada
        connection.execute("release s")
        assert who(connection) == people.ada


def test_it_survives_the_functions_it_is_called_from(db: Database, people: People) -> None:
    with db.acting(None) as connection:
        connection.execute(SQL("do $$ begin perform loci.act_as({}); end $$").format(Literal(people.ada)))
        assert who(connection) == people.ada


def test_a_user_deleted_meanwhile_sees_nothing(db: Database, people: People) -> None:
    zoe = db.user("zoe.deleted@example.org")
    db.execute("insert into loci.organization_members (organization_id, user_id) values (%s, %s)", people.acme, zoe)
    with db.acting(zoe) as connection:
        assert titles(connection) == {"the charter of acme"}
        db.execute("delete from loci.users where user_id = %s", zoe)
        assert titles(connection) == set()
        assert connection.execute("select * from loci.search('charter')").fetchall() == []
        with refused("LC141"), connection.transaction():
            connection.execute("insert into loci.documents (content) values ('x')")
        with refused("LC141"), connection.transaction():
            connection.execute("insert into loci.documents (scope_id, content) values (%s, 'x')", (people.acme,))


def test_who_is_not_granted_may_not_name_anybody(db: Database, people: People) -> None:
    for groups in ((), ("loci_admin",), ("loci_worker",), ("loci_monitor",)):
        with db.connect(db.login_role("stranger", *groups)) as connection, refused("42501"):
            connection.execute("select loci.act_as(%s)", (people.ada,))


# --- mapped login roles -----------------------------------------------------------------------------------------------


def test_a_mapped_role_is_its_user(db: Database, people: People, mapped: str) -> None:
    with db.connect(mapped) as connection:
        assert who(connection) == people.eve
        assert titles(connection) == {"the diary of eve"}


@pytest.mark.parametrize("target", ["ada", "nobody", "unknown"])
def test_a_mapped_role_is_nobody_else(db: Database, people: People, mapped: str, target: str) -> None:
    user = {"ada": people.ada, "nobody": None, "unknown": uuid4()}[target]
    with db.connect(mapped) as connection, connection.transaction():
        with refused("LC102"), connection.transaction():
            connection.execute("select loci.act_as(%s)", (user,))
        assert who(connection) == people.eve


def test_a_mapped_role_may_name_itself(db: Database, people: People, mapped: str) -> None:
    with db.connect(mapped) as connection, connection.transaction():
        connection.execute("select loci.act_as(%s)", (people.eve,))
        assert who(connection) == people.eve


def test_set_role_changes_nothing(db: Database, people: People, mapped: str) -> None:
    """A mapped login is told by the role that logged in."""
    with db.connect(mapped) as connection:
        connection.execute("set role loci_app")
        assert who(connection) == people.eve
        with refused("LC102"):
            connection.execute("select loci.act_as(%s)", (people.ada,))
        with refused("42501"):
            connection.execute(SQL("set role {}").format(Identifier(db.app_role())))
        with refused("42501"):
            connection.execute(SQL("set session authorization {}").format(Identifier(db.app_role())))


def test_a_mapped_role_does_not_believe_the_setting(db: Database, people: People, mapped: str) -> None:
    with db.acting(people.ada) as other, db.connect(mapped) as connection:
        connection.execute("select set_config('loci.identity', %s, false)", (setting(other),))
        assert who(connection) == people.eve


def test_a_mapped_role_does_not_outlive_its_user_as_an_application(db: Database, people: People) -> None:
    """Otherwise deleting a user would make of their login one that may act for everybody."""
    zoe = db.user("zoe.mapped@example.org")
    role = db.login_role("zoe", "loci_app")
    db.execute("update loci.users set db_role = %s where user_id = %s", role, zoe)
    with refused("LC106") as caught:
        db.execute("delete from loci.users where user_id = %s", zoe)
    assert "revoke loci_app" in (caught.value.diag.message_hint or "")
    with refused("LC106"):
        db.execute("update loci.users set db_role = null where user_id = %s", zoe)
    # It may pass on to another user within a transaction.
    yan = db.user("yan.mapped@example.org")
    with db.connect() as admin, admin.transaction():
        admin.execute("update loci.users set db_role = null where user_id = %s", (zoe,))
        admin.execute("update loci.users set db_role = %s where user_id = %s", (role, yan))
    db.execute("delete from loci.users where user_id = %s", zoe)
    # Nor does one that inherits loci_app from another role.
    db.execute(f'revoke loci_app from "{role}"')
    team = db.login_role("pool", "loci_app")
    db.execute(f'grant "{team}" to "{role}"')
    with refused("LC106"):
        db.execute("delete from loci.users where user_id = %s", yan)
    db.execute(f'revoke "{team}" from "{role}"')
    db.execute("delete from loci.users where user_id = %s", yan)


def test_a_dropped_role_holds_nobody(db: Database) -> None:
    user = db.user("gone@example.org")
    db.execute("update loci.users set db_role = 'no_such_role' where user_id = %s", user)
    db.execute("delete from loci.users where user_id = %s", user)


# --- forging the setting ----------------------------------------------------------------------------------------------


def test_the_setting_is_worth_nothing_in_another_transaction(db: Database, people: People) -> None:
    with db.connect(db.app_role()) as connection:
        with connection.transaction():
            connection.execute("select loci.act_as(%s)", (people.ada,))
            value = setting(connection)
        assert re.fullmatch(r"[0-9a-f-]{36}:[0-9a-f]{64}", value)
        with connection.transaction():
            connection.execute("select set_config('loci.identity', %s, true)", (value,))
            assert setting(connection) == value
            assert who(connection) is None
            assert titles(connection) == set()


def test_the_setting_is_worth_nothing_in_another_backend(db: Database, people: People) -> None:
    with db.acting(people.ada) as first, db.acting(None) as second:
        second.execute("select set_config('loci.identity', %s, false)", (setting(first),))
        assert who(second) is None


def test_a_signature_is_for_one_user(db: Database, people: People) -> None:
    with db.acting(people.ada) as connection:
        signature = setting(connection).split(":")[1]
        connection.execute("select set_config('loci.identity', %s, true)", (f"{people.eve}:{signature}",))
        assert who(connection) is None


def test_two_transactions_never_share_a_signature(db: Database, people: People) -> None:
    seen = set()
    with db.connect(db.app_role()) as connection:
        for _ in range(20):
            with connection.transaction():
                connection.execute("select loci.act_as(%s)", (people.ada,))
                seen.add(setting(connection))
    assert len(seen) == 20


FORGERIES = [
    "",
    " ",
    ":",
    "{ada}",
    "{ada}:",
    "{ada}:" + "0" * 64,
    "{ada}:" + "f" * 63,
    "{ada}:" + "A" * 64,
    "{ADA}:" + "0" * 64,
    "{ada}" + "0" * 64,
    "-" * 36 + ":" + "0" * 64,
    "a" * 36 + ":" + "0" * 64,
    "{{ada}}:" + "0" * 64,
    "{ada}:" + "0" * 64 + "\n",
    "' or true --",
    "null",
    "x" * 100_000,
]


@pytest.mark.parametrize("value", FORGERIES, ids=range(len(FORGERIES)))
def test_a_forgery_is_nobody_and_no_error(db: Database, people: People, value: str) -> None:
    value = value.replace("{ada}", str(people.ada)).replace("{ADA}", str(people.ada).upper())
    with db.acting(None) as connection:
        connection.execute("select set_config('loci.identity', %s, true)", (value,))
        assert who(connection) is None
        assert titles(connection) == set()
        connection.execute(SQL("set local loci.identity = {}").format(Literal(value)))
        assert who(connection) is None


def test_the_setting_given_at_connection_is_worth_nothing(db: Database, people: People) -> None:
    role = db.login_role("options", "loci_app")
    forged = f"{people.ada}:{'0' * 64}"
    with psycopg.connect(db.dsn_as(role), options=f"-c loci.identity={forged}") as connection:
        row: Any = connection.execute("select loci.current_user_id(), current_setting('loci.identity')").fetchone()
        assert row == (None, forged)
    db.execute(f"alter role \"{role}\" set loci.identity = '{forged}'")
    with db.connect(role) as connection2:
        assert setting(connection2) == forged
        assert who(connection2) is None


def test_the_key_is_out_of_reach(db: Database, people: People) -> None:
    with db.acting(people.ada) as connection:
        for statement in (
            "select key from loci_private.session_key",
            "select loci_private.identity_signature(loci.current_user_id())",
            "select loci_private.assume(loci.current_user_id())",
        ):
            with refused("42501"), connection.transaction():
                connection.execute(statement)  # type: ignore[call-overload]


# --- nobody -----------------------------------------------------------------------------------------------------------


def test_nobody_sees_nothing_and_gets_no_error(db: Database, people: People) -> None:
    with db.acting(None) as connection:
        for table in (
            "organizations", "users", "organization_members", "teams", "team_members", "projects", "project_members", "documents",
        ):  # fmt: skip
            assert connection.execute(SQL("select * from loci.{}").format(Identifier(table))).fetchall() == [], table
            if table not in ("organizations", "users"):
                assert connection.execute(SQL("delete from loci.{}").format(Identifier(table))).rowcount == 0, table
        assert connection.execute("update loci.documents set content = 'mine'").rowcount == 0
        for call, expected in {
            "loci.current_user_id()": None,
            "loci.visible_scopes()": [],
            "loci.current_principals()": [],
            "loci.managed_organizations()": [],
            "loci.owned_organizations()": [],
        }.items():
            row = connection.execute(f"select {call} as value").fetchone()  # type: ignore[call-overload]
            assert row == {"value": expected}, call
        for call in (
            "loci.visible_projects()",
            "loci.search('charter')",
            "loci.search('charter', mode => 'keyword')",
            "loci.search('charter', mode => 'vector', scopes => array(select gen_random_uuid()))",
        ):
            assert connection.execute(f"select * from {call}").fetchall() == [], call  # type: ignore[call-overload]


def test_policies_work_in_parallel_queries(db: Database, people: People) -> None:
    with db.acting(people.ada) as connection:
        for name in ("parallel_setup_cost", "parallel_tuple_cost", "min_parallel_table_scan_size"):
            connection.execute(SQL("set local {} = 0").format(Identifier(name)))
        connection.execute("set local enable_indexscan = off")
        connection.execute("set local enable_bitmapscan = off")
        plan = str(connection.execute("explain select count(*) from loci.documents").fetchall())
        assert "Parallel" in plan
        assert connection.execute("select count(*) as n from loci.documents").fetchall() == [{"n": 2}]
        connection.execute("select set_config('loci.identity', 'nonsense', true)")
        assert connection.execute("select count(*) as n from loci.documents").fetchall() == [{"n": 0}]

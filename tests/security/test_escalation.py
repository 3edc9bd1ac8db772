"""Nobody gains rights: applications stay out of the machinery, owners of watched tables get nothing but their own."""

from __future__ import annotations

import pytest
from psycopg.sql import SQL, Identifier

from tests.database import Database, People
from tests.security.world import refused, run


@pytest.fixture(scope="module")
def people(db: Database) -> People:
    people = db.people()
    db.document(people.acme, "the charter of acme")
    db.drain()
    return people


# --- the machinery ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", [("loci_app",), ("loci_monitor",), (), ("loci_app", "loci_monitor")], ids=str)
def test_the_machinery_is_closed(db: Database, people: People, groups: tuple[str, ...]) -> None:
    role = db.login_role("outsider", *groups)
    relations = db.rows(
        "select n.nspname as schema, c.relname as name from pg_class as c join pg_namespace as n on n.oid = c.relnamespace "
        "where n.nspname ~ '^loci_' and c.relkind in ('r', 'p', 'v', 'S')"
    )
    functions = db.rows(
        "select n.nspname as schema, p.proname as name from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace "
        "where n.nspname ~ '^loci_'"
    )
    assert len(relations) > 10 and len(functions) > 30
    with db.connect(role) as connection:
        for relation in relations:
            name = Identifier(relation["schema"], relation["name"])
            for statement in ("select * from {}", "table {}", "delete from {}", "truncate {}", "copy {} to stdout"):
                with refused("42501"):
                    connection.execute(SQL(statement).format(name))  # type: ignore[arg-type]
        for function in functions:
            with refused("42501"):
                connection.execute(SQL("select {}()").format(Identifier(function["schema"], function["name"])))
        reachable = run(
            connection,
            "select p.oid::regprocedure::text as name from pg_proc as p where p.pronamespace in "
            "(select oid from pg_namespace where nspname ~ '^loci_') and has_function_privilege(p.oid, 'execute') "
            # Views call them for their readers; without the schema it cannot be called directly.
            "and p.proname <> all ('{cron_jobs,cache_counts,index_builds,index_plan}')",
        ).fetchall()
        assert reachable == []
        for schema in ("loci", "loci_private"):
            for statement in (
                "create table {}.t (x int)", "create function {}.f() returns int language sql as 'select 1'",
                "create view {}.v as select 1", "create type {}.e as enum ('a')", "create operator {}.= (leftarg = int, function = abs)",
                "alter schema {} owner to current_user", "drop schema {} cascade",
            ):  # fmt: skip
                with refused("42501"):
                    connection.execute(SQL(statement).format(Identifier(schema)))  # type: ignore[arg-type]


def test_applications_cannot_watch(db: Database, people: People) -> None:
    role = db.login_role("watcher", "loci_app")
    db.execute(f'create schema "{role}" authorization "{role}"')
    with db.connect(role) as connection:
        run(connection, f'create table "{role}".t (id int primary key, body text, scope uuid)')
        for call in (
            f"loci.watch('\"{role}\".t', 'body', 'scope')",
            f"loci.unwatch('\"{role}\".t')",
            "loci.unwatch('loci.documents')",
        ):
            with refused("42501"):
                run(connection, f"select {call}")


# --- administrators ---------------------------------------------------------------------------------------------------


def test_an_administrator_watches_only_tables_of_his_own(db: Database, people: People) -> None:
    admin = db.login_role("admin", "loci_admin")
    owner = db.login_role("owner")
    db.execute(f'create schema "{owner}" authorization "{owner}"')
    db.execute(f'create table "{owner}".t (id int primary key, body text, scope uuid)')
    db.execute(f'alter table "{owner}".t owner to "{owner}"')
    db.execute(f'grant all on "{owner}".t to "{admin}"; grant usage on schema "{owner}" to "{admin}"')
    table_id = db.value("select %s::regclass::oid", f'"{owner}".t')
    db.execute("create table if not exists public.of_the_superuser (id int primary key, body text, scope uuid)")
    with db.connect(admin) as connection:
        for table in (f'"{owner}".t', "public.of_the_superuser", "loci.documents", "loci.users", "loci.settings"):
            with refused("LC243"):
                run(connection, "select loci.watch(%s::regclass, 'body', 'scope')", (table,))
        for table in ("pg_catalog.pg_authid", "pg_catalog.pg_class"):
            with refused("LC241", "LC243"):
                run(connection, "select loci.watch(%s::regclass, 'body', 'scope')", (table,))
        with refused("LC243"):
            run(connection, "select loci.unwatch('loci.documents')")
        # Named oid: nothing is looked up by a name that could be another table's.
        with refused("LC240"):
            run(connection, "select loci.watch(1::oid::regclass, 'body', 'scope')")
        with refused("42501"):
            run(connection, f'set role "{owner}"')
    # Being allowed to become the owner is not enough where rights are not inherited ...
    with db.connect(admin) as connection:
        db.execute(f'alter role "{admin}" noinherit; grant loci_admin to "{admin}"; grant "{owner}" to "{admin}"')
        run(connection, "set role loci_admin")
        with refused("LC243"):
            run(connection, "select loci.watch(%s::oid::regclass, 'body', 'scope')", (table_id,))
    # ... and is where they are.
    admin = db.login_role("heir", "loci_admin", f'"{owner}"')
    with db.connect(admin) as connection:
        run(connection, "select loci.watch(%s::regclass, 'body', 'scope')", (f'"{owner}".t',))
        run(connection, "select loci.unwatch(%s::regclass)", (f'"{owner}".t',))


def test_an_administrator_is_no_superuser(db: Database, people: People) -> None:
    admin = db.login_role("plain", "loci_admin")
    with db.connect(admin) as connection:
        for statement in (
            "select key from loci_private.session_key",
            "select * from loci_private.chunks",
            "update loci_private.sources set content = 'pg_sleep(1)::text'",
            "select loci_private.build_source_readers(1)",
            "create or replace function loci.visible_scopes() returns uuid[] language sql as 'select null::uuid[]'",
            "alter table loci.documents disable row level security",
            "alter procedure loci.drain owner to current_user",
            "set role loci_owner",
            "copy loci.users to program 'cat'",
            "update loci.settings set kind = 'text'",
            "insert into loci.settings (name, kind, description) values ('x', 'text', 'x')",
            "insert into loci.embedding_models (name, provider, dimensions) values ('x', 'hash', 8)",
        ):
            with refused("42501"):
                run(connection, statement)


def test_a_worker_only_works(db: Database, people: People) -> None:
    worker = db.login_role("worker", "loci_worker")
    with db.connect(worker) as connection:
        for statement in (
            "select key from loci_private.session_key",
            "select * from loci_private.chunks",
            "select * from loci_private.row_queue",
            "select * from loci.documents",
            "select * from loci.users",
            "select loci.act_as(gen_random_uuid())",
            "select * from loci.search('charter')",
            "create table loci_private.t (x int)",
        ):
            with refused("42501"):
                run(connection, statement)
        for queue in ("session_key", "chunks", "row_queue; drop table loci.documents", 'row_queue" as q; --', ""):
            for call in (
                "done(%s, gen_random_uuid(), '{}')",
                "put_back(%s, gen_random_uuid(), '{}')",
                "claim(%s, gen_random_uuid(), 1)",
            ):
                with refused("42P01", "42703", "20000", "42602", "42601", "LC253", "42P02", "22023", "22004"):
                    run(connection, f"select loci_private.{call}", (queue,))
        connection.execute("call loci.drain(5)")


def test_a_worker_reads_watched_tables_only_through_what_undoes_side_effects(db: Database, people: People) -> None:
    worker = db.login_role("reader", "loci_worker")
    with db.connect(worker) as connection:
        for call in ("source_1_read('{}')", "source_1_keys()", "source_1_probe()", "source_1_place(null, null)"):
            schema = db.value(
                "select p.pronamespace::regnamespace::text from pg_proc as p where p.proname = %s", call.split("(")[0]
            )
            with refused("42501"):
                run(connection, f"select * from {schema}.{call}")


def test_the_drain_leaves_the_role_as_it_was(db: Database, people: People) -> None:
    worker = db.login_role("both", "loci_worker", "loci_app")
    with db.connect(worker) as connection:
        for role in ("none", "loci_app"):
            run(connection, f"set role {role}")
            if role == "none":
                connection.execute("call loci.drain(5)")
            assert run(connection, "select current_setting('role') as role").fetchall() == [{"role": role}]
    with db.connect(db.app_role()) as connection:
        with refused("42501", "LC252"):
            connection.execute("call loci.drain(5)")
        assert run(connection, "select current_setting('role') as role").fetchall() == [{"role": "none"}]


# --- shadows ----------------------------------------------------------------------------------------------------------

# Signature -> type and value returned; each tells that it was called.
SHADOWS = {
    "eq(uuid, uuid)": ("boolean", "true"),
    "eq(text, text)": ("boolean", "true"),
    "eq(name, name)": ("boolean", "true"),
    "lower(text)": ("text", "$1"),
    "btrim(text)": ("text", "$1"),
    "format(text, variadic text[])": ("text", "$1"),
    "set_config(text, text, boolean)": ("text", "$2"),
    "current_setting(text)": ("text", "$1"),
    "current_setting(text, boolean)": ("text", "$1"),
    "coalesce(uuid, uuid)": ("uuid", "$1"),
    "sha256(bytea)": ("bytea", "$1"),
    "pg_backend_pid()": ("int", "1"),
    "array_agg(uuid)": ("uuid[]", "null"),
    "to_tsvector(regconfig, text)": ("tsvector", "null"),
    "now()": ("timestamptz", "null"),
}
MORE_SHADOWS = """
create operator {schema}.= (leftarg = uuid, rightarg = uuid, function = {schema}.eq);
create operator {schema}.= (leftarg = text, rightarg = text, function = {schema}.eq);
create operator {schema}.= (leftarg = name, rightarg = name, function = {schema}.eq);
create table {schema}.users (user_id uuid, db_role text, email text);
create table {schema}.pg_class (oid oid);
create type {schema}.uuid as (x int);
create type {schema}.text as (x int);
create type {schema}.regclass as (x int);
create type {schema}.jsonb as (x int);
"""


def test_shadows_catch_nothing(db: Database, people: People) -> None:
    """Operators, functions, types and tables of the caller's own, in front of everything, in a schema and in pg_temp."""
    role = db.login_role("shadow", "loci_app")
    schema = f"{role}_shadow"
    db.execute(f'create schema "{schema}" authorization "{role}"')
    with db.connect(role) as connection:
        run(connection, f'create table "{schema}".caught (who name, what pg_catalog.text)')
        run(
            connection,
            f'create function "{schema}".caught(pg_catalog.text) returns void language sql as '
            f'$$ insert into "{schema}".caught values (current_user, $1) $$',
        )
        for signature, (kind, value) in SHADOWS.items():
            body = f"begin perform \"{schema}\".caught('{signature}'); return {value}; end"
            run(connection, f'create function "{schema}".{signature} returns {kind} language plpgsql as $${body}$$')
        run(connection, MORE_SHADOWS.replace("{schema}", f'"{schema}"'))
        for table in (
            "users",
            "settings",
            "documents",
            "pg_class",
            "pg_proc",
            "sources",
            "scopes",
            "organization_members",
            "t",
        ):
            run(connection, f"create temporary table {table} (user_id pg_catalog.uuid, x int)")
        run(connection, "create type pg_temp.halfvec as (x int)")
        document = "00000000-0000-4000-8000-000000000001"
        for path in (f'"{schema}", pg_catalog, public', f'pg_temp, "{schema}", pg_catalog', "pg_temp", f'"{schema}"'):
            connection.execute("begin")
            run(connection, "select pg_catalog.set_config('search_path', %s::pg_catalog.text, true)", (path,))
            for call in (
                f"select loci.act_as('{people.ada}'::pg_catalog.uuid)",
                "select loci.current_user_id()",
                "select loci.visible_scopes()",
                "select loci.current_principals()",
                "select loci.managed_organizations()",
                "select loci.owned_organizations()",
                "select * from loci.visible_projects()",
                "select loci.setting('drain_seconds')",
                "select loci.embed('charter')",
                "select * from loci.embed_batch(array['charter'::pg_catalog.text])",
                "select * from loci.search('charter')",
                "select * from loci.documents",
                "select * from loci.users",
                f"insert into loci.documents (document_id, content) values ('{document}'::pg_catalog.uuid, 'mine')",
                "update loci.documents set content = 'changed', scope_id = loci.current_user_id()",
                f"delete from loci.documents where document_id operator(pg_catalog.=) '{document}'::pg_catalog.uuid",
            ):
                run(connection, call)
            with refused("LC119", "LC110"), connection.transaction():
                run(connection, "select loci.login('x')")
            connection.execute("rollback")
        assert run(connection, f'select * from "{schema}".caught').fetchall() == []


def test_settings_of_the_session_change_no_answer(db: Database, people: People) -> None:
    role = db.login_role("tuner", "loci_app")

    def answers(*settings: str) -> object:
        with db.acting(people.ada, role) as connection:
            for setting in settings:
                run(connection, f"set local {setting}")
            found = run(connection, "select key, content, score from loci.search('charter acme', k => 9)").fetchall()
            scopes = run(connection, "select loci.visible_scopes()::text as s").fetchall()
            rows = run(connection, "select content from loci.documents").fetchall()
            run(connection, "insert into loci.documents (content) values ('x')")
            connection.execute("rollback")
            return found, scopes, rows

    plain = answers()
    for setting in (
        "standard_conforming_strings = off", "backslash_quote = off", "quote_all_identifiers = on", "transform_null_equals = on",
        "datestyle = 'German'", "intervalstyle = 'sql_standard'", "bytea_output = 'escape'",
        "array_nulls = off", "lc_numeric = 'C'", "timezone = 'Asia/Kathmandu'", "xmloption = 'document'",
        "default_text_search_config = 'pg_catalog.german'", "enable_seqscan = off", "jit = on", "plan_cache_mode = force_generic_plan",
        "row_security = on", "hnsw.ef_search = 1", "hnsw.iterative_scan = off", "work_mem = '64kB'",
    ):  # fmt: skip
        assert answers(setting) == plain, setting

"""Alembic's entry: connects with LOCI_DSN, runs revisions, replays sql/ at the head, all in one transaction."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from alembic import context
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, pool

sys.path.insert(0, str(Path(__file__).resolve().parent))
from replay import replay, tree_hash

# Two migrations at once would trip over each other; the second waits.
_LOCK = 0x10C1


def _refuse_schemas_of_others(connection: Connection) -> None:
    """Whatever somebody else put into them beforehand would become Loci's."""
    for name, owner in connection.exec_driver_sql(
        "select n.nspname, r.rolname from pg_namespace as n join pg_roles as r on r.oid = n.nspowner "
        "where n.nspname in ('loci', 'loci_private', 'loci_readers') and not r.rolsuper and r.rolname <> 'loci_owner'"
    ):
        raise SystemExit(
            f'Schema "{name}" is there already and belongs to "{owner}", not to Loci: '
            "drop or rename it, or install Loci in another database."
        )


def run() -> None:
    dsn = os.environ.get("LOCI_DSN")
    if context.is_offline_mode():
        raise SystemExit("Loci migrates a live database: set LOCI_DSN and run without --sql.")
    if not dsn:
        raise SystemExit("LOCI_DSN is not set: a libpq URI of the database, as a superuser (make -s dsn prints one).")
    script = ScriptDirectory.from_config(context.config)
    head = script.get_revision("head")
    if head.module.sql_hash != tree_hash():
        raise SystemExit(
            f"sql/ is not what revision {head.revision} was made for: "
            "a change of code needs a revision too (make revision)."
        )
    import psycopg

    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), poolclass=pool.NullPool)
    with engine.connect() as connection:
        with connection.begin():
            connection.exec_driver_sql("select pg_advisory_xact_lock(%s)", (_LOCK,))
            connection.exec_driver_sql("set local client_min_messages = warning")
            # Names without a schema are PostgreSQL's own, whatever others have put into public.
            connection.exec_driver_sql("set local search_path = pg_catalog, pg_temp")
            _refuse_schemas_of_others(connection)
            # Roles of the whole cluster and schemas come with the first revision; alembic's own table lives in the latter.
            connection.exec_driver_sql("create schema if not exists loci_private")
            context.configure(
                connection=connection,
                version_table="alembic_version",
                version_table_schema="loci_private",
                transactional_ddl=True,
            )
            current = context.get_context().get_current_revision()
            if current is not None and current not in {revision.revision for revision in script.walk_revisions()}:
                raise SystemExit(
                    f"The database is at revision {current}, which is not among migrations/: it is of a newer version "
                    "of Loci than this. Migrate it with that version, or restore the backup from before the upgrade."
                )
            with context.begin_transaction():
                context.run_migrations()
            if context.get_context().get_current_revision() == head.revision:
                replay(connection, head.module.version)


run()

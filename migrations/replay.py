"""The stateless part of the database - functions, views, triggers, rights, jobs - as it stands in sql/.

Revisions hold stateful changes only. Whatever can be created or replaced is replayed from sql/ whole, in the order of
sql/install.sql, once the newest revision is reached.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

SQL = Path(__file__).resolve().parent.parent / "sql"
_INCLUDE = re.compile(r"^\\ir\s+(\S+)\s*$", re.MULTILINE)


def contents(*, schema: bool) -> list[Path]:
    """Files named by sql/install.sql, in its order; those of sql/schema only when ``schema`` is true."""
    names: list[str] = _INCLUDE.findall((SQL / "install.sql").read_text())
    return [SQL / name for name in names if schema or not name.startswith("schema/")]


def tree_hash() -> str:
    """SHA-256 (hex) over names and texts of everything that sql/install.sql installs."""
    digest = hashlib.sha256()
    for path in contents(schema=True):
        digest.update(f"{path.relative_to(SQL)}\0{path.read_text()}\0".encode())
    return digest.hexdigest()


def run_script(connection: Connection, path: Path) -> None:
    """Run a file of SQL statements as it is: no parameters, no interpretation of % or :name."""
    try:
        connection.exec_driver_sql(path.read_text(), execution_options={"no_parameters": True})
    except DBAPIError as error:
        # Without the whole script that SQLAlchemy would print along.
        raise RuntimeError(f"{path.relative_to(SQL.parent)}: {error.orig}") from None


def replay(connection: Connection, version: str) -> None:
    """Bring every stateless object in line with sql/ and note what is installed."""
    for path in contents(schema=False):
        run_script(connection, path)
    connection.exec_driver_sql(
        "insert into loci_private.installation (version, sql_hash) values (%s, %s) "
        "on conflict (only_row) do update set version = excluded.version, sql_hash = excluded.sql_hash, "
        "installed_at = case when (installation.version, installation.sql_hash) = (excluded.version, excluded.sql_hash) "
        "then installation.installed_at else now() end",
        (version, tree_hash()),
    )

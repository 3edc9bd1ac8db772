"""setup.py chat|metrics: make what the services of compose.yaml need of each other, unless it is there. Runs at each `up`.

Below /keys is one volume for each service that is given something: it sees that, and nothing of the others.
The database is the one of PGHOST, PGDATABASE, PGUSER and PGPASSWORD.
"""

from __future__ import annotations

import secrets
import shutil
import sys
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

KEYS = Path("/keys")
METRICS = Path("/metrics")
GATEWAY = "http://litellm:4000/v1"
# Where the volumes are in the containers that use them.
MOUNTED = "/run/loci"


def secret() -> str:
    return secrets.token_urlsafe(32)


def kept(name: str, new: str) -> str:
    """Content of a file, which becomes the new one where there is none."""
    path = KEYS / name
    if not path.exists():
        put(name, new)
    return path.read_text()


def put(name: str, text: str) -> None:
    path = KEYS / name
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    # Nobody else has the volume.
    new.chmod(0o444)
    new.replace(path)


def login(connection: psycopg.Connection[Any], name: str, password: str, *roles: str) -> None:
    """A login with this password and these roles; the server is sent, and logs, no more than a verifier."""
    if connection.execute("select from pg_roles where rolname = %s", (name,)).rowcount == 0:
        connection.execute(sql.SQL("create role {} login").format(sql.Identifier(name)))
    verifier = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256")
    connection.execute(
        sql.SQL("alter role {} password {}").format(sql.Identifier(name), sql.Literal(verifier.decode()))
    )
    for role in roles:
        connection.execute(sql.SQL("grant {} to {}").format(sql.Identifier(role), sql.Identifier(name)))


def reach(connection: psycopg.Connection[Any], user: str, password: str) -> dict[str, str]:
    """How other containers connect as this user."""
    found = connection.info
    return {
        "host": found.host, "port": str(found.port), "dbname": found.dbname, "user": user, "password": password
    }  # fmt: skip


def chat(connection: psycopg.Connection[Any]) -> None:
    """Two logins for the shim, LiteLLM's key, a key for tokens; what the database knows of these already stays."""
    for kind, role in (("turns", "loci_proposer"), ("decisions", "loci_approver")):
        name = f"loci_shim_{kind}"
        dsn = kept(f"shim/{kind}_dsn", make_conninfo(**reach(connection, name, secret())))
        login(connection, name, str(conninfo_to_dict(dsn)["password"]), "loci_app", role)
    key = kept("litellm/gateway_key", f"sk-{secret()}")
    for service in ("database", "shim"):
        put(f"{service}/gateway_key", key)
    kept("database/jwt_key", secret())
    if (
        connection.execute(
            "select from loci_private.gateways where gateway = 'default' and base_url is not null"
        ).rowcount
        == 0
    ):
        connection.execute(
            "select loci.add_gateway('default', %s, %s, requests_per_minute => 600)",
            (GATEWAY, f"file:{MOUNTED}/gateway_key"),
        )
    for name, value in (("chat_model", "chat"), ("jwt_key_ref", f"file:{MOUNTED}/jwt_key")):
        connection.execute("update loci.settings set value = %s where name = %s and value is null", (value, name))


def metrics(connection: psycopg.Connection[Any]) -> None:
    """A login for what is collected, a place for it, and a password for Grafana."""
    password = kept("metrics/password", secret())
    login(connection, "loci_metrics", password, "loci_monitor")
    lines = (f"{name}={value}\n" for name, value in reach(connection, "loci_metrics", password).items())
    put("metrics/pg_service.conf", "[loci]\n" + "".join(lines))
    kept("grafana/password", secret())
    # A new volume belongs to root.
    shutil.chown(METRICS, "postgres")


def main() -> None:
    made = {"chat": chat, "metrics": metrics}[sys.argv[1]]
    with psycopg.connect() as connection:
        made(connection)


if __name__ == "__main__":
    main()

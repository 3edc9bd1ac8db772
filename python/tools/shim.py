"""make shim: run the streaming shim for the private cluster, and say how to call it.

The argument is the e-mail address of a user, for whom it prints a token. It makes what is missing: the two logins, that user,
a key for tokens. What is set already stays as it is.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from pathlib import Path
from typing import Any

import jwt
import psycopg
from psycopg.conninfo import make_conninfo

TURNS, DECISIONS = "shim_turns_app", "shim_decisions_app"
EMAIL = "me@example.org"


def value(connection: psycopg.Connection[Any], query: str, *parameters: Any) -> Any:
    row = connection.execute(query.encode(), parameters or None).fetchone()
    return row[0] if row else None


def prepare(connection: psycopg.Connection[Any], email: str) -> str | None:
    """A token for this user, an hour long; None where tokens are somebody else's to issue."""
    for login, role in ((TURNS, "loci_proposer"), (DECISIONS, "loci_approver")):
        if not value(connection, "select 1 from pg_roles where rolname = %s", login):
            connection.execute(f"create role {login} login in role loci_app, {role}".encode())
    connection.execute("insert into loci.users (email) values (%s) on conflict do nothing", (email,))
    user = value(connection, "select user_id from loci.users where email = %s", email)
    path = value(connection, "select current_setting('data_directory') || '/loci_jwt.key'")
    setting = "select value from loci.settings where name = 'jwt_key_ref'"
    if value(connection, setting) is None:
        connection.execute(f"copy (select '{secrets.token_urlsafe(48)}') to '{path}'".encode())
        connection.execute("update loci.settings set value = %s where name = 'jwt_key_ref'", (f"file:{path}",))
    if value(connection, setting) != f"file:{path}":
        return None
    key = value(connection, "select rtrim(pg_read_file(%s), e'\\n')", path)
    return jwt.encode({"sub": str(user), "exp": time.time() + 3600}, key, algorithm="HS256")


def main() -> None:
    dsn = os.environ.get("LOCI_DSN", "")
    with psycopg.connect(dsn, autocommit=True) as connection:
        token = prepare(connection, sys.argv[1] if len(sys.argv) > 1 else EMAIL)
        known = value(connection, "select base_url from loci_private.gateways where gateway = 'default'")
        model = value(connection, "select value from loci.settings where name = 'chat_model'")
    gateway = os.environ.get("LOCI_GATEWAY_URL") or known
    if not gateway:
        sys.exit("make shim: which gateway? LOCI_GATEWAY_URL=http://host:4000/v1 LOCI_GATEWAY_KEY=... make shim")
    port = os.environ.get("LOCI_SHIM_PORT", "8080")
    base = f"http://127.0.0.1:{port}"
    print(f"The shim listens at {base}; Ctrl-C ends it when its streams have ended.")
    if not model:
        print("  No chat model is set: update loci.settings set value = '...' where name = 'chat_model'")
    if token:
        print(
            f"  token={token}\n"
            f'  conversation=$(curl -s -X POST {base}/v1/conversations -H "Authorization: Bearer $token" | cut -d \'"\' -f 4)\n'
            f'  curl -N {base}/v1/conversations/$conversation/messages -H "Authorization: Bearer $token" \\\n'
            f'      --json \'{{"content": "What do you know?", "stream": true}}\''
        )
    else:
        print("  Tokens come from whoever issues yours: see loci.settings, jwt_*.")
    sys.stdout.flush()
    environment = {
        **os.environ, "LOCI_GATEWAY_URL": gateway, "LOCI_SHIM_PORT": port,
        "LOCI_TURNS_DSN": make_conninfo(dsn, user=TURNS),
        "LOCI_DECISIONS_DSN": make_conninfo(dsn, user=DECISIONS),
        "PYTHONPATH": str(Path(__file__).resolve().parents[1] / "shim"),
    }  # fmt: skip
    os.execve(sys.executable, [sys.executable, "-m", "loci_shim"], environment)


if __name__ == "__main__":
    main()

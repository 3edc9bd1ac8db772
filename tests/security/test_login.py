"""loci.login(): a signed token names the user. What makes a token good is tested in tests/unit/test_login.py."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.database import Connection, Database, People

SECRET = "not a real secret, but one of more than 32 bytes"


def write_file(db: Database, path: str, content: str) -> None:
    """Written by the server, so that it can read it wherever it runs."""
    db.execute("create temporary table if not exists lines (n int generated always as identity, line text)")
    db.execute("truncate lines")
    db.execute("insert into lines (line) select unnest(%s::text[])", content.splitlines())
    db.execute(f"copy (select line from lines order by n) to '{path}'")


@pytest.fixture(scope="module")
def people(db: Database) -> Iterator[People]:
    path = f"/tmp/{db.name}.{uuid4()}"
    write_file(db, f"{path}.key", SECRET)
    write_file(db, f"{path}.pem", public_pem())
    db.execute("update loci.settings set value = %s where name = 'jwt_key_ref'", f"file:{path}.key")
    people = db.people()
    db.document(people.ada, "the diary of ada")
    yield people
    db.execute(f"copy (select 1) to program 'rm -f {path}.key {path}.pem'")


_rsa = rsa.generate_private_key(65537, 2048)


def public_pem() -> str:
    encoded = _rsa.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return encoded.decode()


@contextmanager
def settings(db: Database, **values: str | None) -> Iterator[None]:
    before = {row["name"]: row["value"] for row in db.rows("select name, value from loci.settings")}
    for name, value in values.items():
        db.execute("update loci.settings set value = %s where name = %s", value, name)
    try:
        yield
    finally:
        for name in values:
            db.execute("update loci.settings set value = %s where name = %s", before[name], name)


def token(sub: Any, *, key: Any = SECRET, algorithm: str = "HS256", expires: float = 60, **claims: Any) -> str:
    now = time.time()
    return jwt.encode({"sub": str(sub), "exp": now + expires, **claims}, key, algorithm=algorithm)


def login(connection: Connection, value: str | None) -> UUID:
    row = connection.execute("select loci.login(%s) as id", (value,)).fetchone()
    assert row is not None
    user: UUID = row["id"]
    return user


def refuse(db: Database, code: str, value: str | None, *secrets: str) -> psycopg.Error:
    with db.acting(None) as connection:
        with pytest.raises(psycopg.Error) as caught, connection.transaction():
            login(connection, value)
        assert connection.execute("select loci.current_user_id() as id").fetchall() == [{"id": None}]
    error = caught.value
    assert error.sqlstate == code, error
    shown = "\n".join(
        str(getattr(error.diag, name) or "")
        for name in (
            "message_primary",
            "message_detail",
            "message_hint",
            "context",
            "internal_query",
            "source_function",
        )
    )
    for secret in (SECRET, *(part for part in (value or "").split(".") if len(part) > 8), *secrets):
        assert secret not in shown
    return error


def test_a_good_token_names_the_user(db: Database, people: People) -> None:
    with db.acting(None) as connection:
        assert login(connection, token(people.ada)) == people.ada
        found = connection.execute("select content from loci.documents").fetchall()
        assert found == [{"content": "the diary of ada"}]
    with db.connect(db.app_role()) as connection:
        assert login(connection, token(str(people.ada).upper())) == people.ada
        assert connection.execute("select loci.current_user_id() as id").fetchall() == [{"id": None}]


@pytest.mark.parametrize("style", ["German", "SQL, DMY", "Postgres, MDY"])
def test_the_sessions_way_to_write_dates_does_not_matter(db: Database, people: People, style: str) -> None:
    with db.acting(None) as connection:
        connection.execute("select set_config('datestyle', %s, true)", (style,))
        connection.execute("set local timezone = 'Asia/Kathmandu'")
        assert login(connection, token(people.ada)) == people.ada


BAD: dict[str, tuple[str, Callable[[People], str | None]]] = {
    "expired": ("LC113", lambda p: token(p.ada, expires=-60)),
    "wrong key": ("LC112", lambda p: token(p.ada, key="another key that has more than 32 bytes in it")),
    "algorithm none": (
        "LC111",
        lambda p: jwt.encode({"sub": str(p.ada), "exp": time.time() + 60}, None, algorithm="none"),
    ),
    "another algorithm": ("LC111", lambda p: token(p.ada, algorithm="HS512")),
    "signature cut off": ("LC112", lambda p: token(p.ada).rpartition(".")[0] + "."),
    "payload exchanged": ("LC112", lambda p: forged(token(p.ada), {"sub": str(p.eve), "exp": time.time() + 60})),
    "unknown user": ("LC101", lambda p: token(uuid4())),
    "not a user": ("LC101", lambda p: token("' or true --")),
    "another claim than the one set": ("LC101", lambda p: token("nobody", email=str(p.ada))),
    "an audience nobody asked for": ("LC116", lambda p: token(p.ada, aud="elsewhere")),
    "no token": ("LC110", lambda p: "bearer"),
    "null": ("LC110", lambda p: None),
    "empty": ("LC110", lambda p: ""),
    "huge": ("LC110", lambda p: "a." * 2 + "a" * 1_000_000),
}


def forged(value: str, claims: dict[str, Any]) -> str:
    header, _, signature = value.split(".")
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"{header}.{payload}.{signature}"


@pytest.mark.parametrize("case", BAD)
def test_a_bad_token_names_nobody(db: Database, people: People, case: str) -> None:
    code, make = BAD[case]
    refuse(db, code, make(people))


def test_a_refused_token_leaves_the_user_as_he_was(db: Database, people: People) -> None:
    with db.acting(people.eve) as connection:
        with pytest.raises(psycopg.Error), connection.transaction():
            login(connection, token(people.ada, expires=-60))
        assert connection.execute("select loci.current_user_id() as id").fetchall() == [{"id": people.eve}]


def test_a_public_key_is_no_shared_secret(db: Database, people: People) -> None:
    """RS256 confusion: a token signed with HS256 and the text of the public key."""
    pem = str(db.value("select value from loci.settings where name = 'jwt_key_ref'")).replace(".key", ".pem")
    with settings(db, jwt_key_ref=pem, jwt_algorithms="RS256"):
        with db.acting(None) as connection:
            assert login(connection, token(people.ada, key=_rsa, algorithm="RS256")) == people.ada
        header = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=").decode()
        payload = token(people.ada).split(".")[1]
        import hashlib
        import hmac

        for text in (public_pem(), public_pem().strip()):
            signature = hmac.new(text.encode(), f"{header}.{payload}".encode(), hashlib.sha256).digest()
            refuse(
                db,
                "LC111",
                f"{header}.{payload}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}",
                text[40:80],
            )
    with settings(db, jwt_key_ref=pem, jwt_algorithms="HS256"):
        refuse(db, "LC118", token(people.ada))
    with settings(db, jwt_key_ref=pem, jwt_algorithms="RS256, HS256"):
        refuse(db, "LC119", token(people.ada))


def test_without_a_key_there_is_no_login(db: Database, people: People) -> None:
    with settings(db, jwt_key_ref=None):
        error = refuse(db, "LC119", token(people.ada))
        assert "jwt_key_ref" in (error.diag.message_hint or "")
    with settings(db, jwt_key_ref="env:LOCI_NO_SUCH_VARIABLE"):
        refuse(db, "LC121", token(people.ada))
    with settings(db, jwt_key_ref="file:/nowhere/at/all"):
        refuse(db, "LC121", token(people.ada))
    with settings(db, jwt_key_ref="file:/etc"):
        refuse(db, "LC121", token(people.ada))


def test_the_key_itself_is_refused_as_a_setting(db: Database) -> None:
    with db.connect(db.login_role("administrator", "loci_admin")) as connection:
        with pytest.raises(psycopg.Error) as caught:
            connection.execute("update loci.settings set value = %s where name = 'jwt_key_ref'", (SECRET,))
    assert caught.value.sqlstate == "LC011"
    assert SECRET not in str(caught.value)


def test_a_claim_may_hold_the_address(db: Database, people: People) -> None:
    email = db.value("select email from loci.users where user_id = %s", people.ada)
    with settings(db, jwt_user_claim="email"), db.acting(None) as connection:
        assert login(connection, token("x", email=email)) == people.ada
        assert login(connection, token("x", email=email, email_verified=True)) == people.ada
        # Whoever may write any address into a profile would be anybody.
        with pytest.raises(psycopg.Error) as caught, connection.transaction():
            login(connection, token("x", email=email, email_verified=False))
        assert caught.value.sqlstate == "LC101"
        for other in (None, 7, [email], {"email": email}, email.upper(), f"{email}\n"):
            with pytest.raises(psycopg.Error) as caught, connection.transaction():
                login(connection, token("x", email=other))
            assert caught.value.sqlstate == "LC101"


def test_audience_and_issuer_are_checked(db: Database, people: People) -> None:
    with settings(db, jwt_audience="loci", jwt_issuer="https://id.example.org"), db.acting(None) as connection:
        good = {"aud": ["loci", "other"], "iss": "https://id.example.org"}
        assert login(connection, token(people.ada, **good)) == people.ada
        for code, bad in {
            "LC116": {"iss": good["iss"]},
            "LC117": {"aud": "loci", "iss": "https://id.example.org.evil"},
        }.items():
            with pytest.raises(psycopg.Error) as caught, connection.transaction():
                login(connection, token(people.ada, **bad))
            assert caught.value.sqlstate == code


def test_a_mapped_role_cannot_become_another_by_token(db: Database, people: People) -> None:
    role = db.login_role("bob", "loci_app")
    db.execute("update loci.users set db_role = %s where user_id = %s", role, people.bob)
    with db.connect(role) as connection:
        assert login(connection, token(people.bob)) == people.bob
        with pytest.raises(psycopg.Error) as caught:
            login(connection, token(people.ada))
        assert caught.value.sqlstate == "LC102"


def test_verification_is_no_door_of_its_own(db: Database, people: People) -> None:
    """Otherwise it would tell which files of the server exist, and whether they hold a key."""
    with db.acting(people.ada) as connection, pytest.raises(psycopg.Error) as caught:
        connection.execute(
            "select loci_private.verify_token('x', 'file:/etc/passwd', 'HS256', null, null, 0, clock_timestamp())"
        )
    assert caught.value.sqlstate == "42501"

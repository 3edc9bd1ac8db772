"""Whose answer it is: tokens, and two hundred users on a few connections."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any
from uuid import UUID

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.gateway import fault_server as faults
from tests.gateway.fault_server import Exchange
from tests.shim.conftest import SECRET, Client, World, token

USERS = 200


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, "LC110"),
        ("", "LC110"),
        ("Basic YTpi", "LC110"),
        ("Bearer nonsense", "LC110"),
        ("Bearer {expired}", "LC113"),
        ("Bearer {forged}", "LC112"),
        ("Bearer {unsigned}", "LC111"),
        ("Bearer {nobody}", "LC101"),
    ],
)
@pytest.mark.parametrize(
    "path", ["conversations/{}/messages", "chat/completions", "proposals/{}/confirm", "conversations"]
)
def test_tokens_that_name_nobody(client: Client, world: World, authorization: str | None, code: str, path: str) -> None:
    ada = world.people.ada
    tokens = {
        "expired": token(ada, -60), "forged": token(ada, key=SECRET + "!"),
        "unsigned": jwt.encode({"sub": str(ada), "exp": 9e9}, None, algorithm="none"),
        "nobody": token("3f0e8a5e-0000-4000-8000-000000000000"),
    }  # fmt: skip
    headers = {} if authorization is None else {"Authorization": authorization.format(**tokens)}
    body = {"content": "Well?", "messages": [{"role": "user", "content": "Well?"}]}
    answer = client.shim.http.post(f"/v1/{path.format(world.conversation())}", json=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert world.server.requests == [] and world.db.rows("select from loci.messages") == []


def test_a_set_of_public_keys(client: Client, world: World) -> None:
    key = rsa.generate_private_key(65537, 2048)
    known = {**jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "k1", "use": "sig"}
    world.use_key(json.dumps({"keys": [known]}), "RS256")
    try:
        for signed, status in (
            (token(world.people.ada, key=key, algorithm="RS256", kid="k1"), 201),
            (token(world.people.ada, key=key, algorithm="RS256", kid="k2"), 401),
            (token(world.people.ada), 401),
        ):
            answer = client.shim.http.post("/v1/conversations", headers={"Authorization": f"Bearer {signed}"})
            assert answer.status_code == status
    finally:
        world.use_key(SECRET)


def test_a_token_that_expires_while_the_model_speaks(client: Client, world: World, gate: threading.Event) -> None:
    """What was begun with it is still its user's to end."""
    world.server.then(faults.streams("Before, ", gate, "and after."))
    conversation = world.conversation()
    with client.streaming(conversation, bearer=token(world.people.ada, 600)) as events:
        next(events)
        world.db.set_clock("2100-01-01")
        try:
            gate.set()
            assert [event.event for event in events][-1] == "done"
        finally:
            world.db.set_clock(None)
    assert world.answered(conversation, "complete") == "Before, and after."


def test_keys_that_change_while_the_model_speaks(client: Client, world: World, gate: threading.Event) -> None:
    world.server.then(faults.streams("Before, ", gate, "and after."))
    conversation = world.conversation()
    with client.streaming(conversation) as events:
        next(events)
        world.use_key(SECRET + ", another one")
        try:
            gate.set()
            assert [event.event for event in events][-1] == "done"
        finally:
            world.use_key(SECRET)
    assert world.answered(conversation, "complete") == "Before, and after."


def test_conversations_of_others_are_unknown(client: Client, world: World) -> None:
    conversation = world.conversation()
    answer = client.ask(conversation, user=world.people.bob)
    assert (answer.status_code, answer.json()["code"]) == (404, "LC702")
    assert world.messages(conversation) == []


def echo(exchange: Exchange) -> None:
    """What was asked, and the first passage as its ground."""
    faults.streams(exchange.request.body["messages"][-1]["content"], " [1]")(exchange)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nobody_is_taken_for_another(new_client: Any, world: World) -> None:
    """Users interleaved on three connections, half of them streaming, all of them trying what is not theirs too."""
    client = new_client(shim_connections=3)
    db = world.db
    users = [db.user(f"user{n}@example.org") for n in range(USERS)]
    houses = {str(db.document(user, f"The key of user {n} is in drawer {n}.")): user for n, user in enumerate(users)}
    db.drain()
    world.server.always(echo)
    conversations = {user: world.conversation(user) for user in users}

    async def ask(http: httpx.AsyncClient, n: int) -> None:
        user, other = users[n], users[(n + 1) % USERS]
        conversation, question = conversations[user], f"Where is the key of user {n}, who asks?"
        url, headers = f"/v1/conversations/{conversation}/messages", {"Authorization": f"Bearer {token(user)}"}
        theirs = await http.post(
            f"/v1/conversations/{conversations[other]}/messages", json={"content": "?"}, headers=headers
        )
        assert theirs.status_code == 404
        if n % 2:
            found = (await http.post(url, json={"content": question}, headers=headers)).json()
            cited, text = found["citations"], found["content"]
        else:
            cited, text = [], ""
            async with http.stream(
                "POST", url, json={"content": question, "stream": True}, headers=headers
            ) as response:
                name = ""
                async for line in response.aiter_lines():
                    name = line[7:] if line.startswith("event: ") else name
                    if line.startswith("data: ") and name == "message":
                        text += json.loads(line[6:])["content"]
                    if line.startswith("data: ") and name == "citation":
                        cited.append(json.loads(line[6:]))
        assert text == f"{question} [1]"
        assert [houses[citation["key"]] for citation in cited] == [user]

    async def everybody() -> None:
        limits = httpx.Limits(max_connections=60)
        async with httpx.AsyncClient(base_url=client.shim.url, timeout=250, limits=limits) as http:
            await asyncio.gather(*(ask(http, n) for n in range(USERS)))

    asyncio.run(everybody())
    rows = db.rows(
        "select c.user_id, m.content from loci.messages as m join loci.conversations as c using (conversation_id) "
        "where m.role = 'user'"
    )
    assert len(rows) == USERS
    number: dict[UUID, int] = {user: n for n, user in enumerate(users)}
    assert all(f"of user {number[row['user_id']]}," in row["content"] for row in rows)
    # Nor pays for another.
    assert db.value("select count(distinct user_id) from loci.calls where status = 'ok'") == USERS

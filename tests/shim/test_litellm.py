"""Against the real thing: answers that a LiteLLM proxy streams."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.gateway.test_litellm import MASTER_KEY, Proxy, litellm, proxy  # noqa: F401
from tests.shim.conftest import Client, World, data_of, text_of

pytestmark = [pytest.mark.litellm, pytest.mark.timeout(400)]


@pytest.fixture
def asks(world: World, proxy: Proxy, new_client: Callable[..., Client]) -> Client:  # noqa: F811
    return new_client(gateway_url=proxy.local_url, gateway_key=MASTER_KEY)


def model(world: World, name: str) -> None:
    world.db.execute("update loci.settings set value = %s where name = 'chat_model'", name)


@pytest.fixture(autouse=True)
def as_before(world: World) -> object:
    yield
    model(world, "first")


def test_an_answer(asks: Client, world: World) -> None:
    model(world, "chat")
    events = asks.events(world.conversation())
    assert text_of(events) == "The harbour master." and events[-1].event == "done"
    (usage,) = data_of(events, "usage")
    assert usage["prompt_tokens"] > 0 and usage["completion_tokens"] > 0
    (call,) = world.calls
    assert (call["status"], call["tokens_in"]) == ("ok", usage["prompt_tokens"])


def test_models_that_fail(asks: Client, world: World) -> None:
    for name, code in (("limited", "LC401"), ("broken", "LC402")):
        model(world, name)
        answer = asks.ask(world.conversation())
        assert answer.json()["code"] == code and "litellm" not in answer.text.lower()


def test_a_wrong_key(world: World, proxy: Proxy, new_client: Callable[..., Client]) -> None:  # noqa: F811
    model(world, "chat")
    client = new_client(gateway_url=proxy.local_url, gateway_key="sk-wrong-0d6f3b9a12c4")
    answer = client.ask(world.conversation())
    # LiteLLM without a database of its own answers 400 to a key that it does not know.
    assert answer.json()["code"] in ("LC402", "LC404", "LC406") and "0d6f3b" not in answer.text + client.shim.raw_log

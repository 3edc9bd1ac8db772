"""The gateway's client and the provider on it, without a database: every fault ends in one of four defined kinds."""

from __future__ import annotations

import asyncio
import base64
import itertools
import math
import os
import signal
import statistics
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from loci_udfs.errors import LociError
from loci_udfs.gateway import Client, Gateway, GatewayError, NotSent, run
from loci_udfs.providers.base import ModelConfig, Outcome
from loci_udfs.providers.litellm import LitellmProvider
from loci_udfs.tokens import get_tokenizer
from tests.gateway import fault_server as faults
from tests.gateway.fault_server import FaultServer, make_certificate, vector_of

KEY = "sk-test-4f1d9c7b2a6e8035"


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as started:
        yield started


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCI_TEST_KEY", KEY)


def gateway(server: FaultServer, **changes: Any) -> dict[str, Any]:
    return {
        "gateway": "default",
        "base_url": server.base_url,
        "api_key_ref": "env:LOCI_TEST_KEY",
        "max_concurrency": 5,
        "timeout_seconds": 2,
        **changes,
    }


def model(server: FaultServer, limits: dict[str, Any] | None = None, **changes: Any) -> ModelConfig:
    settings: dict[str, Any] = {
        "model_id": 1,
        "name": "test-model",
        "provider": "litellm",
        "dimensions": server.dimensions,
        "gateway": gateway(server, **(limits or {})),
        **changes,
    }
    return ModelConfig(**settings)


def nothing() -> None:
    pass


def embed_each(
    texts: list[str],
    config: ModelConfig,
    checkpoint: Callable[[], None] = nothing,
    permit: Callable[[], bool] | None = None,
) -> Outcome:
    return LitellmProvider().embed_each(texts, "passage", config, checkpoint, permit)


def failure(server: FaultServer, texts: list[str] | None = None, **limits: Any) -> GatewayError:
    """What a single request without any second thoughts raises."""

    async def post() -> None:
        async with Client(Gateway(**gateway(server, **limits)), largest_answer=1024 * 1024) as client:
            await client.post("/embeddings", {"model": "m", "input": texts or ["one"]}, private=texts or ())

    with pytest.raises(GatewayError) as caught:
        run(post, nothing)
    return caught.value


def everything_said(error: LociError) -> str:
    return f"{error.message} {error.detail} {error.hint} {error!r} {error.__cause__!r}"


# --- each fault has its kind ------------------------------------------------------------------------------------------

HTML = b"<html><head><title>Sign in</title></head><body>Please sign in to the network.</body></html>"

FAULTS: dict[str, tuple[faults.Behaviour, str, str]] = {
    "429": (faults.status(429, retry_after="7"), "overloaded", "LC401"),
    "500": (faults.status(500), "outage", "LC402"),
    "502": (faults.body(HTML, 502, "text/html"), "outage", "LC402"),
    "503": (faults.status(503, retry_after="7"), "outage", "LC402"),
    "504": (faults.status(504), "outage", "LC402"),
    "408": (faults.status(408), "outage", "LC402"),
    "400": (faults.status(400), "rejected", "LC406"),
    "413": (faults.status(413), "rejected", "LC406"),
    "422": (faults.body({"detail": [{"msg": "field required"}]}, 422), "rejected", "LC406"),
    "401": (faults.echo_key(401), "misconfigured", "LC404"),
    "402": (faults.status(402), "misconfigured", "LC404"),
    "403": (faults.echo_key(403), "misconfigured", "LC404"),
    "404": (faults.status(404, "model not found"), "misconfigured", "LC405"),
    "301": (faults.redirect("/v1/elsewhere", 301), "misconfigured", "LC405"),
    "307": (faults.redirect("http://127.0.0.1:9/v1/embeddings"), "misconfigured", "LC405"),
    "308": (faults.redirect("https://example.org/", 308), "misconfigured", "LC405"),
    "304": (faults.body(b"", 304), "misconfigured", "LC405"),
    "HTML with 200": (faults.body(HTML, content_type="text/html"), "outage", "LC407"),
    "JSON list": (faults.body([1, 2, 3]), "outage", "LC407"),
    "JSON null": (faults.body(b"null"), "outage", "LC407"),
    "no JSON": (faults.body(b'{"data": ['), "outage", "LC407"),
    "no text": (faults.body(b"\xff\xfe\x00\xd8"), "outage", "LC407"),
    "empty": (faults.body(b""), "outage", "LC407"),
    "deep JSON": (faults.body(b'{"data":' + b"[" * 100_000), "outage", "LC407"),
    "truncated": (faults.truncated, "outage", "LC402"),
    "length too short": (faults.length_too_short, "outage", "LC407"),
    "broken chunks": (faults.broken_chunks, "outage", "LC402"),
    "no HTTP": (faults.no_http, "outage", "LC402"),
    "reset before headers": (faults.reset, "outage", "LC402"),
    "reset after headers": (faults.reset_within, "outage", "LC402"),
    "hang": (faults.hang, "outage", "LC403"),
    "trickle": (faults.trickle(0.1), "outage", "LC403"),
    "huge": (faults.huge(200 * 1024 * 1024), "outage", "LC407"),
    "gzip bomb": (faults.gzip_bomb(200 * 1024 * 1024), "outage", "LC407"),
    "no gzip": (
        lambda e: e.answer(b"this is not gzip", headers={"Content-Encoding": "gzip"}),
        "outage",
        "LC407",
    ),
    "huge error": (faults.huge(200 * 1024 * 1024, 500), "outage", "LC402"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_has_its_kind(server: FaultServer, name: str) -> None:
    behaviour, kind, sqlstate = FAULTS[name]
    server.always(behaviour)
    started = time.monotonic()
    error = failure(server, timeout_seconds=1)
    assert (error.kind, error.sqlstate) == (kind, sqlstate), error.detail
    assert time.monotonic() - started < 20
    # Never a second time: when to try again is the queue's business.
    assert len(server.requests) == 1
    assert KEY not in everything_said(error)
    assert (error.retry_after == 7) == (name in ("429", "503"))


def test_an_answer_is_read_no_further_than_its_limit(server: FaultServer) -> None:
    server.always(faults.huge(200 * 1024 * 1024))
    failure(server)
    server.always(faults.huge(200 * 1024 * 1024, 500))
    failure(server)
    # A socket's buffers take a few megabytes more than the client read.
    assert server.sent < 40 * 1024 * 1024


def test_nobody_listens(server: FaultServer) -> None:
    server.stop()
    error = failure(server)
    assert (error.kind, error.sqlstate) == ("outage", "LC402")


def test_no_such_host(server: FaultServer) -> None:
    error = failure(server, base_url="http://no-such-host.invalid/v1")
    assert (error.kind, error.sqlstate) == ("outage", "LC402")


@pytest.mark.parametrize(("names", "days"), [(["127.0.0.1"], 1), (["example.org"], 1), (["127.0.0.1"], -1)])
def test_wrong_certificate(tmp_path: Path, names: list[str], days: int) -> None:
    with FaultServer(tls=make_certificate(tmp_path, names, days)) as server:
        error = failure(server)
        assert (error.kind, error.sqlstate) == ("outage", "LC402")
        assert "CERTIFICATE_VERIFY_FAILED" in (error.detail or "")
        assert not server.requests


def test_a_certificate_of_ones_own_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with FaultServer(tls=certificate) as server:
        assert set(embed_each(["one"], model(server)).vectors) == {0}
    with FaultServer(tls=make_certificate(tmp_path, ["example.org"])) as server:
        assert failure(server).sqlstate == "LC402"


def test_plain_http_where_tls_is_expected_and_the_other_way_round(server: FaultServer, tmp_path: Path) -> None:
    assert failure(server, base_url=server.base_url.replace("http:", "https:")).sqlstate == "LC402"
    with FaultServer(tls=make_certificate(tmp_path)) as other:
        assert failure(other, base_url=other.base_url.replace("https:", "http:")).sqlstate == "LC402"


@pytest.mark.parametrize(
    ("reference", "sqlstate"),
    [("env:LOCI_NO_SUCH_VARIABLE", "LC121"), ("file:/no/such/file", "LC121"), ("sk-pasted", "LC120")],
)
def test_no_key_behind_the_reference(server: FaultServer, reference: str, sqlstate: str) -> None:
    error = failure(server, api_key_ref=reference)
    assert (error.kind, error.sqlstate) == ("misconfigured", sqlstate)
    assert "sk-pasted" not in everything_said(error)
    assert not server.requests


@pytest.mark.parametrize("secret", ["sk-two\nlines-of-it", "sk-with space", "sk-ümlaut-of-it", "sk-\x07bell-rings"])
def test_a_key_that_no_header_can_carry(server: FaultServer, monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv("LOCI_TEST_KEY", secret)
    error = failure(server)
    assert (error.kind, error.sqlstate) == ("misconfigured", "LC408")
    assert secret[3:] not in everything_said(error)
    assert not server.requests


def test_a_gateway_without_address(server: FaultServer) -> None:
    assert failure(server, base_url=None).sqlstate == "LC400"
    outcome = embed_each(["one"], model(server, {"base_url": None}))
    assert outcome.stopped is not None and outcome.stopped.sqlstate == "LC400"


# --- what errors say --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [400, 401, 403, 404, 429, 500])
def test_the_key_is_never_repeated(server: FaultServer, code: int) -> None:
    server.always(faults.echo_key(code))
    said = everything_said(failure(server))
    for start in range(len(KEY) - 6):
        assert KEY[start : start + 6] not in said


@pytest.mark.parametrize("code", [400, 422, 500])
def test_texts_are_never_repeated(server: FaultServer, code: int) -> None:
    texts = ["The harbour master's report of\n\n  last night, in confidence", "short secret"]
    server.always(faults.echo_texts(code))
    error = failure(server, texts)
    assert "harbour" not in everything_said(error) and "short secret" not in everything_said(error)
    assert "cannot embed" in (error.detail or "")
    server.always(faults.body(("cannot embed " + texts[0]).encode(), content_type="text/plain"))
    assert "harbour" not in everything_said(failure(server, texts))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        ("2.5", 2.5),
        ("-3", 0),
        ("86400", 3600),
        ("9" * 400, 3600),
        ("1e999", 3600),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Mon, 99 Foo 99999 99:99:99 GMT", None),
        ("Sun Nov  6 08:49:37 1994", 0),
    ],
)
def test_retry_after(server: FaultServer, value: str, seconds: float | None) -> None:
    server.always(faults.status(429, retry_after=value))
    assert failure(server).retry_after == seconds


def test_retry_after_a_date(server: FaultServer) -> None:
    date = datetime.now(UTC) + timedelta(seconds=90)
    server.always(faults.status(429, retry_after=format_datetime(date, usegmt=True)))
    assert failure(server).retry_after == pytest.approx(90, abs=5)
    # The gateway's clock is an hour ahead, and it says so.
    date += timedelta(hours=1)
    server.always(
        faults.status(
            429,
            retry_after=format_datetime(date, usegmt=True),
            Date=format_datetime(date - timedelta(seconds=40), usegmt=True),
        )
    )
    assert failure(server).retry_after == pytest.approx(40, abs=1)


# --- one thread, one that can be stopped ------------------------------------------------------------------------------


class Cancelled(Exception):
    pass


@pytest.mark.parametrize("behaviour", [faults.hang, faults.trickle(0.05)])
def test_a_cancel_ends_it_at_once_and_closes_its_sockets(server: FaultServer, behaviour: faults.Behaviour) -> None:
    server.always(behaviour)
    calls = 0

    def checkpoint() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise Cancelled

    get_tokenizer("cl100k")  # takes its time when first used
    started = time.monotonic()
    with pytest.raises(Cancelled):
        embed_each([f"text {n}" for n in range(500)], model(server, {"timeout_seconds": 60}), checkpoint)
    assert time.monotonic() - started < 30
    assert server.most_in_flight == 5
    until = time.monotonic() + 5
    while server.connections and time.monotonic() < until:
        time.sleep(0.02)
    assert server.connections == 0


def test_checkpoints_come_several_times_a_second(server: FaultServer) -> None:
    server.always(faults.after(1.0))
    moments: list[float] = []
    embed_each(["one"], model(server), lambda: moments.append(time.monotonic()))
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert len(moments) >= 4 and statistics.median(gaps) < 0.4


def test_a_permit_that_fails_ends_it_as_it_is(server: FaultServer) -> None:
    def permit() -> bool:
        raise Cancelled

    with pytest.raises(Cancelled):
        embed_each([f"text {n}" for n in range(500)], model(server), permit=permit)
    assert not server.requests


def test_no_thread_is_started_and_no_signal_handler_changed(server: FaultServer) -> None:
    # A process of its own: others leave threads behind.
    code = f"""
import os, signal, threading
before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)], signal.set_wakeup_fd(-1)
import loci_udfs
from loci_udfs.providers.base import ModelConfig
from loci_udfs.providers.litellm import LitellmProvider
seen = set()
config = ModelConfig(1, "m", "litellm", {server.dimensions}, gateway=dict(
    gateway="default", base_url="{server.base_url.replace("127.0.0.1", "localhost")}", timeout_seconds=5))
LitellmProvider().embed(["one", "two"], "passage", config, lambda: seen.add(len(os.listdir("/proc/self/task"))))
assert seen == {{1}}, seen
after = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)], signal.set_wakeup_fd(-1)
assert before == after
assert threading.active_count() == 1
"""
    server.always(faults.after(0.5))
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_signal_reaches_its_handler_during_a_call(server: FaultServer) -> None:
    """As the server's own handlers have to run while a request is being waited for."""
    came: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: came.append(number))
    try:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        server.always(faults.after(0.8))
        embed_each(["one"], model(server))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert came == [signal.SIGUSR1]


# --- the environment of the server ------------------------------------------------------------------------------------

ENVIRONMENT = {
    "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
    "OPENAI_API_KEY": "sk-of-somebody-else",
    "OPENAI_ADMIN_KEY": "sk-of-the-admin",
    "OPENAI_ORG_ID": "org-1",
    "OPENAI_PROJECT_ID": "proj-1",
    "OPENAI_CUSTOM_HEADERS": "X-Custom: 1\nAuthorization: Bearer sk-custom",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "ALL_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
    "all_proxy": "http://127.0.0.1:9",
}


@pytest.mark.parametrize("reference", ["env:LOCI_TEST_KEY", None])
def test_the_environment_changes_neither_where_it_goes_nor_what_it_carries(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reference: str | None
) -> None:
    config = model(server, {"api_key_ref": reference})
    embed_each(["one"], config)
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password of-netrc\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    embed_each(["one"], config)
    plain, with_environment = server.requests
    assert plain.path == with_environment.path == "/v1/embeddings"
    assert plain.headers == with_environment.headers
    expected = {"host", "accept", "accept-encoding", "content-length", "content-type", "user-agent"}
    assert set(plain.headers) == (expected | {"authorization"} if reference else expected)
    assert plain.headers.get("authorization") == (f"Bearer {KEY}" if reference else None)
    assert plain.headers["user-agent"] == "loci"


def test_a_trace_goes_with_the_request(server: FaultServer) -> None:
    async def post() -> None:
        async with Client(Gateway(**gateway(server))) as client:
            await client.post("/embeddings", {"model": "m", "input": ["one"]}, headers={"traceparent": "00-1-2-01"})

    run(post, nothing)
    assert server.requests[0].headers["traceparent"] == "00-1-2-01"


# --- batches ----------------------------------------------------------------------------------------------------------


def close(one: Any, other: list[float]) -> bool:
    return all(math.isclose(a, b, abs_tol=1e-6) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("behaviour", [faults.ok(), faults.ok(floats=True), faults.gzipped])
def test_vectors_come_in_the_order_of_their_texts(server: FaultServer, behaviour: faults.Behaviour) -> None:
    server.always(behaviour)
    texts = [f"text {n}" for n in range(23)]
    outcome = embed_each(texts, model(server, max_batch=5))
    assert not outcome.errors and outcome.stopped is None
    assert all(close(outcome.vectors[n], vector_of(text, 8)) for n, text in enumerate(texts))
    assert sorted(server.sizes) == [3, 5, 5, 5, 5]
    assert server.requests[0].body["model"] == "test-model"


def test_items_may_come_in_any_order(server: FaultServer) -> None:
    server.always(faults.changed(lambda data: data[::-1]))
    texts = [f"text {n}" for n in range(5)]
    outcome = embed_each(texts, model(server))
    assert all(close(outcome.vectors[n], vector_of(text, 8)) for n, text in enumerate(texts))


def test_prefixes(server: FaultServer) -> None:
    config = model(server, query_prefix="query: ", passage_prefix="passage: ")
    LitellmProvider().embed(["one"], "query", config, nothing)
    LitellmProvider().embed(["one"], "passage", config, nothing)
    assert [request.texts for request in server.requests] == [["query: one"], ["passage: one"]]


@pytest.mark.parametrize("most", [1, 3, 5])
def test_no_more_in_flight_than_allowed(server: FaultServer, most: int) -> None:
    server.always(faults.after(0.05))
    outcome = embed_each([f"text {n}" for n in range(60)], model(server, {"max_concurrency": most}, max_batch=4))
    assert len(outcome.vectors) == 60
    assert server.most_in_flight == most
    assert max(server.sizes) == 4 and len(server.sizes) == 15


def test_no_more_in_flight_while_a_bad_text_is_looked_for(server: FaultServer) -> None:
    server.when("poison", faults.after(0.01, faults.status(400)))
    server.always(faults.after(0.02))
    texts = [f"poison {n}" if n % 7 == 0 else f"text {n}" for n in range(100)]
    outcome = embed_each(texts, model(server, {"max_concurrency": 3}, max_batch=50))
    assert set(outcome.errors) == {n for n in range(100) if n % 7 == 0}
    assert server.most_in_flight == 3


def test_no_more_tokens_a_request_than_the_limit(server: FaultServer) -> None:
    text = "word " * 8000
    outcome = embed_each([f"{n} {text}" for n in range(50)], model(server, {"timeout_seconds": 30}))
    assert len(outcome.vectors) == 50
    # 300,000 tokens a request, about 8,000 of them a text
    assert sorted(server.sizes) == [13, 37]


def test_a_text_that_is_too_long_fails_by_itself(server: FaultServer) -> None:
    outcome = embed_each(["one", "word " * 600, " ", "two"], model(server, max_tokens=512))
    assert set(outcome.vectors) == {0, 3}
    assert {n: error.sqlstate for n, error in outcome.errors.items()} == {1: "LC230", 2: "LC235"}
    assert server.sizes == [2]


def test_a_question_that_is_too_long_is_cut(server: FaultServer) -> None:
    vectors = LitellmProvider().embed(["word " * 3000], "query", model(server, max_tokens=512), nothing)
    assert len(vectors) == 1
    assert 400 < len(server.requests[0].texts[0].split()) <= 512


def test_usage_is_counted(server: FaultServer) -> None:
    server.always(faults.ok(headers={"x-litellm-response-cost": "0.0025"}))
    outcome = embed_each(["one two", "three"] * 3, model(server, max_batch=2))
    assert (outcome.requests, outcome.tokens) == (3, 9)
    assert outcome.cost_usd == pytest.approx(0.0075)


@pytest.mark.parametrize("cost", ["nan", "-1", "inf", "free", ""])
def test_a_cost_that_is_none_is_not_counted(server: FaultServer, cost: str) -> None:
    server.always(faults.ok(headers={"x-litellm-response-cost": cost}))
    outcome = embed_each(["one"], model(server))
    assert outcome.cost_usd == 0 and set(outcome.vectors) == {0}


# --- whose fault is it? -----------------------------------------------------------------------------------------------

POISON: dict[str, tuple[faults.Behaviour, str]] = {
    "400": (faults.status(400), "LC406"),
    "403": (faults.status(403), "LC404"),
    "500": (faults.status(500), "LC402"),
    "reset": (faults.reset, "LC402"),
    "hang": (faults.hang, "LC403"),
    "HTML": (faults.body(HTML, content_type="text/html"), "LC407"),
    "NaN": (faults.changed(lambda data: [{**item, "embedding": [math.nan] * 8} for item in data]), "LC233"),
    "null": (faults.changed(lambda data: [{**item, "embedding": None} for item in data]), "LC231"),
    "zeros": (faults.changed(lambda data: [{**item, "embedding": [0] * 8} for item in data]), "LC234"),
    "missing": (faults.changed(lambda data: data[:-1]), "LC231"),
    "extra": (faults.changed(lambda data: [*data, {"index": len(data), "embedding": [1.0] * 8}]), "LC231"),
    "duplicated": (faults.changed(lambda data: [{**item, "index": 0} for item in data] * 2), "LC231"),
    "misnumbered": (faults.changed(lambda data: [{**item, "index": item["index"] + 1} for item in data]), "LC231"),
    "numbered by text": (
        faults.changed(lambda data: [{**item, "index": str(item["index"])} for item in data]),
        "LC231",
    ),
    "numbered by truth": (faults.changed(lambda data: [{**item, "index": False} for item in data]), "LC231"),
    "no base64": (faults.changed(lambda data: [{**item, "embedding": "ÄÖ!"} for item in data]), "LC232"),
    "half a number": (
        faults.changed(lambda data: [{**item, "embedding": base64.b64encode(b"12345").decode()} for item in data]),
        "LC232",
    ),
    "infinity": (
        faults.changed(
            lambda data: [
                {**item, "embedding": base64.b64encode(struct.pack("<8f", *[math.inf] * 8)).decode()} for item in data
            ]
        ),
        "LC233",
    ),
    "dimension": (faults.dimensions(7), "LC232"),
    "words": (faults.changed(lambda data: [{**item, "embedding": ["a"] * 8} for item in data]), "LC232"),
    "number": (faults.changed(lambda data: [{**item, "embedding": 7} for item in data]), "LC231"),
    "no list": (faults.changed(lambda data: {"0": "embedding"}), "LC231"),
    "no objects": (faults.changed(lambda data: [item["embedding"] for item in data]), "LC231"),
    "no data": (faults.body({"object": "list"}), "LC231"),
}


@pytest.mark.parametrize("name", POISON)
@pytest.mark.parametrize("count", [1, 30])
def test_a_bad_text_stands_alone_in_the_end(server: FaultServer, name: str, count: int) -> None:
    behaviour, sqlstate = POISON[name]
    server.when("poison", behaviour)
    texts = [f"text {n}" for n in range(count)]
    bad = count * 2 // 3
    texts[bad] = "poison"
    outcome = embed_each(texts, model(server, {"timeout_seconds": 0.5}, max_batch=15))
    assert outcome.stopped is None
    assert {n: error.sqlstate for n, error in outcome.errors.items()} == {bad: sqlstate}
    assert set(outcome.vectors) == set(range(count)) - {bad}
    assert outcome.requests == len(server.requests)


def test_several_bad_texts(server: FaultServer) -> None:
    server.when("poison", faults.status(400))
    texts = [f"text {n}" for n in range(200)]
    bad = {0, 57, 58, 99, 100, 199}
    for n in bad:
        texts[n] = f"poison {n}"
    outcome = embed_each(texts, model(server))
    assert set(outcome.errors) == bad
    assert set(outcome.vectors) == set(range(200)) - bad
    # Two requests, then tens, then ones, and a question to the gateway for each that failed.
    assert len(server.requests) < 120


@pytest.mark.parametrize("name", POISON)
def test_a_gateway_that_fails_for_everything_costs_no_text_anything(server: FaultServer, name: str) -> None:
    behaviour, sqlstate = POISON[name]
    server.always(behaviour)
    outcome = embed_each([f"text {n}" for n in range(500)], model(server, {"timeout_seconds": 0.5}))
    assert not outcome.errors and not outcome.vectors
    assert outcome.stopped is not None
    assert outcome.stopped.sqlstate == sqlstate
    assert outcome.stopped.kind == ("outage" if sqlstate in ("LC402", "LC403", "LC407") else "misconfigured")
    # The five that were under way, and a second opinion.
    assert len(server.requests) <= 6


@pytest.mark.parametrize("sqlstate", ["LC401"])
def test_429_stops_it_without_a_second_opinion(server: FaultServer, sqlstate: str) -> None:
    server.always(faults.status(429, retry_after="3"))
    outcome = embed_each([f"text {n}" for n in range(500)], model(server, {"max_concurrency": 1}))
    assert outcome.stopped is not None
    assert (outcome.stopped.kind, outcome.stopped.sqlstate) == ("overloaded", sqlstate)
    assert outcome.stopped.retry_after == 3
    assert len(server.requests) == outcome.requests == 1


def test_what_came_before_the_gateway_stopped_is_kept(server: FaultServer) -> None:
    server.then(faults.ok(), faults.ok(), faults.status(429))
    server.always(faults.status(429))
    outcome = embed_each([f"text {n}" for n in range(50)], model(server, {"max_concurrency": 1}, max_batch=10))
    assert set(outcome.vectors) == set(range(20))
    assert not outcome.errors and outcome.stopped is not None
    assert len(server.requests) == 3


def test_a_gateway_that_goes_away_while_a_bad_text_is_looked_for(server: FaultServer) -> None:
    server.then(faults.status(400), faults.ok(), faults.status(503, retry_after="9"))
    server.always(faults.status(503))
    outcome = embed_each([f"text {n}" for n in range(20)], model(server, {"max_concurrency": 1}))
    assert not outcome.errors and not outcome.vectors
    assert outcome.stopped is not None
    assert (outcome.stopped.sqlstate, outcome.stopped.retry_after) == ("LC402", 9)


def test_a_permit_is_asked_for_each_request(server: FaultServer) -> None:
    left = 3

    def permit() -> bool:
        nonlocal left
        left -= 1
        return left >= 0

    outcome = embed_each([f"text {n}" for n in range(50)], model(server, max_batch=10), permit=permit)
    assert len(server.requests) == outcome.requests == 3
    assert len(outcome.vectors) == 30 and not outcome.errors and outcome.stopped is None


def test_no_permit_left_to_find_out_whose_fault_it_is(server: FaultServer) -> None:
    permits = iter([True])
    server.always(faults.status(500))
    outcome = embed_each(["one", "two"], model(server), permit=lambda: next(permits, False))
    assert not outcome.errors and outcome.stopped is not None and outcome.stopped.sqlstate == "LC402"
    with pytest.raises(NotSent):
        run(lambda: _post(server, lambda: False), nothing)


async def _post(server: FaultServer, permit: Callable[[], bool]) -> None:
    async with Client(Gateway(**gateway(server)), permit=permit) as client:
        await client.post("/embeddings", {})


def test_embed_is_all_or_nothing_and_asks_once(server: FaultServer) -> None:
    server.when("poison", faults.status(400))
    with pytest.raises(GatewayError) as caught:
        LitellmProvider().embed(["one", "poison"], "query", model(server), nothing)
    assert (caught.value.kind, caught.value.sqlstate) == ("rejected", "LC406")
    with pytest.raises(LociError) as empty:
        LitellmProvider().embed(["one", " "], "query", model(server), nothing)
    assert empty.value.sqlstate == "LC235"
    assert len(server.requests) == 1


def test_calls_leave_nothing_behind(server: FaultServer) -> None:
    """A session of the database makes thousands of them."""
    for behaviour in (faults.ok(), faults.reset, faults.status(500), faults.truncated):
        server.always(behaviour)
        embed_each(["one"], model(server))
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    for behaviour in (faults.ok(), faults.reset, faults.status(500), faults.truncated) * 5:
        server.always(behaviour)
        embed_each(["one"], model(server))
    time.sleep(0.2)
    after = len(os.listdir("/proc/self/fd")), threading.active_count()
    assert after[0] <= before[0] + 2 and after[1] <= before[1] + 2
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()

"""Logs, one JSON object a line, without any text of users; trace ids of W3C Trace Context, and of OpenTelemetry where it is."""

from __future__ import annotations

import json
import logging
import re
import secrets
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(?:-.*)?")
_log = logging.getLogger("loci_shim")
try:
    _otel: Any = import_module("opentelemetry.trace")
    _propagate: Any = import_module("opentelemetry.propagate")
except ImportError:
    _otel = None


@dataclass
class Trace:
    """Of one request. outgoing: headers that say where it stands in a trace, for the gateway and the database."""

    request_id: str
    outgoing: dict[str, str]
    turn_id: str | None = None

    @property
    def trace_id(self) -> str:
        return self.outgoing["traceparent"].split("-")[1]


@contextmanager
def tracing(name: str, headers: Mapping[str, str]) -> Iterator[Trace]:
    """The trace of a request, continued where a caller began it; a span of OpenTelemetry where that is installed."""
    given = headers.get("x-request-id", "")
    request_id = given if re.fullmatch(r"[\w.:-]{1,64}", given, re.ASCII) else secrets.token_hex(8)
    found = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    trace_id, flags = found.groups() if found else (secrets.token_hex(16), "01")
    trace = Trace(request_id, {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-{flags}"})
    if found and (state := headers.get("tracestate", "")[:512]):
        trace.outgoing["tracestate"] = state
    if _otel is None:
        yield trace
        return
    tracer = _otel.get_tracer("loci_shim")
    with tracer.start_as_current_span(name, context=_propagate.extract(headers), kind=_otel.SpanKind.SERVER) as span:
        carrier: dict[str, str] = {}
        _propagate.inject(carrier)
        if span.is_recording() and "traceparent" in carrier:
            trace.outgoing = {name: carrier[name] for name in ("traceparent", "tracestate") if carrier.get(name)}
        yield trace
        span.set_attribute("loci.request_id", trace.request_id)
        span.set_attribute("loci.turn_id", trace.turn_id or "")


def log(event: str, trace: Trace | None = None, *, level: int = logging.INFO, **about: Any) -> None:
    if trace is not None:
        about = {"request_id": trace.request_id, "trace_id": trace.trace_id, "turn_id": trace.turn_id, **about}
    _log.log(level, event, extra={"about": about})


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(), "logger": record.name, "event": record.getMessage(),
        }  # fmt: skip
        if record.exc_info and record.exc_info[0]:
            # Where it happened; messages of exceptions may quote what users said.
            where = traceback.extract_tb(record.exc_info[2])[-1:]
            line |= {"error": record.exc_info[0].__name__, "where": [f"{at.filename}:{at.lineno}" for at in where]}
        line |= {name: value for name, value in getattr(record, "about", {}).items() if value is not None}
        return json.dumps(line, default=str)


def log_to_stdout() -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Line())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("loci_shim", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.INFO)

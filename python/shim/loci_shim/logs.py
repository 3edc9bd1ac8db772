"""Logs, one JSON object a line, without any text of users; trace ids of W3C Trace Context, and of OpenTelemetry where it is."""

from __future__ import annotations

import json
import logging
import re
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_log = logging.getLogger("loci_shim")
try:
    _otel: Any = import_module("opentelemetry.trace")
    _propagate: Any = import_module("opentelemetry.propagate")
except ImportError:
    _otel = None


@dataclass
class Trace:
    """Of one request: its id, and where it stands in a trace. traceparent: what the gateway and the database are told."""

    request_id: str
    traceparent: str
    tracestate: str | None = None
    turn_id: str | None = None

    @property
    def trace_id(self) -> str:
        return self.traceparent.split("-")[1]

    def outgoing(self) -> dict[str, str]:
        return {"traceparent": self.traceparent} | ({"tracestate": self.tracestate} if self.tracestate else {})


@contextmanager
def tracing(name: str, headers: Mapping[str, str]) -> Iterator[Trace]:
    """The trace of a request, continued where a caller began it; a span of OpenTelemetry where that is installed."""
    given = headers.get("x-request-id", "")
    request_id = given if re.fullmatch(r"[\w.:-]{1,64}", given, re.ASCII) else secrets.token_hex(8)
    found = _TRACEPARENT.fullmatch(headers.get("traceparent", ""))
    trace_id, flags = (found[1], found[3]) if found else (secrets.token_hex(16), "01")
    state = headers.get("tracestate", "")[:512] if found else ""
    trace = Trace(request_id, f"00-{trace_id}-{secrets.token_hex(8)}-{flags}", state or None)
    if _otel is None:
        yield trace
        return
    tracer = _otel.get_tracer("loci_shim")
    with tracer.start_as_current_span(name, context=_propagate.extract(headers), kind=_otel.SpanKind.SERVER) as span:
        carrier: dict[str, str] = {}
        _propagate.inject(carrier)
        if span.is_recording() and "traceparent" in carrier:
            trace.traceparent, trace.tracestate = carrier["traceparent"], carrier.get("tracestate")
        yield trace
        span.set_attribute("loci.request_id", trace.request_id)
        span.set_attribute("loci.turn_id", trace.turn_id or "")


def log(event: str, trace: Trace | None = None, *, level: str = "info", **about: Any) -> None:
    if trace is not None:
        about = {"request_id": trace.request_id, "trace_id": trace.trace_id, "turn_id": trace.turn_id, **about}
    _log.log(logging.getLevelNamesMapping()[level.upper()], event, extra={"about": about})


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(), "event": record.getMessage(),
        }  # fmt: skip
        if record.name != "loci_shim":
            line["logger"] = record.name
        if record.exc_info and record.exc_info[1] is not None:
            # Where it happened; messages of exceptions may quote what users said.
            trace = record.exc_info[2]
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            line["error"] = type(record.exc_info[1]).__name__
            line["where"] = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else None
        line |= {name: value for name, value in getattr(record, "about", {}).items() if value is not None}
        return json.dumps(line, default=str)


def log_to_stdout() -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Line())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    _log.setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").setLevel(logging.INFO)

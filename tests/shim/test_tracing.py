"""Spans, where OpenTelemetry is there."""

from __future__ import annotations

import pytest

from loci_shim.logs import tracing

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_request_is_a_span_of_its_callers_trace() -> None:
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    spans, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(provider)
    with tracing("POST", {"traceparent": TRACE, "tracestate": "a=b"}) as here:
        here.turn_id = "7"
        sent = here.outgoing
    (span,) = spans.get_finished_spans()
    assert span.name == "POST" and span.parent is not None and span.attributes is not None
    assert f"{span.parent.span_id:016x}" == TRACE.split("-")[2] and span.attributes["loci.turn_id"] == "7"
    # What the gateway is told is this span, not the caller's.
    assert sent == {"traceparent": f"00-{TRACE.split('-')[1]}-{span.context.span_id:016x}-01", "tracestate": "a=b"}


def test_without_a_span_the_trace_goes_on() -> None:
    with tracing("POST", {"traceparent": TRACE}) as here:
        assert here.trace_id == TRACE.split("-")[1] and here.outgoing["traceparent"] != TRACE

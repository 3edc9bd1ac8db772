"""Run by the Python of .venv-langgraph: the official checkpointer and graphs of LangGraph, against a database.

    langgraph_threads.py DSN conformance               the conformance suite of checkpointers; its report as JSON
    langgraph_threads.py DSN run THREAD TEXT [VERSION]  a turn of a thread's graph; its whole state as JSON
    langgraph_threads.py DSN state THREAD              its state and history, nothing run

The graph keeps its messages in a delta channel, whose value is rebuilt from writes to older checkpoints, a plain channel
that is written once, and calls a subgraph with checkpoints of its own.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Annotated, Any, TypedDict

from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import END, START, StateGraph


def extend(state: list[str], writes: list[list[str]]) -> list[str]:
    return [*state, *(text for write in writes for text in write)]


class State(TypedDict, total=False):
    messages: Annotated[list[str], DeltaChannel(extend, snapshot_frequency=1000)]
    name: dict[str, str]
    turns: int


def reply(state: State) -> dict[str, Any]:
    said = state["messages"][-1]
    update: dict[str, Any] = {"messages": [f"you said {said}"], "turns": state.get("turns", 0) + 1}
    if "name" not in state:
        # A value in a blob of its own, which all later checkpoints refer to.
        update["name"] = {"first": said}
    return update


def graph(saver: PostgresSaver) -> Any:
    inner = StateGraph(State)
    inner.add_node("reply", reply)
    inner.add_edge(START, "reply")
    inner.add_edge("reply", END)
    outer = StateGraph(State)
    outer.add_node("inner", inner.compile(checkpointer=True))
    outer.add_edge(START, "inner")
    outer.add_edge("inner", END)
    return outer.compile(checkpointer=saver)


async def conformance(dsn: str) -> dict[str, Any]:
    @checkpointer_test(name="PostgresSaver")
    async def saver() -> Any:
        async with AsyncPostgresSaver.from_conn_string(dsn) as made:
            await made.setup()
            yield made

    report = await validate(saver)
    return {
        name: {
            "detected": result.detected,
            "passed": result.tests_passed,
            "failures": [str(f) for f in result.failures],
        }
        for name, result in report.results.items()
    }


def main() -> None:
    dsn, command, *arguments = sys.argv[1:]
    if command == "conformance":
        print(json.dumps(asyncio.run(conformance(dsn))))
        return
    thread = {"configurable": {"thread_id": arguments[0]}}
    with PostgresSaver.from_conn_string(dsn) as saver:
        saver.setup()
        compiled = graph(saver)
        if command == "run":
            compiled.invoke({"messages": [arguments[1]]}, thread)
        history = [
            {"id": s.config["configurable"]["checkpoint_id"], "values": s.values}
            for s in compiled.get_state_history(thread)
        ]
        print(json.dumps({"values": compiled.get_state(thread).values, "history": history}))


if __name__ == "__main__":
    main()

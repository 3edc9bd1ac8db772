"""The documentation runs: every example in it is executed, and every link leads somewhere.

What stands behind the language of a fenced block says what is done with it:
    sql run, python run   executed; the blocks of one file follow each other in one database
    sql run fails         executed; an error in it is printed, and the rest of it goes on
    text expect           words that the block above must have printed (figures may differ)
    text expect whole     all that it must have printed; widths, times and fractions may differ
    ... no-run            not executed
Other languages than text have to say one or the other.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import tour_gateway as gateway

from tests.database import ROOT, Database

FILES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
# In a test it listens at another port.
_TOUR_GATEWAY = "http://127.0.0.1:8099/v1"
# Roles belong to the whole server: in a test their names get the database's in front.
_ROLE = re.compile(r"\b(\w+_app)\b(?<!loci_app)")


@dataclass
class Block:
    file: Path
    line: int
    language: str
    marks: set[str]
    text: str

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}"


def blocks_of(file: Path) -> list[Block]:
    blocks, opened, lines = [], None, []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        fence = re.match(r"^\s*```(.*)$", line)
        if fence is None:
            lines.append(line)
        elif opened is None:
            opened, lines = (number, fence[1].split()), []
        else:
            language, *marks = opened[1] or ["text"]
            blocks.append(Block(file, opened[0], language, set(marks), "\n".join(lines) + "\n"))
            opened = None
    assert opened is None, f"{file.name}:{opened and opened[0]}: a block without an end"
    return blocks


def _name(file: Path) -> str:
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("file", FILES, ids=_name)
def test_every_block_says_whether_it_runs(file: Path) -> None:
    unmarked = [
        str(block)
        for block in blocks_of(file)
        if block.language not in ("text", "mermaid") and not block.marks & {"run", "no-run"}
    ]
    assert not unmarked, "say run or no-run"


@pytest.mark.parametrize("file", [f for f in FILES if any("run" in block.marks for block in blocks_of(f))], ids=_name)
def test_examples_run(file: Path, new_database: Callable[..., Database], tour_gateway: str) -> None:
    database = new_database()
    database.execute(f'alter database "{database.name}" set client_min_messages = warning')
    if _name(file) == "docs/tour.md":
        # Its answers depend on what is similar to what.
        database.execute("select loci.use_embedding_model('multilingual-e5-small')")
    names: dict[str, object] = {}
    output = ""
    with Psql(database) as psql:
        for block in blocks_of(file):
            if "expect" in block.marks:
                _check(block, output.replace(f"{database.name}_", ""))
            elif "run" in block.marks and block.language == "sql":
                output = psql.run(block, tour_gateway)
            elif "run" in block.marks and block.language == "python":
                names |= _names(database)
                output = _python(block, names)


@pytest.fixture(scope="session")
def tour_gateway(host_address: str, listen_address: str) -> Iterator[str]:
    """The gateway of docs/tour.md; its address as the database server sees it."""
    with gateway.serve(listen_address) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{host_address}:{server.server_port}/v1"
        server.shutdown()


class Psql:
    """One session for all blocks of a file, as for whoever types them one after the other."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._process = subprocess.Popen(
            ["psql", "-X", "-q", "-P", "pager=off", "-v", "ON_ERROR_STOP=1", database.dsn],
            env={**os.environ, "PGTZ": "UTC"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> Psql:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self, block: Block, gateway_address: str = _TOUR_GATEWAY) -> str:
        assert self._process.stdin is not None and self._process.stdout is not None
        script = f"\\set ON_ERROR_STOP {int('fails' not in block.marks)}\n"
        script += _ROLE.sub(rf"{self._database.name}_\1", block.text).replace(_TOUR_GATEWAY, gateway_address)
        try:
            self._process.stdin.write(
                script
                + "\nselect format('@@%s@@%s@@', session_user, pg_current_xact_id_if_assigned()) \\g (tuples_only=on)\n"
            )
            self._process.stdin.flush()
        except BrokenPipeError:
            # It ended over the block before.
            pass
        printed = ""
        while (left := re.search(r"@@(.*)@@(.*)@@", printed)) is None:
            line = self._process.stdout.readline()
            assert line, f"{block}\n{printed}"
            printed += line
        # None may leave the session as somebody else.
        assert left[1] == self._database.admin.info.user, f"{block}: it leaves the session as another role"
        assert not left[2], f"{block}: it leaves a transaction open"
        return printed[: left.start()]


def _names(database: Database) -> dict[str, object]:
    """What the text says that the application knows."""
    role = database.name + "_shop_app"
    database.execute(f"alter role \"{role}\" password 'app'")
    return {
        "database_url": database.dsn_as(role),
        "shop": database.value("select organization_id from loci.organizations where name = 'Shop'"),
        "ada": database.value("select user_id from loci.users where email = 'ada@example.org'"),
    }


def _python(block: Block, names: dict[str, object]) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block.text, str(block), "exec"), names)
    return printed.getvalue()


def _check(block: Block, output: str) -> None:
    """Words in the order of the block; numbers, lines and frames are left out of the comparison."""
    if "whole" in block.marks:
        assert _plain(output) == _plain(block.text), str(block)
        return
    position = 0
    for word in re.findall(r"[^\W\d_][\w.@'-]*", block.text):
        found = output.find(word, position)
        assert found >= 0, f"{block}: no {word!r} (or not in this order) in what was printed:\n{output}"
        position = found + len(word)


def _plain(text: str) -> str:
    """Without what depends on the clock, on lengths of names, and on how many tokens a prompt has."""
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d|\d+\.\d+", "#", text)
    text = re.sub(r"-+", "-", re.sub(r"[ \t]+", " ", text))
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def _anchors(file: Path) -> set[str]:
    """Anchors of a file's headings, as they are made where the files are shown."""
    text = re.sub(r"^```.*?^```", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return {
        re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }


@pytest.mark.parametrize("file", FILES, ids=_name)
def test_links_lead_somewhere(file: Path) -> None:
    text = re.sub(r"^```.*?^```", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"`[^`\n]*`", "", text)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (file.parent / path).resolve() if path else file
        assert linked.exists(), f"{_name(file)}: {target}"
        assert not anchor or anchor in _anchors(linked), f"{_name(file)}: {target}"


def test_every_page_is_reached_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for file in FILES[1:]:
        assert f"]({_name(file)})" in readme, _name(file)

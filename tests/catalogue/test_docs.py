"""The documentation runs: every example in it is executed, and every link leads somewhere.

What stands behind the language of a fenced block says what is done with it:
    sql run, python run   executed; the blocks of one file follow each other in one database
    text expect           words that the block above must have printed (figures may differ)
    ... no-run            not executed
Other languages than text have to say one or the other.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.database import ROOT, Database

FILES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
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
def test_examples_run(file: Path, new_database: Callable[..., Database]) -> None:
    database = new_database()
    database.execute(f'alter database "{database.name}" set client_min_messages = warning')
    names: dict[str, object] = {}
    output = ""
    for block in blocks_of(file):
        if "expect" in block.marks:
            _check(block, output)
        elif "run" in block.marks and block.language == "sql":
            output = _psql(block, database)
        elif "run" in block.marks and block.language == "python":
            names |= _names(database)
            output = _python(block, names)


def _psql(block: Block, database: Database) -> str:
    # Whoever types the blocks one after the other stays in one session: none may leave it as somebody else.
    script = _ROLE.sub(rf"{database.name}_\1", block.text)
    script += "\nselect format('@@%s@@%s@@', session_user, pg_current_xact_id_if_assigned());\n"
    done = subprocess.run(
        ["psql", "-X", "-q", "-P", "pager=off", "-v", "ON_ERROR_STOP=1", database.dsn],
        input=script,
        env={**os.environ, "PGTZ": "UTC"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, f"{block}\n{done.stderr}"
    left = re.search(r"@@(.*)@@(.*)@@", done.stdout)
    assert left is not None and left[1] == database.admin.info.user, f"{block}: it leaves the session as another role"
    assert not left[2], f"{block}: it leaves a transaction open"
    return done.stdout


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
    position = 0
    for word in re.findall(r"[^\W\d_][\w.@'-]*", block.text):
        found = output.find(word, position)
        assert found >= 0, f"{block}: no {word!r} (or not in this order) in what was printed:\n{output}"
        position = found + len(word)


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

"""docs/security.md names each attack and its test; here is whether those tests exist."""

from __future__ import annotations

import re

from tests.database import ROOT

SECTION = re.search(
    r"^## What has been tried\n(.*?)^## ", (ROOT / "docs/security.md").read_text(), re.MULTILINE | re.DOTALL
)


def rows() -> list[tuple[str, list[str]]]:
    """Attacks, and what stands in backquotes beside them."""
    assert SECTION is not None
    cells = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in SECTION[1].splitlines()
        if line.startswith("|")
    ]
    return [(cell[0], re.findall(r"`([^`]+)`", cell[1])) for cell in cells[2:]]


def exists(reference: str) -> bool:
    """tests/x/test_y.py, or test_y.test_z of tests/security, or tests/x/test_y.test_z."""
    if reference.endswith(".py"):
        path, name = reference, None
    else:
        path, _, name = reference.rpartition(".")
        path += ".py"
    file = ROOT / (path if "/" in path else f"tests/security/{path}")
    return file.is_file() and (name is None or re.search(rf"^def {name}\(", file.read_text(), re.MULTILINE) is not None)


def test_the_references_are_read() -> None:
    assert exists("test_attacks.test_sequences_are_out_of_reach")
    assert exists("tests/unit/test_actions.py")
    assert not exists("test_attacks.test_that_was_never_written")
    assert not exists("tests/unit/test_nothing.py")
    assert len(rows()) > 40


def test_every_attack_has_a_test_that_exists() -> None:
    missing = [
        f"{attack}: {reference}"
        for attack, references in rows()
        for reference in references or ["none"]
        if not exists(reference)
    ]
    assert not missing, "\n".join(missing)


def test_every_file_of_attacks_is_named() -> None:
    """What is tried stands in the document."""
    named = {re.sub(r"\.py$", "", reference).split(".")[0] for _, references in rows() for reference in references}
    files = {file.stem for file in (ROOT / "tests/security").glob("test_*.py")}
    assert files - named == set()

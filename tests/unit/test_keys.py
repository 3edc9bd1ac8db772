"""Keys by reference: found where they are, never shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from loci_udfs.errors import LociError
from loci_udfs.keys import resolve_key

SECRET = "s3cr3t-s3cr3t"


def refused(reference: str, sqlstate: str) -> LociError:
    with pytest.raises(LociError) as raised:
        resolve_key(reference)
    error = raised.value
    assert error.sqlstate == sqlstate
    shown = f"{error.message} {error.detail} {error.hint} {error.__cause__}"
    assert SECRET not in shown
    return error


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCI_TEST_KEY", SECRET + "\n")
    assert resolve_key("env:LOCI_TEST_KEY") == SECRET


@pytest.mark.parametrize("value", [None, "", "\n", "  "])
def test_environment_without_it(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("LOCI_TEST_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("LOCI_TEST_KEY", value)
    error = refused("env:LOCI_TEST_KEY", "LC121")
    assert error.detail is not None and "env:LOCI_TEST_KEY" in error.detail


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_file_and_link(tmp_path: Path, end: str) -> None:
    path = tmp_path / "key"
    path.write_bytes(f"{SECRET}{end}".encode())
    assert resolve_key(f"file:{path}") == SECRET
    # Mounted secrets are links.
    (tmp_path / "link").symlink_to(path)
    assert resolve_key(f"file:{tmp_path / 'link'}") == SECRET


def test_only_one_line_end_is_taken_off(tmp_path: Path) -> None:
    (tmp_path / "pem").write_text("-----BEGIN X-----\nabc\n-----END X-----\n\n")
    assert resolve_key(f"file:{tmp_path / 'pem'}") == "-----BEGIN X-----\nabc\n-----END X-----\n"


def test_largest_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("k" * 65536)
    assert len(resolve_key(f"file:{path}")) == 65536
    path.write_text(SECRET + "k" * 65536)
    refused(f"file:{path}", "LC121")


def test_files_that_are_no_key(tmp_path: Path) -> None:
    refused(f"file:{tmp_path / 'missing'}", "LC121")
    for other in (tmp_path, "/dev/zero", "/dev/null"):
        assert "regular" in str(refused(f"file:{other}", "LC121").detail)
    refused("file:/" + "x" * 5000, "LC121")
    refused("file:/\ud800", "LC121")
    os.mkfifo(tmp_path / "pipe")
    refused(f"file:{tmp_path / 'pipe'}", "LC121")
    (tmp_path / "empty").write_text("\n")
    refused(f"file:{tmp_path / 'empty'}", "LC121")
    (tmp_path / "binary").write_bytes(SECRET.encode() + b"\xff\xfe")
    refused(f"file:{tmp_path / 'binary'}", "LC121")


@pytest.mark.parametrize(
    "reference",
    ["", SECRET, "env:", "env:1A", "env:A B", "env:A=B", f"env:{SECRET}", "ENV:A", "file:", "file:key", "file:../key",
     "file:~/key", f"file:/tmp/\0{SECRET}", "http://x/y", " env:A", "env:A\n"],
)  # fmt: skip
def test_no_reference(reference: str) -> None:
    refused(reference, "LC120")

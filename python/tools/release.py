"""Whether the tree can be released, and the dump that later versions are upgraded from (make release-check, release-dump)."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

ROOT = Path(__file__).resolve().parents[2]
RELEASED = "tests/released"


def version_of(root: Path) -> str:
    """Version that the tree is of, as pyproject.toml has it."""
    return str(tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"])


def newest_revision(root: Path) -> Path:
    """File of the newest revision of the tree."""
    return max((root / "migrations/versions").glob("[0-9]*.py"))


def stamp_of(revision: Path) -> dict[str, str]:
    """The version that a revision belongs to, and sql_hash of the tree that it was made for."""
    return dict(re.findall(r'^(version|sql_hash) = "(.*)"$', revision.read_text(), re.MULTILINE))


def problems(root: Path = ROOT) -> list[str]:
    """What is in the way of releasing the tree; nothing: it can be tagged."""
    found = []
    version = version_of(root)
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        found.append(f"pyproject.toml: version {version} is none of a release (1.2.3)")
    newest = newest_revision(root)
    revision = stamp_of(newest)
    if revision.get("version") != version:
        found.append(f"{newest.name}: it is of version {revision.get('version')}, the tree of {version}")
    if revision.get("sql_hash") != tree_hash(root):
        found.append(f"{newest.name}: sql/ has changed since (make revision)")
    sections = re.split(r"^## ", (root / "CHANGELOG.md").read_text(), flags=re.MULTILINE)[1:]
    changes = {title.split()[0]: text for title, _, text in (section.partition("\n") for section in sections)}
    if re.search(r"^- ", changes.get("Unreleased", ""), re.MULTILINE):
        found.append("CHANGELOG.md: changes are listed as Unreleased")
    if not re.search(r"^- ", changes.get(version, ""), re.MULTILINE):
        found.append(f"CHANGELOG.md: there are no changes of {version}")
    if not (root / RELEASED / f"{version}.sql.gz").exists():
        found.append(f"{RELEASED}/{version}.sql.gz is missing (make release-dump)")
    if "Nothing has been released" in (root / "README.md").read_text():
        found.append("README.md: it says that nothing has been released")
    return found


def tree_hash(root: Path) -> str:
    """SHA-256 (hex) of sql/, as the tree's own migrations take it."""
    done = subprocess.run(
        [sys.executable, "-c", "import replay; print(replay.tree_hash())"],
        env={**os.environ, "PYTHONPATH": str(root / "migrations")},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def dump(dsn: str, program: str, root: Path = ROOT) -> Path:
    """Write the dump of this version; dsn: a database that Loci has been installed in just now; program: pg_dump."""
    subprocess.run(
        ["psql", "-XqAt", "-o", os.devnull, "-f", str(root / RELEASED / "world.sql"), dsn], check=True, text=True
    )
    text = subprocess.run([program, "--no-unlogged-table-data", dsn], check=True, capture_output=True).stdout
    # Older versions of psql do not know these.
    text = re.sub(rb"^\\(un)?restrict .*\n", b"", text, flags=re.MULTILINE)
    path = root / RELEASED / f"{version_of(root)}.sql.gz"
    # Without the time, so that the same text is the same file.
    path.write_bytes(gzip.compress(text, mtime=0))
    return path


def main() -> None:
    if sys.argv[1:] == ["dump"]:
        server, programs = os.environ["LOCI_DSN"], os.environ["LOCI_PG_BIN"]
        name = "loci_release"
        dsn = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        psql = ["psql", "-Xq", "-v", "ON_ERROR_STOP=1", server]
        subprocess.run([*psql, "-c", f"drop database if exists {name}", "-c", f"create database {name}"], check=True)
        try:
            subprocess.run(
                [sys.executable, "-m", "alembic", "upgrade", "head"],
                cwd=ROOT,
                env={**os.environ, "LOCI_DSN": dsn},
                check=True,
            )
            print(f"{dump(dsn, f'{programs}/pg_dump').relative_to(ROOT)} is written")
        finally:
            subprocess.run([*psql, "-c", f"drop database {name} with (force)"], check=True)
        return
    found = problems()
    print("\n".join(found) or f"{version_of(ROOT)} can be released: make test, then tag it")
    raise SystemExit(bool(found))


if __name__ == "__main__":
    main()

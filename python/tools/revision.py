"""Make a revision for what has changed in sql/, or stamp the one that is not released yet (make revision).

A revision is stamped with a hash of sql/ and the version of pyproject.toml: it says what tree it was made for. What has
been released stays as it is.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from release import RELEASED, ROOT, newest_revision, stamp_of, tree_hash, version_of


def make(message: str, root: Path = ROOT) -> Path:
    """Make the next revision, stamped; its upgrade() is for what sql/schema has changed, the rest is replayed."""
    newest = newest_revision(root)
    if not _released(root, stamp_of(newest)["version"]):
        raise SystemExit(f"{newest.name} is not released yet: change that one, then make revision")
    _refuse_released_version(root)
    config = Config(root / "alembic.ini", stdout=sys.stderr)
    config.set_main_option("script_location", str(root / "migrations"))
    command.revision(config, message, rev_id=f"{int(newest.name[:4]) + 1:04}")
    return stamp(root)


def stamp(root: Path = ROOT) -> Path:
    """Stamp the newest revision."""
    newest = newest_revision(root)
    if _released(root, stamp_of(newest)["version"]):
        raise SystemExit(f'{newest.name} is released: make another one (make revision M="what it does")')
    _refuse_released_version(root)
    text = newest.read_text()
    for name, value in (("sql_hash", tree_hash(root)), ("version", version_of(root))):
        text = re.sub(rf'^{name} = ".*"$', f'{name} = "{value}"', text, flags=re.MULTILINE)
    newest.write_text(text)
    return newest


def _released(root: Path, version: str) -> bool:
    return (root / RELEASED / f"{version}.sql.gz").exists()


def _refuse_released_version(root: Path) -> None:
    if _released(root, version := version_of(root)):
        raise SystemExit(
            f"Version {version} is released: set the next one in pyproject.toml and python/udfs/loci_udfs/__init__.py"
        )


if __name__ == "__main__":
    done = make(sys.argv[1]) if len(sys.argv) > 1 else stamp()
    print(f"{done.relative_to(ROOT)} stands for sql/ as it is")

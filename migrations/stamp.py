"""Write the hash of sql/ into the newest revision, which says what tree it was made for (make revision)."""

from __future__ import annotations

import re
from pathlib import Path

from replay import tree_hash

VERSIONS = Path(__file__).resolve().parent / "versions"


def main() -> None:
    newest = max(VERSIONS.glob("[0-9]*.py"))
    text = newest.read_text()
    stamped, count = re.subn(r'^sql_hash = ".*"$', f'sql_hash = "{tree_hash()}"', text, flags=re.MULTILINE)
    if count != 1:
        raise SystemExit(f"{newest.name} has no line sql_hash")
    newest.write_text(stamped)
    print(f"{newest.name} now stands for sql/ as it is" if stamped != text else f"{newest.name} is up to date")


if __name__ == "__main__":
    main()

"""${message}"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}

# What sql/ holds at this revision (migrations/stamp.py keeps it) and the version it belongs to.
sql_hash = ""
version = "0.1.0"


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    raise SystemExit("Loci does not downgrade: restore the backup from before the upgrade (docs/backup.md).")

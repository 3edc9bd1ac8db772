"""${message}."""

from __future__ import annotations

revision = "${up_revision}"
down_revision = "${down_revision}"
branch_labels = None
depends_on = None

# What sql/ holds at this revision and the version it belongs to (make revision keeps them).
sql_hash = ""
version = ""


def upgrade() -> None:
    """Nothing but what is replayed from sql/ has changed."""


def downgrade() -> None:
    raise SystemExit("Loci does not downgrade: restore the backup from before the upgrade (docs/backup.md).")

"""Who registers the same thing at the same moment is told, or counted."""

from __future__ import annotations

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# What sql/ holds at this revision and the version it belongs to (make revision keeps them).
sql_hash = "d40bcef718cf568dc883c7ea75d865ee7134e3c7a09774de32b532b3c1944948"
version = "0.1.1"


def upgrade() -> None:
    """Nothing but what is replayed from sql/ has changed."""


def downgrade() -> None:
    raise SystemExit("Loci does not downgrade: restore the backup from before the upgrade (docs/backup.md).")

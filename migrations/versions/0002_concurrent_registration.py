"""Who registers the same thing at the same moment is told, or counted."""

from __future__ import annotations

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# What sql/ holds at this revision and the version it belongs to (make revision keeps them).
sql_hash = "6a7558424f1a016f58429b581d537487492be011d29d504bf143ef43087ad806"
version = "0.1.1"


def upgrade() -> None:
    """Nothing but what is replayed from sql/ has changed."""


def downgrade() -> None:
    raise SystemExit("Loci does not downgrade: restore the backup from before the upgrade (docs/backup.md).")

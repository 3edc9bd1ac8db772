"""Foundation: roles, schemas, identity, documents, sources, queues, chunks, models."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# What sql/ holds at this revision (make revision keeps it) and the version it belongs to.
sql_hash = "00d12ace828c697daf4718d7cc3c680df95ac656bdc460c79a7df689add8cc6f"
version = "0.1.0"


def upgrade() -> None:
    script = Path(__file__).with_suffix(".sql").read_text()
    op.get_bind().exec_driver_sql(script, execution_options={"no_parameters": True})


def downgrade() -> None:
    raise SystemExit("Loci does not downgrade: restore the backup from before the upgrade (docs/backup.md).")

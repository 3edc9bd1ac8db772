"""Foundation: roles, schemas, identity, documents, sources, queues, chunks, models."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# What sql/ holds at this revision (make revision keeps it) and the version it belongs to.
sql_hash = "3882e01d83f4217b2e6218d07aa015d2d0acbc6ce30bf5ba40e3009039e00668"
version = "0.1.0.dev0"


def upgrade() -> None:
    script = Path(__file__).with_suffix(".sql").read_text()
    op.get_bind().exec_driver_sql(script, execution_options={"no_parameters": True})


def downgrade() -> None:
    raise NotImplementedError("Loci does not downgrade: restore a backup taken before the upgrade.")

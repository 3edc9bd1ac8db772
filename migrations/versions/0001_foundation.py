"""Foundation: roles, schemas, identity, documents, sources, queues, chunks, models."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# What sql/ holds at this revision (make revision keeps it) and the version it belongs to.
sql_hash = "cea160b8a65fb842c5b95d8a06e2449176c93f15bed4e7073323c41a7cabd0fd"
version = "0.1.0.dev0"


def upgrade() -> None:
    script = Path(__file__).with_suffix(".sql").read_text()
    op.get_bind().exec_driver_sql(script, execution_options={"no_parameters": True})


def downgrade() -> None:
    raise NotImplementedError("Loci does not downgrade: restore a backup taken before the upgrade.")

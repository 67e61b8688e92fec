"""Several schedules per search with their cost and weights; measurements and artifacts.

Revision: 0002; follows: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")
TIME = sa.DateTime(timezone=True)
OF_SEARCH = op.f("uq_schedules_search_id")
OF_POINT = op.f("uq_schedules_search_id_point")
OF_WEIGHTS = op.f("fk_schedules_weights_sha256_artifacts")


def upgrade() -> None:
    """Add the tables that schedules point to, then what schedules say of themselves."""
    _create_artifacts()
    _create_measurements()
    # SQLite cannot change constraints: there the table is copied.
    with op.batch_alter_table("schedules") as schedules:
        schedules.add_column(
            sa.Column("point", sa.Integer(), nullable=False, server_default=sa.text("0"))
        )
        schedules.add_column(
            sa.Column("cost_share", sa.Double(), nullable=False, server_default=sa.text("1.0"))
        )
        schedules.add_column(sa.Column("macs", sa.BigInteger()))
        schedules.add_column(sa.Column("seconds", sa.Double()))
        schedules.add_column(sa.Column("weights_sha256", sa.String(64)))
        schedules.drop_constraint(OF_SEARCH, type_="unique")
        schedules.create_unique_constraint(OF_POINT, ["search_id", "point"])
        schedules.create_foreign_key(OF_WEIGHTS, "artifacts", ["weights_sha256"], ["sha256"])


def downgrade() -> None:
    """Keep the best schedule of each search, without what it says of its cost."""
    op.execute("DELETE FROM schedules WHERE point > 0")
    with op.batch_alter_table("schedules") as schedules:
        schedules.drop_constraint(OF_WEIGHTS, type_="foreignkey")
        schedules.drop_constraint(OF_POINT, type_="unique")
        schedules.create_unique_constraint(OF_SEARCH, ["search_id"])
        for column in ("weights_sha256", "seconds", "macs", "cost_share", "point"):
            schedules.drop_column(column)
    op.drop_table("measurements")
    op.drop_table("artifacts")


def _create_artifacts() -> None:
    op.create_table(
        "artifacts",
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_artifacts")),
    )


def _create_measurements() -> None:
    op.create_table(
        "measurements",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("value", DOCUMENT, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_measurements")),
    )

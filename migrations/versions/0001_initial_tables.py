"""Searches with their lease, evaluations, scores, events, schedules, teacher checks.

Revision: 0001; follows: nothing
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)
OPEN_SEARCHES = sa.text("status IN ('queued', 'running')")


def upgrade() -> None:
    """Create every table, parents first."""
    _create_searches()
    _create_evaluations()
    _create_scores()
    _create_events()
    _create_schedules()
    _create_teacher_checks()


def downgrade() -> None:
    """Drop them, children first; their indexes go with them."""
    for table in ("teacher_checks", "schedules", "events", "scores", "evaluations", "searches"):
        op.drop_table(table)


def _create_searches() -> None:
    op.create_table(
        "searches",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("request", DOCUMENT, nullable=False),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("idempotency_key", sa.String(200)),
        sa.Column("owner", sa.String(200)),
        sa.Column("lease_epoch", sa.Integer(), nullable=False),
        sa.Column("lease_expires_at", TIME),
        sa.Column("phase", sa.String(32)),
        sa.Column("calls_spent", sa.BigInteger(), nullable=False),
        sa.Column("calls_budget", sa.BigInteger(), nullable=False),
        sa.Column("best_fid", sa.Double()),
        sa.Column("result", DOCUMENT),
        sa.Column("error_code", sa.String(64)),
        sa.Column("error_message", sa.Text()),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')",
            name=op.f("ck_searches_status"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_searches")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_searches_idempotency_key")),
    )
    op.create_index("ix_searches_created_at_id", "searches", ["created_at", "id"])
    op.create_index(
        "ix_searches_open",
        "searches",
        ["created_at", "id"],
        sqlite_where=OPEN_SEARCHES,
        postgresql_where=OPEN_SEARCHES,
    )


def _create_evaluations() -> None:
    op.create_table(
        "evaluations",
        sa.Column("search_id", sa.String(36), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("phase", sa.String(32), nullable=False),
        sa.Column("bank", sa.String(16), nullable=False),
        sa.Column("set_index", sa.Integer(), nullable=False),
        sa.Column("num_samples", sa.Integer(), nullable=False),
        sa.Column("candidate", DOCUMENT, nullable=False),
        sa.Column("candidate_key", sa.String(64), nullable=False),
        sa.Column("score_key", sa.String(64), nullable=False),
        sa.Column("fid", sa.Double()),
        sa.Column("failure", sa.Text()),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("cached", sa.Boolean(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["search_id"], ["searches.id"], name=op.f("fk_evaluations_search_id_searches")
        ),
        sa.PrimaryKeyConstraint("search_id", "seq", name=op.f("pk_evaluations")),
    )
    op.create_index("ix_evaluations_search_id_score_key", "evaluations", ["search_id", "score_key"])


def _create_scores() -> None:
    op.create_table(
        "scores",
        sa.Column("score_key", sa.String(64), nullable=False),
        sa.Column("fid", sa.Double()),
        sa.Column("failure", sa.Text()),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("score_key", name=op.f("pk_scores")),
    )


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("id", SERIAL, autoincrement=True, nullable=False),
        sa.Column("search_id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("payload", DOCUMENT, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.CheckConstraint(
            "kind IN ('queued', 'running', 'progress', 'evaluation', 'succeeded', 'failed', "
            "'cancelled')",
            name=op.f("ck_events_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["search_id"], ["searches.id"], name=op.f("fk_events_search_id_searches")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_search_id_id", "events", ["search_id", "id"])


def _create_schedules() -> None:
    op.create_table(
        "schedules",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("search_id", sa.String(36), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("reference", sa.String(200), nullable=False),
        sa.Column("solver", sa.String(64), nullable=False),
        sa.Column("nfe", sa.Integer(), nullable=False),
        sa.Column("guidance_scale", sa.Double(), nullable=False),
        sa.Column("fid", sa.Double(), nullable=False),
        sa.Column("standard_error", sa.Double(), nullable=False),
        sa.Column("document", DOCUMENT, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["search_id"], ["searches.id"], name=op.f("fk_schedules_search_id_searches")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedules")),
        sa.UniqueConstraint("search_id", name=op.f("uq_schedules_search_id")),
    )
    op.create_index("ix_schedules_fid_id", "schedules", ["fid", "id"])
    op.create_index(
        "ix_schedules_model_solver_nfe_fid_id",
        "schedules",
        ["model", "solver", "nfe", "fid", "id"],
    )


def _create_teacher_checks() -> None:
    op.create_table(
        "teacher_checks",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("fid", sa.Double(), nullable=False),
        sa.Column("max_fid", sa.Double(), nullable=False),
        sa.Column("num_samples", sa.Integer(), nullable=False),
        sa.Column("nfe", sa.Integer(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_teacher_checks")),
    )

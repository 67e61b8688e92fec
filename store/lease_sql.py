"""The statements that decide who owns a search, one by one; `{now}` is the database's clock."""

from __future__ import annotations

from sqlalchemy import Connection, TextClause, text

from store.clock import POSTGRES_NOW, SQLITE_NOW

_CLOCKS = {
    "sqlite": {
        "now": SQLITE_NOW,
        "until": SQLITE_NOW.replace("'now'", "'now', printf('+%.3f seconds', :lease_ms / 1000.0)"),
        # One writer at a time: the row cannot change between the choice and the update.
        "lock": "",
    },
    "postgresql": {
        "now": POSTGRES_NOW,
        "until": f"{POSTGRES_NOW} + CAST(:lease_ms AS integer) * INTERVAL '1 millisecond'",
        # A row that another claimer is taking at this moment is passed over, not waited for.
        "lock": "FOR UPDATE SKIP LOCKED",
    },
}

CLAIM = """
UPDATE searches
SET status = 'running',
    owner = :owner,
    lease_epoch = lease_epoch + 1,   -- whoever held it before can write no more
    lease_expires_at = {until},
    updated_at = {now}
WHERE id = (
    SELECT id FROM searches
    WHERE status IN ('queued', 'running')   -- word for word the condition of ix_searches_open
      -- waiting, handed back, or held by a worker that fell silent
      AND (lease_expires_at IS NULL OR lease_expires_at <= {now})
    ORDER BY created_at, id   -- first come, first served; the order of that index
    LIMIT 1
    {lock}
)
RETURNING id, lease_epoch
"""

RENEW = """
UPDATE searches
SET lease_expires_at = {until}
WHERE id = :search_id
  AND lease_epoch = :epoch   -- nobody has claimed it since, even if the lease ran out
  AND status = 'running'     -- neither cancelled nor handed back
"""

# Every write of a worker starts with this: it locks the row until the commit, so a claim waits for
# the write or the write sees the claim.
HOLD = """
UPDATE searches
SET updated_at = {now}
WHERE id = :search_id
  AND lease_epoch = :epoch   -- not claimed by anybody else
  AND status = 'running'     -- not cancelled, not handed back
"""

RELEASE = """
UPDATE searches
SET status = 'queued',
    owner = NULL,
    lease_expires_at = NULL,   -- claimable at once; the epoch stays and is raised by the claim
    updated_at = {now}
WHERE id = :search_id
  AND lease_epoch = :epoch   -- not claimed by anybody else
  AND status = 'running'     -- not cancelled
"""

FINISH = """
UPDATE searches
SET status = :status,
    owner = NULL,
    lease_expires_at = NULL,
    error_code = :error_code,
    error_message = :error_message,
    updated_at = {now}
WHERE id = :search_id
  AND lease_epoch = :epoch   -- not claimed by anybody else
  AND status = 'running'     -- neither cancelled nor finished before
"""

CANCEL = """
UPDATE searches
SET status = 'cancelled',
    owner = NULL,
    lease_expires_at = NULL,
    updated_at = {now}
WHERE id = :search_id
  AND status IN ('queued', 'running')   -- what has ended stays as it ended
"""


def prepare(connection: Connection, statement: str) -> TextClause:
    """Fill in clock and lock of the connection's database."""
    return text(statement.format(**_CLOCKS[connection.dialect.name]))

"""Log lines of a service process: one JSON object each, on standard error."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

# What every log record carries; the rest came by `extra` and is what the event says.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class JsonLines(logging.Formatter):
    """One event per line: time, level, logger, event name, and the event's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record as JSON."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info is not None:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_to_stderr() -> None:
    """Send every logger's lines from INFO up to standard error; of libraries only warnings."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for ours in ("search", "store", "evaluators", "fewstep"):
        logging.getLogger(ours).setLevel(logging.INFO)

"""Keeps a lease while a search runs: a thread that renews it, and hands it back when told to."""

from __future__ import annotations

import logging
import threading
from enum import Enum
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

from fewstep.errors import Cancelled, FewstepError, LeaseLost
from store import leases
from store.engine import Engine
from store.records import Lease

# Two renewals may fail before the lease runs out.
_RENEWALS_PER_LEASE = 3
log = logging.getLogger(__name__)


class _Order(Enum):
    END = "end"
    RELEASE = "release"


class LeaseKeeper:
    """Renews `lease` from entering to leaving the context.

    It only talks to the database. Whoever runs the search learns that the lease is gone when it
    writes or checks next: the database refuses.
    """

    def __init__(self, engine: Engine, lease: Lease, *, lease_ms: int) -> None:
        self._engine = engine
        self._lease = lease
        self._lease_ms = lease_ms
        # Unlike an Event, it may be used in a signal handler that interrupts its own user.
        self._orders: SimpleQueue[_Order] = SimpleQueue()
        self._thread = threading.Thread(target=self._keep, name="lease-keeper", daemon=True)

    def __enter__(self) -> Self:
        """Start renewing."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop renewing, after an order to hand back has been carried out."""
        self._orders.put(_Order.END)
        self._thread.join()

    def hand_back(self) -> None:
        """Give the search to whoever asks next, now; safe in a signal handler."""
        self._orders.put(_Order.RELEASE)

    def _keep(self) -> None:
        """Renew, then wait for an order or the next renewal, until the lease ends."""
        interval_s = self._lease_ms / 1000 / _RENEWALS_PER_LEASE
        while True:
            try:
                order = self._orders.get(timeout=interval_s)
            except Empty:
                if not self._renew():
                    return
                continue
            if order is _Order.RELEASE:
                self._release()
            return

    def _renew(self) -> bool:
        """Say whether to go on; an outage is none of the lease's end, the next renewal may do."""
        try:
            leases.renew(self._engine, self._lease, lease_ms=self._lease_ms)
        except (LeaseLost, Cancelled) as error:
            self._log("lease-ended", reason=error.code)
            return False
        except FewstepError as error:
            self._log("lease-not-renewed", reason=error.message)
        return True

    def _release(self) -> None:
        try:
            leases.release(self._engine, self._lease)
            self._log("search-handed-back")
        except FewstepError as error:  # it is not ours any more, or the lease will run out
            self._log("search-not-handed-back", reason=error.message)

    def _log(self, event: str, **fields: str) -> None:
        of_search = {"search_id": self._lease.search_id, "worker": self._lease.owner}
        log.info(event, extra=of_search | fields)

"""Linear algebra on one thread: more would change the last bits with the machine's core count."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]  # has no types


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit numpy's linear algebra to one thread.

    The limit is the process's, while a repair in a worker's thread and a distance in the caller's
    may be under it at the same time: whoever enters first sets it, whoever leaves last lifts it.
    """
    _SWITCH.enter()
    try:
        yield
    finally:
        _SWITCH.leave()


class _Switch:
    """The limit, and how many are under it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._limit: Any = None  # a context manager of the library without types

    def enter(self) -> None:
        """Set the limit, if nobody did."""
        with self._lock:
            if self._inside == 0:
                self._limit = _controller().limit(limits=1, user_api="blas")
            self._inside += 1

    def leave(self) -> None:
        """Lift the limit, if nobody else needs it."""
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._limit.restore_original_limits()


_SWITCH = _Switch()


@cache
def _controller() -> ThreadpoolController:
    """The switch for the threads of the linear algebra library, found once (it takes a while)."""
    return ThreadpoolController()

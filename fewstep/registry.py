"""A registry maps short names to one kind of thing, and lists its names when asked for another."""

from __future__ import annotations

from typing import Generic, TypeVar

from fewstep.errors import UnknownName

T = TypeVar("T")


class Registry(Generic[T]):
    """Names of one kind (solvers, spacings, ...). A name can be taken once."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str, entry: T) -> T:
        """Add `entry` under `name` and hand it back.

        Raises:
            ValueError: the name is taken (two modules claim it: a bug of ours).
        """
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._entries[name] = entry
        return entry

    def get(self, name: str, *, field: str | None = None) -> T:
        """Look a name up.

        Raises:
            UnknownName: no such name; the message lists those there are.
        """
        try:
            return self._entries[name]
        except (KeyError, TypeError):
            allowed = ", ".join(self.names())
            label = field or self.kind
            raise UnknownName(
                f"{label}={name!r}: no such {self.kind}; allowed: {allowed}", field=field
            ) from None

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

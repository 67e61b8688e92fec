"""What reproduces each number that the documentation states."""

from __future__ import annotations

"""The whole way in one command: search over REST, download, compare, run in another library."""

from __future__ import annotations

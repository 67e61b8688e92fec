"""Tests, mirroring the tree they test, and the servers they run against."""

from __future__ import annotations

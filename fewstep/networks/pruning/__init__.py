"""Exact pruning of UNets: what may be cut and what that saves, without torch; and cutting it."""

from __future__ import annotations

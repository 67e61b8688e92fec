"""Schedules in other people's samplers: one module per target, imported when it is needed."""

from __future__ import annotations

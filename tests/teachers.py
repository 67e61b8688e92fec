"""Databases on which searches of the bundled model start at once: its teacher check has passed."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from store import teacher_checks
from store.records import TeacherCheck


@pytest.fixture(scope="session")
def passed_teacher() -> tuple[str, TeacherCheck]:
    """Key and result of the bundled model's check; it costs more than a small search, so once."""
    # Imported here: every test session loads this file, few need a network.
    from evaluators.scorers import open_scorer
    from evaluators.tasks import make_task
    from evaluators.teacher import check_teacher, teacher_key
    from fewstep.networks.models import resolve

    task, card = make_task("zoo:digits"), resolve("zoo:digits")
    with open_scorer("inline", task) as scorer:
        measured = check_teacher(scorer, card)
    check = TeacherCheck(
        fid=measured.fid,
        max_fid=measured.max_fid,
        num_samples=measured.num_samples,
        nfe=measured.nfe,
    )
    return teacher_key(task, card), check


@pytest.fixture
def ready_engine(store_engine: Engine, passed_teacher: tuple[str, TeacherCheck]) -> Engine:
    """A migrated database, on SQLite and on Postgres, that remembers the passed check."""
    teacher_checks.put(store_engine, *passed_teacher)
    return store_engine

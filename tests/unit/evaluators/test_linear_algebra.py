"""The limit of one thread holds for whoever is under it, also when others leave."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CODE = """
import numpy as np
from threadpoolctl import threadpool_info
from evaluators.linear_algebra import one_blas_thread

def threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

found = [threads()]
first, second = one_blas_thread(), one_blas_thread()
first.__enter__()
second.__enter__()
found.append(threads())
first.__exit__(None, None, None)
found.append(threads())
second.__exit__(None, None, None)
found.append(threads())
print(*found)
"""


def test_one_who_leaves_early_does_not_lift_the_limit_of_another(repository: Path) -> None:
    many = {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    found = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=repository,
        env=os.environ | many,
        capture_output=True,
        text=True,
        check=True,
    )
    before, inside, with_one_left, after = found.stdout.split()
    assert before == after == f"{{{min(2, os.cpu_count() or 1)}}}"
    assert inside == with_one_left == "{1}"

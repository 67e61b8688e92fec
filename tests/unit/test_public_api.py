"""The names `import fewstep` promises, and the parts that must not load torch to be useful."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import fewstep

# Loading torch takes seconds and hundreds of megabytes: these do without.
WITHOUT_TORCH = (
    "fewstep",
    "fewstep.errors",
    "fewstep.level",
    "fewstep.registry",
    "fewstep.process",
    "fewstep.solvers",
    "fewstep.spacing",
    "fewstep.mcmc",
    "fewstep.program",
    "fewstep.schedule",
    "fewstep.request",
    "fewstep.networks.models",
    "fewstep.networks.pruning.documents",
    "fewstep.client",
    "fewstep.cli",
    "space.timesteps",
    "evaluators.score",
    "store.settings",
    "store.tables",
    "api.app",
)
PROBE = """
import importlib, json, sys
heavy = {"torch", "ray", "pymoo", "sklearn", "matplotlib", "diffusers", "torch_fidelity"}
seen, blame = set(), {}
for name in sys.argv[1:]:
    importlib.import_module(name)
    new = sorted((heavy & set(sys.modules)) - seen)
    seen.update(new)
    if new:
        blame[name] = new
print(json.dumps(blame))
"""


def test_all_is_sorted_and_each_name_is_there() -> None:
    assert fewstep.__all__ == sorted(set(fewstep.__all__))
    assert [name for name in fewstep.__all__ if not hasattr(fewstep, name)] == []


def test_type_checkers_see_the_names_that_load_on_first_use() -> None:
    tree = ast.parse(Path(str(fewstep.__file__)).read_text(encoding="utf-8"))
    promised = {
        alias.name
        for block in tree.body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert promised | {"__version__"} == set(fewstep.__all__) == set(dir(fewstep))


def test_the_version_is_that_of_the_project(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert fewstep.__version__ == project["version"]


@pytest.mark.parametrize(
    "name", ["Level", "Program", "Schedule", "load_pruned", "run", "sample", "trace"]
)
def test_the_promised_names_are_public(name: str) -> None:
    assert name in fewstep.__all__


def test_an_unknown_name_is_an_attribute_error() -> None:
    name = "no_such_name"
    with pytest.raises(AttributeError, match=name):
        getattr(fewstep, name)


def test_light_parts_load_no_heavy_package(repository: Path) -> None:
    probe = subprocess.run(
        [sys.executable, "-c", PROBE, *WITHOUT_TORCH],
        cwd=repository, text=True, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert probe.returncode == 0, probe.stderr
    assert json.loads(probe.stdout) == {}

"""The wheel: `fewstep` alone, usable away from the checkout and without the service's packages."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Sequence, Set
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROGRAM = Path(__file__).with_name("use_installed_wheel.py")


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command away from this process's environment; show its output where it fails."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_"))}
    done = subprocess.run(
        command, cwd=cwd, env=environment, text=True, capture_output=True, check=False, timeout=100
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel built from this checkout."""
    target = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", target, cwd=repository)
    (built,) = target.glob("*.whl")
    return built


def names_in(wheel: Path) -> list[str]:
    """The paths inside the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def closure_of(requirements: Sequence[str]) -> set[str]:
    """Every distribution that these `Requires-Dist` bring when no extra is asked for."""
    waiting = [(Requirement(text), frozenset[str]()) for text in requirements]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement, owner_extras = waiting.pop()
        marker = requirement.marker
        if marker and not any(marker.evaluate({"extra": e}) for e in owner_extras | {""}):
            continue
        node = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if node not in seen:
            seen.add(node)
            inner = importlib.metadata.requires(node[0]) or []
            waiting += [(Requirement(text), node[1]) for text in inner]
    return {name for name, _ in seen}


def link_distributions(names: Set[str], folder: Path) -> None:
    """Fill `folder` with links to what these installed distributions put on the import path."""
    for name in names:
        distribution = importlib.metadata.distribution(name)
        for file in distribution.files or []:
            top = file.parts[0]
            source = Path(str(distribution.locate_file(top)))
            if top not in {"..", "__pycache__"} and not (folder / top).exists():
                (folder / top).symlink_to(source)


@pytest.fixture(scope="module")
def clean_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment: the wheel, what it requires, and nothing else.

    The requirements are links to the copies already here: unpacking torch takes a minute.
    """
    home = tmp_path_factory.mktemp("clean")
    run(sys.executable, "-m", "venv", "--without-pip", home / "venv", cwd=home)
    python = home / "venv" / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps",
        "--no-index", wheel, cwd=home)  # fmt: skip
    links = home / "links"
    links.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = archive.read(path).decode("utf-8")
    link_distributions(closure_of(re.findall(r"^Requires-Dist: (.*)$", metadata, re.M)), links)
    (site,) = (home / "venv" / "lib").glob("python*/site-packages")
    (site / "links.pth").write_text(f"{links}\n", encoding="utf-8")
    return python


def test_the_wheel_holds_fewstep_and_nothing_else_on_the_top_level(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in names_in(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"fewstep"}


def test_the_wheel_carries_what_is_not_python(wheel: Path, repository: Path) -> None:
    assets = {
        path.relative_to(repository).as_posix()
        for path in (repository / "fewstep").rglob("*")
        if path.suffix in {".json", ".safetensors", ".typed"}
    }
    assert "fewstep/py.typed" in assets
    assert assets - set(names_in(wheel)) == set()
    assert [name for name in names_in(wheel) if name.endswith("licenses/LICENSE")]


@pytest.mark.timeout(180)
def test_the_installed_wheel_samples_the_bundled_model_away_from_the_checkout(
    clean_python: Path, tmp_path: Path
) -> None:
    assert "sampled 4 images" in run(clean_python, "-I", PROGRAM, cwd=tmp_path)


def test_the_installed_command_answers(clean_python: Path, tmp_path: Path) -> None:
    shown = run(clean_python.with_name("fewstep"), "--help", cwd=tmp_path)
    assert "submit" in shown


def requirement_lines(repository: Path) -> list[str]:
    """The lines of pyproject.toml that name a dependency."""
    text = (repository / "pyproject.toml").read_text(encoding="utf-8")
    project = text[text.index("dependencies = [") : text.index("[project.scripts]")]
    return [line for line in project.splitlines() if line.startswith('    "')]


def test_each_dependency_has_a_lower_bound_and_a_reason_beside_it(repository: Path) -> None:
    lines = requirement_lines(repository)
    assert len(lines) > 20
    assert [line for line in lines if ">=" not in line or "# " not in line] == []


def test_each_dependency_is_pinned_to_the_version_tested(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    needed = [Requirement(text) for group in [project["dependencies"], *extras] for text in group]
    lines = (repository / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {
        canonicalize_name(name): version
        for name, version in (re.split("={2,3}", line) for line in lines if "==" in line[:60])
        if not name.startswith("#")
    }
    unpinned = [r.name for r in needed if canonicalize_name(r.name) not in pins]
    below = [r for r in needed if not r.specifier.contains(pins[canonicalize_name(r.name)])]
    assert unpinned == []
    assert below == []


def test_torch_and_torchvision_come_from_one_source(repository: Path) -> None:
    lines = (repository / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.partition("=")[0]: line for line in lines if line.startswith("torch")}
    # `===` alone refuses a local build of the same release, such as 2.15.0+cpu.
    assert "===" in pinned["torch"]
    assert "===" in pinned["torchvision"]
    # Compiled operators that load only into the torch they were built for.
    assert importlib.import_module("torchvision.ops").nms is not None

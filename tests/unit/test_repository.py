"""Rules for the whole tree: what no source may call, how long files get, what `make` promises."""

from __future__ import annotations

import ast
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

APPLICATION = (
    "fewstep", "space", "evaluators", "search", "store", "migrations", "api", "benchmarks", "demo",
)  # fmt: skip
SKIPPED_FOLDERS = {
    ".git",
    ".hypothesis",
    ".venv",
    "out",
    "data",
    "runs",
    "build",
    "dist",
    "__pycache__",
}
MAX_LINES = 400
MAX_BYTES = 5_000_000
MAX_WEIGHTS_BYTES = 16_000_000  # of a bundled model's network, or its reference statistics
TEXT_SUFFIXES = {".py", ".md", ".toml", ".txt", ".yml", ".json"}
VAGUE_NAMES = {"utils.py", "util.py", "helpers.py", "common.py", "manager.py", "misc.py"}
PICKLE_MODULES = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
FORBIDDEN_CALLS = {
    "eval", "exec", "os.system", "os.popen", "subprocess.getoutput", "torch.load", "yaml.load",
    "yaml.unsafe_load",
}  # fmt: skip
FORBIDDEN_FLAGS = {"shell", "allow_pickle"}


def files_of(root: Path) -> Iterator[Path]:
    """Every file a checkout holds, wherever git stands; not what tools and runs leave behind."""
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [n for n in subfolders if n not in SKIPPED_FOLDERS and "_cache" not in n]
        yield from (Path(folder) / name for name in names)


def python_files(root: Path) -> list[Path]:
    """Every Python file of the tree."""
    return sorted(path for path in files_of(root) if path.suffix == ".py")


def dotted_name(node: ast.expr) -> str:
    """Return `a.b.c` for such an expression, and an empty string for any other."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (owner := dotted_name(node.value)):
        return f"{owner}.{node.attr}"
    return ""


def aliases_of(tree: ast.AST) -> dict[str, str]:
    """Map each local name bound by an import to the full name it stands for."""
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            aliases.update({a.asname: a.name for a in node.names if a.asname})
        elif isinstance(node, ast.ImportFrom):
            aliases.update({a.asname or a.name: f"{node.module}.{a.name}" for a in node.names})
    return aliases


def imported_modules(node: ast.AST) -> list[str]:
    """The top-level modules that an import statement names."""
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [(node.module or "").partition(".")[0]]
    return []


def is_switched_on(keyword: ast.keyword) -> bool:
    """True for a forbidden flag unless it is the literal False."""
    is_off = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
    return keyword.arg in FORBIDDEN_FLAGS and not is_off


def ways_to_run_data(source: str) -> list[str]:
    """Name every construct in `source` that could execute what a file or a user supplies."""
    tree = ast.parse(source)
    aliases = aliases_of(tree)
    found: list[str] = []
    for node in ast.walk(tree):
        found += [name for name in imported_modules(node) if name in PICKLE_MODULES]
        if isinstance(node, ast.Call):
            first, _, rest = dotted_name(node.func).partition(".")
            name = ".".join(filter(None, [aliases.get(first, first), rest]))
            found += [name] if name in FORBIDDEN_CALLS else []
            found += [f"{k.arg}=" for k in node.keywords if is_switched_on(k)]
    return found


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import torch\ntorch.load('x')", ["torch.load"]),
        ("from torch import load as read\nread('x')", ["torch.load"]),
        ("import pickle", ["pickle"]),
        ("from cloudpickle import loads", ["cloudpickle"]),
        ("eval('1')", ["eval"]),
        ("import yaml as y\ny.load(f)", ["yaml.load"]),
        ("import subprocess\nsubprocess.run('ls', shell=True)", ["shell="]),
        ("import numpy as np\nnp.load('x', allow_pickle=flag)", ["allow_pickle="]),
        ("network.eval()\nnp.load('x', allow_pickle=False)", []),
    ],
)
def test_the_scan_finds_each_way_to_run_data(source: str, expected: list[str]) -> None:
    assert ways_to_run_data(source) == expected


def test_no_source_runs_what_a_file_or_a_user_supplies(repository: Path) -> None:
    found = {
        str(path.relative_to(repository)): ways
        for package in APPLICATION
        for path in python_files(repository / package)
        if (ways := ways_to_run_data(path.read_text(encoding="utf-8")))
    }
    # The one reader of pickles: public data sets and checkpoints come so.
    assert found == {"fewstep/networks/safe_pickle.py": ["pickle"]}


def test_the_reader_of_pickles_only_looks_names_up(repository: Path) -> None:
    tree = ast.parse((repository / "fewstep/networks/safe_pickle.py").read_text(encoding="utf-8"))
    uses = {dotted_name(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert {use for use in uses if use.startswith("pickle.")} == {"pickle.Unpickler"}
    (reader,) = (node for node in tree.body if isinstance(node, ast.ClassDef))
    assert [dotted_name(base) for base in reader.bases] == ["pickle.Unpickler"]
    assert "find_class" in {node.name for node in reader.body if isinstance(node, ast.FunctionDef)}


def test_every_python_file_says_what_it_is_for(repository: Path) -> None:
    silent = [
        str(path.relative_to(repository))
        for path in python_files(repository)
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []


def test_no_python_file_grows_past_the_limit(repository: Path) -> None:
    lengths = {
        str(path.relative_to(repository)): len(path.read_text(encoding="utf-8").splitlines())
        for path in python_files(repository)
    }
    assert {path: lines for path, lines in lengths.items() if lines > MAX_LINES} == {}


def test_no_file_is_named_after_nothing(repository: Path) -> None:
    assert [str(p) for p in python_files(repository) if p.name in VAGUE_NAMES] == []


def test_no_file_is_large(repository: Path) -> None:
    weights = set(repository.glob("fewstep/networks/zoo/*/*.safetensors"))
    sizes = {path: path.stat().st_size for path in files_of(repository)}
    limits = {path: MAX_WEIGHTS_BYTES if path in weights else MAX_BYTES for path in sizes}
    assert {str(path): size for path, size in sizes.items() if size > limits[path]} == {}


def test_no_text_names_a_path_of_somebodys_machine(repository: Path) -> None:
    personal = re.compile(r"(?<![\w.])/(?:home|root|Users)/\w+")
    found = [
        f"{path.relative_to(repository)}: {match.group()}"
        for path in files_of(repository)
        if path.suffix in TEXT_SUFFIXES or path.name == "Makefile"
        for match in personal.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_every_file_that_a_document_names_is_there(repository: Path) -> None:
    named = re.compile(r"\]\((?!https?:|#)([^)#\s]+)\)|`((?:docs|benchmarks)/[\w./-]+\.\w+)`")
    missing = [
        f"{document.relative_to(repository)}: {name}"
        for document in files_of(repository)
        if document.suffix == ".md"
        for link, path in named.findall(document.read_text(encoding="utf-8"))
        for name in [link or path]
        if not ((document.parent if link else repository) / name).exists()
    ]
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize(
    ("kind", "host", "is_refused"),
    [
        (socket.SOCK_STREAM, "8.8.8.8", True),
        (socket.SOCK_STREAM, "2606:4700::1111", True),
        (socket.SOCK_DGRAM, "8.8.8.8", False),
        (socket.SOCK_STREAM, "127.0.0.1", False),
        (socket.SOCK_STREAM, "10.1.2.3", False),
    ],
)
def test_tests_connect_to_no_public_address(
    kind: socket.SocketKind, host: str, is_refused: bool
) -> None:
    refusal = pytest.raises(OSError, match="no outside network") if is_refused else nullcontext()
    with socket.socket(type=kind) as unused, refusal:
        sys.audit("socket.connect", unused, (host, 80))  # what connect() does first


@pytest.fixture
def bare_checkout(repository: Path, tmp_path: Path) -> Path:
    """The files `make` reads, alone."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(repository / name, tmp_path)
    return tmp_path


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make there; its own flags must not come from a make that runs these tests."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=environment, text=True, capture_output=True,
        check=False, timeout=30,
    )  # fmt: skip


def stamp_of(folder: Path) -> Path:
    """Where make records what it installed."""
    database = make(folder, "--dry-run", "--print-data-base", "help").stdout
    (name,) = re.findall(r"^(\.venv/\.installed-\S+):", database, re.MULTILINE)
    return folder / str(name)


def test_make_installs_once_and_again_only_when_requirements_change(bare_checkout: Path) -> None:
    stamp = stamp_of(bare_checkout)
    stamp.parent.mkdir()
    assert "pip install" in make(bare_checkout, "--dry-run", "check").stdout
    stamp.touch()
    os.utime(stamp, (0, 0))  # file dates say nothing: a checkout sets them anew
    assert "pip install" not in make(bare_checkout, "--dry-run", "check").stdout
    with (bare_checkout / "constraints.txt").open("a") as constraints:
        constraints.write("another==1.0\n")
    assert "pip install" in make(bare_checkout, "--dry-run", "check").stdout


def test_make_names_the_python_it_needs_when_given_an_older_one(bare_checkout: Path) -> None:
    old = bare_checkout / "python-of-yesterday"
    pretend = "import sys; sys.version_info = (3, 9, 0); exec(sys.argv[1])"
    old.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c \'{pretend}\' "$2"\n', encoding="utf-8")
    old.chmod(0o755)
    answer = make(bare_checkout, "check", f"PYTHON={old}")
    assert answer.returncode == 2
    assert "Python 3.11 or newer is needed" in answer.stderr
    assert "is 3.9" in answer.stderr
    assert not (bare_checkout / ".venv").exists()


def test_every_make_target_is_explained(repository: Path) -> None:
    text = (repository / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    shown = {line.split()[0] for line in make(repository, "help").stdout.splitlines()}
    assert shown == set(phony.split())

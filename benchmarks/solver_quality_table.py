"""The table of `benchmarks.solver_quality`: a row per solver, a column per number of calls."""

from __future__ import annotations

from typing import Any

Cell = dict[str, Any]


def markdown(document: dict[str, Any]) -> str:
    """Distances, inception scores and speed of every stored cell."""
    cells: dict[str, Cell] = document["cells"]
    if not cells:
        return ""
    num_samples = next(iter(cells.values()))["num_samples"]
    machine = document["machine"]
    parts = [
        f"# Solvers on `{document['model']}`",
        "",
        f"FID of {num_samples:,} images in the model's own features (small-batch: it compares rows "
        "of this page and nothing else), ± its jackknife standard error; same noise and balanced "
        "labels everywhere. `n*` marks a row that cannot spend exactly that many calls and spent "
        "n. Best: the closed-form grid that was best on another noise bank. A blank has no grid "
        "of so few calls, or none whose coefficients keep float32 accurate (condition 100); named "
        "settings stop at 10 calls but for `m3`.",
        "",
        f"{machine['cores']} cores of {machine['processor']}, torch {machine['torch']}; "
        "`python -m benchmarks.solver_quality --out ...`",
        "",
        *_teacher(cells),
    ]
    for which, title in (("best", "Best closed-form grid"), ("default", "Grid `leading`")):
        parts += [f"## {title}: FID", "", *_table(cells, which, _fid), ""]
    for which, title in (("best", "Best closed-form grid"), ("default", "Grid `leading`")):
        parts += [f"## {title}: inception score", "", *_table(cells, which, _score), ""]
    parts += ["## Best closed-form grid: its name", "", *_table(cells, "best", _grid), ""]
    return "\n".join(parts)


def _teacher(cells: dict[str, Cell]) -> list[str]:
    for key, cell in cells.items():
        if key.startswith("teacher"):
            return [
                f"Full-step teacher, {cell['nfe']:,} calls: FID {_fid(cell)}, "
                f"inception score {_score(cell)}.",
                "",
            ]
    return []


def _table(cells: dict[str, Cell], which: str, show: Any) -> list[str]:
    keys = [key.split("|") for key in cells if key.endswith(f"|{which}")]
    columns = sorted({int(calls) for name, calls, _ in keys if not name.startswith("teacher")})
    names = list(dict.fromkeys(sorted(n for n, _, _ in keys if not n.startswith("teacher"))))
    head = [
        f"| solver | {' | '.join(map(str, columns))} | images/s |",
        "|---" * (len(columns) + 2) + "|",
    ]
    return head + [_row(cells, name, columns, which, show) for name in names]


def _row(cells: dict[str, Cell], name: str, columns: list[int], which: str, show: Any) -> str:
    found = [cells.get(f"{name}|{calls}|{which}") for calls in columns]
    shown = [
        "" if cell is None else show(cell) + (f" ({cell['nfe']}*)" if cell["nfe"] != calls else "")
        for cell, calls in zip(found, columns, strict=True)
    ]
    return f"| `{name}` | {' | '.join(shown)} | {_speed(cells, name, which)} |"


def _speed(cells: dict[str, Cell], name: str, which: str) -> str:
    """Images per second at ten calls, all cores."""
    cell = cells.get(f"{name}|10|{which}")
    return "" if cell is None else f"{cell['num_samples'] / cell['seconds']:.0f}"


def _fid(cell: Cell) -> str:
    return f"{cell['fid']:.2f} ± {cell['fid_error']:.2f}"


def _score(cell: Cell) -> str:
    return f"{cell['inception_score']:.2f}"


def _grid(cell: Cell) -> str:
    return str(cell["grid"])

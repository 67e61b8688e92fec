"""The tables of `benchmarks.guided`."""

from __future__ import annotations

from typing import Any

SHOWN_STEPS = (5, 10, 20, 50, 100, 250)


def markdown(document: dict[str, Any]) -> str:
    """One section per problem: distances, time to the target, judged quality."""
    where = document["machine"]
    parts = [
        f"# Guided sampling on `{document['model']}`",
        "",
        f"Unconditional model, guidance by the bundled noisy classifier or by known pixels, "
        f"clipping off, equal steps of the training index; {document['num_distance']} samples from "
        f"one noise. {where['cores']} cores of {where['processor']}, torch {where['torch']}, one "
        "thread; `python -m benchmarks.guided --out ...`",
        "",
    ]
    for name, entry in in_order(document["problems"]):
        parts += [f"## {name}", ""]
        if "distances" in entry:
            parts += _distances(entry)
        if "step_seconds" in entry:
            parts += _times(entry)
        if "qualities" in entry:
            parts += _qualities(entry, entry["num_quality"])
    return "\n".join(parts)


def in_order(problems: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Problems by kind, then by scale, which is the last word of their names."""
    return sorted(problems.items(), key=lambda item: (item[0].split(",")[0], _scale(item[0])))


def _scale(name: str) -> float:
    return float(name.split()[-1])


def _distances(entry: dict[str, Any]) -> list[str]:
    """Distances by steps, to both references."""
    return [
        "RMSE over pixels to 1000-step DDIM, by steps. That reference is "
        f"{entry['reference_to_accurate']:.4f} from the accurate solution (500 steps of AB4 in "
        "float64): smaller differences mean nothing.",
        "",
        *_distance_table(entry["distances"], 0),
        "",
        "The same to the accurate solution.",
        "",
        *_distance_table(entry["distances"], 1),
        "",
    ]


def _distance_table(rows: dict[str, list[float]], which: int) -> list[str]:
    names = dict.fromkeys(key.split("|")[0] for key in rows)
    lines = [
        f"| solver | {' | '.join(map(str, SHOWN_STEPS))} |",
        "|---" * (len(SHOWN_STEPS) + 1) + "|",
    ]
    for name in names:
        cells = [_cell(rows, name, steps, which) for steps in SHOWN_STEPS]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return lines


def _cell(rows: dict[str, Any], name: str, steps: int, which: int) -> str:
    """A distance; empty where a solver was near enough with fewer steps."""
    found = rows.get(f"{name}|{steps}")
    return "" if found is None else _short(found[which])


def _times(entry: dict[str, Any]) -> list[str]:
    steps = entry["step_seconds"]
    lines = [
        "Milliseconds of a step for the whole batch, and what it evaluates. Unsplit solvers take "
        "the gradient inside their one evaluation.",
        "",
        "| solver | ms a step | of them gradients | passes | gradients |",
        "|---|---|---|---|---|",
    ]
    for name, row in steps.items():
        inside = f"{1e3 * row['gradient_seconds']:.1f}" if row["gradient_seconds"] else "not apart"
        lines.append(
            f"| `{name}` | {1e3 * row['seconds']:.1f} | {inside} | {row['passes']:.2g} | "
            f"{row['gradients']:.2g} |"
        )
    for which, title in ((0, "1000-step DDIM"), (1, "the accurate solution")):
        goals = sorted({int(key.split("|")[1]) for key in entry["needed"]})
        lines += [
            "",
            f"Fewest steps as near to {title} as DDIM with so many, and the time saved.",
            "",
            f"| solver | {' | '.join(f'DDIM {goal}' for goal in goals)} |",
            "|---" * (len(goals) + 1) + "|",
        ]
        lines += [
            f"| `{name}` | {' | '.join(saved(entry, name, goal, which) for goal in goals)} |"
            for name in steps
        ]
    return [*lines, ""]


def saved(entry: dict[str, Any], name: str, goal: int, which: int) -> str:
    """Steps needed, and the share of DDIM's seconds they save."""
    needed = entry["needed"][f"{name}|{goal}|{which}"]
    if needed is None:
        return "never up to 250"
    seconds = entry["step_seconds"]
    ratio = needed * seconds[name]["seconds"] / (goal * seconds["ddim"]["seconds"])
    return f"{needed:.0f} ({1.0 - ratio:+.0%})"


def _qualities(entry: dict[str, Any], count: int) -> list[str]:
    lines = [
        f"Images judged by the clean classifier, which guided nothing ({count} images): share with "
        "the wanted label, and FID.",
        "",
        "| solver | steps | accuracy | FID |",
        "|---|---|---|---|",
    ]
    for key, row in entry["qualities"].items():
        name, steps = key.split("|")
        lines.append(f"| `{name}` | {steps} | {row['accuracy']:.3f} | {row['fid']:.2f} |")
    return [*lines, ""]


def _short(value: float) -> str:
    return f"{value:.4f}" if value < 10 else f"{value:.1e}"

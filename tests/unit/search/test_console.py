"""What a search prints."""

from __future__ import annotations

import pytest

from search.console import LiveJournal, print_report

ROW = {
    "name": "searched",
    "solver": "ddim",
    "indices": [657, 514, 258, 18],
    "failure": None,
    "fid": 0.08123,
    "standard_error": 0.00111,
    "difference": 0.0,
    "difference_error": 0.0,
}
WORSE = {**ROW, "name": "trailing", "fid": 0.3, "difference": 0.21877, "difference_error": 0.01}
FAILED = {**ROW, "name": "log-snr", "fid": None, "failure": "2 images are not finite"}
REPORT = {
    "model": "zoo:digits",
    "solver": "ddim",
    "nfe": 4,
    "sets": 3,
    "num_samples": 4096,
    "rows": [ROW, FAILED, WORSE],
}


def test_piped_output_is_plain_lines_best_first_failures_last(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_report(REPORT)
    title, *lines = capsys.readouterr().out.splitlines()
    assert title == "zoo:digits, ddim, 4 calls: FID of 3 x 4096 images"
    assert lines == [
        "searched\t657 514 258 18\t0.0812 ± 0.0011\t",
        "trailing\t657 514 258 18\t0.3000 ± 0.0011\t+0.2188 ± 0.0100",
        "log-snr\t657 514 258 18\tfailed\t2 images are not finite",
    ]


def test_pruned_schedules_say_what_they_cost(capsys: pytest.CaptureFixture[str]) -> None:
    cut = {**WORSE, "name": "pruned 1", "cost_share": 0.7512}
    print_report({**REPORT, "rows": [ROW, cut]})
    assert "pruned 1 (75.1% of the multiply-adds)\t657" in capsys.readouterr().out


def test_a_terminal_gets_a_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    print_report(REPORT)
    out = capsys.readouterr().out
    assert "trailing" in out
    assert "+0.2188 ± 0.0100" in out
    assert out.count("\n") > 8


def test_progress_goes_to_standard_error_unless_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    for quiet in (False, True):
        LiveJournal(quiet=quiet).progress(
            phase="search", calls=12_288, best_fid=0.1, message="8 schedules scored with 256 images"
        )
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("12,288 calls  best FID 0.1000") == 1

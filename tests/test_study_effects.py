"""Whether one row is better than another: properties of the bootstrap, the interval over seeds, the table of both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltsh_deploy.errors import InputError
from ltsh_deploy.evaluation.measures import RateMeasure
from studies.ltsh import command
from studies.ltsh.bootstrap import Effect, effect, headline_draws
from studies.ltsh.command import main
from studies.ltsh.plan import load_study
from studies.ltsh.results import Results
from studies.ltsh.tables import effect_table

STUDY = load_study()


def of_seeds(changes: Sequence[float], noise: float = 0.0, draws: int = 400) -> Effect:
    """Two rows that differ by so much, the more or less in each draw of pictures."""
    random = np.random.default_rng(len(changes))
    first = [np.full(1 + draws, 50.0) for _ in changes]
    second = [50 + change + np.concatenate([[0], random.normal(0, noise, draws)]) for change in changes]
    return effect(first, second)


def test_the_interval_over_seeds_by_hand() -> None:
    # The changes 1, 2 and 3 have the standard deviation 1; 97.5 % of Student's t with 2 degrees are below 4.3027.
    assert of_seeds([1, 2, 3]).over_seeds == pytest.approx(4.302653 / math.sqrt(3))
    # Of 0 and 2 it is the root of 2; of t with one degree, 97.5 % are below 12.706.
    assert of_seeds([0, 2]).over_seeds == pytest.approx(12.706205)
    assert math.isnan(of_seeds([1]).over_seeds)


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=5), st.floats(0, 3))
def test_the_other_way_round_the_same_is_found(changes: list[float], noise: float) -> None:
    random = np.random.default_rng(0)
    first = [random.normal(30, 1 + noise, 200) for _ in changes]
    second = [row + change + random.normal(0, noise, 200) for row, change in zip(first, changes, strict=True)]
    one, other = effect(first, second), effect(second, first)
    assert one.change == pytest.approx(-other.change)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
    assert one.p_value == other.p_value
    assert one.over_seeds == pytest.approx(other.over_seeds, nan_ok=True)
    assert 2 / 200 <= one.p_value <= 1
    assert effect(first, first).p_value == 1


def test_the_bootstrap_knows_no_seeds_but_those_it_has_and_student_does() -> None:
    """Rows that differ by the chance of training alone: how often each interval holds 0, of 95 times in 100."""
    random = np.random.default_rng(3)
    bootstrap, student = 0, 0
    for _ in range(400):
        found = of_seeds(random.normal(0, 1, 3).tolist())
        bootstrap += found.low <= 0 <= found.high
        student += abs(found.change) <= found.over_seeds
    assert bootstrap / 400 == pytest.approx(0.75, abs=0.06)
    assert student / 400 == pytest.approx(0.95, abs=0.03)


def test_of_one_picture_no_interval_is_told() -> None:
    one = (np.ones((1, 1), np.bool_),)
    drawn = headline_draws(RateMeasure(one, one, ("PCK", "neck"), False), 20)
    assert drawn[0] == 100
    assert np.isnan(drawn[1:]).all()
    found = effect([drawn - 10], [drawn])
    assert found.change == 10
    assert np.isnan([found.low, found.high, found.p_value]).all()


def table_of(changes: dict[str, Sequence[float]], spread: float) -> str:
    """The table where these are R+S's changes over R by measure, and nothing else was run."""
    draws = np.linspace(-spread, spread, 1000)

    def pairs(first: str, second: str, measure: str) -> Any:
        if (first, second) != ("R", "R+S") or measure not in changes:
            return [], []
        base = np.zeros(1001)
        after = [np.concatenate([[change], change + draws]) for change in changes[measure]]
        rows = ([base] * len(after), after)
        return tuple([SimpleNamespace(draws={measure: row}) for row in each] for each in rows)

    return effect_table(STUDY, cast(Results, SimpleNamespace(pairs=pairs)))


def test_the_table_tells_all_that_is_known_of_a_difference() -> None:
    text = table_of({"pck": [1.0, 2.0, 3.0], "mosaics": [0.25], "synthetic": [math.nan]}, 0.1)
    line = next(line for line in text.splitlines() if line.startswith("| R+S less R |"))
    _, _, pck, mosaics, synthetic, night, seeds, _ = (cell.strip() for cell in line.split("|"))
    assert pck.startswith("+2.00 [+")
    assert pck.endswith("], p 0.002 (seeds ± 2.48)")
    # A small difference is not told as if its interval held 0.
    assert mosaics == "+0.25 [+0.15, +0.34], p 0.002"
    assert synthetic == "-"
    assert night == "not run"
    assert seeds == "3"
    assert "These are 3 comparisons" in text
    assert "p nan" not in table_of({"pck": [1.0]}, math.nan)


def test_the_row_that_others_are_shown_beside_is_needed(tmp_path: Any) -> None:
    (tmp_path / "base.yaml").write_text("rows: [R]\nreal: x\nbackgrounds: null\ntraining: {}\n")
    (tmp_path / "budgets.yaml").write_text("{}\n")
    with pytest.raises(InputError, match=r"base\.yaml: rows: R\+S is missing"):
        load_study(tmp_path)


def test_what_the_system_refuses_is_told_without_a_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise PermissionError(13, "Permission denied", "some/file.tar")

    monkeypatch.setattr(command, "load_study", refuse)
    assert main(["list"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "error: some/file.tar: Permission denied"
    assert "permissions" in said[1]


def test_lines_of_rows_are_told_apart() -> None:
    from studies.ltsh.plots import _style

    styles = [tuple(_style(number).items()) for number in range(len(STUDY.rows))]
    assert len(set(styles)) == len(STUDY.rows)

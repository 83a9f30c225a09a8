"""The study's parts: rows and budgets, mosaics, the bootstrap, bins, what is stored."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltsh_deploy.datasets import open_dataset
from ltsh_deploy.errors import InputError, UsageError
from ltsh_deploy.evaluation.measures import ApMeasure, RateMeasure
from ltsh_deploy.metrics import MPII_JOINTS, UnitMatches
from ltsh_deploy.skeletons import LTSH15
from ltsh_deploy.yaml_text import parse_yaml
from studies.ltsh.bootstrap import effect, headline_draws, seeds_apart
from studies.ltsh.command import main
from studies.ltsh.configs import FIRST, merged, run_config
from studies.ltsh.mosaics import make_mosaics
from studies.ltsh.plan import HERE, Layout, chosen_rows, load_study
from studies.ltsh.results import bin_figures
from studies.ltsh.stored import Stored, load_measure, save_measure
from tests.study_data import write_people

STUDY = load_study()
LAYOUT = Layout(Path("out"), "small")


@pytest.mark.parametrize("budget", STUDY.budgets)
@pytest.mark.parametrize("row", STUDY.rows)
def test_every_row_has_a_configuration_in_every_budget(row: str, budget: str) -> None:
    config = run_config(STUDY, budget, row, 3, Layout(Path("out"), budget))
    assert config.seed == 3
    assert config.data.mix == STUDY.rows[row].mix
    if row == "S":
        assert config.init is None
        assert config.steps == STUDY.budgets[budget].alone["steps"]
    else:
        assert config.init == f"out/{budget}/first/seed-3/last.safetensors"
        assert config.steps == STUDY.budgets[budget].training["steps"]
    assert config.data.validation is None


@pytest.mark.parametrize("name", STUDY.budgets)
def test_all_rows_have_as_many_steps_in_all(name: str) -> None:
    budget = STUDY.budgets[name]
    assert budget.first["steps"] + budget.training["steps"] == budget.alone["steps"]
    assert run_config(STUDY, name, FIRST, 3, LAYOUT).steps == budget.first["steps"]
    assert run_config(STUDY, name, FIRST, 3, LAYOUT).data.mix == {"real": 1.0}


def test_rows_differ_in_nothing_but_what_their_files_say() -> None:
    plain, teacher = (run_config(STUDY, "small", row, 0, LAYOUT).model_dump() for row in ("R+S", "teacher-C"))
    assert {key for key in plain if plain[key] != teacher[key]} == {"teacher"}
    masked, bare = (run_config(STUDY, "small", row, 0, LAYOUT).model_dump() for row in ("R+M+masks", "R+M"))
    assert {key for key in masked if masked[key] != bare[key]} == {"targets"}


@pytest.mark.parametrize("characteristic", ["C", "mD", "V", "T"])
def test_teachers_differ_from_their_controls_in_the_choice_alone(characteristic: str) -> None:
    teaching, control = (
        run_config(STUDY, "small", f"{kind}-{characteristic}", 0, LAYOUT) for kind in ("teacher", "uniform")
    )
    assert teaching.model_dump(exclude={"teacher"}) == control.model_dump(exclude={"teacher"})
    teacher, uniform = teaching.teacher, control.teacher
    assert teacher is not None
    assert uniform is not None
    assert (teacher.kind, uniform.kind) == ("group", "uniform")
    assert teacher.window == uniform.window
    assert teacher.groups == uniform.groups  # type: ignore[union-attr]


def test_groups_by_distance_are_equal_parts_of_the_picture() -> None:
    teacher = run_config(STUDY, "small", "teacher-mD", 0, LAYOUT).teacher
    side = STUDY.budgets["small"].pictures.side
    assert teacher is not None
    assert teacher.groups.boundaries == pytest.approx(np.arange(1, 10) * side / 10)  # type: ignore[union-attr]


def test_rows_are_chosen_by_name_in_the_order_of_the_tables() -> None:
    assert chosen_rows(STUDY, "teacher-c, R") == ["R", "teacher-C"]
    assert chosen_rows(STUDY, None) == list(STUDY.rows)
    with pytest.raises(UsageError, match="no row 'R\\+X'"):
        chosen_rows(STUDY, "R,R+X")
    with pytest.raises(UsageError, match="no row is named"):
        chosen_rows(STUDY, " , ")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    for path in HERE.rglob("*.yaml"):
        copy = tmp_path / path.relative_to(HERE)
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(path, copy)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("rows/R+S.yaml", "about: x\nmix: {reel: 1.0}\n", r"R\+S.yaml: mix: there is no data set 'reel'"),
        ("rows/R+S.yaml", "about: x\nmix: {real: 1.0}\nagainst: [Q]\n", r"R\+S.yaml: against: there is no row 'Q'"),
        ("rows/R+S.yaml", "about: x\nmix: {real: 1.0}\ntrainig: {}\n", r"R\+S.yaml: trainig: Extra inputs"),
        ("rows/R+S.yaml", "about: x\n", r"R\+S.yaml: mix: Field required"),
        ("rows/R+S.yaml", "{", r"R\+S.yaml"),
        ("rows/R+S.yaml", "- 1\n", r"R\+S.yaml"),
        ("budgets.yaml", "tiny: {about: x}\n", r"budgets.yaml: tiny.seeds: Field required"),
        ("base.yaml", "rows: [R]\n", r"base.yaml: real: Field required"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(texts: Path, name: str, text: str, message: str) -> None:
    (texts / name).write_text(text)
    with pytest.raises(InputError, match=message):
        load_study(texts)


def test_a_missing_row_and_a_bad_training_key_are_named(texts: Path) -> None:
    (texts / "rows/S.yaml").write_text("about: x\nmix: {purely: 1.0}\ntraining: {optimizer: {lr: 1}}\n")
    with pytest.raises(InputError, match=r"row S, budget tiny: there is no key 'optimizer'"):
        run_config(load_study(texts), "tiny", "S", 0, LAYOUT)
    (texts / "rows/S.yaml").unlink()
    with pytest.raises(InputError, match=r"S\.yaml: cannot be read"):
        load_study(texts)


def test_the_command_tells_a_mistake_without_a_traceback(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["run", "--rows", "Z", "--out", str(tmp_path)]) == 2
    assert "no row 'Z'" in capsys.readouterr().err
    assert main(["run", "--budget", "huge", "--out", str(tmp_path)]) == 2
    assert "no budget 'huge'" in capsys.readouterr().err
    assert main(["report", "--budget", "huge", "--out", str(tmp_path)]) == 2
    assert main(["--nonsense"]) == 2
    capsys.readouterr()
    assert main(["run", "--real", str(tmp_path / "none"), "--budget", "tiny", "--rows", "R", "--out", str(tmp_path)])
    assert "Traceback" not in capsys.readouterr().err
    assert main(["list"]) == 0
    assert "teacher-mD" in capsys.readouterr().out


def test_merging_keeps_what_is_not_said_anew() -> None:
    first: dict[str, Any] = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    assert merged(first, {"a": {"c": [3]}}, {"d": {"e": 2}}) == {"a": {"b": 1, "c": [3]}, "d": {"e": 2}}
    assert first == {"a": {"b": 1, "c": [1, 2]}, "d": 1}


def test_the_papers_tables_add_up() -> None:
    paper = parse_yaml((HERE / "paper.yaml").read_text())
    for table in paper["tables"]:
        assert set(table["rows"]) <= set(STUDY.rows)
        for line in filter(None, table["rows"].values()):
            # mAP is the mean of the seven, each of which is the mean of two joints; all are rounded.
            assert np.mean(line[:-1]) == pytest.approx(line[-1], abs=0.11)


def test_mosaics_are_always_the_same_and_show_everybody_once(tmp_path: Path) -> None:
    people = write_people(tmp_path / "people")
    assert make_mosaics(people, tmp_path / "one", 100, 64) == 2
    make_mosaics(people, tmp_path / "two", 100, 64)
    (one,), (two,) = ((tmp_path / name).glob("*.tar") for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    make_mosaics(people, tmp_path / "three", 100, 64, seed=1)
    assert next((tmp_path / "three").glob("*.tar")).read_bytes() != one.read_bytes()
    samples = list(open_dataset("shards", tmp_path / "one", split="val"))
    for sample in samples:
        assert len(sample) == 4
        assert sample.skeleton == LTSH15
        assert not sample.is_synthetic.any()
        xy = sample.joints[sample.labelled][:, :2]
        assert (xy >= -0.5).all()
        assert (xy < 128).all()
        ignored = sample.read_ignore((128, 128))
        assert ignored is not None
        # People are never where the labels are said not to be complete.
        x, y = np.clip(np.rint(xy), 0, 127).astype(int).T
        assert ignored[y, x].mean() < 0.15
        assert 0.1 < ignored.mean() < 0.9
    # Limbs are drawn in their colours where the labels have them.
    image, sample = samples[0].read_image(), samples[0]
    hits = 0
    for joints in sample.joints:
        for limb, (a, b) in enumerate(LTSH15.limbs):
            if joints[[a, b], 2].all():
                x, y = np.rint(joints[[a, b], :2].mean(axis=0)).astype(int)
                colour = np.array([40 * (limb % 6), 255 - 17 * limb, 17 * limb])
                hits += bool(np.abs(image[y, x].astype(int) - colour).max() < 60)
    assert hits > 20


def test_mosaics_need_four_people_alone(tmp_path: Path) -> None:
    people = write_people(tmp_path / "people", val=3)
    with pytest.raises(InputError, match="3 validation people, and a mosaic needs 4"):
        make_mosaics(people, tmp_path / "out", 1, 64)


def rates(hits: list[list[int]]) -> RateMeasure:
    """People with one joint each."""
    found = tuple(np.array(unit, np.bool_).reshape(-1, 1) for unit in hits)
    return RateMeasure(found, tuple(np.ones_like(each) for each in found), ("PCK", "neck"), False)


def test_bootstrap_by_hand() -> None:
    # Two seeds and two draws, with the figures of all units in front.
    first = [np.array([40.0, 30.0, 50.0]), np.array([44.0, 40.0, 48.0])]
    second = [np.array([42.0, 34.0, 50.0]), np.array([50.0, 46.0, 54.0])]
    found = effect(first, second, seed=1)
    chosen = np.random.default_rng([1, 2]).integers(2, size=(2, 2))
    # Changes by seed: 2, of draws 4 and 0; and 6, of draws 6 and 6.
    drawn = [np.mean([[4, 6][s] for s in chosen[:, 0]]), np.mean([[0, 6][s] for s in chosen[:, 1]])]
    assert found.change == 4
    assert (found.low, found.high) == tuple(np.percentile(drawn, [2.5, 97.5]))
    assert found.p_value == min(1, 2 * (sum(np.array(drawn) <= 0) + 1) / 3)
    assert found.seeds == 2


def test_the_draws_are_of_the_same_units_for_both_rows() -> None:
    # One row finds the first half of the people, the other one these and one more: it can be worse in no draw.
    one, other = ([[int(n < most)] for n in range(20)] for most in (10, 11))
    draws = [headline_draws(rates(hits), 500) for hits in (one, other)]
    assert draws[0][0] == 50
    assert draws[1][0] == 55
    assert (draws[1] >= draws[0]).all()
    found = effect(draws[:1], draws[1:])
    assert found.change == pytest.approx(5)
    assert found.low == 0
    assert found.p_value > 0.3
    assert effect(draws[:1], draws[:1]).p_value == 1
    much = headline_draws(rates([[int(n < 19)] for n in range(20)]), 500)
    assert effect(draws[:1], [much]).p_value == pytest.approx(2 / 501)


def test_seeds_widen_the_interval() -> None:
    base = headline_draws(rates([[n % 2] for n in range(200)]), 300)
    alike, apart = ([base + shift for shift in shifts] for shifts in ((1.0, 1.0, 1.0), (-5.0, 1.0, 7.0)))
    steady, unsteady = effect([base] * 3, alike), effect([base] * 3, apart)
    assert steady.change == pytest.approx(unsteady.change)
    assert steady.high - steady.low == pytest.approx(0, abs=1e-9)
    assert unsteady.low < 0 < unsteady.high
    assert seeds_apart([1, 3]) == pytest.approx(np.sqrt(2))
    assert np.isnan(seeds_apart([1]))


def test_rows_of_other_seeds_are_not_compared() -> None:
    with pytest.raises(UsageError, match="same seeds"):
        effect([np.zeros(3)], [np.zeros(3)] * 2)
    with pytest.raises(UsageError, match="same seeds"):
        effect([np.zeros(3)], [np.zeros(4)])
    with pytest.raises(UsageError, match="same seeds"):
        effect([], [])


def matches(seed: int, units: int) -> ApMeasure:
    """Units with up to three people and up to four predicted ones."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(units):
        people, predicted = int(rng.integers(0, 4)), int(rng.integers(0, 5))
        truth_of = np.full(predicted, -1, np.int64)
        matched = min(people, predicted)
        truth_of[:matched] = rng.permutation(people)[:matched]
        shape = (predicted, len(MPII_JOINTS))
        present = rng.random(shape) < 0.8
        hits = (rng.random(shape) < 0.6) & present & (truth_of >= 0)[:, None]
        annotated = np.ones((people, len(MPII_JOINTS)), np.bool_)
        found.append(UnitMatches(truth_of, hits, present, rng.random(shape), annotated))
    return ApMeasure(tuple(found), ("mAP", *MPII_JOINTS))


@given(st.integers(0, 10_000), st.integers(1, 6))
def test_what_is_stored_is_measured_alike(tmp_path_factory: pytest.TempPathFactory, seed: int, units: int) -> None:
    path = tmp_path_factory.mktemp("stored") / "a.npz"
    measure = matches(seed, units)
    known = {"camera_pitch": [np.random.default_rng(seed).random(len(unit.annotated)) for unit in measure.matches]}
    save_measure(path, measure, known)
    again = load_measure(path)
    np.testing.assert_array_equal(again.measure.figures(), measure.figures())
    np.testing.assert_array_equal(headline_draws(again.measure, 5), headline_draws(measure, 5))
    for one, other in zip(again.known["camera_pitch"], known["camera_pitch"], strict=True):
        np.testing.assert_array_equal(one, other)


def test_rates_are_stored_too(tmp_path: Path) -> None:
    measure = rates([[1], [0, 1], []])
    save_measure(tmp_path / "a.npz", measure, {})
    again = load_measure(tmp_path / "a.npz").measure
    assert again.names == measure.names
    assert len(again) == 3
    np.testing.assert_array_equal(again.figures(), measure.figures())


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"PK" + data])
def test_what_is_damaged_is_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "a.npz"
    save_measure(path, matches(0, 3), {})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=r"a\.npz: is damaged"):
        load_measure(path)


def test_bins_hold_their_lower_edge_and_the_last_one_both() -> None:
    measure = rates([[1, 0], [1], [0, 1]])
    known = {"x": [np.array([0.0, 1.0]), np.array([2.0]), np.array([np.nan, 3.0])]}
    found = bin_figures(Stored(measure, known), "x", (0.0, 1.0, 2.0))
    # 0 in the first bin; 1 and 2 in the last, of whom one is found; 3 and the unknown in none.
    assert found.people == (1, 2)
    assert found.figures.tolist() == [100, 50]
    empty = bin_figures(Stored(measure, known), "x", (5.0, 6.0, 7.0))
    assert empty.people == (0, 0)
    assert np.isnan(empty.figures).all()
    everybody = bin_figures(Stored(measure, known), "x", (float("-inf"), 1.0, float("inf")))
    assert everybody.people == (1, 3)

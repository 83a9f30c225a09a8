"""How hard the groups of synthetic people are: what is told of them, on losses made up and on a student's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ltsh_deploy.datasets import Sample
from ltsh_deploy.errors import ImageError, InputError
from ltsh_deploy.images import Image
from ltsh_deploy.skeletons import load_skeleton
from ltsh_deploy.train.batches import CropMaker
from ltsh_deploy.train.data import open_pools
from ltsh_deploy.train.folder import LAST
from ltsh_deploy.train.sampling import Sampler
from ltsh_deploy.train.teacher import Choice
from studies.ltsh.command import main
from studies.ltsh.configs import FIRST, run_config
from studies.ltsh.data import needed_sets
from studies.ltsh.hardness import AFTER, SHOWN, Hardness, _losses, measure_hardness, read_hardness, spreads
from studies.ltsh.plan import Layout, Study, load_study
from studies.ltsh.report import write_report
from tests.study_data import run_tiny, small_study, write_people

BUDGET = load_study().budgets["small"]
PEOPLE = 4000


def made_up(excess: float, noise: float = 0.2) -> Hardness:
    """People of whom the last of ten groups by pitch (0.19 of all) costs more; by "other", none does."""
    random = np.random.default_rng(0)
    pitch = random.uniform(0, 45, PEOPLE)
    losses = 2 * (1 + excess * (pitch > 36.5) + noise * random.uniform(-1, 1, PEOPLE))
    return Hardness(losses, {"camera_pitch": pitch, "other": random.uniform(0, 1, PEOPLE)}, "")


def test_a_hard_group_is_found_and_named() -> None:
    found = spreads(made_up(0.5), BUDGET)
    pitch, other = found["camera_pitch"], found["other"]
    assert pitch.groups == 10
    assert pitch.hardest.endswith("and above")
    # One group of ten at 1.5, the others at 1: a deviation of 0.15.
    mean = 1 + 0.5 * 0.19
    assert pitch.excess == pytest.approx(1.5 / mean - 1, abs=0.02)
    assert pitch.apart == pytest.approx(0.15 / mean, abs=0.01)
    assert pitch.largest == pytest.approx(0.19, abs=0.02)
    assert other.apart < 3 * other.chance
    assert pitch.apart > 10 * pitch.chance


def test_by_chance_groups_are_as_far_apart_as_is_said() -> None:
    random = np.random.default_rng(1)
    apart, chance = [], []
    for _ in range(60):
        found = Hardness(random.gamma(4, 0.5, 500), {"x": random.uniform(0, 1, 500)}, "")
        spread = spreads(found, BUDGET)["x"]
        apart.append(spread.apart**2)
        chance.append(spread.chance**2)
    assert np.mean(apart) == pytest.approx(np.mean(chance), rel=0.15)


def test_chance_by_hand() -> None:
    # Two groups of 16 at both ends; half of each costs 0.5, half 1.5: a variance of 16 / 15 * 0.25.
    losses, values = np.tile([0.5, 1.5], 16), np.repeat([0.0, 1.0], 16)
    found = spreads(Hardness(losses, {"x": values}, ""), BUDGET)["x"]
    assert found.groups == 2
    assert found.apart == 0
    assert found.chance == pytest.approx(np.sqrt((1 - 1 / 2) * (16 / 15 * 0.25) / 16))


def test_groups_that_no_teacher_could_choose_do_not_count() -> None:
    random = np.random.default_rng(2)
    values = np.concatenate([random.uniform(0, 0.5, 500), [1.0] * 5])
    losses = np.concatenate([np.ones(500), np.full(5, 9.0)])
    found = spreads(Hardness(losses, {"x": values, "same": np.ones(505), "none": np.full(505, np.nan)}, ""), BUDGET)
    assert set(found) == {"x"}
    assert found["x"].groups == 6
    # Of the five at 9, nothing is seen but that the mean of all is higher.
    assert found["x"].excess == pytest.approx(1 / losses.mean() - 1)
    assert found["x"].largest < 0.3


def test_distances_are_grouped_as_teachers_group_them() -> None:
    distances = np.linspace(0, 1.5 * BUDGET.pictures.side, 3000)
    found = spreads(Hardness(np.ones(3000), {"min_distance": distances}, ""), BUDGET)["min_distance"]
    assert found.groups == 10
    # From nine tenths of the side on, all are in the last group.
    assert found.largest == pytest.approx(0.6 / 1.5, abs=0.01)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return small_study(write_people(tmp_path_factory.mktemp("people")))


@pytest.fixture(scope="module")
def done(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    sets = needed_sets(study, SHOWN)
    return run_tiny(study, tmp_path_factory.mktemp("study"), sets, [(row, 0) for row in SHOWN])


@pytest.mark.usefixtures("one_thread")
def test_students_are_asked_once_and_again_when_they_are_others(study: Study, done: Layout, tmp_path: Path) -> None:
    page = tmp_path / "study.md"
    write_report(study, ["tiny"], done.out, page)
    assert "Not measured: `python -m studies.ltsh hardness`." in page.read_text()
    first, after = (measure_hardness(study, "tiny", row, 0, done) for row in (FIRST, AFTER))
    assert len(first.losses) == len(after.losses) > 10
    assert (first.losses > 0).all()
    assert not np.array_equal(first.losses, after.losses)
    assert set(first.known) >= {"camera_pitch", "min_distance", "visibility"}
    path = done.run(AFTER, 0) / "hardness-R+S.npz"
    stamp = path.stat().st_mtime_ns
    again = measure_hardness(study, "tiny", AFTER, 0, done)
    assert path.stat().st_mtime_ns == stamp
    assert np.array_equal(again.losses, after.losses)
    with np.load(path) as stored:
        np.savez(path.with_suffix(""), **{**stored, "losses": stored["losses"] * 0, "weights": "of others"})
    assert np.array_equal(measure_hardness(study, "tiny", AFTER, 0, done).losses, after.losses)
    write_report(study, ["tiny"], done.out, page)
    text = page.read_text()
    assert "whatever is chosen" in text
    assert any(line.startswith("| camera_pitch | ") for line in text.splitlines())
    path.write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"hardness-R\+S\.npz: is damaged"):
        read_hardness(path.parent)
    path.unlink()


@pytest.mark.usefixtures("one_thread")
def test_who_cannot_be_used_is_left_out_and_nobody_stands_for_them(
    study: Study, done: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = run_config(study, "tiny", AFTER, 0, done)
    weights = done.run(AFTER, 0) / LAST
    losses, known = _losses(config, weights)
    (pool,) = (p for p in open_pools(config.data, load_skeleton(config.skeleton)).training if p.all_synthetic)
    broken = pool.sample(0).id
    usable = np.array([pool.sample(row).id != broken for row in range(len(pool))])
    assert 0 < usable.sum() < len(pool)
    read = Sample.read_image

    def fail_on_one(self: Sample) -> Image:
        if self.id == broken:
            raise ImageError(f"{self.id}: is damaged")
        return read(self)

    monkeypatch.setattr(Sample, "read_image", fail_on_one)
    fewer, known_of_fewer = _losses(config, weights)
    np.testing.assert_allclose(fewer, losses[usable], rtol=1e-4)
    for name, values in known.items():
        np.testing.assert_array_equal(known_of_fewer[name], values[usable])


@pytest.mark.usefixtures("one_thread")
def test_the_tail_is_told_beside_the_groups_of_d_s(
    study: Study, done: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for row in (FIRST, SHOWN[1]):
        found = measure_hardness(study, "tiny", row, 0, done, SHOWN[1])
        plain = measure_hardness(study, "tiny", row, 0, done)
        assert set(found.known) == {*plain.known, "lot"}
        # The same people, but for those of the last lot, who are at night.
        same = found.known["lot"] < 9
        assert 0 < same.sum() < len(same)
        assert np.isclose(found.losses[same], plain.losses[same]).all()
        assert not np.array_equal(found.losses[~same], plain.losses[~same])
    measure_hardness(study, "tiny", AFTER, 0, done)
    page = tmp_path / "study.md"
    write_report(study, ["tiny"], done.out, page)
    (line,) = (line for line in page.read_text().splitlines() if line.startswith("| lot |"))
    assert line.startswith("| lot | 10 | ")
    assert main(["hardness", "--budget", "tiny", "--out", str(done.out), "--real", str(study.real)]) == 0
    assert "people of uniform-T cost" in capsys.readouterr().err


@pytest.mark.usefixtures("one_thread")
def test_the_real_half_of_a_batch_is_the_same_whatever_the_other_half_is(study: Study, done: Layout) -> None:
    config = run_config(study, "tiny", "R+S", 0, done)
    pools = open_pools(config.data, load_skeleton(config.skeleton))
    groups = [np.zeros(len(pool), np.int64) for pool in pools.training]
    sampler = Sampler(pools.training, pools.parts, config.batch, config.seed, groups)
    alone = Sampler([p for p in pools.training if not p.all_synthetic], [1.0], config.batch, config.seed)
    make, chosen = CropMaker(sampler, config, 4), Choice(0, (1.0,), False, 0)
    pool_of = {slot: sampler.draw(0, slot, None, np.random.default_rng())[0] for slot in range(config.batch)}
    real = [slot for slot, pool in pool_of.items() if not pool.all_synthetic]
    assert len(real) == config.batch / 2
    for step in range(3):
        for slot in real:
            assert np.array_equal(make(step, slot).image, make(step, slot, chosen).image)
    # Of the row R, the same people come in the same order, twice as fast.
    half, whole = (
        [one.draw(step, slot, None, np.random.default_rng())[1] for step in range(steps) for slot in slots]
        for one, steps, slots in ((sampler, 4, real), (alone, 2, range(config.batch)))
    )
    assert half == whole


def test_without_students_the_command_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hardness", "--budget", "tiny", "--out", str(tmp_path)]) == 2
    assert "holds no trained student of the budget tiny" in capsys.readouterr().err

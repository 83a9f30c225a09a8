"""The study from end to end, with the budget ``tiny``: two rows, what is left alone, what goes on, the page."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ltsh_deploy.errors import InputError, OutputError, UsageError
from ltsh_deploy.evaluation.measures import ApMeasure
from ltsh_deploy.train import start
from ltsh_deploy.train.folder import LAST, claimed
from ltsh_deploy.train.history import read_history
from ltsh_deploy.train.versions import CodeVersion
from studies.ltsh import claims, running
from studies.ltsh.configs import FIRST
from studies.ltsh.data import make_data, needed_sets
from studies.ltsh.measuring import MEASURES
from studies.ltsh.plan import HERE, Layout, Study
from studies.ltsh.report import write_report
from studies.ltsh.results import bin_differences, bin_figures, read_results
from studies.ltsh.running import TRAINED, read_trained, run_row
from tests.study_data import run_tiny, small_study, write_people

ROWS = ("R", "teacher-C")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return small_study(write_people(tmp_path_factory.mktemp("people")))


@pytest.fixture(scope="module")
def done(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A study of which two rows have been run, one of them from two seeds."""
    runs = [("R", 0), ("teacher-C", 0), ("R", 1)]
    return run_tiny(study, tmp_path_factory.mktemp("study"), needed_sets(study, ROWS), runs)


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.rglob("*") if p.is_file()}


def test_every_run_is_trained_and_measured(study: Study, done: Layout) -> None:
    results = read_results(study, done)
    assert {row: sorted(runs) for row, runs in results.runs.items() if runs} == {"R": [0, 1], "teacher-C": [0]}
    for run in results.everything():
        assert set(run.measured) == set(MEASURES)
        assert all(0 <= one.value <= 100 for one in run.measured.values())
        assert run.trained["steps"] == 8
        assert 0 < run.trained["seconds"] < 100
        for note in (one.note for one in run.measured.values()):
            assert {"machine", "code", "packages", "finished"} <= note.keys()
        assert {"machine", "sessions", "finished"} <= run.trained.keys()
        assert not list(run.folder.glob("*.jsonl")) or [p.name for p in run.folder.glob("*.jsonl")] == ["metrics.jsonl"]
    assert results.runs["R"][0].measured["pck"].note["people"] == 8
    assert results.runs["R"][0].measured["mosaics"].note["people"] == 8
    windows = [line for line in read_history(done.run("teacher-C", 0)) if line["kind"] == "window"]
    assert len(windows) == 4


def test_the_data_sets_are_only_those_that_the_rows_need(study: Study, done: Layout) -> None:
    assert {path.stem for path in done.data_folder.glob("*.json")} == {"purely", "validation", "mosaics", "night"}
    assert needed_sets(study, ["R+Style"]) == ["mixed", "stylised", "validation", "mosaics", "night"]
    assert needed_sets(study, ["teacher-T"]) == ["purely", "tail", "validation", "mosaics", "night"]
    assert needed_sets(study, ["R"]) == ["validation", "mosaics", "night"]


def test_what_is_done_is_left_alone(study: Study, done: Layout) -> None:
    before = files(done.out)
    make_data(study, study.budgets["tiny"], done, needed_sets(study, ROWS))
    assert run_row(study, "tiny", "R", 0, done)
    assert files(done.out) == before


def test_a_measure_that_is_missing_is_taken_again_and_the_others_are_not(study: Study, done: Layout) -> None:
    folder = done.run("teacher-C", 0)
    before = files(folder)
    value = json.loads((folder / "mosaics.json").read_text())["value"]
    (folder / "mosaics.json").unlink()
    assert "mosaics" not in read_results(study, done).runs["teacher-C"][0].measured
    run_row(study, "tiny", "teacher-C", 0, done)
    after = files(folder)
    assert json.loads((folder / "mosaics.json").read_text())["value"] == value
    changed = {Path(name).name for name in before if before[name] != after[name]}
    assert changed <= {"mosaics.json", "mosaics.npz", ".lock"}


def test_figures_of_other_weights_do_not_stand(study: Study, done: Layout) -> None:
    folder = done.run("teacher-C", 0)
    path = folder / "pck.json"
    note = json.loads(path.read_text())
    path.write_text(json.dumps({**note, "weights": "of others", "value": 99.0}))
    run_row(study, "tiny", "teacher-C", 0, done)
    again = json.loads(path.read_text())
    assert (again["weights"], again["value"]) == (note["weights"], note["value"])


def test_an_interrupted_run_goes_on_to_the_same_weights(
    study: Study, done: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = done.run("R", 1)
    weights = (whole / LAST).read_bytes()
    # The same run in another folder, stopped once half way, by what a user's Ctrl-C becomes.
    halves = Layout(done.out / "halves", "tiny")
    halves.data_folder.parent.mkdir(parents=True)
    halves.data_folder.symlink_to(done.data_folder)
    shutil.copytree(done.run(FIRST, 1), halves.run(FIRST, 1))
    plain = running.History.write
    versions = {name: CodeVersion("1", commit=name * 40) for name in "abc"}
    monkeypatch.setattr(start, "code_version", lambda: versions["a"])

    def stop_once(self: Any, kind: str, step: int, values: Any) -> None:
        plain(self, kind, step, values)
        # The checkout goes on while the run does.
        monkeypatch.setattr(start, "code_version", lambda: versions["c"])
        if step == 6:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(running.History, "write", stop_once)
        with pytest.raises(KeyboardInterrupt):
            run_row(study, "tiny", "R", 1, halves)
    assert read_trained(halves.run("R", 1)) is None
    assert read_results(study, halves).begun["R"] == [1]
    monkeypatch.setattr(start, "code_version", lambda: versions["b"])
    assert run_row(study, "tiny", "R", 1, halves)
    assert (halves.run("R", 1) / LAST).read_bytes() == weights
    steps = [line["step"] for line in read_history(halves.run("R", 1)) if line["kind"] == "train"]
    assert steps == [2, 4, 6, 8]
    # What is told is the code that ran, all of it.
    write_report(study, ["tiny"], halves.out, halves.out / "study.md")
    (made_with,) = (
        line for line in (halves.out / "study.md").read_text().splitlines() if line.startswith("Trained on")
    )
    assert re.findall(r"ltsh-deploy 1 \((\w+)\)", made_with) == ["a" * 12, "b" * 12]


def test_rows_begin_with_the_student_on_real_people(done: Layout) -> None:
    first, row = ((done.run(name, 0) / "config.yaml").read_text() for name in (FIRST, "R"))
    assert str(done.run(FIRST, 0) / LAST) in row
    assert "init: null" in first
    trained = read_trained(done.run(FIRST, 0))
    assert trained is not None
    assert trained["steps"] == 4


def test_another_process_training_it_is_waited_for(study: Study, done: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    stack, waits = ExitStack(), []
    stack.enter_context(claimed(done.run(FIRST, 0)))

    def let_go(seconds: float) -> None:
        waits.append(seconds)
        stack.close()

    monkeypatch.setattr(claims.time, "sleep", let_go)
    assert run_row(study, "tiny", "R", 0, done)
    assert len(waits) == 1


def test_figures_of_other_data_do_not_stand(study: Study, done: Layout) -> None:
    path = done.run("R", 0) / "synthetic.json"
    note = json.loads(path.read_text())
    assert note["settings"]["data"]["count"] == 3
    other = {**note, "settings": {**note["settings"], "data": {"count": 4}}, "value": 99.0}
    path.write_text(json.dumps(other))
    run_row(study, "tiny", "R", 0, done)
    assert json.loads(path.read_text())["value"] == note["value"]


def test_a_run_that_another_process_is_at_is_passed_over(study: Study, done: Layout) -> None:
    with claimed(done.run("R", 5)):
        assert not run_row(study, "tiny", "R", 5, done)
    assert read_trained(done.run("R", 5)) is None


def test_other_settings_are_refused(study: Study, done: Layout) -> None:
    budget = study.budgets["tiny"]
    longer = budget.model_copy(update={"training": {**budget.training, "steps": 9}})
    changed = replace(study, budgets={"tiny": longer})
    with pytest.raises(UsageError, match=r"R.seed-0: was begun with other settings: steps"):
        run_row(changed, "tiny", "R", 0, done)
    pictures = budget.pictures.model_copy(update={"purely": 11})
    more = budget.model_copy(update={"pictures": pictures})
    with pytest.raises(UsageError, match="purely: was made with other settings"):
        make_data(study, more, done, ["purely"])
    with pytest.raises(UsageError, match="other settings than the study's files have now: steps"):
        write_report(changed, ["tiny"], done.out, done.out / "study.md")
    # Where it is computed is of no matter.
    elsewhere = budget.model_copy(update={"training": {**budget.training, "workers": 3}})
    assert run_row(replace(study, budgets={"tiny": elsewhere}), "tiny", "R", 0, done)


def test_the_page_has_what_was_run_and_says_of_the_others_that_they_were_not(
    study: Study, done: Layout, tmp_path: Path
) -> None:
    page = tmp_path / "study.md"
    told = write_report(study, ["tiny", "full"], done.out, page)
    assert told[0] == "tiny: 3 runs trained and measured, of 2 of 17 rows"
    text = page.read_text()
    rows = {name: next(line for line in text.splitlines() if line.startswith(f"| {name} | ")) for name in study.rows}
    for name, line in rows.items():
        assert line.count("not run") == (0 if name in ROWS else 4), line
    assert "| 0, 1 |" in rows["R"]
    assert "±" in rows["R"]
    assert "±" not in rows["teacher-C"]
    difference = next(line for line in text.splitlines() if line.startswith("| teacher-C less R |"))
    assert re.search(r"\| 1 \|$", difference)
    assert next(line for line in text.splitlines() if line.startswith("| teacher-C less R+S |")).count("not run") == 4
    assert (HERE / "remarks.md").read_text().strip() in text
    assert text.count("Not run.") == 1
    assert "78.9" in text
    links = re.findall(r"\]\(images/(.+?)\)", text)
    assert {f"study_tiny_{name}.png" for name in ("rows", "bins", "teachers")} == set(links)
    for link in links:
        assert (tmp_path / "images" / link).read_bytes().startswith(b"\x89PNG")
    write_report(study, ["tiny", "full"], done.out, page)
    assert page.read_text() == text


def test_where_nothing_was_run_the_page_stays(study: Study, done: Layout, tmp_path: Path) -> None:
    page = tmp_path / "docs" / "study.md"
    old, older = (tmp_path / "docs" / "images" / f"study_{budget}_rows.png" for budget in ("tiny", "full"))
    old.parent.mkdir(parents=True)
    for path in (page, old, older):
        path.write_bytes(b"kept")
    with pytest.raises(UsageError, match="nowhere: holds no run of the budgets tiny, full"):
        write_report(study, ["tiny", "full"], tmp_path / "nowhere", page)
    assert {path.read_bytes() for path in (page, old, older)} == {b"kept"}
    # Where something was run, plots of what was not are out of date.
    assert write_report(study, ["tiny", "full"], done.out, page)[1].startswith("full: 0 runs")
    assert old.read_bytes() != b"kept"
    assert not older.exists()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("pck", {"settings": {"people": 8, "box": 32}}, "pck was measured with other settings .*: box"),
        ("mosaics", {"settings": {"box": 96, "data": {"count": 2, "tile": 128}}}, "mosaics was .*: tile"),
        ("synthetic", {"units": 4}, "synthetic was .*than other runs: units"),
    ],
)
def test_figures_that_were_not_taken_alike_do_not_stand_side_by_side(
    study: Study, done: Layout, tmp_path: Path, name: str, change: dict[str, Any], message: str
) -> None:
    path = done.run("teacher-C", 0) / f"{name}.json"
    whole = path.read_text()
    try:
        path.write_text(json.dumps({**json.loads(whole), **change}))
        with pytest.raises(UsageError, match=message):
            write_report(study, ["tiny"], done.out, tmp_path / "study.md")
    finally:
        path.write_text(whole)
    assert not list(tmp_path.iterdir())
    # Where the data lie is of no matter.
    write_report(replace(study, real=Path("elsewhere")), ["tiny"], done.out, tmp_path / "study.md")


def test_the_first_students_have_to_be_those_that_the_page_tells_of(study: Study, done: Layout, tmp_path: Path) -> None:
    budget = study.budgets["tiny"].model_copy(update={"first": {"steps": 5}})
    with pytest.raises(UsageError, match=r"first.seed-0: was trained with other settings .* now: steps"):
        write_report(replace(study, budgets={"tiny": budget}), ["tiny"], done.out, tmp_path / "study.md")


def test_bins_are_compared_on_the_seeds_that_both_rows_have(study: Study, done: Layout) -> None:
    results, edges = read_results(study, done), (0.0, 0.5, 1.0)
    # Weights of eight steps find nobody; so of one seed, everything is said to be found.
    runs = {**results.runs["R"], 1: replace(results.runs["R"][1])}
    stored = runs[1].stored["synthetic"]
    assert isinstance(stored.measure, ApMeasure)
    units = tuple(replace(unit, hits=np.ones_like(unit.hits)) for unit in stored.measure.matches)
    runs[1].stored["synthetic"] = replace(stored, measure=replace(stored.measure, matches=units))
    changed = replace(results, runs={**results.runs, "R": runs})
    found = bin_differences(changed, "R", "teacher-C", "visibility", edges)
    one, other = (
        bin_figures(results.runs[row][0].stored["synthetic"], "visibility", edges).figures for row in ("R", "teacher-C")
    )
    np.testing.assert_array_equal(found, other - one)
    assert np.isnan(bin_differences(results, "S", "R", "visibility", edges)).all()


def test_a_folder_that_is_missing_is_told_before_anything_is_made(study: Study, tmp_path: Path) -> None:
    layout, told = Layout(tmp_path, "tiny"), list[str]()
    for changed, message in (
        (replace(study, real=tmp_path / "people"), "people: there is no such folder of LSPET's shards\n.*--real"),
        (replace(study, backgrounds=tmp_path / "rooms"), "rooms: there is no such folder .*\n.*backgrounds: null"),
    ):
        with pytest.raises(InputError, match=message):
            make_data(changed, study.budgets["tiny"], layout, needed_sets(study, ROWS), tell=told.append)
    assert not told


def test_data_sets_that_another_process_makes_are_waited_for(
    study: Study, done: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, stack, told = Layout(tmp_path, "tiny"), ExitStack(), list[str]()
    stack.enter_context(claimed(layout.data_folder))

    def finish(seconds: float) -> None:
        shutil.copytree(done.data_folder, layout.data_folder, dirs_exist_ok=True)
        stack.close()

    monkeypatch.setattr(claims.time, "sleep", finish)
    make_data(study, study.budgets["tiny"], layout, ["mosaics"], tell=told.append)
    assert told == ["the data sets: another process is at it; waiting"]


def test_a_page_that_cannot_be_written_is_named(study: Study, done: Layout, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"study\.md: could not be written"):
        write_report(study, ["tiny"], done.out, tmp_path / "file" / "study.md")


@pytest.mark.parametrize("name", [TRAINED, "pck.json", "pck.npz"])
def test_a_damaged_result_is_named(study: Study, done: Layout, tmp_path: Path, name: str) -> None:
    path = done.run("R", 0) / name
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(InputError, match=f"{re.escape(str(path))}: is damaged"):
            write_report(study, ["tiny"], done.out, tmp_path / "study.md")
    finally:
        path.write_bytes(whole)
    assert not (tmp_path / "study.md").exists()


def test_a_run_of_which_too_little_is_told_is_damaged(done: Layout, tmp_path: Path) -> None:
    trained = json.loads((done.run("R", 0) / TRAINED).read_text())
    (session,) = trained["sessions"]
    short = {name: session[name] for name in session if name != "packages"}
    fewer = [{name: trained[name] for name in trained if name != key} for key in ("machine", "sessions", "finished")]
    for content in (*fewer, *(trained | {"sessions": wrong} for wrong in ([short], [7], 7, [session | {"code": {}}]))):
        (tmp_path / TRAINED).write_text(json.dumps(content))
        with pytest.raises(InputError, match=r"trained\.json: is damaged"):
            read_trained(tmp_path)


def test_results_that_know_of_one_session_alone_can_be_told_of(study: Study, done: Layout, tmp_path: Path) -> None:
    """As they were written before all sessions were."""
    path = done.run("R", 0) / TRAINED
    whole = path.read_text()
    trained = json.loads(whole)
    (session,) = trained.pop("sessions")
    older = {"code": session["code"] | {"commit": "b" * 40}, "packages": session["packages"]}
    try:
        path.write_text(json.dumps(trained | older))
        write_report(study, ["tiny"], done.out, tmp_path / "study.md")
    finally:
        path.write_text(whole)
    assert f"({'b' * 12}" in (tmp_path / "study.md").read_text()


def test_remarks_are_needed(study: Study, done: Layout, tmp_path: Path) -> None:
    (tmp_path / "paper.yaml").write_bytes((HERE / "paper.yaml").read_bytes())
    with pytest.raises(InputError, match=r"remarks\.md: cannot be read"):
        write_report(study, ["tiny"], done.out, tmp_path / "study.md", texts=tmp_path)
    (tmp_path / "paper.yaml").write_text("columns: [a]\ntables: [{title: x, rows: {R: [1, 2]}}]\n")
    with pytest.raises(InputError, match=r"paper\.yaml: has not the paper's tables"):
        write_report(study, ["tiny"], done.out, tmp_path / "study.md", texts=tmp_path)

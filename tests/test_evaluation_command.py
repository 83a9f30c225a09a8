"""``ltsh evaluate`` from its arguments to its files and exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ltsh_deploy.cli import evaluate_job
from ltsh_deploy.cli.main import main
from ltsh_deploy.estimator import PoseEstimator
from ltsh_deploy.outputs import write_image
from tests.colour_model import paint
from tests.evaluation_data import arm_set, mpii_files, predicted, standing, write_arm_model, write_json
from tests.test_metrics_conformance import CASES

Run = Callable[..., int]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_arm_model(tmp_path_factory.mktemp("model") / "arms.onnx")


@pytest.fixture
def evaluate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``ltsh evaluate`` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: main(["evaluate", *map(str, arguments)])


@pytest.fixture
def arms(tmp_path: Path) -> list[str]:
    """The arguments that name a data set of arms."""
    arm_set(tmp_path / "set", [(8, 16), (40, 80)], [(24, 40)], [])
    return ["--dataset", "conformance", "--annotations", "set/gt.json", "--images", "set/images", "--device", "cpu"]


def compare(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """All figures of the published evaluator, in its own words."""
    for name in ("ap", "table"):
        assert found[name].keys() == expected[name].keys()
        for key, value in expected[name].items():
            assert found[name][key] == (None if value is None else pytest.approx(value, abs=1e-6))
    assert found["ap_by_id"] == [None if v is None else pytest.approx(v, abs=1e-6) for v in expected["ap_by_id"]]
    for name in ("n_gt", "n_det", "n_tp"):
        assert found[name] == expected[name]


@pytest.mark.parametrize("case", CASES)
def test_the_command_agrees_with_the_published_evaluator(
    evaluate: Run, shared: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    folder = shared / "data" / "conformance" / "mp_ap" / case
    code = evaluate(
        "--dataset", "conformance", "--annotations", folder / "gt.json",
        "--predictions", folder / "pred.json", "--json", "-",
    )  # fmt: skip
    assert code == 0
    compare(json.loads(capsys.readouterr().out), json.loads((folder / "expected.json").read_text())["poseval"])


@pytest.mark.parametrize("name", ["pred", "pred_gt", "pred_jitter"])
def test_the_command_agrees_on_real_groups(
    evaluate: Run, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    folder = shared / "data" / "conformance" / "mp_ap_real350"
    truth = ["--dataset", "conformance", "--annotations", folder / "gt.json"]
    assert evaluate(*truth, "--predictions", folder / f"{name}.json", "--out", "out", "--json", "first.json") == 0
    found = json.loads((tmp_path / "first.json").read_text())
    compare(found, json.loads((folder / "expected.json").read_text())[name]["poseval"])
    if name == "pred":
        row = [round(value, 2) for value in found["table"].values()]
        assert row == [93.82, 90.65, 81.05, 73.68, 76.30, 72.77, 66.93, 79.31]
        assert round(found["table"]["mAP"], 4) == 79.3135
    # What was written is worth the same.
    assert evaluate(*truth, "--predictions", "out/predictions.json", "--json", "second.json") == 0
    again = json.loads((tmp_path / "second.json").read_text())
    assert all(again[key] == found[key] for key in ("table", "ap", "n_gt", "n_det", "n_tp"))


def test_the_documented_command_for_single_people(
    evaluate: Run, shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coco_model = shared / "models" / "coco_paf_mobilenet_v2_small.onnx"
    labels = shared / "data" / "real" / "mpii" / "annotations.json"
    assert (
        evaluate(coco_model, "--dataset", "mpii-json", "--annotations", labels, "--threads", 1, "--device", "cpu") == 0
    )
    table = capsys.readouterr().out.splitlines()
    names, figures = table[3].split(), table[4].split()
    # docs/evaluation.md says 86.36, 57 of 66 joints; one or two may fall otherwise where numbers are rounded otherwise.
    assert float(figures[names.index("PCKh")]) == pytest.approx(86.36, abs=3.1)
    assert float(figures[names.index("AUC")]) == pytest.approx(54.26, abs=0.5)
    assert "never found, and so always missed: head_top" in table[-1]


def test_a_model_is_measured_and_its_people_are_written(
    evaluate: Run, model: Path, arms: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(model, *arms, "--out", "out", "--json", "figures.json", "--scales", "1", "2") == 0
    table = capsys.readouterr().out
    assert "3 units, 3 people" in table
    assert "protocol fast, scales 1 2\n" in table
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures == json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert figures["mAP"] == 100
    assert figures["protocol"]["scales"] == [1, 2]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "metrics.json", "predictions.json", "predictions.jsonl",
    ]  # fmt: skip
    # The same settings again: nothing is looked at, so the pictures may be gone.
    for picture in (tmp_path / "set" / "images").iterdir():
        picture.unlink()
    assert evaluate(model, *arms, "--out", "out", "--scales", "1,2") == 0
    assert evaluate(model, *arms, "--out", "out") == 2
    assert evaluate(model, *arms, "--out", "out", "--restart") == 3


def test_scales_may_stand_before_the_model(
    evaluate: Run, model: Path, arms: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate("--scales", "0.7", "1", "1.3", model, *arms, "--flip") == 0
    assert "scales 0.7 1 1.3, mirrored too" in capsys.readouterr().out
    assert evaluate("--scales", model, *arms) == 2
    assert evaluate("--scales", "0", model, *arms) == 2
    assert evaluate(model, *arms, "--scales") == 2
    assert evaluate(model, *arms, "--scales", "0.7", "--flip", "--scales", "1") == 2
    assert "--scales is given twice" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--scales=1", "2"], ["--scales=1,2"], ["--scales", "1,", "2"], ["--scales", "1 2"]])
def test_every_way_to_write_scales(
    evaluate: Run, model: Path, arms: list[str], capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert evaluate(model, *words, *arms) == 0
    assert "scales 1 2\n" in capsys.readouterr().out


def test_numbers_after_the_end_of_options_are_no_scales(
    evaluate: Run, model: Path, arms: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(*arms, "--scales", "1", "--", model) == 0
    assert evaluate(*arms, "--scales", "1", "--", "2") == 3
    assert "2: a file without a suffix" in capsys.readouterr().err.replace("\n", " ")


def test_bad_pictures_are_named_and_the_rest_is_measured(
    evaluate: Run, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arm_set(tmp_path / "set", *[[(8, 16)]] * 6)
    for number in range(5):
        (tmp_path / "set" / "images" / f"a{number}.png").unlink()
    places = ["--dataset", "conformance", "--annotations", "set/gt.json", "--images", "set/images"]
    assert evaluate(model, *places, "--device", "cpu", "--json", "-") == 3
    output = capsys.readouterr()
    figures = json.loads(output.out)
    assert list(figures["failures"]) == [f"a{number}.png" for number in range(5)]
    assert figures["n_tp"]["right_wrist"] == 1
    assert "a0.png: cannot be read" in output.err.replace("\n", "")
    assert "2 more pictures could not be used" in output.err


def test_mpii_by_way_of_every_form_of_predictions(
    evaluate: Run, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    annotations, groups = mpii_files(tmp_path, [[standing(100), standing(300)], [standing(50)]], [[[1], [2]], [[1]]])
    content = predicted([standing(100), standing(2000)], [standing(310)], [standing(40)])
    for entry, name in zip(content["images"], ("0.png:1", "0.png:2", "1.png:1"), strict=True):
        entry["id"] = name
    write_json(tmp_path / "p.json", content)
    places = ["--dataset", "mpii", "--annotations", annotations, "--groups", groups]
    assert evaluate(*places, "--predictions", "p.json", "--out", "out") == 0
    assert "1 people found who cannot belong to the unit's group" in capsys.readouterr().out
    found = [
        (evaluate(*places, "--predictions", f"out/predictions.{form}", "--json", "-"), capsys.readouterr().out)
        for form in ("json", "mat")
    ]
    assert [code for code, _ in found] == [0, 0]
    first, second = (json.loads(text) for _, text in found)
    for name in ("table", "ap", "n_gt", "n_det", "n_tp"):
        assert first[name] == second[name]
    assert evaluate(*places, "--predictions", "p.json", "--no-filter-groups", "--json", "-") == 0
    raw = json.loads(capsys.readouterr().out)
    assert raw["n_det"]["neck"] == first["n_det"]["neck"] + 1
    # A model looks as the benchmark allows; here nobody is where the labels are.
    (tmp_path / "images").mkdir()
    for number in range(2):
        write_image(tmp_path / "images" / f"{number}.png", paint([(8, 16)]))
    assert evaluate(model, *places, "--images", "images", "--device", "cpu", "--json", "-") == 0
    looked = json.loads(capsys.readouterr().out)
    assert looked["protocol"]["name"] == "paper"
    assert looked["filter_groups"] is True


def test_coco_results_are_written_and_read(
    evaluate: Run, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shared / "data" / "conformance" / "oks_coco17" / "02_jitter"
    places = ["--dataset", "coco", "--annotations", folder / "coco_gt.json"]
    expected = json.loads((folder / "expected.json").read_text())["stats"]
    assert evaluate(*places, "--predictions", folder / "coco_dt.json", "--out", "out") == 0
    assert f"{100 * expected['AP']:.2f}" in capsys.readouterr().out
    for name in ("coco_results.json", "predictions.json"):
        assert evaluate(*places, "--predictions", f"out/{name}", "--json", "-") == 0
        stats = json.loads(capsys.readouterr().out)["stats"]
        assert stats == {key: pytest.approx(value, abs=1e-9) for key, value in expected.items()}


def test_two_models_are_compared_in_a_report(
    evaluate: Run, model: Path, arms: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(model, *arms, "--out", "out") == 0
    lines = [*arms[:6], "--predictions", "out/predictions.json", "--compare", model, "--report", "report", "--flip"]
    assert evaluate(*lines) == 0
    page = (tmp_path / "report" / "report.html").read_text()
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert len(report["models"]) == 2
    assert "http" not in page.replace("http://www.w3.org/", "")
    assert capsys.readouterr().out.count("3 units, 3 people") == 3


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["model.onnx", "--predictions", "p.json"], 2, "either a MODEL or --predictions"),
        (["--predictions", "p.json", "--flip"], 2, "--flip is for models"),
        (["--joints", "body"], 2, "have no joints"),
        (["--joints", "nose,"], 2, "joints are names with commas between them"),
        (["--predictions", "p.json", "--protocol", "paper"], 2, "--protocol is for models"),
        (["--predictions", "p.json", "--threshold", "0.2"], 2, "--threshold is for models"),
        (["--predictions", "p.json", "--compare", "q.json"], 2, "--compare is for the report"),
        (["absent.onnx", "--restart"], 2, "--restart discards"),
        (["--predictions", "p.json", "--json", "p.json"], 2, "would replace"),
        (["--predictions", "p.json", "--json", "set/gt.json"], 2, "would replace"),
        (["--predictions", "out/predictions.json", "--out", "out"], 2, "would replace"),
        (["--predictions", "absent.json"], 3, "there is no such file"),
        (["absent.onnx"], 3, "absent.onnx"),
        (["--predictions", "p.jsonl"], 3, "Name the predictions.json"),
        (["--predictions", "p.json", "--compare", "p.jsonl", "--report", "r"], 3, "Name the predictions.json"),
        (["--predictions", "p.json", "--out", "p.json/x"], 1, "p.json"),
        (["--predictions", "p.json", "--groups", "p.json"], 2, "have no groups"),
    ],
)
def test_mistakes_are_told_before_any_work(
    evaluate: Run,
    arms: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    write_json(tmp_path / "p.json", {"images": []})
    (tmp_path / "out").mkdir()
    write_json(tmp_path / "out" / "predictions.json", {"images": []})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    assert evaluate(*arms[:6], *arguments) == code
    output = capsys.readouterr()
    assert message in output.err.replace("\n", " ")
    assert not output.out
    assert all(path.read_bytes() == content for path, content in before.items())


def test_groups_are_filtered_only_where_there_are_groups(
    evaluate: Run, arms: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_json(tmp_path / "p.json", {"images": []})
    assert evaluate(*arms[:6], "--predictions", "p.json", "--filter-groups") == 0
    labels = json.loads((tmp_path / "set" / "gt.json").read_text())
    for image in labels["images"]:
        for person in image["people"]:
            del person["objpos"]
    write_json(tmp_path / "set" / "gt.json", labels)
    assert evaluate(*arms[:6], "--predictions", "p.json", "--no-filter-groups") == 0
    capsys.readouterr()
    assert evaluate(*arms[:6], "--predictions", "p.json", "--filter-groups") == 2
    assert "tell of none" in capsys.readouterr().err.replace("\n", " ")


def test_an_interruption_says_how_to_go_on(
    evaluate: Run, model: Path, arms: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate_job, "evaluate_model", interrupt)
    assert evaluate(model, *arms, "--out", "out") == 130
    assert "the same command goes on from there" in capsys.readouterr().err.replace("\n", " ")


def test_who_names_no_model_gets_the_packages_own(
    evaluate: Run, shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    annotations = shared / "data" / "real" / "mpii" / "annotations.json"
    assert evaluate("--dataset", "mpii-json", "--annotations", annotations, "--device", "cpu", "--threads", 1) == 0
    printed = capsys.readouterr().out
    assert "default.onnx" in printed
    assert "PCKh" in printed


@pytest.mark.parametrize("target", ["--report", "--json", "--out"])
def test_results_that_cannot_be_written_stop_the_run_before_it_looks(
    evaluate: Run, arms: list[str], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    (tmp_path / "file").write_text("mine")
    monkeypatch.setattr(evaluate_job, "evaluate_model", lambda *_, **__: pytest.fail("it looked"))
    assert evaluate(model, *arms, target, "absent/figures.json" if target == "--json" else "file/x") == 1
    assert (tmp_path / "file").read_text() == "mine"


def test_no_result_replaces_what_is_read_or_another_result(
    evaluate: Run, arms: list[str], model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(model, *arms, "--out", "out") == 0
    (tmp_path / "r").mkdir()
    stored = tmp_path / "r" / "report.json"
    stored.write_bytes((tmp_path / "out" / "predictions.json").read_bytes())
    before = stored.read_bytes()
    assert evaluate("--predictions", stored, *arms[:-2], "--report", "r") == 2
    assert stored.read_bytes() == before
    for name in ("predictions.jsonl", "predictions.json", "metrics.json"):
        assert evaluate(model, *arms, "--out", "out", "--json", f"out/{name}") == 2
        assert "another file that this run writes" in capsys.readouterr().err
    assert evaluate(model, *arms, "--out", "out") == 0, "the kept predictions are whole"


def test_files_are_written_though_nobody_reads_the_table(
    evaluate: Run, arms: list[str], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(evaluate_job.click, "echo", gone)
    with pytest.raises(SystemExit):
        evaluate(model, *arms, "--out", "out", "--json", "figures.json", "--report", "report")
    for name in ("out/metrics.json", "out/predictions.json", "figures.json", "report/report.html"):
        assert (tmp_path / name).is_file(), name


def test_what_is_compared_is_a_model_unless_it_is_stored_predictions(
    evaluate: Run, arms: list[str], model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.onnx").write_bytes(b"no model")
    assert evaluate(model, *arms, "--report", "r", "--compare", "other.onnx") == 3
    assert "JSON" not in capsys.readouterr().err


def test_predictions_of_other_pictures_are_not_taken_over(
    evaluate: Run, arms: list[str], model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(model, *arms, "--out", "out") == 0
    (tmp_path / "set" / "images").rename(tmp_path / "set" / "others")
    others = [word.replace("set/images", "set/others") for word in arms]
    assert evaluate(model, *others, "--out", "out") == 2
    assert "data_set" in capsys.readouterr().err


def test_a_disk_that_fills_is_told_by_name(model: Path, tmp_path: Path, arms: list[str]) -> None:
    """In a process of its own, whose files may only grow to 700 bytes."""
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700));"
        "from ltsh_deploy.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    line = [sys.executable, "-c", code, "evaluate", str(model), *arms, "--out", "out"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "predictions.jsonl" in done.stderr
    assert "standard output" not in done.stderr


def test_the_batch_is_passed_on(evaluate: Run, model: Path, arms: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    run, sizes = PoseEstimator.run, []

    def counted(self: PoseEstimator, views: Any) -> Any:
        sizes.append(len(views))
        return run(self, views)

    monkeypatch.setattr(PoseEstimator, "run", counted)
    assert evaluate(model, *arms, "--batch", 2) == 0
    assert sizes == [2, 1]

"""``ltsh infer`` from its arguments to its files, with a network that finds painted arms."""

from __future__ import annotations

import csv
import io
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as PilImage

from ltsh_deploy.cli import infer_job, main
from ltsh_deploy.newest_frame import Reconnect
from ltsh_deploy.outputs import write_image
from ltsh_deploy.streams import LiveSource
from ltsh_deploy.video_sink import VideoSink
from tests.colour_model import paint, write_colour_model

ROOT = Path(__file__).parent.parent


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write_video(path: Path, frames: int, rate: float = 12.5) -> Path:
    """An arm that walks to the right, one cell every two frames."""
    with VideoSink(path, rate) as sink:
        for i in range(frames):
            sink.write(paint([(8 * (i // 2), 40)]))
    return path


def test_a_folder_of_pictures_gives_drawings_and_joints_where_they_are(
    infer: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path / "in_2.png", paint([(8, 16), (40, 80)]))
    write_image(tmp_path / "in_10.jpg", paint([]))
    # Twice as large: the network sees the same.
    write_image(tmp_path / "in_1.png", cv2.resize(paint([(8, 16)]), (320, 240), interpolation=cv2.INTER_NEAREST))
    assert infer(".", "--json", "out.jsonl", "--draw", "drawn/") == 0
    output = capsys.readouterr()
    assert output.out.splitlines() == ["in_1.png: 1 person", "in_2.png: 2 people", "in_10.jpg: 0 people"]
    assert output.err == ""
    found = records(tmp_path / "out.jsonl")
    assert [r["source"] for r in found] == ["in_1.png", "in_2.png", "in_10.jpg"]
    assert [(r["width"], r["height"]) for r in found] == [(320, 240), (160, 120), (160, 120)]
    joints = np.array([p["joints"] for p in found[1]["people"]])
    for shoulder in ((8, 16), (40, 80)):
        want = np.array(shoulder) + 3.5 + [[0, 0], [32, 0], [64, 0]]
        assert abs(joints[:, :, :2] - want).max(axis=(1, 2)).min() < 0.1
    np.testing.assert_allclose(np.array(found[0]["people"][0]["joints"])[0, :2], [23.5, 39.5], atol=0.6)
    assert sorted(p.name for p in (tmp_path / "drawn").iterdir()) == ["in_1.png", "in_10.jpg", "in_2.png"]
    drawn = cv2.imread(str(tmp_path / "drawn/in_2.png"))
    assert drawn.shape == (120, 160, 3)
    assert (drawn != paint([(8, 16), (40, 80)])[:, :, ::-1]).any(axis=2).sum() > 200


@pytest.mark.parametrize("target", ["out.jsonl", "-"])
def test_a_name_cannot_pass_for_another_line(
    infer: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str], target: str
) -> None:
    name = "a.png\nb.png: 99 people\t.png"
    write_image(tmp_path / name, paint([]))
    assert infer(name, "--json", target) == 0
    written = capsys.readouterr()
    told = written.err.removeprefix("info: ") if target == "-" else written.out
    assert told == "a.png\\nb.png: 99 people\\t.png: 0 people\n"


def test_every_odd_picture_gives_a_record_or_an_error_that_names_it_and_the_rest_is_done(
    infer: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = paint([(8, 16)])
    write_image(tmp_path / "good.png", good)
    png = (tmp_path / "good.png").read_bytes()
    write_image(tmp_path / "whole.jpg", np.tile(good, (4, 4, 1)))
    (tmp_path / "half.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:-2000])
    (tmp_path / "half.png").write_bytes(png[: len(png) // 2])
    (tmp_path / "nothing.jpg").write_bytes(b"")
    (tmp_path / "text.png").write_text("no picture at all")
    write_image(tmp_path / "one_pixel.png", np.zeros((1, 1, 3), np.uint8))
    write_image(tmp_path / "long.png", np.zeros((20, 20000, 3), np.uint8))
    PilImage.fromarray(good).convert("L").save(tmp_path / "grey.png")
    PilImage.fromarray(good).convert("RGBA").save(tmp_path / "alpha.png")
    PilImage.fromarray(good).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    cv2.imwrite(str(tmp_path / "deep.png"), good[:, :, ::-1].astype(np.uint16) * 257)
    turned = PilImage.fromarray(good).transpose(PilImage.Transpose.ROTATE_90)
    turned.save(tmp_path / "turned.png", exif=_orientation(6))
    assert infer(".", "--json", "out.jsonl", "--draw", "drawn") == 3
    people = {r["source"]: len(r["people"]) for r in records(tmp_path / "out.jsonl")}
    assert people == {
        "alpha.png": 1, "cmyk.jpg": 1, "deep.png": 1, "good.png": 1, "grey.png": 0, "long.png": 0, "one_pixel.png": 0,
        "turned.png": 1, "whole.jpg": people["whole.jpg"],
    }  # fmt: skip
    errors = capsys.readouterr().err
    for broken in ("half.jpg", "half.png", "nothing.jpg", "text.png"):
        assert errors.count(broken) == 1
    assert "Traceback" not in errors
    assert sorted(p.stem for p in (tmp_path / "drawn").iterdir()) == sorted(Path(name).stem for name in people)
    assert not [p for p in tmp_path.rglob("*") if p.name.startswith(".") or "tmp" in p.name]


def _orientation(value: int) -> PilImage.Exif:
    exif = PilImage.Exif()
    exif[0x0112] = value
    return exif


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["missing.png", "good.png"], 3, "missing.png"),
        (["0"], 4, "camera 0"),
        (["good.png", "--device", "tpu"], 2, "tpu"),
        (["good.png", "--size", "big"], 2, "is not a size"),
        (["good.png", "--scales", "1,-1"], 2, "is not a list of scales"),
        (["good.png", "--threshold", "2"], 2, "threshold"),
        (["good.png", "--skeleton", "coco17"], 3, "share no joint"),
        (["good.png", "--json", "c.json", "--format", "coco"], 3, "share no joint"),
        (["good.png", "--format", "csv"], 2, "--json"),
        (["good.png", "--track"], 2, "only pictures"),
        (["good.png", "--size", "9999"], 2, "at most 4096"),
        (["good.png", "--threads", "3000"], 2, "threads"),
        (["good.png", "--json", ""], 2, "named"),
        (["good.png", "--draw", ""], 2, "named"),
        (["good.png", "--json", "good.png"], 2, "good.png"),
        (["good.png", "--skeleton", "none.yaml"], 3, "none.yaml"),
        (["good.png", "--model", "gone.onnx"], 3, "gone.onnx"),
        (["good.png", "good.png", "--draw", "one.png"], 2, "one file"),
        (["good.png", "--draw", "good.png"], 2, "would replace"),
        (["good.png", "--draw", "film.mp4"], 2, "is a picture"),
        (["good.png", "--json", "no/such/folder.jsonl/"], 2, "folder"),
        (["good.png", "--max-frames", "0"], 2, "max-frames"),
        # The picture is done all the same.
        (["0", "good.png"], 4, "no camera"),
        (["-", "-"], 2, "only once"),
        (["good.png", "--batch", "1025"], 2, "--batch"),
        (["good.png", "--max-frames", str(1 << 63)], 2, "--max-frames"),
        (["*.nothing"], 3, "nothing"),
        ([""], 2, "no source"),
    ],
)
def test_a_users_mistake_is_an_error_with_its_exit_code_and_no_traceback(
    infer: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    write_image(tmp_path / "good.png", paint([(8, 16)]))
    assert infer(*arguments) == code
    errors = capsys.readouterr().err
    assert said in errors
    assert "Traceback" not in errors


def test_without_a_display_the_error_says_what_to_do(
    infer: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path / "good.png", paint([(8, 16)]))
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert infer("good.png", "--show") == 4
    assert "--draw" in capsys.readouterr().err


def test_no_result_replaces_what_the_run_needs(infer: Callable[..., int], tmp_path: Path, arms_model: str) -> None:
    write_image(tmp_path / "good.png", paint([(8, 16)]))
    shutil.copy(arms_model, tmp_path / "copy.onnx")
    (tmp_path / "joints.yaml").write_text("{name: hand, joints: [wrist], limbs: []}")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert infer("good.png", "--model", "copy.onnx", "--json", "copy.onnx") == 2
    assert infer("good.png", "--skeleton", "joints.yaml", "--json", "joints.yaml") == 2
    (tmp_path / "link.jsonl").symlink_to("copy.onnx")
    assert infer("good.png", "--model", "copy.onnx", "--json", "link.jsonl") == 2
    (tmp_path / "link.jsonl").unlink()
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_drawing_that_fails_costs_neither_the_poses_nor_the_other_sources(
    infer: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_video(tmp_path / "a.avi", 4)
    write_image(tmp_path / "b.png", paint([(8, 16)]))
    write_image(tmp_path / "c.png", paint([(8, 16)]))
    (tmp_path / "drawn").mkdir()
    (tmp_path / "drawn/b.png").mkdir()
    (tmp_path / "drawn/a.mp4").mkdir()
    assert infer("a.avi", "b.png", "c.png", "--json", "out.jsonl", "--draw", "drawn") == 1
    assert len(records(tmp_path / "out.jsonl")) == 6
    assert (tmp_path / "drawn/c.png").is_file()
    errors = capsys.readouterr().err
    assert "a.mp4" in errors
    assert "b.png" in errors
    assert "Traceback" not in errors


def test_a_network_that_fails_on_every_frame_is_one_error_per_source(
    infer: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = write_colour_model(tmp_path / "nan.onnx", paf=float("nan"))
    write_video(tmp_path / "a.avi", 5)
    assert infer("a.avi", "--model", broken) == 3
    errors = capsys.readouterr().err
    assert errors.count("NaN or infinity") == 1
    assert "(5 times)" in errors


def test_maps_that_are_not_finite_are_an_error_never_poses(
    infer: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path / "good.png", paint([(8, 16)]))
    broken = write_colour_model(tmp_path / "nan.onnx", paf=float("nan"))
    assert infer("good.png", "--model", broken, "--json", "out.jsonl") == 3
    assert "good.png: the network's PAFs hold NaN or infinity" in capsys.readouterr().err
    assert not (tmp_path / "out.jsonl").exists()


def test_options_of_the_estimator_and_decoder_reach_them(
    infer: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path / "good.png", paint([(8, 16)]))
    (tmp_path / "hand.yaml").write_text("{name: hand, joints: [wrist, nail], limbs: [[wrist, nail]]}")
    assert infer("good.png", "--json", "-", "--size", "320x240", "--scales", "0.5,1", "--batch", 2) == 0
    found = json.loads(capsys.readouterr().out)["people"]
    np.testing.assert_allclose(found[0]["joints"][0][:2], [11.5, 19.5], atol=0.6)
    assert infer("good.png", "--json", "-", "--threshold", "1") == 0
    assert json.loads(capsys.readouterr().out)["people"] == []
    assert infer("good.png", "--json", "-", "--skeleton", "hand.yaml") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["skeleton"] == "hand"
    assert record["people"][0]["joints"][1] is None
    np.testing.assert_allclose(record["people"][0]["joints"][0][:2], [75.5, 19.5], atol=0.1)


def test_more_peaks_than_the_limit_are_said_once(
    infer: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dots = np.full((120, 160, 3), 128, np.uint8)
    for y in range(0, 120, 16):
        for x in range(0, 160, 16):
            dots[y : y + 8, x : x + 8] = (255, 0, 0)
    with VideoSink(tmp_path / "dots.avi", 10) as sink:
        for _ in range(3):
            sink.write(dots)
    assert infer("dots.avi") == 0
    assert capsys.readouterr().err.count("more than 60 peaks") == 1


def test_nothing_is_imported_that_is_not_used(arms_model: str, tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", paint([(8, 16)]))
    code = (
        "import sys; from ltsh_deploy.cli import main; code = main.main(sys.argv[1:]); "
        "print(sorted({'torch', 'scipy', 'safetensors', 'onnx', 'rich'} & set(sys.modules))); sys.exit(code)"
    )
    line = [sys.executable, "-c", code, "infer", str(tmp_path / "a.png"), "--model", arms_model, "--device", "cpu"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_formats(infer: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "a.png", paint([(8, 16)]))
    assert infer("a.png", "--json", "-", "--format", "csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["joint"] for row in rows] == ["shoulder", "elbow", "wrist"]
    assert infer("a.png", "--json", "open/", "--format", "openpose") == 0
    openpose = json.loads((tmp_path / "open/a_keypoints.json").read_text())
    assert len(openpose["people"][0]["pose_keypoints_2d"]) == 9


def test_a_video_keeps_its_size_rate_and_frames_and_people_keep_their_ids(
    infer: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_video(tmp_path / "walk.avi", 12)
    assert infer("walk.avi", "--json", "out.jsonl", "--draw", "drawn.mp4", "--track", "--batch", 5) == 0
    assert capsys.readouterr().out.startswith("walk.avi: 12 frames, 1.0 people a frame")
    found = records(tmp_path / "out.jsonl")
    assert [r["frame"] for r in found] == list(range(12))
    assert {p["id"] for r in found for p in r["people"]} == {1}
    assert found[-1]["people"][0]["joints"][0][0] - found[0]["people"][0]["joints"][0][0] == pytest.approx(40, abs=4)
    drawn = cv2.VideoCapture(str(tmp_path / "drawn.mp4"))
    facts = [drawn.get(p) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS)]
    assert facts == [160, 120, pytest.approx(12.5)]
    assert sum(iter(lambda: drawn.read()[0], False)) == 12


def test_smoothing_steadies_what_it_tracks(infer: Callable[..., int], tmp_path: Path) -> None:
    write_video(tmp_path / "walk.avi", 12)
    paths = []
    for name, options in (("plain", ["--track"]), ("smooth", ["--smooth"])):
        assert infer("walk.avi", "--json", f"{name}.jsonl", *options) == 0
        paths.append([r["people"][0]["joints"][0][0] for r in records(tmp_path / f"{name}.jsonl")])
    assert np.abs(np.diff(paths[1], 2)).mean() < 0.8 * np.abs(np.diff(paths[0], 2)).mean()


@pytest.mark.parametrize("target", ["drawn.png", "drawn"])
def test_a_picture_on_stdin(
    infer: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    write_image(tmp_path / "a.png", paint([(8, 16)]))
    with (tmp_path / "a.png").open("rb") as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
        assert infer("-", "--json", "out.jsonl", "--draw", target) == 0
    assert len(records(tmp_path / "out.jsonl")[0]["people"]) == 1
    assert (tmp_path / ("drawn.png" if target == "drawn.png" else "drawn/stdin.png")).is_file()


@pytest.mark.parametrize(
    ("signals", "code"),
    [([signal.SIGINT], 130), ([signal.SIGINT, signal.SIGINT], 130), ([signal.SIGTERM], 143), ([signal.SIGHUP], 129)],
    ids=["ctrl-c", "ctrl-c twice", "sigterm", "sighup"],
)
def test_an_interrupted_run_leaves_a_playable_video_and_whole_lines(
    arms_model: str, tmp_path: Path, signals: list[signal.Signals], code: int
) -> None:
    """Frames come on stdin, so that the run stands still, in the middle, when it is interrupted."""
    write_image(tmp_path / "a.jpg", paint([(8, 16)]))
    line = [sys.executable, "-m", "ltsh_deploy", "infer", "-", "--model", arms_model, "--device", "cpu"]
    line += ["--json", "-", "--draw", str(tmp_path / "out.mp4")]
    # What nohup has ignored stays ignored in its programs, and so in theirs.
    before = {number: signal.signal(number, signal.SIG_DFL) for number in {*signals} - {signal.SIGINT}}
    process = subprocess.Popen(line, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for number, handler in before.items():
        signal.signal(number, handler)
    with process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        # A JPEG counts as complete only when the next one begins.
        process.stdin.write((tmp_path / "a.jpg").read_bytes() * 6)
        process.stdin.flush()
        lines = [json.loads(process.stdout.readline()) for _ in range(5)]
        for number in signals:
            process.send_signal(number)
            # The second comes while the first is being dealt with, or is merged with it: either way is a user's.
            time.sleep(0.05)
        errors = process.stderr.read().decode()
        rest = process.stdout.read().decode().splitlines()
        assert process.wait(timeout=30) == code
    assert "Traceback" not in errors
    assert [len(r["people"]) for r in lines] == [1] * 5
    assert all(json.loads(r)["people"] for r in rest)
    video = cv2.VideoCapture(str(tmp_path / "out.mp4"))
    assert sum(iter(lambda: video.read()[0], False)) >= 4
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


class ScriptedCamera:
    """Five frames, then it is unplugged."""

    left = 5

    def isOpened(self) -> bool:  # noqa: N802
        return self.left > 0

    def read(self) -> tuple[bool, Any]:
        self.left -= 1
        return self.left >= 0, paint([(8, 16)])[:, :, ::-1]

    def get(self, prop: int, /) -> float:
        return 10.0 if prop == cv2.CAP_PROP_FPS else -1.0

    def release(self) -> None:
        pass


def test_a_camera_reports_how_far_results_lag_behind(
    infer: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    camera = ScriptedCamera()
    source = LiveSource(0, reconnect=Reconnect(tries=1, first_s=0.001), open_device=lambda target: camera)
    monkeypatch.setattr(infer_job, "open_sources", lambda names: [source])
    assert infer("0", "--json", "out.jsonl", "--draw", "out.mp4") == 3
    output = capsys.readouterr()
    assert "capture to result p50" in output.err
    assert "p99" in output.err
    found = records(tmp_path / "out.jsonl")
    assert 1 <= len(found) <= 5
    assert all(len(r["people"]) == 1 for r in found)
    assert (tmp_path / "out.mp4").is_file()


def test_a_full_or_forbidden_target_keeps_the_older_result(
    infer: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_image(tmp_path / "a.png", paint([(8, 16)]))
    (tmp_path / "out.jsonl").mkdir()
    assert infer("a.png", "--json", "out.jsonl") in (1, 2)
    assert "out.jsonl" in capsys.readouterr().err
    if Path("/dev/full").exists():
        assert infer("a.png", "--json", "/dev/full") == 1
        assert "No space left" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_sources_of_which_none_can_be_read_leave_the_older_result(
    infer: Callable[..., int], tmp_path: Path, form: str
) -> None:
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    (tmp_path / "old").write_text("older")
    assert infer("cut.jpg", "absent.jpg", "--format", form, "--json", "old") == 3
    assert (tmp_path / "old").read_text() == "older"
    assert infer("cut.jpg", "--format", form, "--json", "new") == 3
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["cut.jpg", "old"]
    write_image(tmp_path / "good.png", paint([]))
    assert infer("cut.jpg", "good.png", "--format", form, "--json", "old") == 3
    assert (tmp_path / "old").read_text() != "older"


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg program")
def test_sound_goes_into_the_drawn_video_untouched(infer: Callable[..., int], tmp_path: Path) -> None:
    write_video(tmp_path / "silent.avi", 25)
    make = ["ffmpeg", "-v", "error", "-i", "silent.avi", "-f", "lavfi", "-i", "sine=440:duration=2", "-shortest"]
    subprocess.run([*make, "-c:v", "copy", "-c:a", "aac", "loud.mp4"], cwd=tmp_path, check=True)
    assert infer("loud.mp4", "--draw", "out.mp4") == 0

    def sound(name: str) -> bytes:
        line = ["ffmpeg", "-v", "error", "-i", name, "-map", "0:a", "-c", "copy", "-f", "adts", "-"]
        return subprocess.run(line, cwd=tmp_path, capture_output=True, check=True).stdout

    assert len(sound("loud.mp4")) > 1000
    assert sound("out.mp4") == sound("loud.mp4")


def test_the_third_party_model_finds_people_in_real_photographs(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = shared / "models/coco_paf_mobilenet_v2_small.onnx"
    line = ["infer", str(shared / "data/real/coco"), "--model", str(model), "--device", "cpu", "--threads", "1"]
    assert main.main([*line, "--json", str(tmp_path / "out.jsonl")]) == 0
    labelled = json.loads((shared / "data/real/coco/person_keypoints.json").read_text())
    names = {image["id"]: image["file_name"] for image in labelled["images"]}
    found = {Path(r["source"]).name: r for r in records(tmp_path / "out.jsonl")}
    assert found[names[785]]["skeleton"] == "coco18"
    joints = found[names[785]]["people"][0]["joints"]
    # The skier of picture 785 is large and alone: her shoulders, hips and knees must be where COCO's are.
    person = next(a for a in labelled["annotations"] if a["image_id"] == 785 and a["num_keypoints"] > 10)
    truth = np.array(person["keypoints"]).reshape(17, 3)
    for coco17, coco18 in ((5, 5), (6, 2), (11, 11), (12, 8), (13, 12), (14, 9)):
        assert np.hypot(*(np.array(joints[coco18][:2]) - truth[coco17, :2])) < 15

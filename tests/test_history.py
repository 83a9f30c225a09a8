"""A run's history: written line by line, cut on resume, read back, drawn."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ltsh_deploy.errors import InputError, MissingPartError, OutputError
from ltsh_deploy.train.curves import draw_curves
from ltsh_deploy.train.history import METRICS, History, distribution, heat_map, read_history, series


def write(folder: Path, steps: range, step: int = 0, **options: Any) -> None:
    with History(folder, step=step, **options) as history:
        for n in steps:
            history.write("train", n, {"loss": 100 / n, "lr": 1e-3})
            if n % 2 == 0:
                record = {"window": n // 2 - 1, "group": n % 3, "probabilities": [0.5, 0.3, 0.2], "delta": 1.0}
                history.write("window", n, {**record, "synthetic_signal": 2.0, "real_signal": 1.0})
            if n % 4 == 0:
                history.write("validation", n, {"pck": 10.0 + n, "loss": 110 / n})


def contents(folder: Path) -> list[dict[str, Any]]:
    """The lines without the times at which they were written."""
    return [{key: value for key, value in line.items() if key != "time"} for line in read_history(folder)]


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    values = {"a": 1.5, "b": np.float32(0.25), "c": np.array([1, 2]), "d": None, "e": "text", "f": True, "g": (1.0,)}
    with History(tmp_path) as history:
        history.write("train", 3, values)
        # It is in the file before the file is closed.
        (line,) = read_history(tmp_path / METRICS)
    assert line["time"] == pytest.approx(1.7e9, rel=0.5)
    assert contents(tmp_path) == [
        {"kind": "train", "step": 3, "a": 1.5, "b": 0.25, "c": [1, 2], "d": None, "e": "text", "f": True, "g": [1.0]}
    ]


def test_what_is_no_number_is_null_and_the_file_strict_json(tmp_path: Path) -> None:
    with History(tmp_path) as history:
        history.write("train", 1, {"loss": float("nan"), "list": [float("inf"), np.float64("-inf"), 1.0]})
    assert contents(tmp_path) == [{"kind": "train", "step": 1, "loss": None, "list": [None, None, 1.0]}]
    assert "NaN" not in (tmp_path / METRICS).read_text()


@pytest.mark.parametrize("step", [0, 1, 4, 7, 10, 12])
def test_a_resumed_run_leaves_the_same_history(tmp_path: Path, step: int) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    write(whole, range(1, 13))
    write(killed, range(1, 11))
    with (killed / METRICS).open("a") as file:
        file.write('{"kind": "train", "st')
    write(killed, range(min(step, 10) + 1, 13), step=step)
    assert contents(killed) == contents(whole)


def test_a_new_run_does_not_keep_what_lay_there(tmp_path: Path) -> None:
    (tmp_path / METRICS).write_text("not a history\n")
    write(tmp_path, range(1, 3))
    assert [line["step"] for line in contents(tmp_path)] == [1, 2, 2]


def test_half_a_line_at_the_end_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, range(1, 4))
    path = tmp_path / METRICS
    path.write_bytes(path.read_bytes()[:-5])
    assert [line["step"] for line in contents(tmp_path)] == [1, 2, 2]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "no json",
        "[1]",
        '{"kind": "train"}',
        '{"kind": 1, "step": 1}',
        "\xff",
        "[" * 100_000,
        "nan",
        '{"kind": "x", "step": 1e999}',
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    write(tmp_path, range(1, 3))
    path = tmp_path / METRICS
    path.write_bytes(path.read_bytes() + line.encode("latin-1") + b'\n{"kind": "train", "step": 9}\n')
    with pytest.raises(InputError, match=f"{METRICS}:4: is no line of a run's history"):
        read_history(path)
    with pytest.raises(InputError, match=f"{METRICS}:4"):
        History(tmp_path, step=2)


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"metrics\.jsonl: cannot be read"):
        read_history(tmp_path)
    with pytest.raises(OutputError, match=r"metrics\.jsonl: could not be written"):
        History(tmp_path / "absent")
    (tmp_path / METRICS).mkdir()
    with pytest.raises(OutputError, match=r"metrics\.jsonl: could not be written"):
        History(tmp_path)


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with History(tmp_path) as history, Path("/dev/full").open("wb", buffering=0) as full:
        history._file.close()
        history._file = full
        with pytest.raises(OutputError, match=r"metrics\.jsonl: could not be written \(No space left"):
            history.write("train", 1, {"loss": 1.0})


def test_series_have_the_numbers_alone(tmp_path: Path) -> None:
    with History(tmp_path) as history:
        for step, loss in ((1, 2.0), (2, float("nan")), (3, "text"), (4, True), (5, 4)):
            history.write("train", step, {"loss": loss})
        history.write("validation", 5, {"loss": 7.0})
    steps, values = series(read_history(tmp_path), "train", "loss")
    assert (steps.tolist(), values.tolist()) == ([1, 5], [2, 4])
    assert [len(part) for part in series([], "train", "loss")] == [0, 0]


def test_distributions_come_from_windows_that_have_one(tmp_path: Path) -> None:
    lines = [
        {"kind": "window", "step": 2, "probabilities": []},
        {"kind": "window", "step": 4, "probabilities": [0.25, 0.75]},
        {"kind": "train", "step": 5},
        {"kind": "window", "step": 6, "probabilities": [0.5, 0.5]},
    ]
    steps, rows = distribution(lines)
    assert steps.tolist() == [4, 6]
    assert rows.tolist() == [[0.25, 0.75], [0.5, 0.5]]
    assert distribution([])[1].shape == (0, 0)
    for wrong in ([1.0], [0.5, "x"], [0.5, [1]], [0.5, float("nan")], [0.5, 10**400], 0.5):
        with pytest.raises(InputError, match="one number for each group"):
            distribution([*lines, {"kind": "window", "step": 8, "probabilities": wrong}])


def test_the_heat_map_is_bright_where_a_group_was_likely() -> None:
    rows = np.full((50, 4), 0.1)
    rows[25:, 2] = 0.7
    picture = heat_map(rows, width=100, group_height=8)
    assert picture.shape == (32, 100, 3)
    assert picture.dtype == np.uint8
    brightness = picture.astype(int).sum(axis=2)
    assert brightness[16:24, 50:].min() > brightness[16:24, :50].max()
    assert brightness[16:24, 50:].min() > brightness[:16].max()
    assert heat_map(np.full((5000, 4), 0.25), width=100).shape == (64, 100, 3)
    assert heat_map(np.zeros((1, 2)), width=100).shape == (32, 100, 3)


def test_tensorboard_gets_scalars_and_the_teachers_distribution(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write(tmp_path, range(1, 9), tensorboard=True)
    write(tmp_path, range(6, 11), step=5, tensorboard=True)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == list(range(1, 11))
    assert events.Scalars("validation/pck")[-1].value == 18
    assert "window/delta" in events.Tags()["scalars"]
    assert not {"train/step", "train/time"} & set(events.Tags()["scalars"])
    assert [event.step for event in events.Images("teacher/distribution")] == [4, 8, 10]


def test_only_what_a_finished_run_ended_with_comes_again(tmp_path: Path) -> None:
    with History(tmp_path) as history:
        for step, kind in ((1, "train"), (1, "final"), (2, "train"), (2, "validation"), (2, "final")):
            history.write(kind, step, {})
    for over, last in ((False, "final"), (True, "validation")):
        with History(tmp_path, step=2, over=over):
            pass
        lines = contents(tmp_path)
        assert lines[-1]["kind"] == last
        assert {"kind": "final", "step": 1} in lines


def test_a_full_disk_is_an_error_that_names_tensorboards_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard", reason="needs tensorboard")
    from tensorboard.summary.writer.record_writer import RecordWriter

    def full(self: object, *data: object) -> None:
        raise OSError(28, "No space left on device")

    said: list[threading.ExceptHookArgs] = []
    hook = said.append
    monkeypatch.setattr(threading, "excepthook", hook)
    picture = np.zeros((4, 4, 3), np.uint8)

    def write(history: History, pictures: int) -> None:
        # Which call is told depends on how soon TensorBoard's thread meets its error; closing it is the last.
        with history:
            history.write("train", 1, {"loss": 1.0})
            for _ in range(pictures):
                history.picture("a", 1, picture)

    for pictures in (0, 1):
        history = History(tmp_path, tensorboard=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RecordWriter, "write", full)
            patch.setattr(RecordWriter, "flush", full)
            with pytest.raises(OutputError, match=r"tensorboard: could not be written \(No space left"):
                write(history, pictures)
    assert threading.excepthook == hook
    # The thread in which it happens says nothing of its own; others do.
    assert not said
    with History(tmp_path, tensorboard=True):
        thread = threading.Thread(target=lambda: {}["absent"])
        thread.start()
        thread.join()
    assert len(said) == 1


def test_an_error_before_is_not_hidden_by_one_of_closing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: History) -> None:
        raise OutputError("the disk is full")

    monkeypatch.setattr(History, "close", full)
    with pytest.raises(KeyError), History(tmp_path):
        raise KeyError
    with pytest.raises(OutputError), History(tmp_path):
        pass


def test_a_missing_tensorboard_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorboard", None)
    with pytest.raises(MissingPartError, match="needs tensorboard"):
        History(tmp_path, tensorboard=True)


def test_pictures_without_tensorboard_are_nothing(tmp_path: Path) -> None:
    with History(tmp_path) as history:
        history.picture("validation", 1, np.zeros((4, 4, 3), np.uint8))
    assert [path.name for path in tmp_path.iterdir()] == [METRICS]


def test_curves_have_a_panel_for_all_that_was_measured(tmp_path: Path) -> None:
    write(tmp_path, range(1, 41))
    lines = read_history(tmp_path)
    heights = []
    for kinds in (["train"], ["train", "validation"], ["train", "validation", "window"]):
        path = tmp_path / "curves.png"
        draw_curves([line for line in lines if line["kind"] in kinds], path, "a run", ["a", "b", "c"])
        picture = cv2.imread(str(path))
        assert picture is not None
        assert picture.std() > 10
        heights.append(picture.shape[0])
    assert heights == sorted(set(heights))


@pytest.mark.parametrize(
    "lines",
    [
        [{"kind": "train", "step": 1, "loss": 1.0}],
        [{"kind": "train", "step": 1, "loss": 0.0}, {"kind": "train", "step": 2, "loss": -1.0}],
        [{"kind": "window", "step": 20, "probabilities": [1.0], "group": 0}],
        [{"kind": "validation", "step": 1, "pck": 3}],
        [{"kind": "validation", "step": 1, "loss": 3}, {"kind": "window", "step": 1, "real_signal": None}],
        [{"kind": "train", "step": 1, "loss": float("inf"), "lr": 10**400}, {"kind": "train", "step": 1, "loss": 1}],
    ],
)
def test_curves_of_next_to_nothing(tmp_path: Path, lines: list[dict[str, Any]]) -> None:
    draw_curves(lines, tmp_path / "curves.png")
    assert cv2.imread(str(tmp_path / "curves.png")) is not None


def test_an_empty_history_has_no_curves(tmp_path: Path) -> None:
    draw_curves([], tmp_path / "curves.png")
    assert not list(tmp_path.iterdir())


def test_curves_that_cannot_be_written_or_drawn_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [{"kind": "train", "step": 1, "loss": 1.0}]
    with pytest.raises(OutputError, match="there is no folder"):
        draw_curves(lines, tmp_path / "absent" / "curves.png")
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(MissingPartError, match="needs matplotlib"):
        draw_curves(lines, tmp_path / "curves.png")


def test_lines_are_one_object_each(tmp_path: Path) -> None:
    write(tmp_path, range(1, 5))
    for text in (tmp_path / METRICS).read_text().splitlines():
        assert {"kind", "step", "time"} <= json.loads(text).keys()

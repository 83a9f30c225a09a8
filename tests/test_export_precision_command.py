"""``ltsh export --precision``, ``--calibrate`` and ``--verify`` as a user types them."""

from __future__ import annotations

import errno
import json
import math
import re
from pathlib import Path

import numpy as np
import onnx
import pytest

from ltsh_deploy.cli.main import main
from ltsh_deploy.export.graphs import read_precision
from ltsh_deploy.export.quantise import style_of
from ltsh_deploy.outputs import write_image
from tests.arms_onnx import write_arms
from tests.test_precision import arms, broken

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a network, arms.onnx, and pictures of it, pictures/."""
    monkeypatch.chdir(tmp_path)
    write_arms(Path("arms.onnx"))
    Path("pictures").mkdir()
    for number, image in enumerate(arms(10)):
        write_image(Path("pictures") / f"{number}.png", image)
    return tmp_path


def test_int8_is_calibrated_verified_and_reported(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    line = ["export", "arms.onnx", "-o", "int8.onnx", "--precision", "int8", "--calibrate", "pictures"]
    assert main(["--quiet", *line, "--verify", "pictures", "--images", "pictures", "--json"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    report = json.loads(out)
    assert report["precision"] == "int8" == read_precision(Path("int8.onnx"))
    assert report["operators"] == {"int8": 2, "fp32": 1}
    assert report["calibration"].startswith("10 pictures of pictures, drawn with seed 0")
    assert report["likeness"]["agreement"]["people"] == report["accuracy"]["people"] == 20
    assert report["likeness"]["drawn_pictures"] is False
    assert report["accuracy"]["lost"] == 0
    assert "parity" not in report
    assert style_of(onnx.load("int8.onnx")) == "onnxruntime"
    assert main([*line, "--overwrite", "--quantise-for", "tensorrt", "--verify", "pictures/0.png"]) == 0
    out, _ = capfd.readouterr()
    assert "int8.onnx: 0.0 MB, int8 (convolutions: 2 in int8, 1 in fp32)" in out
    assert "Calibrated on 10 pictures of pictures" in out
    assert "for tensorrt" in out
    assert re.search(r"^Accuracy on pictures/0.png \(1 picture\)\nPeople: 2 of 2 are found again", out, re.MULTILINE)
    assert style_of(onnx.load("int8.onnx")) == "tensorrt"


def test_what_was_exported_finds_people(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--quiet", "export", "arms.onnx", "-o", "half.onnx", "--precision", "fp16", "--size", "320x240"]) == 0
    assert "320x240" in capfd.readouterr().out
    assert main(["--quiet", "infer", "pictures/0.png", "--model", "half.onnx", "--json", "-"]) == 0
    (line,) = capfd.readouterr().out.splitlines()
    assert len(json.loads(line)["people"]) == 2


def test_a_file_that_was_only_on_the_way_has_no_name(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    line = ["--quiet", "export", "arms.onnx", "--format", "triton", "-o", "repository", "--precision", "fp16"]
    assert main(line) == 0
    out = capfd.readouterr().out
    assert "\nMade from an intermediate ONNX file of arms.onnx: 0.0 MB, fp16 (convolutions: 3 in fp16)" in out
    assert "repository.onnx" not in out
    assert main([*line, "--model-version", "2", "--json"]) == 0
    origin = json.loads(capfd.readouterr().out)["onnx"]
    assert origin["precision"] == "fp16"
    assert "file" not in origin


def test_a_full_disk_of_scratch_files_is_named(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write = Path.write_bytes

    def fill_up(path: Path, data: bytes) -> int:
        if path.parent.name.startswith("ltsh-export-"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", fill_up)
    assert main(["--quiet", "export", "arms.onnx", "-o", "half.onnx", "--precision", "fp16"]) == 1
    error = capfd.readouterr().err
    assert re.search(r"ltsh-export-\w+/rounding\.onnx: could not be written \(No space left on device\)", error)
    assert not Path("half.onnx").exists()


def test_a_loss_is_a_failure_and_leaves_nothing(
    here: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ltsh_deploy.export.to_float16.to_float16", broken)
    monkeypatch.setattr("ltsh_deploy.export.likeness._LIMITS", {"fp16": math.inf})
    # Here the float32 network finds nobody either, so that only --verify tells.
    write_image(Path("grey.png"), np.full((64, 64, 3), 128, np.uint8))
    before = sorted(here.iterdir())
    line = ["export", "arms.onnx", "-o", "half.onnx", "--precision", "fp16", "--images", "grey.png"]
    assert main([*line, "--verify", "pictures"]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert "loses 20 of the 20 people" in err
    assert "Nothing was written. Export with --precision fp32." in err
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--precision", "int8"], 2, "int8 needs pictures to calibrate on"),
        (["--precision", "fp16", "--calibrate", "pictures"], 2, "are for int8, and the model will be fp16"),
        (["--calibrate", "pictures"], 2, "are for int8, and the model will be fp32"),
        (["--precision", "int8", "--calibrate", "none"], 3, "none: there is no such file or folder"),
        (["--precision", "int8", "--calibrate", "empty"], 3, "holds no picture"),
        (["--precision", "int8", "--calibrate", "one"], 3, "at least 8 pictures, and there is 1 here"),
        (["--precision", "int8", "--calibrate", "pictures/0.png"], 2, "this is a file"),
        (["--precision", "int8", "--calibrate", ""], 2, "--calibrate names no folder"),
        (["--precision", "bf16"], 2, "'bf16' is not one of"),
        (["--precision", "fp32"], 2, "is an ONNX file of fp32 already"),
        (["--precision", "fp16", "--quantise-for", "tensorrt"], 2, "--quantise-for is for calibrating"),
        (["--precision", "fp16", "--opset", "20"], 2, "--opset is for checkpoints"),
        (["--precision", "fp16", "--verify", "empty"], 3, "holds no picture"),
        (["--precision", "fp16", "--verify", "coco:none.json"], 3, "none.json"),
        (["--precision", "fp16", "--verify", ""], 2, "no source was named"),
        (["--precision", "fp16", "--verify-set", "split=val"], 2, "none are named"),
        (["--precision", "fp16", "--verify", "lsp:none", "--verify-set", "split"], 2, "expected KEY=VALUE"),
        (["--precision", "fp16", "--verify", "lsp:x", *["--verify-set", "only=a"] * 2], 2, "is there twice"),
        (["--precision", "fp16", "--verify", "pictures", "--verify-set", "split=val"], 2, "pictures have no options"),
        (["--precision", "fp16", "--output", "arms.onnx", "--overwrite"], 2, "the result would replace arms.onnx"),
        (["--precision", "fp16", "--size", "100"], 2, "must be multiples of 8"),
    ],
)
def test_errors(here: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str) -> None:
    for name in ("empty", "one"):
        Path(name).mkdir()
    Path("one/0.png").write_bytes(Path("pictures/0.png").read_bytes())
    model = Path("arms.onnx").read_bytes()
    before = sorted(here.iterdir())
    assert main(["export", "arms.onnx", *(() if "--output" in arguments else ("-o", "out.onnx")), *arguments]) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err
    assert sorted(here.iterdir()) == before
    assert Path("arms.onnx").read_bytes() == model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("none.onnx", "none.onnx: the model file cannot be read (No such file or directory)"),
        ("none.safetensors", "none.safetensors"),
        ("pictures", "is a folder"),
        ("text.onnx", "text.onnx: cannot be read as ONNX"),
        ("foreign.onnx", "is no ONNX file that `ltsh export` wrote"),
        ("arms.bin", "arms.bin"),
    ],
)
def test_models_that_cannot_be(here: Path, capfd: pytest.CaptureFixture[str], model: str, message: str) -> None:
    Path("text.onnx").write_text("no network")
    write_arms(Path("foreign.onnx"), metadata=False)
    Path("arms.bin").write_bytes(Path("arms.onnx").read_bytes())
    assert main(["export", model, "-o", "out.onnx", "--precision", "fp16"]) == 3
    out, err = capfd.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err
    assert not Path("out.onnx").exists()


@pytest.mark.parametrize("kind", ["onnx", "engine"])
def test_nothing_is_made_of_an_engine(here: Path, capfd: pytest.CaptureFixture[str], kind: str) -> None:
    Path("arms.engine").write_bytes(b"ftrt")
    assert main(["export", "arms.engine", "--format", kind, "-o", f"out.{kind}"]) == 2
    assert "arms.engine: is an engine, of which nothing else can be made" in capfd.readouterr().err

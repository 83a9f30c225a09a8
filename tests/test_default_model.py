"""The model that comes with the package."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from ltsh_deploy import default_model as home
from ltsh_deploy.cli import main
from ltsh_deploy.default_model import default_model
from ltsh_deploy.demo import draw_scene
from ltsh_deploy.errors import ModelFileError
from ltsh_deploy.estimator import PoseEstimator
from ltsh_deploy.outputs import write_image
from ltsh_deploy.runtimes import OnnxRuntime
from ltsh_deploy.skeletons import LTSH15


def test_it_is_small_and_describes_itself() -> None:
    assert default_model().stat().st_size <= 5_000_000
    with PoseEstimator.open(device="cpu", threads=1) as estimator:
        description = estimator.runtime.description
    assert description.skeleton == LTSH15
    assert description.stride == 8


def test_its_card_is_of_this_file() -> None:
    card = default_model().with_suffix(".md").read_text(encoding="utf-8")
    assert hashlib.sha256(default_model().read_bytes()).hexdigest() in card


def test_who_names_no_model_gets_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "square.png", draw_scene())
    with PoseEstimator.open(device="cpu", threads=1) as estimator:
        found = estimator(draw_scene())
    assert len(found)
    line = ["infer", str(tmp_path / "square.png"), "--device", "cpu", "--threads", "1", "--json", "-"]
    assert main.main(line) == 0
    people = json.loads(capsys.readouterr().out)["people"]
    assert len(people) == len(found)


def test_who_exports_no_model_exports_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "scene.png", draw_scene())
    smaller = tmp_path / "half.onnx"
    line = ["export", "-o", str(smaller), "--precision", "fp16", "--images", str(tmp_path / "scene.png")]
    assert main.main(line) == 0
    assert "fp16 (convolutions: 49 in fp16)" in capsys.readouterr().out
    with OnnxRuntime(smaller, device="cpu", threads=1) as half, OnnxRuntime(default_model(), device="cpu") as full:
        assert half.description == full.description.model_copy(update={"precision": "fp16"})
    assert main.main(["export", "-o", str(tmp_path / "again.onnx")]) == 2
    assert f"{default_model()}: is an ONNX file of fp32 already" in capsys.readouterr().err


def test_an_installation_without_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home, "__file__", str(tmp_path / "default_model.py"))
    with pytest.raises(ModelFileError, match="lacks"):
        default_model()

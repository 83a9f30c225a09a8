"""What tests of ``ltsh infer`` ask for: the network that finds painted arms, and the command that runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ltsh_deploy.cli import main
from tests.colour_model import write_colour_model

__all__ = ["arms_model", "infer"]


@pytest.fixture(scope="session")
def arms_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_colour_model(tmp_path_factory.mktemp("model") / "arms.onnx"))


@pytest.fixture
def infer(arms_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run ``ltsh infer`` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: main.main(["infer", "--model", arms_model, "--device", "cpu", *map(str, arguments)])

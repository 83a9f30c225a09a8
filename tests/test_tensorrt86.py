"""The tool that carries TensorRT elsewhere in parts: whatever order they come in, all arrives or nothing does."""

from __future__ import annotations

import importlib.util
import json
import random
import shutil
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tensorrt86", ROOT / "tools" / "tensorrt86.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_parts_are_small_and_arrive_whole(tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "CHUNK_MIB", 2)
    monkeypatch.setattr(tool, "PART_MIB", 1)
    root, parts, target = tmp_path / "root", tmp_path / "parts", tmp_path / "target"
    root.mkdir()
    parts.mkdir()
    # Half of it cannot be compressed, and must be cut smaller.
    content = random.Random(0).randbytes(3 << 20) + bytes(3 << 20)
    (root / "library.so").write_bytes(content)
    with tarfile.open(tmp_path / "all.tar", "w") as tar:
        tar.add(root, arcname=".")
    digests = tool.cut(tmp_path / "all.tar", parts)
    assert len(digests) > 3
    assert all((parts / name).stat().st_size <= 1 << 20 for name in digests)
    (parts / "list.json").write_text(json.dumps(digests))
    some = tmp_path / "some"
    for number, name in enumerate(["list.json", *reversed(digests)]):
        shutil.rmtree(some, ignore_errors=True)
        some.mkdir()
        shutil.copy(parts / name, some)
        complete = tool.unpack(some, target) == 0
        assert complete is (number == len(digests))
        assert (target / "library.so").exists() is complete
    assert (target / "library.so").read_bytes() == content
    damaged = target / "parts" / next(iter(digests))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert tool.unpack(parts / "nothing", target) == 1
    assert tool.unpack(parts, target) == 0

"""A user's own function yields samples; the template in the documents is one."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from ltsh_deploy.datasets import open_dataset
from ltsh_deploy.errors import InputError, UsageError
from ltsh_deploy.skeletons import LSP14
from tests.dataset_files import person, picture

ROOT = Path(__file__).parent.parent


def template() -> str:
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(# my_data\.py\n.*?)^```$", text, re.M | re.S)
    return code


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The template's data set: three pictures and a CSV file."""
    folder = tmp_path / "my_data"
    folder.mkdir()
    (tmp_path / "my_data.py").write_text(template(), encoding="utf-8")
    lines = []
    for n in range(3):
        (folder / f"{n}.png").write_bytes(picture(shade=40 + n))
        joints = person(LSP14, x=100 + n)
        joints[n, 2] = 0
        lines.append(",".join([f"{n}.png", *(f"{value:g}" for value in joints.ravel())]))
    (folder / "labels.csv").write_text("\n".join(lines))
    return folder


def test_the_template_works(own: Path) -> None:
    dataset = open_dataset(f"{own.parent}/my_data.py:people", own, ignore_outside=1.5, licence="mine")
    assert [s.id for s in dataset] == ["0.png", "1.png", "2.png"]
    assert [s.split for s in dataset] == ["val", "train", "train"]
    assert dataset.skeleton == LSP14
    assert (dataset.name, dataset.licence) == ("my_data", "mine")
    assert dataset[2].read_image()[0, 0, 0] == 42
    assert dataset[1].joints[0, 1, 2] == 0
    np.testing.assert_allclose(dataset[0].scales, [0.9], rtol=0.1)
    ignored = dataset[0].read_ignore((200, 220))
    assert ignored is not None
    assert 0.2 < ignored.mean() < 0.8
    assert len(open_dataset(f"{own.parent}/my_data.py:people", own, split="train")) == 2


def test_options_reach_the_function(own: Path) -> None:
    (own / "other.csv").write_text((own / "labels.csv").read_text().splitlines()[2])
    (sample,) = open_dataset(f"{own.parent}/my_data.py:people", own, labels="other.csv")
    assert sample.id == "2.png"


def test_modules_that_python_finds_work_too(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(own.parent)
    try:
        assert len(open_dataset("my_data:people", own)) == 3
    finally:
        sys.modules.pop("my_data", None)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def people(path): return 3", "returned int instead of samples"),
        ("def people(path): yield 3", "yielded int, not a Sample"),
        ("def people(path): return 1 / 0", "failed: ZeroDivisionError"),
        ("def people(path, x): return []", "failed: TypeError"),
        ("def people(path): return []", "holds no usable samples"),
        ("def people(path): raise SystemError('gone')", "failed: SystemError: gone"),
    ],
)
def test_functions_that_fail_are_named(tmp_path: Path, code: str, said: str) -> None:
    (tmp_path / "wrong.py").write_text(code)
    with pytest.raises(InputError) as caught:
        open_dataset(f"{tmp_path}/wrong.py:people", tmp_path)
    assert said in caught.value.message


def test_a_failure_halfway_says_how_far_it_came(own: Path) -> None:
    with (own / "labels.csv").open("a") as file:
        file.write("\nbad.png,1,2\n")
    with pytest.raises(InputError, match="failed after 3 samples: ValueError"):
        open_dataset(f"{own.parent}/my_data.py:people", own)


def test_ids_must_differ(own: Path) -> None:
    labels = own / "labels.csv"
    labels.write_text(labels.read_text() + "\n" + labels.read_text())
    with pytest.raises(InputError, match=r"two samples have the id '0\.png'"):
        open_dataset(f"{own.parent}/my_data.py:people", own)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("no_such_module:people", "no_such_module cannot be imported"),
        ("gone.py:people", "gone.py: there is no such file"),
        ("json:people", "json has no function people"),
        ("{}/broken.py:people", "cannot be imported: SyntaxError"),
        ("{}/raises.py:people", "cannot be imported: RuntimeError"),
        (":people", "no kind of data set"),
        ("module:", "no kind of data set"),
    ],
)
def test_what_cannot_be_called_is_a_usage_error(tmp_path: Path, kind: str, said: str) -> None:
    (tmp_path / "broken.py").write_text("def people(:")
    (tmp_path / "raises.py").write_text("raise RuntimeError('no')")
    with pytest.raises(UsageError) as caught:
        open_dataset(kind.format(tmp_path), tmp_path)
    assert said in caught.value.message

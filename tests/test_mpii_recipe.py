"""The way of docs/training.md from MPII's files and a synthetic set to a figure, by recipes/mpii_synthetic.yaml."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from ltsh_deploy.cli.main import main
from ltsh_deploy.skeletons import LTSH15, MPII16
from tests.dataset_files import labels, person, picture, shard
from tests.evaluation_data import mpii_files
from tests.training_data import TINY_NETWORK

pytest.importorskip("scipy.io")
ROOT = Path(__file__).parent.parent
RECIPE = ROOT / "recipes" / "mpii_synthetic.yaml"
PICTURES = 6
SMALLER = {
    "steps": 3,
    "size": [64, 64],
    "batch": 2,
    "network.config": TINY_NETWORK,
    "precision": "float32",
    "workers": 1,
    "log_every": 1,
    # These lie in a teacher that the recipe names alone.
    "teacher.window": 2,
    "teacher.groups.count": 2,
    "teacher.network": {"features": "student", "head_channels": [4, 4], "hidden": [8, 8]},
}


def write_files(mpii: Path, synthetic: Path) -> None:
    """MPII as its site has it, with two people in each picture, and synthetic people."""
    (mpii / "images").mkdir(parents=True)
    pair = [person(MPII16, 60), person(MPII16, 140)]
    annotations, groups = mpii_files(mpii, [pair] * PICTURES, [[[1, 2]]] * PICTURES)
    annotations.rename(mpii / "mpii_human_pose_v1_u12_1.mat")
    groups.rename(mpii / "groups_v12.mat")
    for number in range(PICTURES):
        (mpii / "images" / f"{number}.png").write_bytes(picture(shade=80 + number))
    members: dict[str, bytes] = {}
    for number in range(8):
        members[f"{number}__png"] = picture(shade=150 + number)
        members[f"{number}__json"] = labels(
            skeleton="ltsh15",
            is_synthetic=True,
            characteristics={"camera_pitch": number},
            people=[{"joints": person(LTSH15).tolist(), "centre": [100, 110], "scale": 0.9}],
        )
    shard(synthetic / "train-00000000-00000007.tar", **members)


@pytest.mark.usefixtures("one_thread")
def test_the_way_of_the_document_leads_from_mpii_to_a_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path / "mpii", tmp_path / "synthetic")
    document = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    section = document.partition("## MPII and synthetic people\n")[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    exec(compile(code.replace("300", "2"), "docs/training.md", "exec"), {})
    kept = Path("mpii/val.txt").read_text().split()
    assert len(kept) == 2

    train, evaluate = (
        shlex.split(line)[1:] for line in re.findall(r"^    (ltsh (?:train|evaluate) .*)$", section, re.M)
    )
    train[1] = str(RECIPE)
    changes = [part for key, value in SMALLER.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    assert main([*train, *changes]) == 0
    lines = [json.loads(line) for line in Path("runs/mpii_synthetic/metrics.jsonl").read_text().splitlines()]
    assert {line["kind"] for line in lines} == {"train", "window", "validation", "final"}
    assert [line["people"] for line in lines if line["kind"] == "final"] == [2 * len(kept)]
    capsys.readouterr()
    assert main([*evaluate, "--protocol", "fast", "--out", "results"]) == 0
    predicted = json.loads(Path("results/predictions.json").read_text())
    assert sorted(image["id"] for image in predicted["images"]) == sorted(f"{name}:1" for name in kept)

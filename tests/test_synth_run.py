"""Ranges of pictures: shards, resuming, joining, trouble on the way."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltsh_deploy.datasets import open_dataset
from ltsh_deploy.errors import InputError, OutputError
from ltsh_deploy.skeletons import LTSH15
from ltsh_deploy.train import synth_run
from ltsh_deploy.train.synth_folder import INDEX, LTSH_FOLDER
from ltsh_deploy.train.synth_sheet import SHEET, write_sheet
from ltsh_deploy.train.synth_writers import (
    ShardRange,
    ShardWriter,
    find_shards,
    missing_runs,
    read_shard,
)
from tests.synth_stub import InThisProcess, StubRecipe, files_of, make, numbers_in

ROOT = Path(__file__).parent.parent


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synth_run, "ProcessPoolExecutor", InThisProcess)


@pytest.mark.usefixtures("here")
def test_both_layouts_are_read_back_by_the_data_sets(tmp_path: Path) -> None:
    make(tmp_path, range(12))
    shards = open_dataset("shards", tmp_path)
    entries = open_dataset("ltsh", tmp_path / LTSH_FOLDER)
    assert len(shards) == len(entries) == 12
    assert not shards.skipped
    assert not entries.skipped
    assert shards.skeleton == LTSH15
    for sample, other in zip(shards, entries, strict=True):
        assert sample.is_synthetic.all()
        assert other.is_synthetic.all()
        np.testing.assert_array_equal(sample.read_image(), other.read_image())
        np.testing.assert_allclose(other.to_skeleton(LTSH15).joints[:, :14], sample.joints[:, :14])
        np.testing.assert_allclose(other.scales, sample.scales)
        np.testing.assert_allclose(other.centres, sample.centres)
        for name in ("camera_pitch", "min_distance", "visibility", "cropped"):
            np.testing.assert_allclose(other.characteristics[name], sample.characteristics[name])
        instances = sample.read_instances((80, 60))
        assert instances is not None
        assert set(np.unique(instances)) == {0, 1}
        ignored = other.read_ignore((80, 60))
        assert ignored is not None
        assert not ignored.any()


@pytest.mark.usefixtures("here")
def test_a_run_goes_on_where_it_stopped_and_gives_what_it_would_have_given(tmp_path: Path) -> None:
    make(tmp_path / "whole", range(25))
    with pytest.raises(InputError, match="picture 17 cannot be made"):
        make(tmp_path / "halves", range(25), StubRecipe(trouble=17))
    assert numbers_in(tmp_path / "halves") == list(range(17))
    assert make(tmp_path / "halves", range(25)) == 8
    assert make(tmp_path / "halves", range(25)) == 0
    whole, halves = (
        {n: m for shard in find_shards(tmp_path / name).values() for n, m in read_shard(shard)}
        for name in ("whole", "halves")
    )
    assert whole == halves
    assert list(whole) == list(range(25))
    assert len(open_dataset("ltsh", tmp_path / "halves" / LTSH_FOLDER)) == 25


@pytest.mark.usefixtures("here")
def test_ranges_made_apart_join_by_putting_their_files_together(tmp_path: Path) -> None:
    make(tmp_path / "whole", range(20))
    make(tmp_path / "a", range(10))
    make(tmp_path / "b", range(10, 20))
    a, b = files_of(tmp_path / "a"), files_of(tmp_path / "b")
    assert a.keys() & b.keys() == {INDEX}
    assert a | b == files_of(tmp_path / "whole")


@pytest.mark.usefixtures("here")
def test_the_json_layout_can_be_added_later(tmp_path: Path) -> None:
    make(tmp_path / "a", range(5), ltsh=False)
    assert not (tmp_path / "a" / LTSH_FOLDER).exists()
    assert make(tmp_path / "a", range(5)) == 0
    make(tmp_path / "b", range(5))
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


@pytest.mark.usefixtures("here")
def test_a_bug_names_its_picture(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="picture 3: ZeroDivisionError: nought"):
        make(tmp_path, range(5), StubRecipe(trouble=3, what="bug"))
    assert numbers_in(tmp_path) == [0, 1, 2]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("full_at", [0, 1, 7])
def test_what_was_finished_stays_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full_at: int
) -> None:
    from ltsh_deploy.train import synth_writers

    written = 0
    real = synth_writers._write_all

    def write(stream: Any, data: bytes) -> None:
        nonlocal written
        if len(data) > 1024:
            if written == full_at:
                real(stream, data[: len(data) // 2])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            written += 1
        real(stream, data)

    with monkeypatch.context() as patched:
        patched.setattr(synth_writers, "_write_all", write)
        with pytest.raises(OutputError, match="No space left"):
            make(tmp_path, range(10))
    assert numbers_in(tmp_path) == list(range(full_at))
    assert not list(tmp_path.glob(".*.part.*"))
    make(tmp_path, range(10))
    assert numbers_in(tmp_path) == list(range(10))
    assert len(open_dataset("shards", tmp_path)) == 10


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        make(tmp_path / "file", range(3))


@pytest.mark.parametrize("damage", [lambda data: data[:700], lambda data: b"rubbish" * 400])
def test_a_damaged_shard_is_named(tmp_path: Path, damage: Any) -> None:
    with ShardWriter(tmp_path, "train", 0) as writer:
        writer.add({"jpg": b"x" * 5000, "json": b"{}"})
    (path,) = find_shards(tmp_path).values()
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=path.name):
        list(read_shard(path))


@given(
    st.integers(0, 40),
    st.integers(1, 60),
    st.integers(1, 15),
    st.lists(st.tuples(st.integers(0, 90), st.integers(0, 9))),
)
def test_missing_runs_are_what_is_missing_and_end_at_shard_ends(
    start: int, count: int, per_shard: int, present: list[tuple[int, int]]
) -> None:
    parts = [ShardRange(first, first + more) for first, more in present]
    wanted = range(start, start + count)
    runs = missing_runs(wanted, parts, per_shard)
    there = {n for part in parts for n in range(part.first, part.last + 1)}
    assert [n for run in runs for n in run] == [n for n in wanted if n not in there]
    for run in runs:
        assert run.start // per_shard == (run.stop - 1) // per_shard
    for before, after in pairwise(runs):
        assert before.stop < after.start or after.start % per_shard == 0


@pytest.mark.usefixtures("here")
def test_the_data_sheet_counts_what_is_there(tmp_path: Path) -> None:
    make(tmp_path, range(12))
    summary = write_sheet(tmp_path)
    assert (summary.pictures, summary.asked, summary.placed, summary.labelled) == (12, 48, 24, 24)
    assert summary.rejected == {"collided": 24}
    text = (tmp_path / SHEET).read_text()
    assert "12 pictures with 24 synthetic people" in text
    assert "| collided | 24 |" in text
    assert "| head top | 100.0 % | 0.0 % | 0.0 % | 0.0 % |" in text
    for name in ("contact_sheet.png", "contact_sheet_truth.png", "joint_positions.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_processes_give_the_same_bytes_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "two", range(12), workers=2)
    monkeypatch.setattr(synth_run, "ProcessPoolExecutor", InThisProcess)
    make(tmp_path / "none", range(12))
    assert files_of(tmp_path / "two") == files_of(tmp_path / "none")


def test_a_pool_that_takes_no_more_is_told_as_one_that_gives_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(InThisProcess):
        def submit(self, function: Any, *arguments: Any) -> Any:
            if arguments[-1] == 6:
                raise BrokenProcessPool("a child process ended")
            return super().submit(function, *arguments)

    monkeypatch.setattr(synth_run, "ProcessPoolExecutor", Broken)
    with pytest.raises(OutputError, match="out of memory"):
        make(tmp_path, range(12))
    found = numbers_in(tmp_path)
    assert found == list(range(len(found)))
    assert 0 < len(found) < 6


@pytest.mark.slow
def test_a_worker_that_dies_is_told_and_costs_nothing_finished(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="out of memory"):
        make(tmp_path, range(12), StubRecipe(trouble=6, what="death"))
    assert numbers_in(tmp_path) == list(range(len(numbers_in(tmp_path))))
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_an_interrupted_run_keeps_what_it_finished_and_leaves_no_process(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from tests.synth_stub import StubRecipe, make\n"
        "from pathlib import Path\n"
        "if __name__ == '__main__':\n"
        f"    make(Path({str(tmp_path / 'out')!r}), range(60), StubRecipe(what='slow'))\n"
    )
    (tmp_path / "run.py").write_text(program)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "STUB_STARTED": str(tmp_path / "started")}
    run = subprocess.Popen(
        [sys.executable, tmp_path / "run.py"], cwd=ROOT, env=environment, stderr=subprocess.PIPE, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.7)
    os.killpg(run.pid, signal.SIGINT)
    run.communicate(timeout=30)
    found = numbers_in(tmp_path / "out")
    assert 0 < len(found) < 60
    assert found == list(range(len(found)))
    assert json.loads((tmp_path / "out" / INDEX).read_text())["generator"]["kind"] == "stub"
    assert ended(run.pid, within_s=20)


def ended(group: int, within_s: float) -> bool:
    """Whether every process of a group ends."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False

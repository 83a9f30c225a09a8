"""The folder of a synthesised data set: one purpose, one run for each picture, sound again after any end of a run."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ltsh_deploy.datasets import open_dataset
from ltsh_deploy.errors import InputError, OutputError, UsageError
from ltsh_deploy.train import synth_run
from ltsh_deploy.train.synth_folder import INDEX, LTSH_FOLDER, claimed
from ltsh_deploy.train.synth_run import Outcome, make_pictures
from ltsh_deploy.train.synth_writers import ShardRange, find_shards
from tests.synth_stub import InThisProcess, StubRecipe, files_of, make, numbers_in

ROOT = Path(__file__).parent.parent
RECORD = StubRecipe().record()


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synth_run, "ProcessPoolExecutor", InThisProcess)


@contextmanager
def another_process(body: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another Python that runs these lines, with the folder as ``folder``, until it prints a line; then ends it."""
    program = (
        "import sys, time\nfrom pathlib import Path\n"
        "from ltsh_deploy.train.synth_folder import claimed, shared_files\n"
        f"folder = Path({str(folder)!r})\n{body}"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    ) as run:
        try:
            assert run.stdout is not None
            assert run.stdout.readline() == "holds it\n"
            yield run
        finally:
            run.kill()


def holding(what: str) -> str:
    return f"with {what}:\n    print('holds it', flush=True)\n    sys.stdin.read()\n"


def test_no_two_runs_make_the_same_pictures(tmp_path: Path) -> None:
    with another_process(holding(f"claimed(folder, {RECORD}, range(10, 30))"), tmp_path):
        for wanted in (range(40), range(20, 21), range(29, 50)):
            with pytest.raises(UsageError, match="another run is making some of the pictures") as raised:
                make(tmp_path, wanted)
            assert "Wait" in raised.value.remedy
        assert make(tmp_path, range(10)) + make(tmp_path, range(30, 35)) == 15
    # It was killed, and has left nothing that would be in the way.
    assert make(tmp_path, range(40)) == 25
    assert numbers_in(tmp_path) == list(range(40))


def test_a_shard_of_more_pictures_than_are_wanted_is_claimed_whole(tmp_path: Path) -> None:
    make(tmp_path, range(10))
    with another_process(holding(f"claimed(folder, {RECORD}, range(8, 12))"), tmp_path):
        with pytest.raises(UsageError, match="pictures 0 to 2"):
            make(tmp_path, range(3))
        assert make(tmp_path, range(12, 14)) == 2


def test_what_a_folder_is_for_is_settled_by_one_run_at_a_time(tmp_path: Path) -> None:
    """Two that begin at once would both find no index, and each write its own."""
    told: list[str] = []

    def second() -> None:
        make(tmp_path, range(3))
        told.append("made")

    with another_process(holding("shared_files(folder)"), tmp_path) as other:
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(timeout=0.4)
        assert not told
        assert not (tmp_path / INDEX).exists()
        other.communicate("")
        thread.join(timeout=20)
    assert told == ["made"]


def test_a_folder_that_cannot_be_claimed_is_named(tmp_path: Path) -> None:
    (tmp_path / ".lock").mkdir()
    with pytest.raises(OutputError, match="cannot be written to"), claimed(tmp_path, RECORD, range(3)):
        pass


@pytest.mark.slow
def test_of_the_same_command_given_twice_at_once_one_is_refused(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom ltsh_deploy.errors import UsageError\n"
        "from tests.synth_stub import StubRecipe, make\n"
        "if __name__ == '__main__':\n    try:\n"
        f"        make(Path({str(tmp_path / 'out')!r}), range(25), StubRecipe(what='slow'), workers=2)\n"
        "    except UsageError as error:\n        sys.exit(str(error))\n"
    )
    (tmp_path / "run.py").write_text(program)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "STUB_STARTED": str(tmp_path / "started")}
    runs = [
        subprocess.Popen(
            [sys.executable, tmp_path / "run.py"], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    told = [run.communicate(timeout=120)[1] for run in runs]
    assert sorted(run.returncode for run in runs) == [0, 1]
    assert "another run is making some of the pictures 0 to 24" in "".join(told)
    assert numbers_in(tmp_path / "out") == list(range(25))


def test_pictures_of_other_options_do_not_get_into_one_folder(tmp_path: Path) -> None:
    make(tmp_path, range(3))
    with pytest.raises(UsageError, match="made with seed 0, and now it is 1"):
        make(tmp_path, range(3, 6), StubRecipe(seed=1))
    assert numbers_in(tmp_path) == [0, 1, 2]


def test_what_is_no_number_does_not_get_into_an_index(tmp_path: Path) -> None:
    """It is unlike itself, so no run could go on."""
    with pytest.raises(ValueError, match="JSON"), claimed(tmp_path, RECORD | {"strength": float("nan")}, range(3)):
        pass
    assert not (tmp_path / INDEX).exists()


@pytest.mark.parametrize("content", [b"{}", b"[]", b'{"generator": 3}'])
def test_a_folder_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / INDEX).write_bytes(content)
    with pytest.raises(InputError, match="did not make"):
        make(tmp_path, range(3))
    assert (tmp_path / INDEX).read_bytes() == content


def test_strange_shards_are_not_added_to(tmp_path: Path) -> None:
    (tmp_path / "train-00.tar").write_bytes(bytes(1024))
    with pytest.raises(UsageError, match="did not make"):
        make(tmp_path, range(3))


@pytest.mark.parametrize(
    ("names", "delete"),
    [
        (("train-00000000-00000009.tar", "train-00000005-00000012.tar"), 1),
        (("train-00000000-00000046.tar", "train-00000000-00000199.tar"), 0),
        (("train-00000000-00000199.tar", "train-00000100-00000120.tar"), 1),
        (("train-00000000-00000009.tar", "val-00000000-00000009.tar"), 0),
        (("train-00000000-00000099.tar", "train-00000099-00000099.tar"), 1),
    ],
)
def test_of_shards_with_the_same_pictures_one_is_named_to_be_deleted(
    tmp_path: Path, names: tuple[str, str], delete: int
) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match=f"{names[0]} and {names[1]} hold some pictures twice") as raised:
        find_shards(tmp_path)
    assert f"Delete {tmp_path / names[delete]}" in raised.value.remedy
    (tmp_path / names[delete]).unlink()
    assert len(find_shards(tmp_path)) == 1


def test_what_killed_runs_left_goes_and_what_is_not_theirs_stays(tmp_path: Path) -> None:
    make(tmp_path, range(10))
    images = tmp_path / LTSH_FOLDER / "images"
    stale = (
        tmp_path / ".train-00000010.0a1b2c3d.part.tar",
        tmp_path / ".val-00000013.0a1b2c3d.part.tar",
        tmp_path / ".index.0a1b2c3d.part.json",
        tmp_path / ".datasheet.0a1b2c3d.part.md",
        tmp_path / ".contact_sheet_truth.0a1b2c3d.part.png",
        tmp_path / LTSH_FOLDER / ".train-00000010-00000019.0a1b2c3d.part.json",
        images / ".00000012.0a1b2c3d.part.jpg",
        tmp_path / LTSH_FOLDER / "masks" / ".00000012.0a1b2c3d.part.png",
    )
    # Another run may be making these pictures, and these are the user's.
    others = (
        tmp_path / ".train-00000020.0a1b2c3d.part.tar",
        images / ".00000025.0a1b2c3d.part.jpg",
        tmp_path / ".train-something.part.tar",
        tmp_path / ".notes.part.txt",
    )
    for path in (*stale, *others):
        path.write_bytes(b'{"root": [')
    assert make(tmp_path, range(10, 14)) == 4
    assert [path for path in stale if path.exists()] == []
    assert [path for path in others if not path.exists()] == []


@pytest.mark.parametrize("killed_at", [".tar", ".jpg", ".json"])
def test_after_a_kill_in_the_middle_of_a_file_all_is_read_and_mended(tmp_path: Path, killed_at: str) -> None:
    """The other process dies when it has written half of the third file of a kind."""
    program = (
        "import os, sys\nfrom pathlib import Path\n"
        "from ltsh_deploy.train import synth_run, synth_writers\n"
        "from tests.synth_stub import InThisProcess, make\n"
        "synth_run.ProcessPoolExecutor = InThisProcess\n"
        "write, write_all, count = Path.write_bytes, synth_writers._write_all, 0\n"
        "def die_at(name, half, whole):\n"
        "    global count\n"
        f"    count += '.part{killed_at}' in name\n"
        "    if count == 3:\n        half()\n        os.kill(os.getpid(), 9)\n"
        "    whole()\n"
        "Path.write_bytes = lambda path, data: die_at(\n"
        "    path.name, lambda: write(path, data[:len(data) // 2]), lambda: write(path, data))\n"
        "synth_writers._write_all = lambda stream, data: die_at(\n"
        "    str(stream.name), lambda: write_all(stream, data[:len(data) // 2]), lambda: write_all(stream, data))\n"
        "make(Path(sys.argv[1]), range(12), per_shard=3)\n"
    )
    out = tmp_path / "killed"
    done = subprocess.run([sys.executable, "-c", program, str(out)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list(out.rglob(f".*.part{killed_at}"))) == 1
    if killed_at != ".tar":
        assert len(open_dataset("shards", out)) == len(numbers_in(out)) > 0
    if killed_at == ".json":
        assert len(open_dataset("ltsh", out / LTSH_FOLDER)) > 0
    make(out, range(12), per_shard=3)
    assert not list(out.rglob(".*.part*"))
    make(tmp_path / "whole", range(12), per_shard=3)
    assert files_of(out) == files_of(tmp_path / "whole")


def test_the_layout_of_a_deleted_shard_goes_when_its_pictures_are_made_anew(tmp_path: Path) -> None:
    make(tmp_path, range(5))
    (tmp_path / "train-00000000-00000004.tar").unlink()
    make(tmp_path, range(3, 4))
    assert (tmp_path / LTSH_FOLDER / "train-00000000-00000004.json").exists()
    (tmp_path / "train-00000003-00000003.tar").unlink()
    make(tmp_path, range(10))
    assert [path.name for path in (tmp_path / LTSH_FOLDER).glob("*.json")] == ["train-00000000-00000009.json"]
    assert not open_dataset("ltsh", tmp_path / LTSH_FOLDER).skipped


@pytest.mark.parametrize(
    "name", ["train-00000000-00000009.json", "images/00000003.jpg", "masks/00000003.png", "depth/00000009.png"]
)
def test_files_of_the_layout_that_are_cut_off_or_gone_are_written_again(tmp_path: Path, name: str) -> None:
    make(tmp_path, range(20))
    whole = files_of(tmp_path)
    path, other = tmp_path / LTSH_FOLDER / name, tmp_path / LTSH_FOLDER / "images" / "00000015.jpg"
    before = other.stat().st_mtime_ns
    for damage in (lambda: path.write_bytes(path.read_bytes()[:-20]), lambda: path.write_bytes(b""), path.unlink):
        damage()
        assert make(tmp_path, range(20)) == 0
        assert files_of(tmp_path) == whole
    # What was whole is not written for nothing.
    assert other.stat().st_mtime_ns == before


def test_a_picture_that_cannot_be_read_is_left_out_and_told_each_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def run(wanted: range, trouble: int = -1) -> Outcome:
        recipe = StubRecipe(trouble=trouble, what="unreadable")
        caplog.clear()
        return make_pictures(recipe, tmp_path, wanted, per_shard=10, workers=1, ltsh=True, done=lambda steps: None)

    with caplog.at_level(logging.WARNING):
        assert run(range(6), trouble=3) == Outcome(made=5, left_out=1)
        assert "picture 3 is left out: a.jpg: is damaged" in caplog.text
        assert numbers_in(tmp_path) == [0, 1, 2, 4, 5]
        assert run(range(6)) == Outcome(made=0, left_out=1)
        assert "1 of the pictures were left out before" in caplog.text
        assert "first: picture 3 of train-00000000-00000005.tar" in caplog.text
        assert run(range(8), trouble=7) == Outcome(made=1, left_out=2)
        assert run(range(3)) == Outcome(made=0, left_out=0)
        assert not caplog.messages
    assert len(open_dataset("shards", tmp_path)) == len(open_dataset("ltsh", tmp_path / LTSH_FOLDER)) == 6
    (tmp_path / "train-00000000-00000005.tar").unlink()
    assert run(range(6)) == Outcome(made=6, left_out=0)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-9000],
        lambda data: b"",
        lambda data: b"rubbish" * 400,
        lambda data: data[: data.index(b"00000003.")],
    ],
    ids=["cut off", "empty", "rubbish", "cut off between pictures"],
)
def test_of_a_damaged_shard_is_said_which_file_to_delete(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    make(tmp_path, range(20))
    whole, shard = files_of(tmp_path), tmp_path / "train-00000000-00000009.tar"
    shard.write_bytes(damage(shard.read_bytes()))
    with pytest.raises(InputError, match=shard.name) as raised:
        make(tmp_path, range(20))
    assert f"Delete {shard} and give the command" in raised.value.remedy
    # Pictures beyond it can be made meanwhile.
    assert make(tmp_path, range(20, 22)) == 2
    shard.unlink()
    assert make(tmp_path, range(20)) == 10
    assert files_of(tmp_path).items() >= whole.items()


def test_a_shard_under_another_name_is_refused(tmp_path: Path) -> None:
    make(tmp_path, range(10))
    (tmp_path / "train-00000000-00000009.tar").rename(tmp_path / "train-00000010-00000019.tar")
    with pytest.raises(InputError, match="holds picture 0, and its name says that it does not"):
        make(tmp_path, range(20))


def test_a_range_overlaps_what_it_shares_a_picture_with() -> None:
    part = ShardRange(5, 9)
    assert [part.overlaps(range(a, b)) for a, b in ((0, 5), (0, 6), (9, 10), (10, 20), (6, 8), (0, 99))] == [
        False, True, True, False, True, True,
    ]  # fmt: skip

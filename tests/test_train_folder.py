"""A run's folder: nobody else's meanwhile, nothing of the user's replaced; and signals, after which it is sound."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ltsh_deploy.cli.main import main
from ltsh_deploy.errors import OutputError, UsageError
from ltsh_deploy.train.folder import claimed
from ltsh_deploy.train.interruption import Interrupted, Interruption
from ltsh_deploy.train.student import Student
from tests.test_train_run import files, own_datasets, write_command  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")

STOPS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.fixture
def usual_signals() -> Iterator[None]:
    """Handlers as a program has them that was started from a terminal; later tests have them as they were."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_folder_is_one_runs_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, out = write_command(tmp_path, steps=1), tmp_path / "run"
    with claimed(out):
        (out / ".last.0123abcd.part.safetensors").write_bytes(b"half")
        with pytest.raises(UsageError, match="another run is writing into this folder"), claimed(out):
            raise AssertionError("nothing may be written")
        assert main(["train", str(config), "--out", str(out)]) == 2
        assert "another run is writing" in capsys.readouterr().err
        assert files(out) == {".lock", ".last.0123abcd.part.safetensors"}
    assert main(["train", str(config), "--out", str(out)]) == 0
    assert ".last.0123abcd.part.safetensors" not in files(out)
    with claimed(out):
        assert main(["train", str(config), "--out", str(out), "--resume"]) == 2


def test_a_claim_ends_with_its_process(tmp_path: Path) -> None:
    program = "import sys, os; from pathlib import Path; from ltsh_deploy.train.folder import claimed\n"
    program += "with claimed(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=Path(__file__).parent.parent, check=False)
    assert done.returncode == -signal.SIGKILL
    with claimed(tmp_path):
        assert (tmp_path / ".lock").exists()


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="the folder cannot be made"), claimed(tmp_path / "file" / "run"):
        pass
    (tmp_path / ".lock").mkdir()
    with pytest.raises(OutputError, match="cannot be written to"), claimed(tmp_path):
        pass


def test_the_users_own_configuration_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, own = write_command(tmp_path, steps=1).read_text(), tmp_path / "own" / "config.yaml"
    own.parent.mkdir()
    mine = f"# what I learned in the last run\n{whole}"
    own.write_text(mine)
    line = ["train", str(own), "--out", str(own.parent)]
    assert main(line) == 2
    assert "would be replaced" in capsys.readouterr().err
    assert own.read_text() == mine
    assert "state.pt" not in files(own.parent)
    # The same text may be written again, and a link is the file it leads to.
    own.write_text(whole)
    (tmp_path / "link.yaml").symlink_to(own)
    assert main(["train", str(tmp_path / "link.yaml"), "--out", str(own.parent), "--set", "seed=1"]) == 2
    assert main(line) == 0
    assert main([*line, "--resume", "--set", "steps=2"]) == 0
    assert "steps: 2\n" in own.read_text()


def signalled(monkeypatch: pytest.MonkeyPatch, step: int, *numbers: int) -> None:
    """Send signals to this process after a step, which is under way meanwhile."""
    learn = Student.learn

    def learn_and_send(self: Student, losses: Any, count: int) -> float:
        for number in numbers if count + 1 == step else ():
            os.kill(os.getpid(), number)
        return learn(self, losses, count)

    monkeypatch.setattr(Student, "learn", learn_and_send)


@pytest.mark.usefixtures("usual_signals")
@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        *(([number], code) for number, code in STOPS.items()),
        # As a service manager or a terminal that closes may send them.
        ([signal.SIGTERM, signal.SIGHUP, signal.SIGTERM], 143),
        ([signal.SIGHUP, signal.SIGHUP], 129),
    ],
    ids=str,
)
def test_a_signal_stops_a_run_with_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, numbers: list[int], code: int
) -> None:
    config, out = write_command(tmp_path, steps=9, checkpoint_every=100), tmp_path / "run"
    signalled(monkeypatch, 3, *numbers)
    assert main(["-q", "train", str(config), "--out", str(out)]) == code
    assert torch.load(out / "state.pt", weights_only=True)["step"] in (3, 4)


@pytest.mark.usefixtures("usual_signals")
def test_the_last_step_is_no_exception(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, out = write_command(tmp_path, steps=3), tmp_path / "run"
    signalled(monkeypatch, 3, signal.SIGTERM)
    assert main(["-q", "train", str(config), "--out", str(out)]) == 143
    assert torch.load(out / "state.pt", weights_only=True)["step"] == 3
    assert "model_card.md" not in files(out)


@pytest.mark.usefixtures("usual_signals")
def test_a_second_ctrl_c_stops_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, out = write_command(tmp_path, steps=9, checkpoint_every=100), tmp_path / "run"
    signalled(monkeypatch, 3, signal.SIGTERM, signal.SIGINT)
    assert main(["-q", "train", str(config), "--out", str(out)]) == 143
    assert "state.pt" not in files(out)


@pytest.mark.usefixtures("usual_signals")
def test_what_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    interruption = Interruption()
    with interruption.heeded():
        os.kill(os.getpid(), signal.SIGHUP)
        assert interruption.signal == 0
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.signal == signal.SIGTERM
        with pytest.raises(Interrupted) as caught:
            os.kill(os.getpid(), signal.SIGINT)
        assert caught.value.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

"""Runs that go on: with other settings, other data or other code, over, damaged, or within a window of the teacher."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ltsh_deploy.cli.main import main
from ltsh_deploy.datasets import Sample
from ltsh_deploy.errors import ImageError, InputError
from ltsh_deploy.train import start
from ltsh_deploy.train.config import RunConfig
from ltsh_deploy.train.loop import Record
from ltsh_deploy.train.sessions import Session, differences
from ltsh_deploy.train.start import prepare
from ltsh_deploy.train.state import load_state
from ltsh_deploy.train.versions import CodeVersion
from tests import training_data
from tests.test_train_run import HALF, TEACHER, own_datasets, same, same_states, trained, write_command  # noqa: F401
from tests.training_data import tiny_config

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a run of two steps."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        from ltsh_deploy.train import data

        patch.setattr(
            data, "open_dataset", lambda kind, path, **options: getattr(training_data, kind.rpartition(":")[2])(path)
        )
        trained(tiny_config(steps=2), folder)
    return folder / "state.pt"


def resumed_from(state: Path, folder: Path, **changes: Any) -> Any:
    folder.mkdir(exist_ok=True)
    (folder / "state.pt").write_bytes(state.read_bytes())
    return prepare(tiny_config(**{"steps": 2, **changes}), folder, resume=True)


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_the_optimisers_settings_are_those_of_the_configuration(tmp_path: Path) -> None:
    options = {"lr": 0.01, "betas": [0.7, 0.8], "eps": 0.5, "weight_decay": 0.3}
    trained(tiny_config(steps=1, optimiser={"weight_decay": 0.1}), tmp_path)
    run = prepare(tiny_config(steps=2, optimiser=options), tmp_path, resume=True)
    groups = run._student._optimiser.param_groups
    assert [(group["betas"], group["eps"], group["weight_decay"]) for group in groups] == [
        ((0.7, 0.8), 0.5, 0.3),
        ((0.7, 0.8), 0.5, 0.0),
    ]
    # Its moments are those of the run so far.
    assert all(int(moments["step"]) == 1 for moments in run._student._optimiser.state.values())
    with pytest.raises(InputError, match="weight_decay was 0, or is 0 now"):
        prepare(tiny_config(steps=2, optimiser={"weight_decay": 0}), tmp_path, resume=True)


def test_mixed_precision_may_begin_on_the_way(finished: Path, tmp_path: Path) -> None:
    run = resumed_from(finished, tmp_path)
    run._student._scaler = torch.amp.GradScaler("cpu", enabled=True)
    run._student.load_state_dict(load_state(finished))
    assert run._student._scaler.get_scale() > 1


def test_what_changed_is_said_and_written_down(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config, out = write_command(tmp_path, steps=2, average=0), tmp_path / "run"
    versions = iter([CodeVersion("0.1", "aaa"), CodeVersion("0.2", "bbb"), CodeVersion("0.2", "bbb")])
    monkeypatch.setattr(start, "code_version", lambda: next(versions))
    assert main(["train", str(config), "-o", str(out)]) == 0
    assert [each["step"] for each in load_state(out / "state.pt")["sessions"]] == [0]
    monkeypatch.setattr(training_data, "real", lambda path: training_data.make_samples(23, val=4))
    more = ["--resume", "--set", "steps=3", "--set", "optimiser.lr=0.001"]
    assert main(["train", str(config), "-o", str(out), *more]) == 0
    assert "another configuration than the run had so far: steps was 2, is 3; optimiser.lr was 0.002, is 0.001" in (
        caplog.text
    )
    said = 'other data than the run had so far: data set real, training was "20 people in 20 pictures", is "19 people'
    assert said in caplog.text
    # What is as it was before is no news.
    caplog.clear()
    assert main(["train", str(config), "-o", str(out), *more, "--set", "steps=4"]) == 0
    assert "steps was 3, is 4" in caplog.text
    assert "optimiser" not in caplog.text
    assert "other data" not in caplog.text
    card = (out / "model_card.md").read_text()
    assert "ltsh-deploy 0.1, commit aaa; from step 2 on ltsh-deploy 0.2, commit bbb |" in card
    assert "| optimiser.lr | 0.002 | 0.001 |" in card
    assert "Resumed at step 2 with changes:" in card
    assert "Resumed at step 3 with changes:" in card
    assert '"19 people in 19 pictures"' in card


def test_the_code_is_the_one_that_ran_and_not_the_one_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "code_version", lambda: CodeVersion("0.1", "before"))
    run = prepare(tiny_config(steps=1), tmp_path)
    monkeypatch.setattr(start, "code_version", lambda: CodeVersion("0.1", "after"))
    run.train()
    assert [session.code.commit for session in run.sessions] == ["before"]
    assert load_state(tmp_path / "state.pt")["sessions"][0]["code"]["commit"] == "before"


def test_other_boundaries_of_the_groups_are_noticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = tiny_config(data=tiny_config().data.model_dump() | {"mix": HALF}, teacher=TEACHER, steps=3)
    trained(config, tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            training_data,
            "synthetic",
            lambda path: training_data.make_samples(32, synthetic=True, pitch=lambda i: i % 5),
        )
        prepare(config, tmp_path, resume=True)
    assert "groups was " in caplog.text
    assert "people in the groups was " in caplog.text


def test_what_a_killed_run_counts_and_averages_is_what_an_uninterrupted_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Sample.read_image

    def read_image(self: Sample) -> Any:
        if self.split == "train" and int(self.id[1:]) % 3 == 0:
            raise ImageError(f"{self.id}: is broken")
        return read(self)

    def told(records: list[Record]) -> list[Any]:
        return [
            (each.step, {name: value for name, value in each.values.items() if name not in ("images_per_s", "wait")})
            for each in records
            if each.kind == "train"
        ]

    class Killed(BaseException):
        pass

    def kill(record: Record) -> None:
        if record.step == 8:
            raise Killed

    monkeypatch.setattr(Sample, "read_image", read_image)
    # The prefetch is far ahead of the checkpoint, and the checkpoint lies between two lines of the log.
    config = tiny_config(steps=12, checkpoint_every=6, log_every=4, prefetch=12, validation={"every": 12})
    whole, records = trained(config, tmp_path / "whole")
    with pytest.raises(Killed):
        prepare(config, tmp_path / "parts").train(kill)
    run, rest = trained(config, tmp_path / "parts", resume=True)
    assert sum(whole.skipped.values()) >= 12
    assert run.skipped == whole.skipped == load_state(tmp_path / "parts" / "state.pt")["skipped"]
    assert told(rest) == told(records)[1:]
    same_states(tmp_path / "whole", tmp_path / "parts")


def test_a_run_goes_on_with_a_teacher_if_it_began_with_one_and_only_then(tmp_path: Path) -> None:
    data = tiny_config().data.model_dump() | {"mix": HALF}
    taught, alone = tiny_config(data=data, teacher=TEACHER, steps=1), tiny_config(data=data, steps=1)
    trained(taught, tmp_path / "taught")
    trained(alone, tmp_path / "alone")
    before = (tmp_path / "taught" / "state.pt").read_bytes()
    with pytest.raises(InputError, match="the run began with a teacher, and the configuration asks for none"):
        trained(alone, tmp_path / "taught", resume=True)
    with pytest.raises(InputError, match="the run began without a teacher, and the configuration asks for one"):
        trained(taught, tmp_path / "alone", resume=True)
    assert (tmp_path / "taught" / "state.pt").read_bytes() == before


def test_states_that_say_nothing_of_sessions_and_data_go_on(finished: Path, tmp_path: Path) -> None:
    state = torch.load(finished, weights_only=True)
    for key in ("sessions", "data", "skipped", "meter"):
        del state[key]
    torch.save(state | {"window": state["window"] | {"sums": torch.zeros(4, dtype=torch.float64)}}, tmp_path / "old.pt")
    run = resumed_from(tmp_path / "old.pt", tmp_path, steps=3)
    assert [session.step for session in run.sessions] == [0, 2]
    assert run.sessions[0].code.commit is None


def test_differences_are_named_by_dotted_keys() -> None:
    before = {"a": 1, "b": {"c": [1, 2], "d": None}, "e": None}
    after = {"a": 1, "b": {"c": [1, 3], "d": None}, "e": {"f": "g", "h": None}}
    assert differences(before, after) == {"b.c": ([1, 2], [1, 3]), "e.f": (None, "g")}
    assert differences(before, before) == {}


def test_sessions_read_back() -> None:
    session = Session(3, CodeVersion("1", "abc", changed=True), {"torch": "2"}, "CPU", {"a": (None, [1])})
    assert Session.from_dict(json.loads(json.dumps(session.to_dict()))) == session
    assert session.differs(session)
    calm = replace(session, changes={})
    assert not calm.differs(session)
    assert calm.differs(replace(session, device="GPU"))


def test_a_window_that_the_last_step_cuts_is_not_judged_and_goes_on(tmp_path: Path) -> None:
    def config(steps: int) -> RunConfig:
        return tiny_config(data=tiny_config().data.model_dump() | {"mix": HALF}, teacher=TEACHER, steps=steps)

    def windows(records: Any) -> list[Any]:
        return [record.values for record in records if record.kind == "window"]

    _, whole = trained(config(9), tmp_path / "whole")
    _, first = trained(config(8), tmp_path / "parts")
    assert [window["window"] for window in windows(first)] == [0, 1]
    _, rest = trained(config(9), tmp_path / "parts", resume=True)
    assert windows(first) + windows(rest) == windows(whole)


def test_a_run_that_is_over_says_so_and_is_made_complete(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, out = write_command(tmp_path, steps=2), tmp_path / "run"
    line = ["train", str(config), "-o", str(out)]
    assert main(line) == 0
    weights = {name: (out / name).read_bytes() for name in ("best.safetensors", "last.safetensors")}
    for path in out.iterdir():
        if path.name != "state.pt":
            path.unlink()
    # The state is all that there is; then everything is there.
    for _ in range(2):
        assert main([*line, "--resume"]) == 0
        assert "nothing is left to do, all 2 steps are done" in capsys.readouterr().err
        assert {name: (out / name).read_bytes() for name in weights} == weights
        assert [each["kind"] for each in lines_of(out)] == ["final"]
        assert (out / "model_card.md").is_file()
    assert main([*line, "--resume", "--set", "steps=1"]) == 2
    assert "--set steps=1: steps: 1 are asked for, and the run has done 2" in capsys.readouterr().err
    assert "steps: 2" in (out / "config.yaml").read_text()


def test_no_flipped_bit_is_taken_for_a_state(finished: Path, tmp_path: Path) -> None:
    data, draw = finished.read_bytes(), random.Random(0)
    state, path = torch.load(finished, weights_only=True), tmp_path / "flipped.pt"
    refused = 0
    # Everywhere, and where the archive says what is where.
    places = [draw.randrange(len(data)) for _ in range(40)] + [
        draw.randrange(len(data) - 3000, len(data)) for _ in range(60)
    ]
    for place in places:
        flipped = bytearray(data)
        flipped[place] ^= 1 << draw.randrange(8)
        path.write_bytes(flipped)
        try:
            found = load_state(path)
        except InputError as error:
            refused += "flipped.pt" in error.message
        else:
            # There are bytes that mean nothing, such as dates.
            same(found, state, "state")
    assert refused > 50


def _wrong() -> Iterator[tuple[str, Any]]:
    nan = torch.full((2,), torch.nan)
    for key in ("step", "config", "skeleton", "network", "optimiser", "scaler", "window"):
        yield key, None
    yield from (("step", -5), ("step", 1.5), ("step", True), ("best", "x"), ("best", float("nan")), ("teacher", 3))
    yield from (("network", {"a": nan}), ("average", {"a": nan}), ("optimiser", {"state": {0: {"exp_avg": nan}}}))
    yield from (("window", {}), ("window", {"sums": nan, "signals": nan, "crops": nan}))
    yield from (
        ("skipped", {"a": "b"}),
        ("skipped", 3),
        ("sessions", 3),
        ("sessions", [3]),
        ("sessions", [{"step": 1}]),
    )
    sums = {"losses": torch.zeros(2), "norm": 1.0, "steps": 1}
    yield from (("meter", change if change == 3 else sums | change) for change in (3, {"losses": 3}, {"steps": 0}))
    yield from (("best_file", "x"), ("best_file", nan))
    yield from (("data", 3), ("network", {"a": 3}), ("network", {}), ("optimiser", {}), ("scaler", 3), ("config", {}))
    yield from (("optimiser", {"state": [], "param_groups": 3}), ("average", {"a": torch.zeros(1)}))


@pytest.mark.parametrize(("key", "value"), list(_wrong()), ids=str)
def test_what_no_run_has_written_is_refused(finished: Path, tmp_path: Path, key: str, value: Any) -> None:
    state = torch.load(finished, weights_only=True)
    torch.save(state | {key: value}, tmp_path / "wrong.pt")
    with pytest.raises(InputError):
        resumed_from(tmp_path / "wrong.pt", tmp_path)


def test_moments_of_other_weights_are_refused(finished: Path, tmp_path: Path) -> None:
    state = torch.load(finished, weights_only=True)
    state["optimiser"]["state"][0]["exp_avg"] = torch.zeros(3)
    torch.save(state, tmp_path / "wrong.pt")
    with pytest.raises(InputError, match="moments are of other weights"):
        resumed_from(tmp_path / "wrong.pt", tmp_path)


def test_every_part_of_a_state_is_asked_for(finished: Path, tmp_path: Path) -> None:
    state = torch.load(finished, weights_only=True)
    for key in ("step", "window", "scaler", "best", "teacher"):
        torch.save({name: value for name, value in state.items() if name != key}, tmp_path / "state.pt")
        with pytest.raises(InputError, match=f"lacks {key}"):
            load_state(tmp_path / "state.pt")


def test_the_state_after_a_finished_run_is_the_same_again(tmp_path: Path) -> None:
    trained(tiny_config(steps=2), tmp_path / "a")
    trained(tiny_config(steps=2), tmp_path / "b")
    trained(tiny_config(steps=2), tmp_path / "b", resume=True)
    same_states(tmp_path / "a", tmp_path / "b")

"""RTSP cameras that hang, hang up and come back, over real connections: how late frames are, and what they cost."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from ltsh_deploy import streams
from ltsh_deploy.cli import main
from ltsh_deploy.errors import SourceError
from ltsh_deploy.newest_frame import Reconnect
from ltsh_deploy.streams import LiveSource
from tests.colour_model import write_colour_model
from tests.rtsp_server import rtsp_server
from tests.streamed import number_of, resident_mib

SOON = Reconnect(tries=4, first_s=0.05, longest_s=0.1)


def test_a_camera_that_hangs_or_hangs_up_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_READ_TIMEOUT_MS", 400)
    with rtsp_server([(60, 60.0)], [(60, 0.0)], [(60, 0.0)]) as server:
        source = LiveSource(server.address, reconnect=SOON)
        frames = []
        with pytest.raises(SourceError, match="lost after"):
            frames.extend(source)
    seen = [number_of(frame.image) for frame in frames]
    assert seen == sorted(set(seen)), "each at most once, and none that is older than one before"
    assert {number // 60 for number in seen} == {0, 1, 2}
    assert source.reconnects == 2
    indices, times = [frame.index for frame in frames], [frame.time_s or 0.0 for frame in frames]
    assert indices == sorted(set(indices))
    assert times == sorted(times)
    assert max(np.diff(times)) > 0.4, "the time that it hung is not taken out of the times"


def test_results_are_not_later_and_later_though_the_camera_is_faster_and_pauses() -> None:
    with rtsp_server([(60, 0.5), (240, 60.0)]) as server:
        source = LiveSource(server.address, reconnect=SOON)
        late, behind = [], []
        for frame in source:
            number = number_of(frame.image)
            late.append(time.perf_counter() - server.sent_at[number])
            behind.append(len(server.sent_at) - 1 - number)
            if number > 250:
                break
            time.sleep(0.05)  # a network that is several times as slow as the camera
        source.close()
    assert source.reconnects == 0, "a pause is no loss"
    assert 10 < len(late) < 120
    assert source.dropped > 100
    # In a queue, they would be seconds and 200 frames behind by now.
    assert np.median(late[-5:]) < 0.3
    assert np.median(behind[-5:]) < 30


def test_a_thousand_frames_that_nobody_fetches_take_no_memory() -> None:
    with rtsp_server([(1500, 60.0)], interval_s=0.0, size=(640, 480)) as server:
        source = LiveSource(server.address, reconnect=SOON)
        frames = iter(source)
        first = next(frames)
        before, until = resident_mib(), time.monotonic() + 20
        while source.dropped < 1000 and time.monotonic() < until:
            time.sleep(0.02)
        grown, newest = resident_mib() - before, next(frames)
        source.close()
    assert source.dropped >= 1000
    assert newest.index - first.index >= 900
    assert grown < 40, "a thousand frames would be 880 MiB"


def test_infer_goes_on_over_a_camera_that_hangs_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(write_colour_model(tmp_path / "arms.onnx"))
    out = tmp_path / "out.jsonl"
    with rtsp_server([(60, 0.0)], [(400, 60.0)]) as server:
        arguments = ["infer", server.address, "--model", model, "--device", "cpu", "--json", str(out)]
        assert main.main([*arguments, "--max-frames", "100"]) == 0
    records = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert len(records) == 100
    assert {record["source"] for record in records} == {server.address}
    errors = capsys.readouterr().err
    assert "lost; trying again in 0.5 s" in errors
    assert "1 reconnects" in errors

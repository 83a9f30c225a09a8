"""`ltsh serve` under load: 1, 8 and 32 clients on its WebSocket. ``python -m benchmarks.serve``.

The video is a third party's: ``--source`` says where it lies. Server and clients run on this machine, in two processes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
from websockets.asyncio.client import connect

from benchmarks.report import machine, table, write_section
from ltsh_deploy.default_model import default_model
from ltsh_deploy.images import read_image
from ltsh_deploy.machine import describe_machine

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"

_TURNS = 3
_HOW = f"""Each client sends a frame of the video, as JPEG, waits for the answer, and sends the next: one in flight, as
the page does. Latency is what a client measures, from before it sends to when the answer is there. Each frame is
decoded, looked at and grouped into people; nobody is tracked. Each row is a server of its own, warmed up by all clients
for three seconds; the two servers for as many clients take turns under load, {_TURNS} each, so that what else the
machine does hits both.
Memory is what the server's process takes (its resident set) after the warm-up, and at the end."""


@dataclass
class Load:
    """What clients saw of a server, and what it took."""

    clients: int
    batch: int
    memory_before: float
    memory_after: float = math.nan
    together: float = math.nan
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    drops: int = 0
    errors: int = 0

    @property
    def rate(self) -> float:
        """Frames a second of all clients together."""
        return len(self.latencies) / self.seconds

    def percentile(self, part: float) -> float:
        """The latency, in milliseconds, that so large a part of the frames did not exceed."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[math.ceil(part * len(ordered)) - 1]


@contextmanager
def server(model: Path, clients: int, batch: int) -> Iterator[tuple[str, int]]:
    """The address and the process of a server."""
    # Twice as many: those of one turn may not quite have gone when those of the next one come.
    options = ["--port", "0", "--batch", str(batch), "--max-clients", str(2 * clients), "--max-rate", "1000"]
    line = [sys.executable, "-m", "ltsh_deploy", "serve", "--model", str(model), *options]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}readyz"):
                break
            time.sleep(0.1)
        try:
            yield address, process.pid
        finally:
            process.terminate()


def memory(pid: int) -> float:
    """MiB that a process takes."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    found = re.search(r"^VmRSS:\s*(\d+)", status, re.MULTILINE)
    return int(found[1]) / 1024 if found else math.nan


def figures(address: str) -> dict[str, float]:
    """Of the server's own figures: pictures that were looked at, and the sum of their batches' sizes."""
    with urllib.request.urlopen(f"{address}metrics") as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}


async def ask(address: str, frames: Sequence[bytes], first: int, until: float, load: Load | None) -> None:
    """One client: a frame after the other until the time is up."""
    async with connect(f"ws{address.removeprefix('http')}v1/stream", compression=None, proxy=None) as socket:
        number = first
        while (begin := time.perf_counter()) < until:
            await socket.send(frames[number % len(frames)])
            answer = json.loads(await socket.recv())
            number += 1
            if load is None:
                continue
            if "people" in answer:
                load.latencies.append(time.perf_counter() - begin)
            else:
                load.drops += "dropped" in answer
                load.errors += "error" in answer


async def ask_all(address: str, frames: Sequence[bytes], clients: int, seconds: float, load: Load | None) -> None:
    """All clients at once, each from another frame on."""
    until = time.perf_counter() + seconds
    await asyncio.gather(*(ask(address, frames, 7 * each, until, load) for each in range(clients)))


def measure(model: Path, frames: Sequence[bytes], clients: int, batches: Sequence[int], seconds: float) -> list[Load]:
    """A row for each size of batch."""
    loads = []
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(server(model, clients, batch)) for batch in batches]
        counted = []
        for (address, pid), batch in zip(servers, batches, strict=True):
            asyncio.run(ask_all(address, frames, clients, 3, None))
            loads.append(Load(clients, batch, memory(pid)))
            counted.append(figures(address))
        for turn in range(_TURNS):
            # Whoever begins takes turns too.
            for load, (address, _) in list(zip(loads, servers, strict=True))[:: -1 if turn % 2 else 1]:
                begin = time.perf_counter()
                asyncio.run(ask_all(address, frames, clients, seconds / _TURNS, load))
                load.seconds += time.perf_counter() - begin
        for load, (address, pid), before in zip(loads, servers, counted, strict=True):
            load.memory_after = memory(pid)
            more = {name: value - before.get(name, 0) for name, value in figures(address).items()}
            load.together = more["ltsh_batch_pictures_sum"] / max(more["ltsh_batch_pictures_count"], 1)
    return loads


def read_frames(source: Path, most: int = 100) -> list[bytes]:
    """Frames of a video as JPEG; of a picture, that one."""
    video = cv2.VideoCapture(str(source))
    frames: list[bytes] = []
    while len(frames) < most and (frame := video.read()[1]) is not None:
        frames.append(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes())
    return frames


def main() -> None:
    """Measure all and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=default_model())
    parser.add_argument("--source", type=Path, default=SHARED / "data/real/video/walkers.avi")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--batch", type=int, default=4, help="of the batched rows")
    given = parser.parse_args()
    frames = read_frames(given.source)
    height, width = read_image(frames[0]).shape[:2]
    was = describe_machine()
    loads = [
        load
        for clients in given.clients
        for load in measure(given.model, frames, clients, (given.batch, 1), given.seconds)
    ]
    rows: list[list[object]] = [
        [
            *(load.clients, load.batch, load.percentile(0.5), load.percentile(0.95), load.percentile(0.99), load.rate),
            *(load.together, load.drops, load.errors, load.memory_before, load.memory_after),
        ]
        for load in loads
    ]
    columns = ["clients", "`--batch`", "p50 ms", "p95 ms", "p99 ms", "frames/s", "frames a batch", "drops", "errors"]
    ratios: list[list[object]] = [
        [batched.clients, batched.rate / alone.rate] for batched, alone in zip(loads[::2], loads[1::2], strict=True)
    ]
    busy = "" if was.load is None else f" Programs that were running already, on average over a minute: {was.load:.1f}."
    if was.is_busy:
        busy += " **These alone keep all cores busy: on an idle machine, everything is faster.**"
    size = sum(map(len, frames)) / len(frames) / 1000
    parts = [
        "## The server under load",
        f"`python -m benchmarks.serve`, `{given.model.name}`, {len(frames)} frames of `{given.source.name}`, "
        f"{width}x{height}, {size:.0f} kB each, {given.seconds:g} seconds a row. {machine()}.{busy}",
        _HOW,
        table([*columns, "MiB before", "MiB after"], rows),
        "How many times as many frames a second with batches as without; one client's frames go alone either way, so "
        "how far its ratio is from 1 says what the others are worth:",
        table(["clients", f"`--batch {given.batch}` : `--batch 1`"], ratios),
    ]
    write_section("serve", "\n\n".join(parts))


if __name__ == "__main__":
    main()

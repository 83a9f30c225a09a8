"""A server in this process, with a network that knows who is in each picture; and a client's pictures."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cv2
import httpx
import numpy as np
import numpy.typing as npt
from websockets.sync.client import ClientConnection, connect

from ltsh_deploy.descriptions import ModelDescription
from ltsh_deploy.estimator import PoseEstimator
from ltsh_deploy.fields import Fields
from ltsh_deploy.runtimes import Runtime
from ltsh_deploy.server import listen, make_server
from ltsh_deploy.server_config import ServerConfig
from ltsh_deploy.skeletons import Skeleton
from tests.sees_colours import COLOURS, SeesColours
from tests.tiny_onnx import metadata, write_model

ARM = Skeleton("arm", ("right_shoulder", "right_elbow", "right_wrist"), ((0, 1), (2, 1)), (), (0.1, 0.1, 0.1))


class ColourRuntime(SeesColours):
    """One that can be held up, and can fail.

    Attributes:
        open: while it is not set, the network does not answer.
        error: raised instead of an answer, where there is one.
    """

    def __init__(self) -> None:
        maps = {"name": "maps", "channels": (0, 1, 2)}, {"name": "maps", "channels": (3, 4, 5, 6)}
        super().__init__(
            ModelDescription(
                skeleton=ARM, stride=8, size=(128, 96), input={"name": "image"}, heatmaps=maps[0], pafs=maps[1]
            )
        )
        self.open = threading.Event()
        self.open.set()
        self.error: Exception | None = None

    def run(self, images: npt.NDArray[np.uint8]) -> list[Fields]:
        self.open.wait(30)
        if self.error is not None:
            self.batches.append(images.shape)
            raise self.error
        return super().run(images)

    def close(self) -> None:
        self.open.set()
        super().close()


@dataclass
class Running:
    """A server that runs."""

    port: int
    runtime: ColourRuntime
    headers: dict[str, str]
    server: Any

    def end(self) -> None:
        """As a signal does."""
        self.server.should_exit = True

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(self.address + path, headers=options.pop("headers", self.headers), timeout=20, **options)

    def post(self, body: bytes = b"", path: str = "/v1/poses", **options: Any) -> httpx.Response:
        options = {"content": body} | options if body else options
        headers = options.pop("headers", self.headers)
        return httpx.post(self.address + path, headers=headers, timeout=20, **options)

    def connect(self, **options: Any) -> ClientConnection:
        options.setdefault("additional_headers", self.headers)
        return connect(f"ws://127.0.0.1:{self.port}/v1/stream", proxy=None, compression=None, **options)

    def figure(self, name: str) -> float:
        """A line of /metrics; 0 where there is none yet."""
        lines = [line for line in self.get("/metrics").text.splitlines() if line.startswith(name + " ")]
        return float(lines[0].split()[-1]) if lines else 0.0


@contextmanager
def serving(runtime: ColourRuntime | None = None, send_buffer: int = 0, **limits: Any) -> Iterator[Running]:
    """Serve for as long as this is entered; ``send_buffer`` are bytes that the system takes for unread answers."""
    runtime = runtime or ColourRuntime()
    config = ServerConfig(**limits)
    with PoseEstimator(cast(Runtime, runtime)) as estimator, listen("127.0.0.1", 0) as listener:
        if send_buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        server = make_server(estimator, config, "colour.onnx")
        port = listener.getsockname()[1]
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
        thread.start()
        wait_for(lambda: server.started)
        try:
            yield Running(port, runtime, {"Authorization": f"Bearer {config.token}"} if config.token else {}, server)
        finally:
            runtime.open.set()
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


def wait_for(condition: Any, seconds: float = 30) -> None:
    """Wait until it is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.01)


def pixels(width: int = 128, height: int = 96) -> npt.NDArray[np.uint8]:
    """A picture with a patch for each joint of an arm."""
    image = np.full((height, width, 3), 128, np.uint8)
    side = height // 6
    for joint, colour in enumerate(COLOURS):
        x, y = width * (2 * joint + 1) // 8, height * (joint + 1) // 5
        image[y : y + side, x : x + side] = colour
    return image


def encoded(kind: str = ".jpg", width: int = 128, height: int = 96) -> bytes:
    """The same as a file."""
    return cv2.imencode(kind, pixels(width, height)[:, :, ::-1])[1].tobytes()


@dataclass
class Process:
    """A server in a process of its own, whose memory can be looked at."""

    address: str
    port: int
    process: subprocess.Popen[str]
    log: Path

    def memory(self, what: str = "VmRSS") -> float:
        """MiB that it takes now; ``VmHWM``: that it ever took."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(what):
                return int(line.split()[1]) / 1024
        raise AssertionError(f"the server ended: {self.log.read_text()}")

    def socket(self, receive_buffer: int = 0) -> socket.socket:
        """A connection, nothing sent yet."""
        connection = socket.socket()
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(30)
        connection.connect(("127.0.0.1", self.port))
        return connection

    def websocket(self, receive_buffer: int = 0) -> socket.socket:
        """A WebSocket, by hand: it reads nothing by itself."""
        return shake_hands(self.socket(receive_buffer))

    def works(self) -> bool:
        """Whether it still gives poses."""
        answer = httpx.post(f"{self.address}v1/poses", content=encoded(), timeout=30, verify=False)
        return answer.status_code == 200


def shake_hands(connection: socket.socket) -> socket.socket:
    """Make a WebSocket of a connection."""
    connection.sendall(
        b"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = connection.recv(1)
        assert piece, head
        head += piece
    assert head.startswith(b"HTTP/1.1 101"), head
    return connection


def frame(opcode: int, data: bytes, last: bool = True) -> bytes:
    """A WebSocket's frame, as a client sends it: masked, here by zeros."""
    size = len(data)
    length = struct.pack(">B", 128 | size) if size < 126 else struct.pack(">BH", 128 | 126, size)
    if size > 0xFFFF:
        length = struct.pack(">BQ", 128 | 127, size)
    return bytes([opcode | 128 * last]) + length + bytes(4) + data


@contextmanager
def process(folder: Path, *options: str, ends: bool = False) -> Iterator[Process]:
    """`ltsh serve` with a tiny model and these options; ``ends``: the test ends it."""
    model = write_model(folder / "tiny.onnx", metadata=metadata())
    log = folder / "server.log"
    line = [sys.executable, "-m", "ltsh_deploy", "serve", "--model", str(model), "--port", "0", "--threads", "1"]
    with log.open("w") as errors:
        started = subprocess.Popen(
            [*line, *options],
            cwd=Path(__file__).parent.parent,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert started.stdout is not None
    try:
        address = started.stdout.readline()
        assert address, log.read_text()
        running = Process(address.strip(), int(address.rstrip("/\n").rpartition(":")[2]), started, log)
        wait_for(lambda: _listens(running))
        # The first picture brings in what is loaded late.
        assert running.works()
        yield running
        assert ends or started.poll() is None, log.read_text()
        assert "Traceback" not in log.read_text()
    finally:
        started.terminate()
        started.wait(20)
        started.stdout.close()


def _listens(running: Process) -> bool:
    try:
        return httpx.get(f"{running.address}readyz", timeout=10, verify=False).status_code == 200
    except httpx.TransportError:
        return False

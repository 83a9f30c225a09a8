"""A camera with an RTSP address: motion JPEG (RFC 2435) inside the RTSP connection itself (RFC 2326, 10.12)."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Iterator

import cv2

from tests.streamed import picture_of

__all__ = ["RtspServer", "rtsp_server"]

Script = list[tuple[int, float]]

_CLOCK = 90_000


class RtspServer(socketserver.ThreadingTCPServer):
    """Sends numbered pictures.

    Attributes:
        scripts: for each connection that plays, in turn, steps of so many pictures to send and so many seconds to hang
            after them; then it hangs up. Connections beyond are refused with 404.
        sent_at: when each picture, by its number, went out.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, scripts: list[Script], interval_s: float, size: tuple[int, int]) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.scripts, self.interval_s, self.size = scripts, interval_s, size
        self.sent_at: list[float] = []
        self.ended = threading.Event()

    @property
    def address(self) -> str:
        return f"rtsp://127.0.0.1:{self.server_address[1]}/live"


class _Connection(socketserver.StreamRequestHandler):
    server: RtspServer

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            while request := self._request():
                method, number = request
                if method == "DESCRIBE" and not self.server.scripts:
                    self._answer(number, "404 Not Found")
                    return
                self._answer(number, "200 OK", **_ANSWERS.get(method, {}))
                if method == "PLAY":
                    self._play(self.server.scripts.pop(0))
                    return

    def _request(self) -> tuple[str, str] | None:
        lines = [line.decode("ascii").rstrip() for line in iter(self.rfile.readline, b"\r\n") if line.strip()]
        if not lines:
            return None
        headers = dict(line.split(": ", 1) for line in lines[1:])
        return lines[0].split()[0], headers["CSeq"]

    def _answer(self, number: str, status: str, body: str = "", **headers: str) -> None:
        lines = [f"RTSP/1.0 {status}", f"CSeq: {number}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if body:
            lines += [f"Content-Length: {len(body)}"]
        self.wfile.write("\r\n".join([*lines, "", body]).encode("ascii"))

    def _play(self, script: Script) -> None:
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begun, sequence = time.perf_counter(), 0
        for count, hang_s in script:
            for _ in range(count):
                self._send(sequence, begun)
                sequence += 1
                if self.server.ended.wait(self.server.interval_s):
                    return
            if self.server.ended.wait(hang_s):
                return

    def _send(self, sequence: int, begun: float) -> None:
        server = self.server
        data = cv2.imencode(".jpg", picture_of(len(server.sent_at), server.size))[1].tobytes()
        now = time.perf_counter()
        server.sent_at.append(now)
        # The marker, 0x80, says that the packet is a picture's last; type 26 is JPEG.
        head = struct.pack(">BBHII", 0x80, 0x80 | 26, sequence & 0xFFFF, int(_CLOCK * (now - begun)), 1)
        packet = head + _payload(data, server.size)
        self.wfile.write(b"$\0" + struct.pack(">H", len(packet)) + packet)


_ANSWERS = {
    "OPTIONS": {"Public": "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"},
    "DESCRIBE": {
        "Content_Type": "application/sdp",
        "body": "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 26\r\na=control:picture\r\n",
    },
    "SETUP": {"Transport": "RTP/AVP/TCP;unicast;interleaved=0-1", "Session": "1"},
    "PLAY": {"Session": "1"},
}


def _payload(data: bytes, size: tuple[int, int]) -> bytes:
    """A JPEG of OpenCV's (4:2:0, the standard's Huffman tables) without its headers, which RFC 2435 sends in short."""
    place, tables, start = 2, b"", 0
    while not start:
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        segment = data[place + 4 : place + 2 + length]
        while marker == 0xDB and segment:
            tables, segment = tables + segment[1:65], segment[65:]
        place += 2 + length
        start = place if marker == 0xDA else 0
    short = struct.pack(">IBBBB", 0, 1, 255, size[0] // 8, size[1] // 8)
    return short + struct.pack(">BBH", 0, 0, len(tables)) + tables + data[start : data.rindex(b"\xff\xd9")]


@contextlib.contextmanager
def rtsp_server(*scripts: Script, interval_s: float = 0.01, size: tuple[int, int] = (160, 96)) -> Iterator[RtspServer]:
    """A server that runs until the block ends; sizes are multiples of 16."""
    with RtspServer(list(scripts), interval_s, size) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield server
        finally:
            server.ended.set()
            server.shutdown()

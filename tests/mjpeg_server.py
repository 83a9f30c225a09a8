"""A camera with an HTTP address: a real server that sends JPEG after JPEG, hangs up when told to, and comes back."""

from __future__ import annotations

import contextlib
import http.server
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

import cv2

from ltsh_deploy.images import Image

__all__ = ["MjpegServer", "mjpeg_server"]


class MjpegServer(http.server.ThreadingHTTPServer):
    """Serves series of pictures by path, each over and over.

    Attributes:
        pictures: JPEGs by path.
        hang_up_after: frames after which the path's first connection is cut off in the middle of a frame.
        connections: how many there were, by path.
    """

    daemon_threads = True

    def __init__(self, pictures: dict[str, Sequence[Image]], interval_s: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pictures = {
            path: [
                cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes() for image in each
            ]
            for path, each in pictures.items()
        }
        self.interval_s = interval_s
        self.hang_up_after: dict[str, int] = {}
        self.connections: Counter[str] = Counter()
        self.ended = threading.Event()

    def address(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves is no error."""


def _jpeg(image: Image) -> bytes:
    return cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: MjpegServer

    def do_GET(self) -> None:
        server, path = self.server, urlsplit(self.path).path
        if path not in server.pictures:
            self.send_error(404)
            return
        server.connections[path] += 1
        last = server.hang_up_after.get(path) if server.connections[path] == 1 else None
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        with contextlib.suppress(OSError):
            for number, data in enumerate(itertools.cycle(server.pictures[path])):
                self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data))
                if number == last:
                    self.wfile.write(data[: len(data) // 2])
                    return
                self.wfile.write(data + b"\r\n")
                if server.ended.wait(server.interval_s):
                    return

    def log_message(self, *args: object) -> None:
        pass


@contextlib.contextmanager
def mjpeg_server(pictures: dict[str, Sequence[Image]], interval_s: float = 0.02) -> Iterator[MjpegServer]:
    """A server that runs until the block ends."""
    with MjpegServer(pictures, interval_s) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield server
        finally:
            server.ended.set()
            server.shutdown()
            time.sleep(2 * interval_s)

"""Clients who mean ill: nothing crashes, nothing grows, nobody else is kept waiting."""

from __future__ import annotations

import json
import random
import select
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

from tests.serving import Process, encoded, frame, process, serving, shake_hands, wait_for

GIB = 1 << 30


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    options = ("--max-clients", "1200", "--max-rate", "100000")
    with process(tmp_path_factory.mktemp("hostile"), *options) as running:
        yield running


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(*sizes: tuple[int, int]) -> bytes:
    """A small PNG that promises these sizes, the first of them first."""
    heads = [chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)) for size in sizes]
    data = zlib.compress(bytes(10_000_000))
    return b"\x89PNG\r\n\x1a\n" + heads[0] + chunk(b"IDAT", data) + b"".join(heads[1:]) + chunk(b"IEND", b"")


def webp(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP" + b"".join(
        name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg(width: int, height: int) -> bytes:
    """A small JPEG that promises this size."""
    data = bytearray(encoded(".jpg", 64, 48))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def many_scans() -> bytes:
    data = cv2.imencode(".jpg", np.zeros((512, 512, 3), np.uint8), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    at = data.rindex(b"\xff\xda")
    return data[:at] + data[at:-2] * 2000 + data[-2:]


LARGE_VP8L = (b"VP8L", b"\x2f" + struct.pack("<I", 0x3FFF | 0x3FFF << 14) + bytes(30))
SMALL_VP8X = (b"VP8X", bytes(4) + struct.pack("<I", 7)[:3] + struct.pack("<I", 7)[:3])
BOMBS = {
    "png": (png((60_000, 60_000)), "too_many_pixels"),
    "png, small at second sight": (png((60_000, 60_000), (8, 8)), "too_many_pixels"),
    "png, large at second sight": (png((8, 8), (60_000, 60_000)), "too_many_pixels"),
    "webp": (webp(LARGE_VP8L), "too_many_pixels"),
    "webp, small at second sight": (webp(LARGE_VP8L, SMALL_VP8X), "too_many_pixels"),
    "webp, large at second sight": (webp(SMALL_VP8X, LARGE_VP8L), "too_many_pixels"),
    "jpeg": (jpeg(65_500, 65_500), "too_many_pixels"),
    "jpeg of many scans": (many_scans(), "damaged"),
    "jpeg of many segments": (b"\xff\xd8" + b"\xff\xfe\0\2" * 4_000_000 + encoded()[2:], "damaged"),
    "png of many chunks": (encoded(".png")[:33] + chunk(b"tEXt", b"") * 1_300_000 + encoded(".png")[33:], "damaged"),
    "no size": (b"\xff\xd8\xff\xd9", "damaged"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_does_not_go_off(server: Process, name: str) -> None:
    data, code = BOMBS[name]
    before, begin = server.memory("VmHWM"), time.perf_counter()
    answer = httpx.post(f"http://127.0.0.1:{server.port}/v1/poses", content=data, timeout=30)
    assert answer.json()["error"]["code"] == code
    assert time.perf_counter() - begin < 2
    assert server.memory("VmHWM") - before < 60


def test_what_follows_a_picture_is_no_part_of_it(server: Process) -> None:
    # A motion photo: its video holds, by chance, what marks a scan.
    answer = httpx.post(f"{server.address}v1/poses", content=encoded() + b"\0video\xff\xda" * 1000, timeout=30)
    assert answer.status_code == 200


@pytest.mark.parametrize("declared", [True, False], ids=["said before", "in pieces"])
def test_a_body_of_two_gigabytes_is_not_taken_in(server: Process, declared: bool) -> None:
    before = server.memory("VmHWM")
    with server.socket() as connection:
        length = f"Content-Length: {2 * GIB}" if declared else "Transfer-Encoding: chunked"
        connection.sendall(f"POST /v1/poses HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n".encode())
        piece = bytes(1 << 16)
        piece = piece if declared else b"10000\r\n" + piece + b"\r\n"
        sent, answer = 0, b""
        while sent < 2 * GIB and not answer:
            readable, writable, _ = select.select([connection], [connection], [], 10)
            assert readable or writable
            if readable:
                answer = connection.recv(4096)
            elif writable:
                sent += connection.send(piece[sent % len(piece) :])
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close\r\n" in answer.lower()
    assert sent < 40 << 20
    assert server.memory("VmHWM") - before < 60
    assert server.works()


@pytest.mark.parametrize(
    ("path", "length", "status"),
    [("/v1/poses?threshold=2", 1000, 422), ("/v1/model", 1000, 405), ("/nothing", 1000, 404), ("/v1/poses", 0, 400)],
)
def test_a_body_that_nobody_wants_is_not_waited_for(server: Process, path: str, length: int, status: int) -> None:
    with server.socket() as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode())
        answer = connection.recv(4096)
        assert answer.startswith(f"HTTP/1.1 {status}".encode())
        assert b"connection: close\r\n" in answer.lower()


def test_a_body_after_the_answer_ends_the_connection() -> None:
    with serving() as running, socket.create_connection(("127.0.0.1", running.port)) as connection:
        connection.settimeout(10)
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n")
        # Else a byte every few seconds would keep it for ever.
        end = time.monotonic() + 3
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
        assert answer.startswith(b"HTTP/1.1 200")
        assert time.monotonic() < end


def test_a_picture_that_cannot_be_used_leaves_the_connection(server: Process) -> None:
    with httpx.Client(base_url=server.address) as client:
        answers = [client.post("/v1/poses", content=b"nonsense" * 9) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [415, 415]
    assert "connection" not in answers[0].headers


def test_a_body_that_never_ends_is_given_up() -> None:
    with serving(upload_s=0.5) as running, socket.create_connection(("127.0.0.1", running.port)) as connection:
        connection.settimeout(10)
        connection.sendall(b"POST /v1/poses HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc")
        assert connection.recv(4096).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("begun", [b"", b"GET / HT", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HT"])
def test_a_request_that_never_begins_is_given_up(begun: bytes) -> None:
    with serving(upload_s=0.5) as running, socket.create_connection(("127.0.0.1", running.port)) as connection:
        connection.settimeout(10)
        connection.sendall(begun)
        try:
            while connection.recv(4096):
                pass
        except ConnectionResetError:
            pass


def test_bodies_on_their_way_have_a_limit_together() -> None:
    with serving(max_uploads=300_000) as running:
        held = []
        for _ in range(3):
            held.append(socket.create_connection(("127.0.0.1", running.port)))
            head = b"POST /v1/poses HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90001\r\n\r\n"
            held[-1].sendall(head + bytes(90_000))
        answer = httpx.Response(200)

        def refused() -> bool:
            nonlocal answer
            answer = running.post(bytes(60_000))
            return answer.status_code == 503

        wait_for(refused)
        for connection in held:
            connection.close()
        wait_for(lambda: running.post(bytes(60_000)).status_code == 415)


def test_a_thousand_idle_sockets_take_no_memory_and_hinder_nobody(server: Process) -> None:
    before = server.memory()
    idle = [server.socket() for _ in range(1000)]
    idle += [server.websocket() for _ in range(1000)]
    try:
        assert server.works()
        assert server.memory() - before < 100
    finally:
        for connection in idle:
            connection.close()
    assert server.works()


def was_cut_off(connection: socket.socket, data: bytes) -> bool:
    """Whether a connection is found closed as something is sent; what is not taken in time is no sign of it."""
    try:
        connection.sendall(data)
    except TimeoutError:
        return False
    except (ConnectionResetError, BrokenPipeError):
        return True
    return False


def test_who_never_reads_is_cut_off_and_hinders_nobody() -> None:
    with serving(unread_s=1.0, send_buffer=4096, max_rate=1e6) as running:
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", running.port))
        deaf.settimeout(0.5)
        shake_hands(deaf)
        others = 0
        end = time.monotonic() + 15
        while not was_cut_off(deaf, frame(1, b"{}") * 100):
            assert time.monotonic() < end
            # Its frames are not read any more, but others' are.
            others += running.post(encoded()).status_code == 200
        assert others > 0
        deaf.close()
        wait_for(lambda: running.figure("ltsh_websockets") == 0)


def test_pings_that_nobody_reads_the_answers_to_pile_up_nowhere(server: Process) -> None:
    before = server.memory()
    with server.websocket(receive_buffer=4096) as connection:
        pings = frame(9, bytes(125)) * 1000
        connection.settimeout(5)
        try:
            for _ in range(300):
                connection.sendall(pings)
        except OSError:
            # Cut off.
            pass
        assert server.memory() - before < 30
    assert server.works()


def test_who_is_refused_or_goes_at_once_writes_nothing_into_the_log(server: Process) -> None:
    before = server.log.read_text()
    head = b"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    head += b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    with server.socket() as connection:
        connection.sendall(head + b"Origin: https://evil.example\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 403")
    for number in range(60):
        with server.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(head + b"\r\n" + frame(2, encoded()) * (number % 3))
            time.sleep(number % 4 / 200)
    wait_for(lambda: "ltsh_websockets 0.0" in httpx.get(f"{server.address}metrics").text)
    assert server.works()
    assert server.log.read_text() == before


def test_a_message_in_endless_pieces_is_no_message(server: Process) -> None:
    with server.websocket() as connection:
        connection.sendall(frame(2, b"", last=False))
        assert any(was_cut_off(connection, frame(0, b"", last=False) * 1000) for _ in range(1000))
    assert server.works()


def malformed(random_: random.Random) -> bytes:
    """A frame that is no whole picture, or one that is and has been damaged."""
    whole = encoded(random_.choice([".jpg", ".png", ".webp"]), 64, 48)
    kind = random_.randrange(5)
    if kind == 0:
        return random_.randbytes(random_.randrange(300))
    if kind == 1:
        return whole[: random_.randrange(len(whole))]
    data = bytearray(whole)
    for _ in range(random_.randrange(1, 20)):
        # The headers, mostly.
        data[int(len(data) * random_.random() ** kind)] = random_.randrange(256)
    return bytes(data)


def test_ten_thousand_malformed_frames_leave_no_trace(server: Process) -> None:
    random_ = random.Random(7)
    frames = [malformed(random_) for _ in range(500)]
    seen: dict[str, int] = {}
    sizes = []
    with server.websocket() as connection:
        reader = connection.makefile("rb")
        for number in range(10_000):
            connection.sendall(frame(2, frames[number % 500]))
            answer = read_message(reader)
            assert answer["seq"] == number
            outcome = answer["error"]["code"] if "error" in answer else "people"
            seen[outcome] = seen.get(outcome, 0) + 1
            if number % 1000 == 999:
                sizes.append(server.memory())
        reader.close()
    assert set(seen) <= {"people", "not_a_picture", "damaged", "too_many_pixels"}
    assert seen["damaged"] > 1000
    # What the first frames bring into memory stays; nothing is added to it.
    assert sizes[-1] - sizes[1] < 15
    assert server.works()


def read_message(reader: socket.SocketIO | object) -> dict[str, dict[str, str]]:
    read = reader.read  # type: ignore[union-attr]
    head = read(2)
    size = head[1]
    if size == 126:
        (size,) = struct.unpack(">H", read(2))
    elif size == 127:
        (size,) = struct.unpack(">Q", read(8))
    return dict(json.loads(read(size)))


def test_what_is_no_websocket_and_no_http_ends_the_connection_and_nothing_else(server: Process, tmp_path: Path) -> None:
    random_ = random.Random(11)
    rubbish = [random_.randbytes(random_.randrange(1, 200)) for _ in range(150)]
    rubbish += [frame(opcode, b"abc") for opcode in range(3, 16)]
    rubbish += [frame(1, b"\xff\xfe"), frame(0, b"x"), frame(8, b"x"), frame(8, b"\x03\xe8\xff"), b"\x82\x03abc"]
    rubbish += [b"\x82\xff" + b"\x7f" + b"\xff" * 7 + bytes(4), b"\xf2\x80\0\0\0\0", frame(9, bytes(126))]
    for data in rubbish:
        for connection in (server.socket(), server.websocket()):
            with connection:
                connection.sendall(data)
    for head in (
        b"GET / HTTP/9\r\n\r\n",
        b"GET " + b"a" * 100_000,
        b"X: " * 50_000,
        b"GET /%ff%00 HTTP/1.1\r\nHost: a\r\n\r\n",
    ):
        with server.socket() as connection:
            try:
                connection.sendall(head)
                assert not connection.recv(100).startswith(b"HTTP/1.1 5")
            except OSError:
                # It was cut off.
                pass
    assert server.works()

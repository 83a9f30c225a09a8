"""The server's WebSocket: an answer for each frame, the newest one first, settings, access, overload."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from ltsh_deploy import server_engine
from ltsh_deploy.server_pictures import prepare
from tests.serving import ColourRuntime, Running, encoded, pixels, serving, wait_for

ROOT = Path(__file__).parent.parent
TOKEN = "a-token-of-a-test-1234"
PICTURE = encoded()


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving(max_rate=1000.0) as running:
        yield running


def answer(client: ClientConnection) -> dict[str, Any]:
    return dict(json.loads(client.recv(timeout=20)))


def ask(client: ClientConnection, message: str | bytes) -> dict[str, Any]:
    client.send(message)
    return answer(client)


@pytest.mark.parametrize("kind", [".jpg", ".png", ".webp"])
def test_a_frame_gives_the_poses_that_http_gives(server: Running, kind: str) -> None:
    data = encoded(kind, 320, 200)
    (expected,) = server.post(data).json()["results"]
    with server.connect() as client:
        got = ask(client, data)
    assert got.pop("timing").keys() == expected.pop("timing").keys()
    assert expected.pop("source") is None
    assert got == {"seq": 0, **expected}


def test_whatever_is_sent_is_answered_and_the_connection_goes_on(server: Running) -> None:
    with server.connect() as client:
        for number, (data, code) in enumerate(
            [(b"", "not_a_picture"), (b"x" * 100, "not_a_picture"), (PICTURE[:500], "damaged"), (PICTURE, None)]
        ):
            got = ask(client, data)
            assert got["seq"] == number
            assert got.get("error", {}).get("code") == code


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", "null", '{"dog": 1}', '{"threshold": 2}', '{"threshold": "0.1"}', '{"threshold": NaN}',
     '{"track": 1}', '{"max_side": 1}', '{"skeleton": "dog"}', "[" * 4000, '{"a": "' + "b" * 5000 + '"}',
     '{"threshold": 1e999}'],
)  # fmt: skip
def test_settings_that_cannot_be_change_nothing(server: Running, text: str) -> None:
    with server.connect() as client:
        ask(client, '{"threshold": 0.25}')
        assert ask(client, text)["error"]["code"] == "bad_settings"
        assert ask(client, "{}")["settings"]["threshold"] == 0.25


def test_settings_hold_for_the_frames_after_them(server: Running) -> None:
    with server.connect() as client:
        assert "id" not in ask(client, PICTURE)["people"][0]
        settings = ask(client, '{"track": true, "skeleton": "coco17"}')["settings"]
        assert settings == {"threshold": None, "max_side": None, "skeleton": "coco17", "track": True, "smooth": False}
        assert [ask(client, PICTURE)["people"][0]["id"] for _ in range(3)] == [1, 1, 1]
        assert len(ask(client, PICTURE)["people"][0]["joints"]) == 17
        ask(client, '{"threshold": 1.0}')
        assert ask(client, PICTURE)["people"] == []
        ask(client, '{"threshold": null, "track": false}')
        assert "id" not in ask(client, PICTURE)["people"][0]


def test_a_frame_that_waits_keeps_the_settings_that_it_came_with() -> None:
    with serving() as running, running.connect() as client:
        ask(client, '{"track": true}')
        running.runtime.open.clear()
        client.send(PICTURE)
        wait_for(lambda: running.figure("ltsh_queue_pictures") == 1)
        client.send(PICTURE)
        ask(client, '{"track": false, "threshold": 1.0, "skeleton": "coco17"}')
        running.runtime.open.set()
        for number in range(2):
            got = answer(client)
            assert (got["seq"], got["skeleton"], got["people"][0]["id"]) == (number, "arm", 1)
        assert ask(client, PICTURE)["people"] == []


def test_clients_have_tracks_of_their_own(server: Running) -> None:
    with server.connect() as one, server.connect() as other:
        for client in (one, other):
            ask(client, '{"smooth": true}')
            assert ask(client, PICTURE)["people"][0]["id"] == 1


def test_the_newest_frame_wins_and_each_is_answered_once() -> None:
    with serving(max_rate=1000.0) as running, running.connect() as client:
        running.runtime.open.clear()
        client.send(PICTURE)
        wait_for(lambda: running.figure("ltsh_queue_pictures") == 1)
        for _ in range(9):
            client.send(PICTURE)
        dropped = [answer(client) for _ in range(8)]
        assert dropped == [{"seq": number, "dropped": "newer"} for number in range(1, 9)]
        running.runtime.open.set()
        assert [answer(client)["seq"] for _ in range(2)] == [0, 9]


def test_a_client_that_sends_too_many_frames_is_told_so() -> None:
    with serving(max_rate=5.0) as running, running.connect() as client:
        answers = [ask(client, PICTURE) for _ in range(20)]
        dropped = [each for each in answers if each.get("dropped") == "rate"]
        assert [each["seq"] for each in answers] == list(range(20))
        assert 10 <= len(dropped) <= 15
        assert all("people" in each for each in answers[:5])


def test_overload_is_said_at_once_and_passes() -> None:
    with serving(queue=2) as running, running.connect() as other:
        running.runtime.open.clear()
        post = threading.Thread(target=running.post, args=(PICTURE,))
        post.start()
        other.send(PICTURE)
        wait_for(lambda: running.figure("ltsh_queue_pictures") == 2)
        refused = running.post(PICTURE)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overload")
        assert int(refused.headers["retry-after"]) >= 1
        with running.connect() as client:
            assert ask(client, PICTURE) == {"seq": 0, "dropped": "overload"}
            running.runtime.open.set()
            post.join(20)
            assert "people" in answer(other)
            assert "people" in ask(client, PICTURE)
        assert running.figure("ltsh_queue_pictures") == 0


def test_who_wants_much_leaves_places_to_others() -> None:
    with serving(queue=8) as running:
        running.runtime.open.clear()
        with ThreadPoolExecutor(8) as pool:
            posts = [pool.submit(running.post, PICTURE) for _ in range(8)]
            wait_for(lambda: sum(post.done() for post in posts) == 4)
            with running.connect() as client:
                client.send(PICTURE)
                wait_for(lambda: running.figure("ltsh_queue_pictures") == 5)
                running.runtime.open.set()
                assert "people" in answer(client)
            assert sorted(post.result().status_code for post in posts) == [200] * 4 + [503] * 4
        assert running.figure("ltsh_queue_pictures") == 0


def test_large_pictures_leave_a_decoder_to_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    # Else two clients that send what takes seconds to decode would keep all others waiting.
    going_on = threading.Event()

    def slow_if_large(*given: Any) -> Any:
        prepared = prepare(*given)
        if prepared is not None and prepared.width > 1000:
            assert going_on.wait(30)
        return prepared

    monkeypatch.setattr(server_engine, "prepare", slow_if_large)
    monkeypatch.setattr(server_engine, "_LARGE", 1000 * 1000)
    with serving() as running, ThreadPoolExecutor(3) as pool, running.connect() as client:
        posts = [pool.submit(running.post, encoded(".jpg", 1280, 960)) for _ in range(3)]
        wait_for(lambda: running.figure("ltsh_queue_pictures") == 3)
        try:
            assert "people" in ask(client, PICTURE)
        finally:
            going_on.set()
        assert [post.result().status_code for post in posts] == [200] * 3


def test_every_frame_is_counted_once_also_of_those_who_go() -> None:
    with serving(max_rate=1000.0) as running:
        running.runtime.open.clear()
        with running.connect() as client:
            client.send(PICTURE)
            wait_for(lambda: running.figure("ltsh_queue_pictures") == 1)
            for _ in range(3):
                client.send(PICTURE)
            assert [answer(client) for _ in range(2)] == [{"seq": number, "dropped": "newer"} for number in (1, 2)]
        wait_for(lambda: running.figure("ltsh_websockets") == 0)
        running.runtime.open.set()
        counted = {
            outcome: running.figure(f'ltsh_pictures_total{{outcome="{outcome}",way="websocket"}}')
            for outcome in ("done", "dropped, newer", "gone")
        }
        assert counted == {"done": 0, "dropped, newer": 2, "gone": 2}


def test_while_the_network_fails_clients_are_let_in_and_show_when_it_works_again() -> None:
    with serving() as running:
        running.runtime.error = ValueError("out of memory")
        for _ in range(3):
            running.post(PICTURE)
        assert running.get("/readyz").status_code == 503
        with running.connect() as client:
            assert ask(client, PICTURE)["error"]["code"] == "failed"
            running.runtime.error = None
            assert "people" in ask(client, PICTURE)
        assert running.get("/readyz").status_code == 200


@pytest.mark.parametrize("path", ["/", "/stream", "/v1/stream/", "/v1/poses"])
def test_on_another_path_there_is_none(server: Running, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://127.0.0.1:{server.port}{path}", proxy=None)
    assert refused.value.response.status_code == 404
    assert json.loads(refused.value.response.body)["error"]["code"] == "not_found"
    counted = path if path in ("/", "/v1/poses") else "other"
    assert server.figure(f'ltsh_requests_total{{path="{counted}",status="404"}}') >= 1


def test_there_are_so_many_clients_and_no_more() -> None:
    with serving(max_clients=2) as running:
        with running.connect() as one, running.connect():
            with pytest.raises(InvalidStatus) as refused:
                running.connect()
            assert refused.value.response.status_code == 503
            assert refused.value.response.headers["retry-after"]
            assert "people" in ask(one, PICTURE)
        wait_for(lambda: running.figure("ltsh_websockets") == 0)
        with running.connect() as client:
            assert "people" in ask(client, PICTURE)


def test_whoever_sends_nothing_for_too_long_is_sent_away() -> None:
    with serving(idle_s=0.3) as running, running.connect() as client:
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1000, "idle")


def test_a_message_that_is_too_large_ends_the_connection() -> None:
    with serving(max_message=10_000) as running, running.connect() as client:
        client.send(bytes(10_001))
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
        with running.connect() as client:
            assert "people" in ask(client, PICTURE)


@pytest.fixture(scope="module")
def closed() -> Iterator[Running]:
    with serving(token=TOKEN) as running:
        yield running


class TestAccess:
    @pytest.mark.parametrize(
        ("options", "status"),
        [
            ({"additional_headers": {}}, 401),
            ({"additional_headers": {"Authorization": "Bearer wrong"}}, 401),
            ({"additional_headers": {}, "subprotocols": ["ltsh.v1", "ltsh.token.wrong"]}, 401),
            ({"origin": "https://evil.example"}, 403),
            ({"origin": "null"}, 403),
        ],
    )
    def test_a_handshake_is_refused(self, closed: Running, options: dict[str, Any], status: int) -> None:
        with pytest.raises(InvalidStatus) as refused:
            closed.connect(**options)
        assert refused.value.response.status_code == status
        assert json.loads(refused.value.response.body)["error"]["code"] in ("token", "origin")

    def test_the_token_comes_as_a_subprotocol_and_does_not_go_back(self, closed: Running) -> None:
        offered: Any = ["ltsh.v1", f"ltsh.token.{TOKEN}"]
        origin: Any = closed.address
        with closed.connect(additional_headers={}, subprotocols=offered, origin=origin) as client:
            assert client.subprotocol == "ltsh.v1"
            assert TOKEN not in str(client.response and client.response.headers)
            assert "people" in ask(client, PICTURE)

    def test_a_name_that_somebody_points_here_leads_nowhere(self, server: Running) -> None:
        with socket.create_connection(("127.0.0.1", server.port)) as raw:
            raw.sendall(
                b"GET /v1/stream HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\n"
                b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            assert raw.recv(100).startswith(b"HTTP/1.1 403")


def test_clients_share_batches_and_each_gets_its_own_people() -> None:
    runtime = ColourRuntime()
    with serving(runtime, batch=4, max_rate=1000.0) as running, ExitStack() as stack:
        clients = [stack.enter_context(running.connect()) for _ in range(6)]
        runtime.open.clear()
        clients[0].send(encoded(".png", 128, 96))
        wait_for(lambda: running.figure("ltsh_queue_pictures") == 1)
        sizes = [(128, 96), (128, 96), (256, 192), (128, 96), (96, 128), (128, 96)]
        for client, size in zip(clients[1:], sizes[1:], strict=True):
            client.send(encoded(".png", *size))
        wait_for(lambda: running.figure("ltsh_queue_pictures") == 6)
        runtime.open.set()
        got = [answer(client) for client in clients]
        assert [(each["width"], each["height"]) for each in got] == sizes
        assert [len(each["people"]) for each in got] == [1] * 6
        # A picture of another shape is in no batch with them.
        assert sorted(runtime.batches) == [(1, 96, 72, 3), (1, 96, 128, 3), (4, 96, 128, 3)]


def test_the_end_of_the_server_is_told() -> None:
    with ExitStack() as stack:
        with serving() as running:
            client = stack.enter_context(running.connect())
            assert "people" in ask(client, PICTURE)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012


def test_the_example_prints_who_is_where(closed: Running, tmp_path: Path) -> None:
    video = cv2.VideoWriter(str(tmp_path / "video.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (128, 96))
    for _ in range(3):
        video.write(pixels()[:, :, ::-1])
    video.release()
    address = f"ws://127.0.0.1:{closed.port}/v1/stream"
    line = [sys.executable, "examples/websocket_client.py", str(tmp_path / "video.avi"), address]
    environment = os.environ | {"LTSH_TOKEN": TOKEN}
    run = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True)
    settings, *frames = run.stdout.splitlines()
    assert json.loads(settings)["settings"]["track"] is True
    assert [frame.partition(", score")[0] for frame in frames] == [f"frame {i}: person 1, 3 joints" for i in range(3)]

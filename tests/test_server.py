"""The server's HTTP side: poses, forms, errors, access, figures."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from ltsh_deploy import server as server_module
from ltsh_deploy import server_app
from ltsh_deploy.errors import LtshError
from ltsh_deploy.estimator import PoseEstimator
from ltsh_deploy.images import read_image
from ltsh_deploy.pose_formats import FramePoses, to_record
from ltsh_deploy.runtimes import Runtime
from ltsh_deploy.server_openapi import describe
from tests.serving import ColourRuntime, Running, encoded, serving, wait_for

TOKEN = "a-token-of-a-test-1234"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving(max_pictures=4, max_bytes=200_000, max_pixels=1_000_000) as running:
        yield running


def code(answer: httpx.Response) -> str:
    """Of an error, whose form is checked."""
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "remedy"}
    return str(body["error"]["code"])


@pytest.mark.parametrize("kind", [".jpg", ".png", ".webp"])
def test_a_picture_gives_the_poses_that_infer_gives(server: Running, kind: str) -> None:
    data = encoded(kind, 320, 200)
    answer = server.post(data)
    assert answer.status_code == 200
    (result,) = answer.json()["results"]
    with PoseEstimator(cast(Runtime, ColourRuntime())) as estimator:
        record = to_record(FramePoses(estimator(read_image(data)), "", 320, 200))
    assert len(result["people"]) == 1
    assert result["people"] == record["people"]
    assert (result["width"], result["height"], result["skeleton"], result["source"]) == (320, 200, "arm", None)
    assert result["timing"]["total_ms"] >= result["timing"]["network_ms"] >= 0


def test_several_pictures_give_results_in_their_order(server: Running) -> None:
    files = [
        ("image", ("a.jpg", encoded(".jpg", 128, 96))),
        ("image", ("b.png", encoded(".png", 200, 96))),
        ("other", ("../../etc/passwd", b"nonsense")),
        ("image", ("d.webp", encoded(".webp", 96, 128))),
    ]
    answer = server.post(files=files)
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [result["source"] for result in results] == ["a.jpg", "b.png", "../../etc/passwd", "d.webp"]
    assert [result.get("width") for result in results] == [128, 200, None, 96]
    assert results[2]["error"]["code"] == "not_a_picture"


def test_what_a_client_wishes_is_heeded(server: Running) -> None:
    server.runtime.batches.clear()
    plain = server.post(encoded()).json()["results"][0]
    strict = server.post(encoded(), params={"threshold": 1}).json()["results"][0]
    small = server.post(encoded(), params={"max_side": 64}).json()["results"][0]
    other = server.post(encoded(), params={"skeleton": "coco17"}).json()["results"][0]
    assert [shape[1:3] for shape in server.runtime.batches] == [(96, 128), (96, 128), (48, 64), (96, 128)]
    assert [len(result["people"]) for result in (plain, strict, small, other)] == [1, 0, 1, 1]
    assert other["skeleton"] == "coco17"
    assert len(other["people"][0]["joints"]) == 17


@pytest.mark.parametrize(
    ("body", "headers", "status", "expected"),
    [
        (b"nonsense" * 9, {}, 415, "not_a_picture"),
        (b"GIF89a" + bytes(90), {}, 415, "not_a_picture"),
        (encoded()[:900], {}, 422, "damaged"),
        (b"", {}, 400, "bad_request"),
        (bytes(200_001), {}, 413, "too_large"),
        (encoded(), {"content-type": "multipart/form-data"}, 400, "bad_request"),
        (encoded(), {"content-type": "multipart/form-data; boundary=x"}, 400, "bad_request"),
        (b"--x\r\n\r\n", {"content-type": "multipart/form-data; boundary=x"}, 400, "bad_request"),
        (b"--x--\r\n", {"content-type": "multipart/form-data; boundary=x"}, 400, "bad_request"),
        (encoded(".png", 1001, 1000), {}, 413, "too_many_pixels"),
    ],
)
def test_a_body_that_cannot_be_used_is_refused(
    server: Running, body: bytes, headers: dict[str, str], status: int, expected: str
) -> None:
    answer = server.post(body, headers=headers) if body else server.post(headers=headers, content=b"")
    assert (answer.status_code, code(answer)) == (status, expected)


def test_too_many_pictures_are_refused(server: Running) -> None:
    answer = server.post(files=[("image", (f"{i}.jpg", encoded())) for i in range(5)])
    assert (answer.status_code, code(answer)) == (413, "too_many_pictures")


@pytest.mark.parametrize(
    "query", ["threshold=2", "threshold=nan", "threshold=x", "skeleton=dog", "max_side=63", "max_side=1e9", "max_side="]
)
def test_parameters_that_cannot_be_are_refused(server: Running, query: str) -> None:
    answer = server.post(encoded(), path=f"/v1/poses?{query}")
    assert (answer.status_code, code(answer)) == (422, "bad_parameter")
    assert query.partition("=")[0] in answer.json()["error"]["message"]


def test_other_paths_and_methods_have_errors_of_the_same_form(server: Running) -> None:
    assert code(server.get("/v1/nothing")) == "not_found"
    answer = server.get("/v1/poses")
    assert (answer.status_code, code(answer), answer.headers["allow"]) == (405, "method", "POST")


def test_a_body_of_unknown_length_is_stopped_at_the_limit(server: Running) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(1000):
            yield bytes(10_000)

    with httpx.Client() as client:
        try:
            answer = client.post(server.address + "/v1/poses", content=pieces(), timeout=20)
        except (httpx.WriteError, httpx.RemoteProtocolError):
            # It was cut off while it still sent, before it looked for the answer.
            pass
        else:
            assert (answer.status_code, code(answer)) == (413, "too_large")
    assert server.get("/healthz").status_code == 200


def test_the_network_failing_is_no_clients_business(caplog: pytest.LogCaptureFixture) -> None:
    with serving() as running:
        assert running.get("/readyz").status_code == 200
        for error in (LtshError("/secret/model.onnx: failed", "less"), ValueError("secret"), MemoryError()):
            running.runtime.error = error
            answer = running.post(encoded())
            assert (answer.status_code, code(answer)) == (500, "failed")
            assert "secret" not in answer.text
        assert "/secret/model.onnx: failed" in caplog.text
        # It failed again and again.
        assert running.get("/readyz").status_code == 503
        running.runtime.error = None
        assert running.post(encoded()).status_code == 200
        assert running.get("/readyz").status_code == 200


def test_the_model_and_the_limits_are_told(server: Running) -> None:
    model = server.get("/v1/model").json()
    assert (model["name"], model["device"], model["size"], model["stride"]) == ("colour.onnx", "cpu", [128, 96], 8)
    assert model["skeleton"]["limbs"] == [[0, 1], [2, 1]]
    assert model["limits"]["max_pixels"] == 1_000_000


def test_figures_are_counted(server: Running) -> None:
    name = 'ltsh_pictures_total{outcome="done",way="http"}'
    before = server.figure(name), server.figure("ltsh_people_total")
    server.post(encoded())
    assert (server.figure(name), server.figure("ltsh_people_total")) == (before[0] + 1, before[1] + 1)
    server.get("/a/path/that/a/client/made/up")
    text = server.get("/metrics").text
    assert 'path="other",status="404"' in text
    assert "made" not in text
    assert server.figure("ltsh_queue_pictures") == 0


@pytest.fixture(scope="module")
def closed() -> Iterator[Running]:
    with serving(token=TOKEN, origins=("https://friend.example",)) as running:
        yield running


class TestAccess:
    @pytest.mark.parametrize("given", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}])
    def test_without_the_token_nothing_is_told(self, closed: Running, given: dict[str, str]) -> None:
        for path in ("/v1/model", "/metrics", "/v1/nothing"):
            answer = closed.get(path, headers=given)
            assert (answer.status_code, code(answer)) == (401, "token")
            assert answer.headers["www-authenticate"] == "Bearer"
        assert closed.post(encoded(), headers=given).status_code == 401
        assert {closed.get(path, headers=given).status_code for path in ("/healthz", "/readyz", "/openapi.json")} == {
            200
        }

    def test_with_it_all_is(self, closed: Running) -> None:
        assert closed.get("/v1/model").status_code == 200
        assert closed.post(encoded()).status_code == 200

    @pytest.mark.parametrize(
        ("origin", "status"),
        [
            ("https://evil.example", 403),
            ("null", 403),
            ("http://127.0.0.1", 403),
            ("https://friend.example", 200),
            ("own", 200),
        ],
    )
    def test_only_pages_that_are_allowed_may_ask(self, closed: Running, origin: str, status: int) -> None:
        origin = closed.address if origin == "own" else origin
        answer = closed.post(encoded(), headers=closed.headers | {"Origin": origin})
        assert answer.status_code == status

    @pytest.mark.parametrize(
        ("host", "status"),
        [
            ("evil.example", 403),
            ("evil.example:80", 403),
            ("", 403),
            ("[", 403),
            ("localhost:1", 200),
            ("LOCALHOST", 200),
            ("192.168.1.7", 200),
            ("[::1]:8000", 200),
        ],
    )
    def test_a_name_that_somebody_points_here_leads_nowhere(self, server: Running, host: str, status: int) -> None:
        assert server.get("/v1/model", headers={"Host": host}).status_code == status


class TestOtherSites:
    FRIEND = "https://friend.example"

    def test_their_pages_may_read_answers_and_errors(self, closed: Running) -> None:
        for headers, status in ((closed.headers, 200), ({}, 401)):
            answer = closed.get("/v1/model", headers=headers | {"Origin": self.FRIEND})
            assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, self.FRIEND)
            assert answer.headers["vary"] == "Origin"
        assert "access-control-allow-origin" not in closed.get("/v1/model").headers

    def test_browsers_ask_for_leave_without_the_token(self, closed: Running) -> None:
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        answer = httpx.options(f"{closed.address}/v1/poses", headers=asked | {"Origin": self.FRIEND})
        assert answer.status_code == 204
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert "Authorization" in answer.headers["access-control-allow-headers"]
        evil = httpx.options(f"{closed.address}/v1/poses", headers=asked | {"Origin": "https://evil.example"})
        assert evil.status_code == 403
        assert "access-control-allow-origin" not in evil.headers


def test_the_page_runs_its_own_script_and_no_other(server: Running) -> None:
    answer = server.get("/")
    policy = dict(each.split(" ", 1) for each in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    for element in ("script", "style"):
        (text,) = re.findall(f"<{element}>(.*?)</{element}>", answer.text, re.DOTALL)
        hashed = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert policy[f"{element}-src"] == f"'sha256-{hashed}'"
    assert answer.headers["permissions-policy"] == "camera=(self), microphone=(), geolocation=()"


def test_a_kept_connection_is_answered_without_delay(server: Running) -> None:
    # Where the parts of an answer wait for each other's confirmation, each takes 40 ms and more.
    times = []
    with httpx.Client(base_url=server.address) as client:
        for _ in range(21):
            begin = time.perf_counter()
            client.get("/healthz")
            times.append(time.perf_counter() - begin)
    assert sorted(times)[10] < 0.03


def test_the_description_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(server_app, "describe", lambda *given: made.append(given) or describe(*given))
    with serving() as running:
        assert running.get("/openapi.json").json() == running.get("/openapi.json").json()
    assert len(made) == 1


def test_pictures_that_find_no_place_are_counted() -> None:
    with serving(queue=1) as running, ThreadPoolExecutor(1) as pool:
        running.runtime.open.clear()
        body = encoded()
        with socket.create_connection(("127.0.0.1", running.port)) as late:
            # It is let in, and when all of it has come the place is taken.
            head = f"POST /v1/poses HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
            late.sendall(head.encode() + body[:-1])
            wait_for(lambda: running.get("/healthz").status_code == 200)
            first = pool.submit(running.post, body)
            wait_for(lambda: running.figure("ltsh_queue_pictures") == 1)
            late.sendall(body[-1:])
            assert late.recv(4096).startswith(b"HTTP/1.1 503")
        running.runtime.open.set()
        assert first.result().status_code == 200
        for outcome in ("overload", "done"):
            assert running.figure(f'ltsh_pictures_total{{outcome="{outcome}",way="http"}}') == 1


def test_requests_that_outlive_the_server_are_told_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server_module, "_ENDING_S", 0.1)
    body = encoded()
    with serving() as running, ThreadPoolExecutor(2) as pool, running.connect() as idle:
        with socket.create_connection(("127.0.0.1", running.port)) as slow:
            slow.sendall(f"POST /v1/poses HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode())
            running.runtime.open.clear()
            one = pool.submit(running.post, body)
            several = pool.submit(running.post, files=[("image", (f"{i}.jpg", body)) for i in range(3)])
            wait_for(lambda: running.figure("ltsh_queue_pictures") == 4)
            running.end()
            for answer in (one.result(), several.result()):
                assert (answer.status_code, code(answer), answer.headers["retry-after"]) == (503, "ending", "1")
            assert slow.recv(4096).startswith(b"HTTP/1.1 503")
        with pytest.raises(ConnectionClosed) as closed:
            idle.recv(20)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
    assert not [record for record in caplog.records if record.exc_info]


def test_the_description_names_every_path_and_error(server: Running) -> None:
    described = server.get("/openapi.json").json()
    assert set(described["paths"]) == {"/v1/poses", "/v1/model", "/healthz", "/readyz", "/metrics"}
    post = described["paths"]["/v1/poses"]["post"]
    assert set(post["responses"]) == {*(["200", "400", "401", "403", "408", "413", "415", "422", "500", "503"])}
    assert "HTTPValidationError" not in json.dumps(described)
    assert {"image/jpeg", "multipart/form-data"} <= set(post["requestBody"]["content"])

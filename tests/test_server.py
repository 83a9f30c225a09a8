"""The server's HTTP side: poses, forms, errors, access, figures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import cast

import httpx
import pytest

from ltsh_deploy.errors import LtshError
from ltsh_deploy.estimator import PoseEstimator
from ltsh_deploy.images import read_image
from ltsh_deploy.pose_formats import FramePoses, to_record
from ltsh_deploy.runtimes import Runtime
from tests.serving import ColourRuntime, Running, encoded, serving

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


def test_the_description_names_every_path_and_error(server: Running) -> None:
    described = server.get("/openapi.json").json()
    assert set(described["paths"]) == {"/v1/poses", "/v1/model", "/healthz", "/readyz", "/metrics"}
    post = described["paths"]["/v1/poses"]["post"]
    assert set(post["responses"]) == {*(["200", "400", "401", "403", "408", "413", "415", "422", "500", "503"])}
    assert "HTTPValidationError" not in json.dumps(described)
    assert {"image/jpeg", "multipart/form-data"} <= set(post["requestBody"]["content"])

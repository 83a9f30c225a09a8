"""Whatever is asked, the server answers as its description says, and never with a failure of its own."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serving import Running, encoded, serving

PATHS = ("/", "/v1/poses", "/v1/model", "/v1/stream", "/metrics", "/healthz", "/readyz", "/openapi.json")
WHOLE = [encoded(kind, 64, 48) for kind in (".jpg", ".png", ".webp")]

values = st.one_of(
    st.text(max_size=20), st.floats().map(str), st.integers().map(str), st.sampled_from(["coco17", "0.5"])
)
queries = st.lists(st.tuples(st.sampled_from(["threshold", "skeleton", "max_side", "x"]), values), max_size=4)
pictures = st.one_of(
    st.sampled_from(WHOLE),
    st.binary(max_size=200),
    st.tuples(st.sampled_from(WHOLE), st.integers(0, 400)).map(lambda both: both[0][: both[1]]),
    st.tuples(st.sampled_from(WHOLE), st.integers(2, 60), st.binary(min_size=1, max_size=4)).map(
        lambda all_: all_[0][: all_[1]] + all_[2] + all_[0][all_[1] + len(all_[2]) :]
    ),
)
forms = st.lists(pictures, max_size=3).map(
    lambda parts: (
        b"".join(b"--edge\r\nContent-Disposition: form-data; name=a\r\n\r\n" + p + b"\r\n" for p in parts)
        + b"--edge--\r\n"
    )
)
types = st.sampled_from(
    [
        "image/jpeg",
        "application/json",
        "multipart/form-data; boundary=edge",
        "multipart/form-data; boundary=",
        "\t;=",
        "",
    ]
)
plain = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving() as running:
        yield running


def described(server: Running) -> dict[str, Any]:
    return dict(server.get("/openapi.json").json()["paths"])


@settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    method=st.sampled_from(["GET", "POST", "POST", "POST", "PUT", "HEAD", "OPTIONS", "BREW"]),
    path=st.one_of(st.sampled_from((*PATHS, *["/v1/poses"] * 9)), st.text(max_size=20).map(lambda t: f"/{quote(t)}")),
    query=queries,
    body=st.one_of(pictures, forms),
    kind=types,
    extra=st.dictionaries(st.sampled_from(["Origin", "Authorization", "Cookie", "Range", "Expect"]), plain, max_size=3),
)  # fmt: skip
def test_no_request_makes_it_fail(
    server: Running,
    method: str,
    path: str,
    query: list[tuple[str, str]],
    body: bytes,
    kind: str,
    extra: dict[str, str],
) -> None:
    text = "&".join(f"{quote(name)}={quote(value)}" for name, value in query)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request(method, f"{path}?{text}", body, {"Content-Type": kind, **extra})
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    assert answer.status < 500
    if answer.status >= 400 and method != "HEAD":
        assert set(json.loads(data)) == {"error"}
    if (path, method) == ("/v1/poses", "POST"):
        assert str(answer.status) in described(server)["/v1/poses"]["post"]["responses"]
    if answer.status == 200 and path == "/v1/poses":
        assert json.loads(data)["results"]

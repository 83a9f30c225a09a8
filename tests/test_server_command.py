"""`ltsh serve`: what it refuses before it serves, what it says, and how it ends."""

from __future__ import annotations

import math
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from ltsh_deploy.cli import main, serve_job
from ltsh_deploy.errors import ExitCode, UsageError
from ltsh_deploy.server import tls_context
from ltsh_deploy.server_config import ServerConfig, is_loopback
from tests.serving import encoded, process

TOKEN = "a-token-of-a-test-1234"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[ServerConfig, str]]:
    """Whoever would be served, with which limits: nothing is served."""
    served: list[tuple[ServerConfig, str]] = []

    def serve(estimator: Any, config: ServerConfig, name: str, listener: socket.socket, tls: Any) -> None:
        served.append((config, listener.getsockname()[0]))

    monkeypatch.setattr(serve_job, "serve", serve)
    monkeypatch.delenv("LTSH_TOKEN", raising=False)
    # The command sets it for the process; this one goes on.
    monkeypatch.setenv("OPENCV_IO_MAX_IMAGE_PIXELS", "")
    return served


def test_by_default_only_this_machine_reaches_it(asked: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["serve", "--port", "0"]) == ExitCode.OK
    ((config, bound),) = asked
    assert bound == "127.0.0.1"
    assert (config.token, config.batch, config.max_bytes, config.max_message) == (None, 4, 16 << 20, 4 << 20)
    assert capsys.readouterr().out.startswith("http://127.0.0.1:")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_others_need_a_token_or_an_explicit_word(
    asked: list[Any], host: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main.main(["serve", "--port", "0", "--host", host]) == ExitCode.USAGE
    assert "--without-token" in capsys.readouterr().err
    assert not asked
    if host == "0.0.0.0":
        assert main.main(["serve", "--port", "0", "--host", host, "--without-token"]) == ExitCode.OK
        assert main.main(["serve", "--port", "0", "--host", host, "--token", TOKEN]) == ExitCode.OK
        monkeypatch.setenv("LTSH_TOKEN", TOKEN)
        assert main.main(["serve", "--port", "0", "--host", host]) == ExitCode.OK
        assert [config.token for config, _ in asked] == [None, TOKEN, TOKEN]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *[(host, True) for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost")],
        *[(host, False) for host in ("0.0.0.0", "::", "", "192.168.1.1")],
    ],
)
def test_loopback_is_what_only_this_machine_reaches(host: str, expected: bool) -> None:
    assert is_loopback(host) == expected


@pytest.mark.parametrize("host", ["no.such.name.invalid", "a" * 300, "\0"])
def test_a_host_that_is_none_is_said_before_who_may_come(
    asked: list[Any], host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for access in ([], ["--without-token"], ["--token", TOKEN]):
        assert main.main(["serve", "--port", "0", "--host", host, *access]) == ExitCode.FAILURE
        error = capsys.readouterr().err
        assert "cannot listen there" in error
        assert "--host" in error
        assert "--without-token" not in error
    assert not asked


def test_a_token_and_none_at_once_is_refused(
    asked: list[Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main.main(["serve", "--port", "0", "--without-token", "--token", TOKEN]) == ExitCode.USAGE
    assert "--without-token" in capsys.readouterr().err
    monkeypatch.setenv("LTSH_TOKEN", TOKEN)
    assert main.main(["serve", "--port", "0", "--without-token"]) == ExitCode.USAGE
    assert "LTSH_TOKEN" in capsys.readouterr().err
    assert not asked


@pytest.mark.parametrize("token", ["", "short", "fifteen-letters", "with spaces in it, long", "ü" * 20, "a" * 201])
def test_a_token_that_cannot_travel_is_refused(asked: list[Any], token: str) -> None:
    with pytest.raises(UsageError, match="16 to 200"):
        ServerConfig(token=token)
    if token:
        assert main.main(["serve", "--port", "0", "--token", token]) == ExitCode.USAGE


@pytest.mark.parametrize(
    "origin",
    ["", "its.name", "https://its.name/", "https://its.name/path", "ftp://its.name", "*", "https://[", "http://a:b"],
)
def test_an_origin_that_is_none_is_refused(origin: str) -> None:
    with pytest.raises(UsageError, match="origin"):
        ServerConfig(origins=(origin,))


@pytest.mark.parametrize("rate", [math.nan, math.inf, 0])
def test_a_rate_that_is_no_number_is_refused(rate: float) -> None:
    with pytest.raises(UsageError, match="max_rate"):
        ServerConfig(max_rate=rate)


def test_a_port_that_is_taken_is_said_before_the_model_is_opened(
    asked: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert main.main(["serve", "--port", port, "--model", "absent.onnx"]) == ExitCode.FAILURE
    error = capsys.readouterr().err
    assert f"127.0.0.1:{port}" in error
    assert "--port" in error


@pytest.mark.parametrize(
    "line",
    [["--model", "absent.onnx"], ["--certificate", "absent.pem"]],
)
def test_a_file_that_is_not_there_is_named(
    asked: list[Any], line: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["serve", "--port", "0", *line]) == ExitCode.BAD_INPUT
    assert line[1] in capsys.readouterr().err


def test_a_key_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--certificate"):
        tls_context(None, tmp_path / "key.pem")


def certificate(folder: Path) -> Path:
    """A certificate for localhost, with its key."""
    both = folder / "both.pem"
    line = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    line += [
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
        str(folder / "key.pem"),
        "-out",
        str(folder / "cert.pem"),
    ]
    subprocess.run(line, check=True, capture_output=True)
    both.write_text((folder / "cert.pem").read_text() + (folder / "key.pem").read_text())
    return both


def test_it_serves_https(tmp_path: Path) -> None:
    file = certificate(tmp_path)
    with process(tmp_path, "--certificate", str(file)) as running:
        assert running.address.startswith("https://")
        context = ssl.create_default_context(cafile=tmp_path / "cert.pem")
        answer = httpx.get(f"https://localhost:{running.port}/healthz", verify=context)
        assert answer.json() == {"status": "ok"}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_well(tmp_path: Path, number: int, code: int) -> None:
    with process(tmp_path, ends=True) as running:
        idle = running.websocket()
        running.process.send_signal(number)
        assert running.process.wait(15) == code
        idle.close()
        assert running.log.read_text().endswith("interrupted\n")


def test_a_request_that_has_begun_is_answered_before_the_end(tmp_path: Path) -> None:
    body = encoded()
    with process(tmp_path, ends=True) as running, running.socket() as connection:
        head = f"POST /v1/poses HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body[:-1])
        # Its beginning has been read when another, later one has been.
        assert running.works()
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        connection.sendall(body[-1:])
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        assert running.process.wait(15) == 143


def test_without_its_packages_it_says_which_line_brings_them() -> None:
    code = "import sys; sys.modules['uvicorn'] = None; from ltsh_deploy.cli.main import main; sys.exit(main())"
    line = [sys.executable, "-c", code, "serve", "--port", "0"]
    run = subprocess.run(
        line, cwd=Path(__file__).parent.parent, env=os.environ, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == ExitCode.MISSING_PART
    assert "[serve]" in run.stderr

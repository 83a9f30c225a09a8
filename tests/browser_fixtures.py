"""``ltsh serve`` and a browser with a camera, for the tests of the page."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from ltsh_deploy.demo import draw_scene
from tests.browser import Browser, Image, Page, find_chromium, write_y4m

ROOT = Path(__file__).parent.parent
WITHOUT_CHROMIUM = "needs Chromium, which is not installed: apt-get install chromium"
#: The seed and the size of the scene before the fake camera.
SCENE = (1, (960, 540))
FAKE_CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


class Server:
    """``ltsh serve`` as a process of its own.

    Args:
        options: of its command line.
    """

    def __init__(self, *options: str | Path) -> None:
        line = [sys.executable, "-m", "ltsh_deploy", "serve", "--threads", "1", *map(str, options)]
        if "--port" not in line:
            line += ["--port", "0"]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        assert self.address.startswith("http"), "the server does not start"

    @property
    def port(self) -> str:
        return self.address.rstrip("/").rpartition(":")[2]

    def end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's file; tests that need it skip where it is absent, which is a failure in CI."""
    found = find_chromium()
    if found is None:
        pytest.skip(WITHOUT_CHROMIUM)
    return found


@pytest.fixture(scope="session")
def scene() -> Image:
    """What is before the fake camera: people that the project draws itself."""
    return np.asarray(draw_scene(*SCENE), np.uint8)


@pytest.fixture(scope="session")
def browser(chromium: str, scene: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser that gives pages its camera, before which the scene is."""
    folder = tmp_path_factory.mktemp("browser")
    write_y4m(folder / "scene.y4m", [scene])
    camera = f"--use-file-for-fake-video-capture={folder / 'scene.y4m'}"
    with Browser(chromium, _made(folder / "profile"), [*FAKE_CAMERA, camera]) as browser:
        yield browser


@pytest.fixture
def unfriendly_browser(chromium: str, tmp_path: Path) -> Iterator[Browser]:
    """A browser with a camera, which it does not give away unasked."""
    with Browser(chromium, _made(tmp_path / "profile"), FAKE_CAMERA[:1]) as browser:
        yield browser


@pytest.fixture(scope="module")
def walkers_browser(chromium: str, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser before whose camera real people walk."""
    folder = tmp_path_factory.mktemp("walkers")
    video = cv2.VideoCapture(str(shared / "data" / "real" / "video" / "walkers.avi"))
    frames: list[Image] = []
    while len(frames) < 20 and (read := video.read())[0]:
        frames.append(np.asarray(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB), np.uint8))
    video.release()
    write_y4m(folder / "walkers.y4m", frames)
    camera = f"--use-file-for-fake-video-capture={folder / 'walkers.y4m'}"
    with Browser(chromium, _made(folder / "profile"), [*FAKE_CAMERA, camera]) as browser:
        yield browser


@pytest.fixture(scope="session")
def server(chromium: str) -> Iterator[Server]:
    """A server with the package's own model."""
    server = Server()
    yield server
    server.end()


@pytest.fixture(scope="module")
def small_server(chromium: str) -> Iterator[Server]:
    """A server that takes one client at a time."""
    server = Server("--max-clients", "1")
    yield server
    server.end()


@pytest.fixture
def serve(chromium: str) -> Iterator[Callable[..., Server]]:
    """Starts servers with other options; they end with the test."""
    started: list[Server] = []

    def start(*options: str | Path) -> Server:
        started.append(Server(*options))
        return started[-1]

    yield start
    for each in started:
        each.end()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.page()
    yield page
    page.close()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder

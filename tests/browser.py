"""A real browser, Chromium without a screen, driven over its DevTools protocol."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

#: Names that the program goes by.
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: What keeps it from the network and from asking the user anything.
QUIET = (
    *("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--mute-audio"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-default-apps", "--disable-extensions", "--no-proxy-server"),
)
PATIENCE_S = 40.0

Image = npt.NDArray[np.uint8]


def find_chromium() -> str | None:
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Page:
    """One tab, in a browser context of its own: no cookie, storage or permission is shared with another."""

    def __init__(self, browser: Browser, context: str, target: str, session: str) -> None:
        self._browser, self.context, self._target, self._session = browser, context, target, session
        self.complaints: list[str] = []
        self.asked_for: list[str] = []
        #: What went over WebSockets, in order: pictures that the page sent, its settings, and answers.
        self.socket: list[bytes | str | dict[str, Any]] = []
        browser.listeners[session] = self._listen
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.command(f"{domain}.enable")

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.command(method, self._session, **parameters)

    def open(self, address: str) -> None:
        self.command("Page.navigate", url=address)
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def evaluate(self, script: str) -> Any:
        """The value of an expression, awaited."""
        how = {"returnByValue": True, "awaitPromise": True, "replMode": True}
        answer = self.command("Runtime.evaluate", expression=script, **how)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, script: str, seconds: float = PATIENCE_S) -> Any:
        """The expression's value, as soon as it is true."""
        until = time.monotonic() + seconds
        while not (value := self.evaluate(script)):
            assert time.monotonic() < until, f"{script} stayed {value!r}; {self.complaints}; {self.text('body')!r}"
            time.sleep(0.03)
        return value

    def text(self, selector: str) -> str:
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))

    def click(self, selector: str) -> None:
        """With the mouse, in the middle of the element."""
        place = f"document.querySelector({json.dumps(selector)})"
        self.evaluate(f"{place}.scrollIntoView({{block: 'center'}})")
        x, y, width, height = self.evaluate(
            f"(() => {{ const r = {place}.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; }})()"
        )
        x, y = x + width / 2, y + height / 2
        for kind in ("mousePressed", "mouseReleased"):
            self.command("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        code = {"Enter": 13, "Tab": 9}.get(key, ord(key.upper()) if len(key) == 1 and key.isalnum() else 0)
        self.command("Input.dispatchKeyEvent", type="keyDown", key=key, text=text, windowsVirtualKeyCode=code)
        self.command("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def drop(self, *files: Path, text: str = "") -> None:
        """Let files, or else text, fall on the page."""
        items = [] if files else [{"mimeType": "text/plain", "data": text}]
        data = {"items": items, "files": [str(file) for file in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "dragOver", "drop"):
            self.command("Input.dispatchDragEvent", type=kind, x=200, y=200, data=data)

    @property
    def pictures(self) -> list[bytes]:
        """Sent over WebSockets."""
        return [each for each in self.socket if isinstance(each, bytes)]

    @property
    def answers(self) -> list[dict[str, Any]]:
        """Received over WebSockets."""
        return [each for each in self.socket if isinstance(each, dict)]

    def canvas(self) -> Image:
        """[H, W, 3] RGB of the canvas's own pixels."""
        return decode(base64.b64decode(self.evaluate("view.toDataURL('image/png')").partition(",")[2]))

    def screen(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1 + phone, mobile=phone
        )
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.command("Emulation.setEmulatedMedia", features=scheme)

    def screenshot(self, *, whole: bool = False) -> bytes:
        answer = self.command("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(answer["data"])

    def close(self) -> None:
        self._browser.command("Target.closeTarget", targetId=self._target)
        self._browser.command("Target.disposeBrowserContext", browserContextId=self.context)

    def _listen(self, method: str, event: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            details = event["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(f"console: {[a.get('value') for a in event['args']]}")
        elif method == "Log.entryAdded":
            self.complaints.append(event["entry"]["text"])
        elif method in ("Network.requestWillBeSent", "Network.webSocketCreated"):
            self.asked_for.append(event["request"]["url"] if "request" in event else event["url"])
        elif method in ("Network.webSocketFrameSent", "Network.webSocketFrameReceived"):
            frame = event["response"]
            data = base64.b64decode(frame["payloadData"]) if frame["opcode"] == 2 else frame["payloadData"]
            self.socket.append(data if method.endswith("Sent") else json.loads(data))


class Browser:
    """The program, and the one connection to it.

    Args:
        program: Chromium's file.
        folder: where it may keep its things; its own.
        options: more of its command line.
    """

    def __init__(self, program: str, folder: Path, options: Sequence[str] = ()) -> None:
        from websockets.sync.client import connect

        # Chromium's sandbox does not work for root, nor in most containers; it sees only pages of these tests.
        line = [program, *QUIET, "--no-sandbox", f"--user-data-dir={folder}", "--remote-debugging-port=0", *options]
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen([*line, "about:blank"], stdout=log, stderr=log)
        self.listeners: dict[str, Callable[[str, dict[str, Any]], None]] = {}
        self._numbers = itertools.count()
        self._stack = contextlib.ExitStack()
        try:
            port, path = self._door(folder / "DevToolsActivePort")
            address = f"ws://127.0.0.1:{port}{path}"
            self._connection = self._stack.enter_context(connect(address, max_size=None, proxy=None))
        except BaseException:
            self._process.kill()
            raise

    def _door(self, file: Path) -> list[str]:
        until = time.monotonic() + PATIENCE_S
        while not (file.exists() and len(file.read_text().split()) == 2):
            assert self._process.poll() is None, (file.parent / "log").read_text()
            assert time.monotonic() < until, "Chromium does not start"
            time.sleep(0.05)
        return file.read_text().split()

    def command(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """What the browser answers to one command; events that come before are handed on."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        self._connection.send(json.dumps(message))
        while True:
            answer = json.loads(self._connection.recv(timeout=PATIENCE_S))
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            if "method" in answer and answer.get("sessionId") in self.listeners:
                self.listeners[answer["sessionId"]](answer["method"], answer["params"])

    def page(self) -> Page:
        context = self.command("Target.createBrowserContext")["browserContextId"]
        target = self.command("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Page(self, context, target, session)

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def write_y4m(path: Path, frames: Sequence[Image], rate: int = 10) -> None:
    """Write frames, all of one even size, as the uncompressed video that Chromium's fake camera plays."""
    height, width = frames[0].shape[:2]
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{rate}:1 Ip A1:1 C420jpeg\n".encode())
        for frame in frames:
            file.write(b"FRAME\n" + cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420).tobytes())


def decode(data: bytes) -> Image:
    """[H, W, 3] RGB of a JPEG or PNG."""
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)

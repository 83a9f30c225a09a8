"""The page of ``ltsh serve`` in a real browser when the world is unkind: large pictures, sound alone, races."""

from __future__ import annotations

import http.server
import json
import threading
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from ltsh_deploy.estimator import PoseEstimator
from ltsh_deploy.images import read_image
from tests.browser import Image, Page, decode
from tests.browser_fixtures import Server

pytestmark = pytest.mark.slow

OPEN = "socket && socket.readyState === 1"
SETTLED = "shown?.answer && !flight && !taking && fresh === null && !again"


def begin(page: Page, server: Server) -> None:
    page.open(server.address)
    page.wait_for(OPEN)


def write_scene(scene: Image, path: Path) -> Path:
    cv2.imwrite(str(path), scene[:, :, ::-1])
    return path


def write_noisy(scene: Image, path: Path) -> Path:
    """The scene as a photograph of 12 million pixels that has more bytes than a WebSocket's message may have."""
    large = cv2.resize(scene[:, :, ::-1], (4000, 3000), interpolation=cv2.INTER_CUBIC)
    grain = np.random.default_rng(1).normal(0, 25, large.shape)
    cv2.imwrite(str(path), np.clip(large + grain, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 97])
    return path


def test_a_photograph_of_many_bytes_is_sent_smaller(page: Page, server: Server, scene: Image, tmp_path: Path) -> None:
    begin(page, server)
    photograph = write_noisy(scene, tmp_path / "photograph.jpg")
    limit = page.evaluate("model.limits.max_message")
    assert photograph.stat().st_size > 1.5 * limit
    page.drop(photograph)
    page.wait_for(f"{SETTLED} && shown.answer.people.length")
    assert len(page.pictures) == 1, "it is made smaller before it is sent, not after it was refused"
    assert len(page.pictures[0]) <= limit
    height, width = decode(page.pictures[0]).shape[:2]
    assert abs(width / height - 4 / 3) < 0.01
    assert width * height > 1_000_000
    assert page.complaints == []


def test_a_refusal_on_the_way_is_told_and_not_provoked_again(
    page: Page, server: Server, scene: Image, tmp_path: Path
) -> None:
    begin(page, server)
    # A proxy may take less than the server says that it takes.
    page.evaluate("model.limits.max_message = 1e9; 1")
    page.evaluate(
        "var learned = learn; learn = (body) => learned({...body, limits: {...body.limits, max_message: 1e9}}); 1"
    )
    page.drop(write_noisy(scene, tmp_path / "photograph.jpg"))
    page.wait_for("part('notice').innerText.startsWith('The picture is not taken on the way')")
    page.wait_for(f"{OPEN} && !again && !taking")
    sent = len(page.pictures)
    page.evaluate("new Promise((done) => setTimeout(done, 2500))")
    # While a picture is on its way, the reason for hanging up may get lost: then it is tried again, but not for ever.
    assert 1 <= len(page.pictures) == sent <= 3
    assert page.evaluate("socket.readyState === 1 && !part('notice').hidden")


def people_in(path: Path) -> int:
    """How many people the model that the server has finds in a picture file; there are several."""
    with PoseEstimator.open(device="cpu") as estimator:
        count = len(estimator(read_image(path)))
    assert count > 2
    return count


def test_a_picture_that_comes_while_a_frame_is_being_made_is_looked_at(
    page: Page, server: Server, scene: Image, tmp_path: Path
) -> None:
    begin(page, server)
    page.click("#begin")
    page.wait_for("shown?.answer")
    # Making the JPEG of a camera's frame takes longer than opening the picture.
    page.evaluate(
        "var plain = jpegOf; jpegOf = async (...given) => {"
        " await new Promise((done) => setTimeout(done, 1500)); return plain(...given); }; 1"
    )
    page.wait_for("taking")
    picture = write_scene(scene, tmp_path / "scene.png")
    page.drop(picture)
    page.wait_for("source?.kind === 'still' && shown?.answer")
    assert page.text("#told") == f"{people_in(picture)} people"
    assert page.complaints == []


def test_what_is_no_picture_leaves_the_camera_running(page: Page, server: Server, tmp_path: Path) -> None:
    begin(page, server)
    page.click("#begin")
    page.wait_for("shown?.answer")
    (tmp_path / "notes.txt").write_text("not a picture")
    page.drop(tmp_path / "notes.txt")
    page.wait_for("part('notice').innerText.startsWith('notes.txt: neither')")
    before = page.evaluate("sent")
    page.wait_for(f"source?.kind === 'camera' && sent > {before + 2}")
    page.click("#notice")
    assert page.evaluate("part('notice').hidden")
    page.drop(tmp_path / "notes.txt")
    page.wait_for("!part('notice').hidden")
    page.press("Escape")
    assert page.evaluate("part('notice').hidden")


def test_a_film_of_which_only_the_sound_plays_is_explained(page: Page, server: Server, tmp_path: Path) -> None:
    begin(page, server)
    with wave.open(str(tmp_path / "film.mp4"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16000))
    page.drop(tmp_path / "film.mp4")
    page.wait_for("part('notice').innerText.startsWith('film.mp4: this browser cannot play it')")
    assert page.evaluate("source === null && !video.src")


def test_where_videos_do_not_start_by_themselves_the_button_starts_them(page: Page, server: Server) -> None:
    begin(page, server)
    page.evaluate(
        "var plain = video.play; video.play = () => Promise.reject(new DOMException('saving', 'NotAllowedError')); 1"
    )
    page.click("#begin")
    page.wait_for("paused && part('pause').innerText === 'Go on'")
    page.evaluate("video.play = plain; 1")
    page.click("#pause")
    page.wait_for("!paused && shown?.answer")
    assert page.complaints == []


def test_the_keyboards_place_is_not_lost_when_the_camera_starts(page: Page, server: Server) -> None:
    begin(page, server)
    page.press("Enter")
    page.wait_for("shown?.answer")
    assert page.evaluate("document.activeElement.id") == "pause"
    page.press(" ")
    page.wait_for("paused")
    page.press(" ")
    page.wait_for("!paused")


def test_figures_do_not_look_fresh_while_an_answer_is_overdue(page: Page, server: Server) -> None:
    begin(page, server)
    page.click("#begin")
    page.wait_for("Number(part('fps').innerText) > 1 && sent > 10")
    page.evaluate("take = () => 0; 1")
    page.wait_for("parseFloat(part('total').innerText) > 1500")
    page.wait_for("Number(part('fps').innerText) < 4", 20)
    assert page.evaluate("times.total") < 1500
    page.press(" ")
    assert page.text("#fps") == "\N{EN DASH}"


def test_a_camera_that_is_plugged_in_can_be_chosen(page: Page, server: Server) -> None:
    begin(page, server)
    page.click("#begin")
    page.wait_for("shown?.answer")
    assert page.evaluate("part('cameras').hidden")
    page.evaluate(
        "var own = source.stream.getVideoTracks()[0].getSettings().deviceId;"
        "var all = [{kind: 'videoinput', label: 'one', deviceId: own},"
        " {kind: 'videoinput', label: '<b>two</b>', deviceId: '2'}, {kind: 'audioinput', label: 'ear', deviceId: '3'}];"
        "navigator.mediaDevices.enumerateDevices = async () => all;"
        "navigator.mediaDevices.dispatchEvent(new Event('devicechange')); 1"
    )
    page.wait_for("!part('cameras').hidden")
    assert page.evaluate("[...part('device').options].map((option) => option.text)") == ["one", "<b>two</b>"]
    assert page.evaluate("part('device').selectedIndex") == 0


def test_a_camera_that_something_else_holds_is_explained(page: Page, server: Server) -> None:
    begin(page, server)
    page.click("#begin")
    page.wait_for("shown?.answer")
    page.press(" ")
    page.wait_for(SETTLED)
    page.evaluate("source.stream.getVideoTracks()[0].dispatchEvent(new Event('mute')); 1")
    assert page.text("#notice").startswith("The camera gives no pictures now")
    page.press(" ")
    page.wait_for("part('notice').hidden")


def test_a_photograph_taken_upright_is_shown_upright_with_its_people(
    page: Page, server: Server, scene: Image, tmp_path: Path
) -> None:
    begin(page, server)
    lying = cv2.imencode(".jpg", np.ascontiguousarray(np.rot90(scene[:, :, ::-1])))[1].tobytes()
    # Orientation 6: to be turned a quarter clockwise.
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    (tmp_path / "photo.jpg").write_bytes(lying[:2] + segment + lying[2:])
    page.drop(tmp_path / "photo.jpg")
    page.wait_for(SETTLED)
    assert page.evaluate("[shown.answer.width, shown.answer.height]") == [960, 540]
    assert page.evaluate("[shown.frame.canvas.width, shown.frame.canvas.height]") == [960, 540]
    assert page.evaluate("shown.answer.people.length") == people_in(tmp_path / "photo.jpg")


class Proxy(http.server.BaseHTTPRequestHandler):
    """What stands before a server that is down: the page comes, and all else is an error in HTML."""

    page = b""

    def do_GET(self) -> None:
        body = self.page if self.path == "/" else b"<html>Bad gateway</html>"
        self.send_response(200 if self.path == "/" else 502)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def proxy(server: Server) -> Iterator[str]:
    page = Path(__file__).parent.parent / "ltsh_deploy" / "assets" / "serve" / "page.html"
    handler = type("Handler", (Proxy,), {"page": page.read_bytes()})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}/"
        running.shutdown()


def test_a_proxys_own_words_are_not_shown_as_an_error_of_the_page(page: Page, proxy: str) -> None:
    page.open(proxy)
    page.wait_for("part('connection').innerText === 'the server answers 502; trying again'")


def test_an_older_browser_without_timeouts_connects(page: Page, server: Server) -> None:
    script = "delete AbortSignal.timeout"
    page.command("Page.addScriptToEvaluateOnNewDocument", source=script)
    begin(page, server)
    assert page.evaluate("typeof AbortSignal.timeout") == "undefined"


def test_a_token_in_the_address_answers_the_question_for_it(page: Page, serve: Callable[..., Server]) -> None:
    token = "a-token.of~16_letters"
    server = serve("--token", token)
    page.open(server.address)
    page.wait_for("part('ask').open")
    page.evaluate(f"location.hash = {json.dumps('token=' + token)}; 1")
    page.wait_for(f"{OPEN} && !part('ask').open")

"""The page of ``ltsh serve`` in a real browser: its keys, its words when something is wrong, and its looks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from tests.browser import Browser, Image, Page
from tests.browser_fixtures import ROOT, Server

pytestmark = pytest.mark.slow

PAGE = ROOT / "ltsh_deploy" / "assets" / "serve" / "page.html"
TOKEN = "a-token.of~16_letters"
OPEN = "socket && socket.readyState === 1"


def begin(page: Page, server: Server) -> None:
    page.open(server.address)
    page.wait_for(OPEN)


def notice(page: Page) -> str:
    """What the page says over the picture, as soon as it says something."""
    return str(page.wait_for("!part('notice').hidden && part('notice').innerText"))


def type_token(page: Page, token: str) -> None:
    page.wait_for("part('ask').open")
    page.click("#token")
    page.command("Input.insertText", text=token)
    page.press("Enter")


def test_the_page_needs_nothing_from_elsewhere_and_makes_no_markup_of_text() -> None:
    text = PAGE.read_text(encoding="utf-8")
    addresses = set(re.findall(r"\w+://[^\s'\"]+", text))
    assert addresses == {"http://www.w3.org/2000/svg"}, "a name, not an address that is fetched"
    assert text.count("<script>") == text.count("<style>") == 1, "the policy lets one of each run, by its hash"
    assert not re.findall(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|import\(", text
    )
    assert not re.findall(r"<[^>]+ (?:on\w+|style)=", text), "inline handlers and styles, which a strict policy forbids"


def test_no_script_runs_but_the_pages_own(page: Page, server: Server) -> None:
    begin(page, server)
    write = "document.title = 1"
    for way in (f"s.textContent = '{write}'", f"s.src = 'data:text/javascript,{write}'"):
        page.evaluate(
            f"try {{ const s = document.createElement('script'); {way}; document.body.append(s) }} catch {{ 0 }}"
        )
    markup = f"<img src=x onerror='{write}'>"
    page.evaluate(f'try {{ document.body.insertAdjacentHTML("beforeend", "{markup}") }} catch {{ 0 }}')
    page.evaluate("new Promise((done) => setTimeout(done, 200))")
    assert page.evaluate("document.title") != "1"


def test_everything_can_be_done_by_keys(page: Page, server: Server) -> None:
    begin(page, server)
    assert page.evaluate("document.activeElement.id") == "begin"
    page.press("Enter")
    page.wait_for("source?.kind === 'camera' && shown?.answer")
    for key, control in {"m": "mirror", "s": "smooth", "n": "track", "l": "live"}.items():
        before = page.evaluate(f"part('{control}').checked")
        page.press(key)
        assert page.evaluate(f"part('{control}').checked") is not before
    page.press("-")
    page.wait_for("part('threshold-shown').innerText === '0.00'")
    page.press("i")
    page.wait_for("part('about').open")
    assert "default.onnx" in page.text("#model")
    settings = [json.loads(each) for each in page.socket if isinstance(each, str)]
    assert settings[0] == {"threshold": None, "track": True, "smooth": False}
    assert settings[-1] == {"threshold": 0, "track": True, "smooth": True}, "who is smoothed must be tracked"
    assert not [each for each in page.answers if "error" in each]
    page.press(" ")
    page.wait_for("paused && part('pause').innerText === 'Go on' && !flight && fresh === null")
    held = page.evaluate("sent")
    page.press(" ")
    page.wait_for(f"!paused && sent > {held}")
    page.press("c")
    page.wait_for("source === null && video.srcObject === null")
    assert page.text("#invitation").startswith("Start the camera")

    reached = set()
    for _ in range(20):
        page.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.innerText"))
    assert reached >= {"camera", "open", "full", "threshold", "mirror", "smooth", "track", "live", "side", "Model"}
    assert page.complaints == []


def test_a_key_that_a_control_needs_is_left_to_it(page: Page, server: Server) -> None:
    begin(page, server)
    page.press("Enter")
    page.wait_for("source?.kind === 'camera'")
    page.evaluate("part('mirror').focus()")
    page.press(" ")
    page.wait_for("!part('mirror').checked")
    assert not page.evaluate("paused")


def test_without_permission_the_page_says_what_to_do(unfriendly_browser: Browser, server: Server) -> None:
    page = unfriendly_browser.page()
    unfriendly_browser.command(
        "Browser.setPermission",
        permission={"name": "camera"},
        setting="denied",
        origin=server.address.rstrip("/"),
        browserContextId=page.context,
    )
    begin(page, server)
    page.click("#begin")
    words = notice(page)
    assert words.startswith("The camera was not allowed. Allow it")
    assert page.evaluate("getComputedStyle(part('begin')).display") != "none", "it can be tried again"
    assert page.complaints == []


def test_a_camera_that_fails_is_explained(page: Page, server: Server) -> None:
    begin(page, server)
    for name, says in {
        "NotFoundError": "There is no camera here",
        "NotReadableError": "another program may be using it",
        "SecurityError": "The camera cannot be started (of SecurityError)",
    }.items():
        error = f"new DOMException('of {name}', '{name}')"
        page.evaluate(f"navigator.mediaDevices.getUserMedia = () => Promise.reject({error}); 1")
        page.click("#begin")
        page.wait_for(f"part('notice').innerText.includes({json.dumps(says)})")


def test_where_browsers_give_no_camera_the_page_says_why(page: Page, server: Server) -> None:
    begin(page, server)
    page.evaluate("Object.defineProperty(navigator, 'mediaDevices', {value: undefined}); 1")
    page.click("#begin")
    assert "--certificate" in notice(page)


def test_a_camera_that_is_unplugged_is_explained(page: Page, server: Server) -> None:
    begin(page, server)
    page.click("#begin")
    page.wait_for("shown?.answer")
    page.evaluate("source.stream.getVideoTracks()[0].dispatchEvent(new Event('ended'))")
    assert notice(page).startswith("The camera has ended")
    page.click("#begin")
    page.wait_for("shown?.answer")
    assert page.evaluate("part('notice').hidden")


def test_a_page_that_is_left_leaves_the_server(page: Page, small_server: Server) -> None:
    begin(page, small_server)
    page.open(f"{small_server.address}healthz")
    page.wait_for("document.body.innerText.includes('ok') && typeof part === 'undefined'")
    page.evaluate("history.back()")
    page.wait_for("typeof part === 'function' && socket && socket.readyState === 1")


def test_what_is_no_picture_is_named_and_its_name_is_only_text(page: Page, server: Server, tmp_path: Path) -> None:
    begin(page, server)
    name = "<img src=x onerror=document.title=1>.png"
    (tmp_path / name).write_bytes(b"not a picture")
    page.drop(tmp_path / name)
    assert notice(page) == f"{name}: neither a picture nor a video that this browser can read."
    assert page.evaluate("part('notice').children.length") == 0
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video")
    page.drop(broken)
    page.wait_for("part('notice').innerText.startsWith('broken.mp4: this browser cannot play it')")
    page.drop(text="https://example.org/photo.jpg")
    page.wait_for("part('notice').innerText.startsWith('That is no file')")
    assert page.complaints == []


def test_an_error_of_the_server_is_told_in_words(page: Page, server: Server, scene: Image, tmp_path: Path) -> None:
    begin(page, server)
    # A browser shows it, whatever it is called; the server takes neither its name nor its format.
    bitmap = tmp_path / "scene.png"
    bitmap.write_bytes(cv2.imencode(".bmp", scene[:, :, ::-1])[1].tobytes())
    page.drop(bitmap)
    words = notice(page)
    error = next(each["error"] for each in page.answers if "error" in each)
    assert words == f"{error['message']}: {error['remedy']}"
    # It does not stay when the next picture is good.
    page.click("#camera")
    page.wait_for("shown?.answer && part('notice').hidden")


def test_a_busy_server_and_a_rest_are_got_over(page: Page, server: Server) -> None:
    begin(page, server)
    page.click("#begin")
    page.wait_for("shown?.answer")
    busy = "flight = {seq: -1, frame: shown.frame}, take({seq: -1, dropped: 'overload'}), part('notice').innerText"
    assert page.evaluate(busy) == "The server has too much to do: frames are passed over."
    page.wait_for("part('notice').hidden && drops === 1")
    page.click("#camera")
    page.evaluate("var before = socket; socket.onclose({code: 1000, reason: 'idle'})")
    assert page.text("#connection").startswith("resting")
    page.click("#camera")
    page.wait_for("socket !== before && shown?.answer")
    assert page.complaints == []


def test_a_picture_over_the_limits_is_made_smaller(
    page: Page, serve: Callable[..., Server], scene: Image, tmp_path: Path
) -> None:
    begin(page, serve("--max-megapixels", "1"))
    large = tmp_path / "large.png"
    cv2.imwrite(str(large), cv2.resize(scene[:, :, ::-1], (1920, 1080)))
    page.drop(large)
    page.wait_for("shown?.answer?.people.length")
    (answer,) = (each for each in page.answers if "people" in each)
    assert 900_000 < answer["width"] * answer["height"] <= 1_000_000
    assert page.complaints == []


def test_a_token_is_asked_for_and_kept_out_of_addresses(
    browser: Browser, page: Page, serve: Callable[..., Server]
) -> None:
    server = serve("--token", TOKEN)
    page.open(server.address)
    for wrong, says in {"short": "16 to 200 letters", "w" * 16: "not this server's token"}.items():
        type_token(page, wrong)
        page.wait_for(f"part('ask').open && part('ask-wrong').innerText.includes({json.dumps(says)})")
    type_token(page, TOKEN)
    page.wait_for(OPEN)
    page.click("#begin")
    page.wait_for("shown?.answer")
    page.command("Page.reload")
    page.wait_for(f"document.readyState === 'complete' && {OPEN}")

    another = browser.page()
    another.open(f"{server.address}#token={TOKEN}")
    another.wait_for(OPEN)
    assert another.evaluate("location.href") == server.address
    assert not [each for each in another.asked_for if TOKEN in each.partition("#")[0]]
    assert another.complaints == []
    another.close()


def test_the_page_comes_back_when_the_server_does(page: Page, serve: Callable[..., Server]) -> None:
    server = serve()
    begin(page, server)
    page.click("#begin")
    page.wait_for("shown?.answer")
    server.end()
    page.wait_for("part('connection').className === 'lost'")
    assert page.text("#connection").endswith("; trying again")
    page.wait_for("part('connection').innerText.startsWith('the server cannot be reached')")
    before = len([each for each in page.answers if "people" in each])
    serve("--port", server.port)
    page.wait_for(f"{OPEN} && part('connection').className === 'open' && shown?.answer && sent > 3")
    assert len([each for each in page.answers if "people" in each]) > before


def test_a_full_server_says_so(browser: Browser, page: Page, small_server: Server) -> None:
    another = browser.page()
    begin(page, small_server)
    another.open(small_server.address)
    another.wait_for("part('connection').innerText.startsWith('the server takes no more clients now')")
    page.open(f"{small_server.address}healthz")
    another.wait_for(OPEN)
    another.close()


@pytest.mark.parametrize(("width", "height"), [(360, 740), (740, 360), (768, 1024), (1280, 800)])
def test_it_fits_the_screen(page: Page, server: Server, width: int, height: int) -> None:
    page.screen(width, height, phone=width < 760)
    begin(page, server)
    page.click("#begin")
    page.wait_for("shown?.answer")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    left, top, right, bottom = page.evaluate(
        "(() => { scrollTo(0, 0); const r = view.getBoundingClientRect();"
        " return [r.left, r.top, r.right, r.bottom]; })()"
    )
    assert 0 <= left < right <= width + 1
    assert 0 <= top < bottom <= height + 1
    assert max((right - left) / width, (bottom - top) / height) > 0.5
    small = "[...document.querySelectorAll('button, select')].filter(e => e.offsetHeight && e.offsetHeight < 38).length"
    assert page.evaluate(small) == 0, "what a finger can meet"


@pytest.mark.parametrize("dark", [False, True])
def test_text_can_be_read_in_light_and_in_dark(page: Page, server: Server, dark: bool) -> None:
    page.screen(1280, 800, dark=dark)
    begin(page, server)
    page.evaluate("notice('words'); part('about').open = true")
    script = """((selector) => {
      const light = (css) => {
        const [r, g, b] = css.match(/[\\d.]+/g).map((v) => v / 255)
          .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      let behind = document.querySelector(selector);
      const text = light(getComputedStyle(behind).color);
      while (getComputedStyle(behind).backgroundColor === 'rgba(0, 0, 0, 0)') behind = behind.parentElement;
      const back = light(getComputedStyle(behind).backgroundColor);
      return [(Math.max(text, back) + 0.05) / (Math.min(text, back) + 0.05), back];
    })"""
    for selector in ("h1", "#connection", "#begin", "#invitation p", "#notice", "#figures dt", "label", "#model dt"):
        contrast, _ = page.evaluate(f"{script}({json.dumps(selector)})")
        assert contrast >= 4.5, f"{selector}: WCAG asks for 4.5, this is {contrast:.2f}"
    assert (page.evaluate(f"{script}('h1')")[1] < 0.1) is dark

"""The page of ``ltsh serve`` in a real browser: the people before the camera, and the poses on the canvas."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from ltsh_deploy.cli import main
from ltsh_deploy.demo import scene_people
from ltsh_deploy.drawing import limb_colours
from ltsh_deploy.skeletons import LTSH15, SKELETONS
from tests.browser import Browser, Image, Page, decode
from tests.browser_fixtures import SCENE, Server

pytestmark = pytest.mark.slow

Record = dict[str, Any]


def watch_camera(page: Page, address: str) -> None:
    """Open the page, start the camera, and stop when some frames were looked at."""
    page.open(address)
    page.wait_for("socket && socket.readyState === 1")
    page.click("#begin")
    page.wait_for("sent > 3 && shown?.answer?.people.length")
    page.press(" ")
    settle(page)


def settle(page: Page) -> None:
    """Wait until the page shows the poses of the last frame that it sent."""
    page.wait_for("shown?.answer && !flight && !taking && fresh === null && !again")


def last_exchange(page: Page) -> tuple[bytes, Record]:
    """The last picture on the page's WebSocket, and what the server answered."""
    answer = next(answer for answer in reversed(page.answers) if "people" in answer)
    assert answer["seq"] == len(page.pictures) - 1
    return page.pictures[-1], answer


def infer(picture: bytes, folder: Path, *options: str) -> Record:
    """What ``ltsh infer`` says of it."""
    file = folder / "sent.jpg"
    file.write_bytes(picture)
    result = CliRunner().invoke(main.cli, ["infer", str(file), "--json", str(folder / "found.jsonl"), *options])
    assert result.exit_code == 0, result.output
    record: Record = json.loads((folder / "found.jsonl").read_text(encoding="utf-8"))
    return record


def assert_same_people(answer: Record, record: Record) -> None:
    assert answer["skeleton"] == record["skeleton"]
    assert (answer["width"], answer["height"]) == (record["width"], record["height"])
    assert len(answer["people"]) == len(record["people"]) > 0
    for person in answer["people"]:
        # Batches may change the last bits of the network's maps, and tracking the order of people.
        assert any(_same(person["joints"], other["joints"]) for other in record["people"]), person


def _same(joints: list[Any], others: list[Any]) -> bool:
    if [joint is None for joint in joints] != [joint is None for joint in others]:
        return False
    pairs = [(a, b) for a, b in zip(joints, others, strict=True) if a is not None]
    return all(np.allclose(a[:2], b[:2], atol=0.05) and abs(a[2] - b[2]) < 2e-3 for a, b in pairs)


def limbs_seen(canvas: Image, picture: bytes, answer: Record, *, mirror: bool) -> float:
    """The part of the limbs whose middle has, on the canvas, the colour that it must have there."""
    height, width = canvas.shape[:2]
    behind = background(canvas, picture, mirror=mirror)
    skeleton = SKELETONS[answer["skeleton"]]
    seen = []
    for person in answer["people"]:
        for (a, b), colour in zip(skeleton.limbs, limb_colours(skeleton), strict=True):
            start, end = person["joints"][a], person["joints"][b]
            if start is None or end is None:
                continue
            x = ((start[0] + end[0]) / 2 + 0.5) * width / answer["width"]
            y = ((start[1] + end[1]) / 2 + 0.5) * height / answer["height"]
            x = width - x if mirror else x
            place = min(int(y), height - 1), min(max(int(x), 0), width - 1)
            opacity = 0.25 + 0.75 * np.sqrt(start[2] * end[2])
            outlined = opacity * 20 + (1 - opacity) * behind[place]
            wanted = opacity * np.array(colour) + (1 - opacity) * outlined
            seen.append(np.abs(canvas[place] - wanted).max() < 40)
    assert len(seen) > 5
    return float(np.mean(seen))


def background(canvas: Image, picture: bytes, *, mirror: bool) -> Image:
    """The picture as large as the canvas."""
    resized = cv2.resize(decode(picture), canvas.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized[:, ::-1] if mirror else resized, np.uint8)


def assert_drawn(page: Page, picture: bytes, answer: Record, *, mirror: bool) -> None:
    """The canvas shows this picture with these people on it, and not its mirror image."""
    canvas = page.canvas()
    assert limbs_seen(canvas, picture, answer, mirror=mirror) > 0.75
    assert limbs_seen(canvas, picture, answer, mirror=not mirror) < 0.4
    apart = np.abs(canvas.astype(int) - background(canvas, picture, mirror=mirror)).max(axis=2)
    assert np.median(apart) < 8
    assert (apart > 60).mean() < 0.15


def test_the_page_draws_the_people_before_the_camera(page: Page, server: Server, tmp_path: Path) -> None:
    watch_camera(page, server.address)
    picture, answer = last_exchange(page)
    assert_same_people(answer, infer(picture, tmp_path))
    assert page.evaluate("part('mirror').checked"), "a camera that looks at its user is a mirror"
    assert_drawn(page, picture, answer, mirror=True)
    page.press("m")
    assert_drawn(page, picture, answer, mirror=False)

    # Where people are is known: three of four have a skeleton whose trunk is where theirs is.
    truth = scene_people(*SCENE).xy[:, LTSH15.joints.index("torso_centre")] / np.array(SCENE[1])
    centres = [person["joints"][LTSH15.joints.index("torso_centre")] for person in answer["people"]]
    found = np.array([c[:2] for c in centres if c]) / (answer["width"], answer["height"])
    apart = np.abs(truth[:, None] - found[None]).max(axis=2)
    assert (apart.min(axis=1) < 0.05).sum() >= 3

    assert page.complaints == []
    assert {each.partition("#")[0] for each in page.asked_for} == {
        server.address,
        f"{server.address}v1/model",
        f"{server.address.replace('http', 'ws')}v1/stream",
    }


def test_real_people_walk_before_the_camera(
    walkers_browser: Browser, shared: Path, serve: Callable[..., Server], tmp_path: Path
) -> None:
    model = shared / "models" / "coco_paf_mobilenet_v2_small.onnx"
    server, page = serve("--model", model), walkers_browser.page()
    watch_camera(page, server.address)
    picture, answer = last_exchange(page)
    assert len(answer["people"]) >= 2
    assert_same_people(answer, infer(picture, tmp_path, "--model", str(model)))
    assert_drawn(page, picture, answer, mirror=True)
    assert page.complaints == []
    page.close()


def test_one_frame_is_in_flight_and_the_figures_add_up(page: Page, server: Server) -> None:
    page.open(server.address)
    page.wait_for("socket && socket.readyState === 1")
    page.click("#begin")
    page.wait_for("sent > 15")
    page.wait_for("document.getElementById('fps').textContent > 0")
    traffic = [each for each in page.socket if not isinstance(each, str) and (isinstance(each, bytes) or "seq" in each)]
    kinds = "".join("P" if isinstance(each, bytes) else "a" for each in traffic)
    assert re.fullmatch("(Pa)+P?", kinds), kinds
    assert not [answer for answer in page.answers if "dropped" in answer]
    times = page.evaluate("times")
    steps = sum(value for name, value in times.items() if name != "total")
    assert 0.5 * times["total"] < steps < 1.5 * times["total"]
    for figure in ("way", "inference", "total"):
        assert page.text(f"#{figure}").endswith(" ms")


def test_a_picture_is_dropped(page: Page, server: Server, scene: Image, tmp_path: Path) -> None:
    file = tmp_path / "scene.png"
    cv2.imwrite(str(file), scene[:, :, ::-1])
    page.open(server.address)
    page.wait_for("socket && socket.readyState === 1")
    page.drop(file)
    settle(page)
    picture, answer = last_exchange(page)
    assert picture == file.read_bytes(), "the server gets the file itself, not a copy that JPEG has spoilt"
    assert_same_people(answer, infer(picture, tmp_path))
    assert_drawn(page, picture, answer, mirror=False)
    # A higher threshold: the same picture again, with fewer joints.
    for _ in range(6):
        page.press("+")
    page.wait_for("shown.answer.seq > 0")
    settle(page)
    _, fewer = last_exchange(page)
    assert page.text("#threshold-shown") == "0.35"
    assert 0 < count_joints(fewer) < count_joints(answer)
    assert min(joint[2] for person in fewer["people"] for joint in person["joints"] if joint) >= 0.35
    assert page.complaints == []


def count_joints(answer: Record) -> int:
    return sum(joint is not None for person in answer["people"] for joint in person["joints"])


def test_a_video_is_dropped(page: Page, server: Server, scene: Image, tmp_path: Path) -> None:
    file = tmp_path / "scene.webm"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"VP80"), 10, SCENE[1])
    for _ in range(20):
        writer.write(scene[:, :, ::-1])
    writer.release()
    page.open(server.address)
    page.wait_for("socket && socket.readyState === 1")
    page.drop(file)
    page.wait_for("sent > 3 && shown?.answer?.people.length")
    page.press(" ")
    settle(page)
    picture, answer = last_exchange(page)
    assert_same_people(answer, infer(picture, tmp_path))
    assert_drawn(page, picture, answer, mirror=False)
    # Paused, one second on: another frame comes and is looked at.
    before = page.evaluate("video.currentTime")
    page.press("ArrowRight")
    page.wait_for(f"video.currentTime !== {before}")
    assert page.complaints == []

"""What a user names becomes the right sources, in the right order, opened late."""

from __future__ import annotations

import http.server
import logging
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import cv2
import numpy as np
import pytest
from PIL import Image

from ltsh_deploy import fetching
from ltsh_deploy.errors import ImageError, SourceError, UsageError
from ltsh_deploy.piped import StandardInput
from ltsh_deploy.sources import ImageAddress, ImageFile, open_sources
from ltsh_deploy.streams import LiveSource, public_address
from ltsh_deploy.videos import VideoFile

GREY = np.full((6, 8, 3), 90, np.uint8)


def write_picture(path: Path, image: np.ndarray = GREY) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return path


def write_video(path: Path, frames: int = 3) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (16, 16))
    for _ in range(frames):
        writer.write(np.zeros((16, 16, 3), np.uint8))
    writer.release()
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b10.png", "b2.png", "B1.PNG", ".hidden.png", "sub/deep.png", "sub/deeper/deepest.png"):
        write_picture(tmp_path / name)
    write_video(tmp_path / "c.avi")
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "folder.png").mkdir()
    return tmp_path


def names(argument: Path | str) -> list[str]:
    return [Path(source.name).name for source in open_sources([argument])]


def test_folder_gives_its_pictures_and_videos_in_natural_order(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "ltsh_deploy"):
        assert names(folder) == ["B1.PNG", "b2.png", "b10.png", "c.avi"]
    assert "1 files are neither" in caplog.text
    kinds = [source.kind for source in open_sources([folder])]
    assert kinds == ["image", "image", "image", "video"]


def test_patterns(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert names(f"{folder}/b*.png") == ["b2.png", "b10.png"]
    assert names(f"{folder}/**/d*.png") == ["deep.png", "deepest.png"]
    assert names(f"{folder}/?.avi") == ["c.avi"]
    monkeypatch.chdir(folder)
    assert names("*.avi") == ["c.avi"]
    write_picture(folder / "odd[1].png")
    assert names("odd[1].png") == ["odd[1].png"]


def test_arguments_keep_their_order(folder: Path) -> None:
    found = open_sources([folder / "b10.png", folder / "c.avi", "rtsp://camera/1", "-", folder / "b2.png", "3"])
    assert [type(source) for source in found] == [
        ImageFile, VideoFile, LiveSource, StandardInput, ImageFile, LiveSource,
    ]  # fmt: skip
    assert [source.kind for source in found] == ["image", "video", "live", None, "image", "live"]


def test_what_a_file_holds_counts_more_than_its_name(tmp_path: Path) -> None:
    picture = write_picture(tmp_path / "really_a_picture.mp4")
    bare = write_picture(tmp_path / "no_suffix")
    video = write_video(tmp_path / "clip.avi").rename(tmp_path / "really_a_video.jpg")
    assert [source.kind for source in open_sources([picture, bare, video])] == ["image", "image", "video"]


def test_a_picture_gives_one_frame(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.png", np.dstack([GREY[:, :, 0], GREY[:, :, 0], 200 + GREY[:, :, 0] // 2]))
    (source,) = open_sources([path])
    assert source.size is None
    (frame,) = source
    assert (frame.source, frame.kind, frame.index, frame.time_s) == (str(path), "image", 0, None)
    assert frame.image[0, 0].tolist() == [245, 90, 90]
    assert (source.frames, source.size) == (1, (8, 6))


def test_one_unreadable_file_stops_only_its_own_source(folder: Path) -> None:
    (folder / "b2.png").write_bytes(b"")
    (folder / "c.avi").write_bytes(b"junk" * 100)
    (folder / "d.jpg").symlink_to(folder / "gone")
    outcomes = []
    for source in open_sources([folder]):
        try:
            outcomes.append(len(list(source)))
        except (ImageError, SourceError) as error:
            outcomes.append((type(error), source.name in error.message))
    assert outcomes == [1, (ImageError, True), 1, (SourceError, True), (ImageError, True)]


def test_what_cannot_be_read_in_a_folder_is_passed_over_or_reported_but_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (source,) = open_sources([tmp_path])
    with pytest.raises(ImageError, match="HEIC"):
        list(source)
    with pytest.raises(SourceError, match="is a pipe"):
        open_sources([tmp_path / "pipe.png"])


def test_animations_are_videos(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((8, 8, 3), level, np.uint8)) for level in (0, 128, 255)]
    for name in ("a.gif", "b.apng", "c.png"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], loop=0, duration=100)
        frames[0].save(tmp_path / f"still_{name}")
    files = sorted(tmp_path.iterdir())
    for named in ([tmp_path], [f"{tmp_path}/*.*"], files):
        found = open_sources(named)
        assert [source.kind for source in found] == ["video"] * 3 + ["image"] * 3
        assert [len(list(source)) for source in found] == [3] * 3 + [1] * 3


def test_every_frame_of_an_animation_that_is_shown_once(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (4, 90, 90, 3), dtype=np.uint8)
    frames = [Image.fromarray(image) for image in noise]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=100)
    (source,) = open_sources([tmp_path / "a.gif"])
    assert (source.kind, len(list(source))) == ("video", 4)


def test_a_file_of_no_known_kind_could_have_been_a_picture_or_a_video(tmp_path: Path) -> None:
    (tmp_path / "raw.h264").write_bytes(b"\0\0\0\x01\x67" + b"abc" * 200)
    with pytest.raises(SourceError, match="neither a picture nor a video") as caught:
        open_sources([tmp_path / "raw.h264"])
    assert "ffmpeg" in caught.value.remedy


def test_a_video_that_a_server_refuses_is_not_told_to_be_converted() -> None:
    with pytest.raises(SourceError, match="nothing answers") as caught:
        list(open_sources(["http://127.0.0.1:9/clip.mp4"])[0])
    assert "ffmpeg" not in caught.value.remedy


@pytest.mark.parametrize(
    ("argument", "message", "remedy"),
    [
        ("missing.png", "no such file", "check"),
        ("photo_1.pgn", "no such file", "did you mean .*photo_1.png"),
        ("empty", "holds no picture", "folder with pictures"),
        ("*.tif", "holds no picture", "pattern"),
        ("sftp://host/x.mp4", "not an address", "rtsp,"),
        ("rtsp://", "not an address", "rtsp,"),
        ("http://[::1/x", "not an address", "http"),
        ("http://host:99999999/x", "not an address", "http"),
        ("rtsp://host/\udcfe", "not an address", "http"),
        ("12345", "no such file", ""),
    ],
)
def test_what_is_not_there(
    argument: str, message: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    write_picture(tmp_path / "photo_1.png")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=message) as caught:
        open_sources([argument])
    assert re.search(remedy, caught.value.remedy)


@pytest.mark.parametrize("arguments", [[], [""], ["-", "-"]])
def test_arguments_that_make_no_sense(arguments: list[str]) -> None:
    with pytest.raises(UsageError):
        open_sources(arguments)


def test_a_file_named_like_a_number_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_sources(["0"])[0].kind == "live"
    write_picture(tmp_path / "0")
    assert open_sources(["0"])[0].kind == "image"
    assert open_sources(["/dev/video63"])[0].name == "camera 63"


def test_names_made_from_addresses_hold_no_secrets() -> None:
    assert public_address("rtsp://cam.local:554/s?channel=1&pw=sesame#x") == "rtsp://cam.local:554/s"
    for secret in (
        "rtsp://admin:sesame@cam/1",
        "rtsp://admin:ses/ame@cam/1",
        "rtsp://admin:12/same@cam/1",
        "rtsp://admin:s#esame@cam/1",
        "rtsp://admin:s?esame@cam/1",
        "rtsp://admin:se@same@cam/1",
        "rtsp://[admin:sesame@cam/1",
    ):
        name = public_address(secret)
        assert "same" not in name
        assert "ses" not in name
        assert "admin" not in name


class Pictures(http.server.BaseHTTPRequestHandler):
    """Serves a picture to who gives the right password, and a folder's files."""

    def do_GET(self) -> None:
        path = unquote(self.path)
        if path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", path.removeprefix("/to/"))
            self.end_headers()
            return
        if self.headers.get("Authorization") != "Basic bWU6cHcvMQ==":
            self.send_error(401)
            return
        body = cv2.imencode(".jpg", GREY)[1].tobytes() if "grey" in path else b"<html>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pictures) as httpd:
        threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
        yield f"127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()


def test_picture_behind_an_address(server: str) -> None:
    (source,) = open_sources([f"http://me:pw%2F1@{server}/grey.jpg?size=1"])
    assert isinstance(source, ImageAddress)
    (frame,) = source
    assert frame.source == f"http://{server}/grey.jpg"
    assert np.abs(frame.image.astype(int) - 90).max() <= 2
    with pytest.raises(SourceError, match="Unauthorized") as caught:
        list(open_sources([f"http://you:secret@{server}/grey.jpg"])[0])
    assert "secret" not in str(caught.value)
    with pytest.raises(ImageError, match="not a picture"):
        list(open_sources([f"http://me:pw%2F1@{server}/web.png"])[0])
    with pytest.raises(SourceError, match="cannot be fetched"):
        list(open_sources(["http://127.0.0.1:9/grey.jpg"])[0])


def fetch(address: str) -> int:
    return len(list(open_sources([address])[0]))


def test_a_login_goes_to_no_other_server_than_the_one_it_was_given_for(server: str) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pictures) as httpd:
        threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
        other = f"127.0.0.1:{httpd.server_address[1]}"
        for place in (f"http://{server}/grey.jpg", "/grey.jpg", f"/to/http://{server}/grey.jpg"):
            assert fetch(f"http://me:pw%2F1@{server}/to/{place}") == 1
        for place in (f"http://{other}/grey.jpg", f"http://{other}/to/http://{server}/grey.jpg"):
            with pytest.raises(SourceError, match="Unauthorized"):
                fetch(f"http://me:pw%2F1@{server}/to/{place}")
        httpd.shutdown()


def test_addresses_may_be_written_as_people_read_them(server: str) -> None:
    for name in ("grey Müller.jpg?größe=1 2", "grey%20M%C3%BCller.jpg", "grey 100%.jpg"):
        assert fetch(f"http://me:pw%2F1@{server}/{name}") == 1
    request = fetching._request("http://müller.example:8080/a b%20c/é.jpg?q=ü&x=%C3#there")
    assert request.full_url == "http://xn--mller-kva.example:8080/a%20b%20c/%C3%A9.jpg?q=%C3%BC&x=%C3"
    assert fetching._request("http://[::1]:80/a.jpg").full_url == "http://[::1]:80/a.jpg"
    with pytest.raises(SourceError, match=r"cannot be fetched: .*label"):
        fetch("http://ü..example/a.jpg")
    with pytest.raises(SourceError, match="nonnumeric port: 'x'"):
        fetch(f"http://{server}/to/http://{server.split(':')[0]}:x/a.jpg")


def test_file_addresses(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a b.png")
    for address in (path.as_uri(), tmp_path.as_uri()):
        (source,) = open_sources([address])
        assert source.name == str(path)
        assert len(list(source)) == 1

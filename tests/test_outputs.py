from __future__ import annotations

import contextlib
import csv
import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ltsh_deploy.draw_targets import DrawTarget
from ltsh_deploy.errors import InputError, LtshError, OutputError, UsageError
from ltsh_deploy.outputs import PoseWriter, write_image
from ltsh_deploy.pose_formats import CSV_HEADER, FramePoses, from_coco, from_openpose, from_record, to_csv_rows
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import COCO17
from ltsh_deploy.whole_files import WholeFile, write_whole


def frame_poses(source: str = "a.jpg", frame: int | None = None, people: int = 1, score: float = 0.5) -> FramePoses:
    poses = Poses(
        COCO17, np.full((people, 17, 2), 7.0), np.full((people, 17), 0.5), np.full(people, score), np.arange(people)
    )
    return FramePoses(poses, source, 64, 48, frame, None if frame is None else frame / 25)


def only_entry(folder: Path) -> Path:
    (entry,) = folder.iterdir()
    return entry


def write_some(target: Path | str, form: str, sources: list[FramePoses], **options: Any) -> None:
    with PoseWriter(target, form, **options) as writer:
        for frame in sources:
            writer.write(frame)


def test_jsonl_is_one_record_a_line(tmp_path: Path) -> None:
    frames = [frame_poses("v.mp4", i, people=i) for i in range(3)]
    write_some(tmp_path / "out.jsonl", "jsonl", frames)
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [len(from_record(json.loads(line)).poses) for line in lines] == [0, 1, 2]


@pytest.mark.parametrize("people", [[], [0], [0, 2], [2, 0, 1], [1, 1]])
def test_coco_is_one_array(tmp_path: Path, people: list[int]) -> None:
    frames = [frame_poses(f"{i:012d}.jpg", people=n) for i, n in enumerate(people)]
    write_some(tmp_path / "out.json", "coco", frames)
    back = from_coco(json.loads((tmp_path / "out.json").read_text()))
    assert {k: len(v) for k, v in back.items()} == {i: n for i, n in enumerate(people) if n}


def test_csv_has_one_header(tmp_path: Path) -> None:
    write_some(tmp_path / "out.csv", "csv", [frame_poses('a,"b"\n.jpg'), frame_poses("c.jpg", people=2)])
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 17
    assert rows[0]["source"] == 'a,"b"\n.jpg'


def test_openpose_folder_as_openpose_names_it(tmp_path: Path) -> None:
    frames = [frame_poses("x/a.jpg"), frame_poses("y/a.png"), frame_poses("v.mp4", 3), frame_poses("x/a.jpg", people=2)]
    write_some(f"{tmp_path}/made/", "openpose", frames)
    names = sorted(p.name for p in (tmp_path / "made").iterdir())
    assert names == ["a_2_keypoints.json", "a_keypoints.json", "v_000000000003_keypoints.json"]
    data = json.loads((tmp_path / "made" / "a_keypoints.json").read_text())
    assert len(from_openpose(data, COCO17)) == 2


@pytest.mark.parametrize("clip_first", [True, False])
def test_a_picture_that_is_called_like_a_frame_has_a_file_of_its_own(tmp_path: Path, clip_first: bool) -> None:
    clips = [frame_poses(f"{name}.mkv", i, people=1) for name in ("clip", "clip_2") for i in range(2)]
    stills = [frame_poses(f"{name}.jpg", people=2) for name in ("clip", "CLIP_000000000000", "clip_000000000001")]
    write_some(f"{tmp_path}/", "openpose", clips + stills if clip_first else stills + clips)
    found = [from_openpose(json.loads(file.read_text()), COCO17) for file in tmp_path.iterdir()]
    assert sorted(map(len, found)) == [1] * 4 + [2] * 3
    for kept in ("clip_000000000001", "clip_2_000000000000") if clip_first else ("CLIP_000000000000", "clip"):
        data = json.loads((tmp_path / f"{kept}_keypoints.json").read_text())
        assert len(from_openpose(data, COCO17)) == (1 if clip_first else 2)


def test_openpose_file_is_one_object_a_line(tmp_path: Path) -> None:
    write_some(tmp_path / "out.jsonl", "openpose", [frame_poses("a.jpg"), frame_poses("v.mp4", 1)])
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(line["source"], line["frame"], line["version"]) for line in lines] == [
        ("a.jpg", None, 1.3),
        ("v.mp4", 1, 1.3),
    ]


def test_stdout_gets_each_line_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with PoseWriter("-") as writer:
        writer.write(frame_poses("a.jpg"))
        assert json.loads(capsys.readouterr().out)["source"] == "a.jpg"
    with PoseWriter("-", "coco") as writer:
        writer.write(frame_poses("1.jpg"))
    assert len(json.loads(capsys.readouterr().out)) == 1


@pytest.mark.parametrize("form", ["jsonl", "openpose", "csv", "coco"])
def test_names_that_are_no_text_are_written(tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    source = os.fsdecode(b"caf\xe9\xff.jpg")
    for target in (str(tmp_path / "out"), "-"):
        write_some(target, form, [frame_poses(source)])
    assert capsys.readouterr().out
    assert (tmp_path / "out").stat().st_size > 100


@pytest.mark.parametrize("form", ["jsonl", "openpose", "coco", "csv"])
def test_an_interrupt_keeps_what_is_complete(tmp_path: Path, form: str) -> None:
    def write_until_interrupted() -> None:
        with PoseWriter(tmp_path / "out", form) as writer:
            writer.write(frame_poses("1.jpg"))
            # The interrupt comes while the second image's text is on its way.
            assert writer._stream is not None
            writer._stream.write(b',\n{"half": [1')
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_until_interrupted()
    text = only_entry(tmp_path).read_text()
    assert "half" not in text
    if form == "coco":
        assert len(json.loads(text)) == 1
    else:
        assert text.count("\n") == (18 if form == "csv" else 1)


@pytest.mark.parametrize("form", ["jsonl", "openpose", "coco", "csv"])
def test_a_failure_leaves_the_older_file(tmp_path: Path, form: str) -> None:
    def write_until_failed() -> None:
        with PoseWriter(tmp_path / "out", form) as writer:
            writer.write(frame_poses("1.jpg"))
            raise RuntimeError

    (tmp_path / "out").write_text("older")
    with pytest.raises(RuntimeError):
        write_until_failed()
    assert only_entry(tmp_path).read_text() == "older"


@pytest.mark.parametrize("form", ["jsonl", "coco", "csv"])
def test_an_error_elsewhere_keeps_what_is_complete(tmp_path: Path, form: str) -> None:
    def write_until(error: LtshError, images: int) -> None:
        with PoseWriter(tmp_path / "out", form) as writer:
            for i in range(images):
                writer.write(frame_poses(f"{i}.jpg"))
            raise error

    (tmp_path / "out").write_text("older")
    with pytest.raises(OutputError):
        write_until(OutputError("the drawing could not be written"), 0)
    assert only_entry(tmp_path).read_text() == "older", "nothing is no better than what was there"
    for error in (OutputError("the drawing could not be written"), InputError("the source")):
        with pytest.raises(type(error)):
            write_until(error, 3)
        text = only_entry(tmp_path).read_text()
        assert len(json.loads(text)) == 3 if form == "coco" else text.count("\n") == (52 if form == "csv" else 3)


@pytest.mark.parametrize("form", ["jsonl", "openpose", "coco", "csv"])
def test_an_interrupt_before_the_first_image_leaves_the_older_file(tmp_path: Path, form: str) -> None:
    (tmp_path / "out").write_text("older")
    with pytest.raises(KeyboardInterrupt), PoseWriter(tmp_path / "out", form):
        raise KeyboardInterrupt
    assert only_entry(tmp_path).read_text() == "older"


@pytest.mark.parametrize("ends_with", [None, KeyboardInterrupt(), InputError("the source")])
def test_stdout_without_an_image_is_a_whole_array(
    ends_with: BaseException | None, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.suppress(KeyboardInterrupt, InputError), PoseWriter("-", "coco") as writer:
        writer.may_be_empty = False
        if ends_with is not None:
            raise ends_with
    assert json.loads(capsys.readouterr().out) == []


def test_poses_that_could_not_be_written_leave_the_older_file(tmp_path: Path) -> None:
    """On a full disk nobody knows what is there of the new file."""

    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write_until_full() -> None:
        with PoseWriter(tmp_path / "out", live=True) as writer:
            writer.write(frame_poses("1.jpg"))
            assert writer._stream is not None
            writer._stream.close()
            writer._stream = Full()
            writer.write(frame_poses("2.jpg"))

    (tmp_path / "out").write_text("older")
    with pytest.raises(OutputError, match="space"):
        write_until_full()
    assert only_entry(tmp_path).read_text() == "older"


@pytest.mark.parametrize("form", ["csv", "coco"])
def test_a_beginning_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    opened = Path.open
    streams = []

    def full(path: Path, mode: str) -> Any:
        class Full(io.FileIO):
            def write(self, data: object) -> int:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        opened(path, mode).close()
        streams.append(Full(path, mode))
        return streams[-1]

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OutputError, match="space"), PoseWriter(tmp_path / "out", form):
        pass
    assert [stream.closed for stream in streams] == [True]
    assert not list(tmp_path.iterdir())


def test_what_the_run_reads_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    for name in ("model.onnx", "clip.mp4", "a_keypoints.json", "skeleton"):
        (tmp_path / name).write_text("needed")
    (tmp_path / "link").symlink_to("model.onnx")
    (tmp_path / "hard").hardlink_to("model.onnx")
    (tmp_path / "hard.mp4").hardlink_to("clip.mp4")
    needed = ["rtsp://camera/1", "stdin", "nul\0", Path("model.onnx"), "clip.mp4", "a_keypoints.json", "skeleton"]
    for target in ("model.onnx", "sub/../model.onnx", str(tmp_path / "model.onnx"), "link", "hard", "skeleton"):
        with pytest.raises(UsageError, match=r"would replace (model\.onnx|skeleton)"):
            PoseWriter(target, protected=needed)
    with pytest.raises(UsageError, match=r"would replace clip\.mp4"):
        DrawTarget("hard.mp4", [("a.avi", True)], needed)
    write_some("./", "openpose", [frame_poses("a.jpg")], protected=needed)
    assert (tmp_path / "a_keypoints.json").read_text() == "needed"
    assert (tmp_path / "a_2_keypoints.json").exists()
    (tmp_path / "clip.png").write_text("needed")
    assert DrawTarget(".", [("sub/clip.png", False)], ["clip.png"]).path_for("sub/clip.png", False).name == "clip_2.png"
    PoseWriter("-", protected=["-"])
    PoseWriter("new.jsonl", protected=iter(needed))


def test_empty_names_are_refused() -> None:
    with pytest.raises(UsageError, match="no file was named"):
        PoseWriter("")
    with pytest.raises(UsageError, match="no place was named"):
        DrawTarget("", [("a.jpg", False)])


def test_the_older_file_is_there_until_the_new_one_is_whole(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("older")
    with PoseWriter(tmp_path / "out", live=True) as writer:
        writer.write(frame_poses("1.jpg"))
        assert (tmp_path / "out").read_text() == "older"
        (temporary,) = (p for p in tmp_path.iterdir() if p.name != "out")
        assert json.loads(temporary.read_text())["source"] == "1.jpg", "live: readable at once"
    assert "1.jpg" in only_entry(tmp_path).read_text()


def test_poses_that_cannot_be_written_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError), PoseWriter(tmp_path / "out") as writer:
        writer.write(frame_poses(score=np.nan))
    assert not list(tmp_path.iterdir())


def test_devices_are_written_to_and_stay_devices(tmp_path: Path) -> None:
    write_some(os.devnull, "jsonl", [frame_poses()])
    assert not Path(os.devnull).is_file()
    if sys.platform == "linux":
        with pytest.raises(OutputError, match="/dev/full"):
            write_some("/dev/full", "jsonl", [frame_poses()])
    with pytest.raises(OutputError, match="device"):
        write_whole(os.devnull, b"")


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("older")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_some(tmp_path / "link", "jsonl", [frame_poses()])
    assert (tmp_path / "link").is_symlink()
    assert "a.jpg" in (tmp_path / "real").read_text()


@pytest.mark.parametrize(
    ("name", "form", "error"),
    [
        ("out", "xml", UsageError),
        ("photo.jpg", "jsonl", UsageError),
        ("v.MP4", "csv", UsageError),
        ("folder/", "jsonl", UsageError),
        ("absent/out", "jsonl", OutputError),
        ("file/out", "jsonl", OutputError),
        ("file/sub/", "openpose", OutputError),
        ("nul\0", "jsonl", OutputError),
        ("n" * 300, "jsonl", OutputError),
    ],
)
def test_bad_targets_are_refused_at_the_start(tmp_path: Path, name: str, form: str, error: type[LtshError]) -> None:
    (tmp_path / "file").write_text("older")
    (tmp_path / "photo.jpg").write_text("older")
    with pytest.raises(error), PoseWriter(f"{tmp_path}/{name}", form):
        pass
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "photo.jpg"]
    assert (tmp_path / "photo.jpg").read_text() == "older"


def test_coco_says_once_for_each_two_sources_when_ids_are_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frames = [frame_poses("x/1.jpg"), frame_poses("y/2.jpg"), frame_poses("x/1.jpg"), frame_poses("x/a.jpg")]
    write_some(tmp_path / "o", "coco", [*frames, frame_poses("v.avi", 3)])
    assert not caplog.records
    write_some(tmp_path / "o", "coco", [*frames, frame_poses("z/1.jpg"), *(frame_poses("v.avi", i) for i in range(9))])
    pairs = ["x/1.jpg and z/1.jpg", "x/1.jpg and v.avi", "y/2.jpg and v.avi"]
    assert [next(pair for pair in pairs if pair in record.message) for record in caplog.records] == pairs
    caplog.clear()
    write_some(tmp_path / "o", "coco", [frame_poses(name, i) for name in ("v.avi", "w.avi") for i in range(9)])
    assert [record.message.partition(" have")[0] for record in caplog.records] == ["v.avi and w.avi"]


def test_ctrl_c_in_a_real_process(tmp_path: Path) -> None:
    program = (
        "import sys, time; sys.path.insert(0, 'tests')\n"
        "from test_outputs import frame_poses\nfrom ltsh_deploy.outputs import PoseWriter\n"
        "with PoseWriter(sys.argv[1]) as w:\n"
        "    for i in range(10**9): w.write(frame_poses('v.mp4', i)); i == 50 and print('go', flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "out")],
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    lines = only_entry(tmp_path).read_text().splitlines()
    assert [json.loads(line)["frame"] for line in lines] == list(range(len(lines)))
    assert len(lines) > 50


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".png", ".webp", ".bmp", ".tif"])
@pytest.mark.parametrize("size", [(1, 1), (31, 17)])
def test_pictures_come_back_in_rgb(tmp_path: Path, suffix: str, size: tuple[int, int]) -> None:
    image = np.full((*size, 3), (200, 100, 30), np.uint8)
    path = tmp_path / f"a{suffix}"
    path.write_text("older")
    write_image(path, image[:, ::-1])
    read = cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert read.shape == image.shape
    assert np.abs(read.astype(int) - image).max() <= 6
    assert only_entry(tmp_path) == path


@pytest.mark.parametrize("name", ["a.xyz", "a", "absent/a.png", ".png", "folder.png"])
def test_pictures_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OutputError, match=name.split("/")[-1]):
        write_image(tmp_path / name, np.zeros((2, 2, 3), np.uint8))
    assert only_entry(tmp_path) == tmp_path / "folder.png"


@pytest.mark.parametrize("suffix", [".webp", ".jpg"])
def test_a_picture_too_large_for_its_format(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(OutputError, match="70000 x 2"):
        write_image(tmp_path / f"a{suffix}", np.zeros((2, 70000, 3), np.uint8))
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    program = (
        "import resource, signal, sys, numpy as np\nfrom ltsh_deploy.outputs import write_image\n"
        "from ltsh_deploy.errors import OutputError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_image(sys.argv[1], np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8))\n"
        "except OutputError as error: sys.exit(0 if sys.argv[1] in str(error) else 1)\n"
        "sys.exit(2)\n"
    )
    assert resource
    command = [sys.executable, "-c", program, str(tmp_path / "a.png")]
    assert subprocess.run(command, cwd=Path(__file__).parent.parent).returncode == 0
    assert not list(tmp_path.iterdir())


def test_whole_file_names_the_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no folder"):
        WholeFile(tmp_path / "absent" / "a")


def test_a_link_to_nowhere_is_told_by_the_folder_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("absent/a")
    with pytest.raises(OutputError, match=f"no folder {tmp_path}/absent"):
        WholeFile(tmp_path / "link")


def draw_names(folder: Path, *sources: tuple[str, bool]) -> list[str]:
    target = DrawTarget(folder, sources)
    return [target.path_for(source, moves).relative_to(folder).as_posix() for source, moves in sources]


def test_drawings_in_a_folder(tmp_path: Path) -> None:
    names = draw_names(
        tmp_path / "new" / "out",
        ("x/a.jpg", False),
        ("y/A.JPEG", False),
        ("x/a.png", False),
        ("x/a.bmp", False),
        ("v.avi", True),
        ("camera 0", True),
        ("rtsp://u:p@host/live?x=1", True),
        ("stdin", False),
        ("z/a_2.jpg", False),
    )
    assert names == [
        "a.jpg", "A_2.jpg", "a.png", "a_2.png", "v.mp4", "camera_0.mp4", "live.mp4", "stdin.png", "a_2_2.jpg",
    ]  # fmt: skip
    assert (tmp_path / "new" / "out").is_dir()


def test_drawings_never_replace_a_source(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.png", "v.mp4"):
        (tmp_path / name).write_text("original")
    (tmp_path / "other").mkdir()
    sources = [("a.jpg", False), ("other/../b.png", False), ("v.mp4", True)]
    assert draw_names(tmp_path, *((f"{tmp_path}/{s}", m) for s, m in sources)) == ["a_2.jpg", "b_2.png", "v_2.mp4"]


def test_a_drawing_in_a_file(tmp_path: Path) -> None:
    assert DrawTarget(tmp_path / "o.png", [("a.jpg", False)]).path_for("a.jpg", False) == tmp_path / "o.png"
    assert DrawTarget(tmp_path / "o.mkv", [("a.avi", True)]).path_for("a.avi", True) == tmp_path / "o.mkv"
    (tmp_path / "odd.png").mkdir()
    assert (
        DrawTarget(tmp_path / "odd.png", [("a.jpg", False)]).path_for("a.jpg", False) == tmp_path / "odd.png" / "a.jpg"
    )


@pytest.mark.parametrize(
    ("target", "sources"),
    [
        ("o.png", [("a.jpg", False), ("b.jpg", False)]),
        ("o.png", []),
        ("o.png", [("a.mp4", True)]),
        ("o.mp4", [("a.png", False)]),
        ("o.gif", [("a.png", False)]),
        ("s/a.png", [("s/../s/a.png", False)]),
    ],
)
def test_drawings_that_cannot_go_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, sources: list[tuple[str, bool]]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s").mkdir()
    with pytest.raises(UsageError):
        DrawTarget(target, sources)


def test_a_source_whose_kind_only_reading_tells(tmp_path: Path) -> None:
    sources = [("stdin", None), ("stdin.png", False)]
    target = DrawTarget(tmp_path, sources)
    assert target.path_for("stdin", True).name == "stdin.mp4"
    assert target.path_for("stdin", False).name == "stdin_2.png"
    assert target.path_for("stdin.png", False).name == "stdin.png"
    one = DrawTarget(tmp_path / "o.mp4", sources[:1])
    assert one.path_for("stdin", True) == tmp_path / "o.mp4"
    with pytest.raises(UsageError, match="picture"):
        one.path_for("stdin", False)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        DrawTarget(tmp_path / "file" / "sub", [("a.png", False)])
    for target in (tmp_path / "file", os.devnull):
        with pytest.raises(OutputError, match="is not a folder"):
            DrawTarget(target, [("a.png", False)])


def test_the_documents_samples_are_what_is_read() -> None:
    text = (Path(__file__).parent.parent / "docs" / "outputs.md").read_text()
    record, openpose, coco = (json.loads(block.split("```")[0]) for block in text.split("```json\n")[1:])
    ours = from_record(record)
    assert ours.poses.ids is not None
    assert ours.poses.ids.tolist() == [3]
    theirs = from_openpose(openpose, ours.poses.skeleton)
    np.testing.assert_array_equal(theirs.xy, ours.poses.xy)
    np.testing.assert_array_equal(from_coco(coco)[197388].xy, ours.poses.to_skeleton(COCO17).xy)
    table = text.split("```csv\n")[1].split("```")[0]
    rows = [",".join(map(str, row)) for row in (CSV_HEADER, *to_csv_rows(ours))]
    assert table.splitlines() == rows

"""``ltsh export --format engine``: what is asked of TensorRT, what is said when it refuses, what is never written."""

from __future__ import annotations

import errno
import gc
import json
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from ltsh_deploy.cli.main import main
from ltsh_deploy.default_model import default_model
from ltsh_deploy.demo import draw_scene
from ltsh_deploy.engine_files import EngineSidecar, Shapes, sidecar_path
from ltsh_deploy.errors import DeviceError, ExportError, LtshError, MissingPartError, OutputError, UsageError
from ltsh_deploy.export.engine_parity import compare_engine
from ltsh_deploy.export.to_float16 import to_float16
from ltsh_deploy.export.to_tensorrt import EngineOptions, export_engine
from ltsh_deploy.outputs import write_image
from tests import tensorrt_stand_in
from tests.arms_onnx import write_arms
from tests.pycuda_stand_in import Gpu
from tests.tensorrt_stand_in import VERSIONS, World
from tests.test_precision import arms
from tests.tiny_onnx import metadata, write_model

SHAPES = Shapes.parse("1x16x16/1x64x48/3x96x96")


@pytest.fixture
def gpu() -> Gpu | None:
    return Gpu()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, gpu: Gpu | None, request: pytest.FixtureRequest) -> Iterator[World]:
    """TensorRT 10 and a GPU, or another version; after the test nothing may be left, nor freed in the wrong order."""
    world = tensorrt_stand_in.install(monkeypatch, getattr(request, "param", "10"), gpu)
    yield world
    gc.collect()
    if gpu is not None:
        gpu.check_nothing_left()
    assert world.broken == []


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "net.onnx", metadata=metadata())


@pytest.fixture
def half(model: Path) -> Path:
    path = model.with_name("half.onnx")
    onnx.save(to_float16(onnx.load(model)), path)
    return path


def built(path: Path) -> EngineSidecar:
    sidecar = EngineSidecar.read(path)
    assert sidecar is not None
    return sidecar


def files(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


@pytest.mark.parametrize("world", VERSIONS, indirect=True)
def test_every_version_builds_what_the_onnx_file_computes_in(world: World, model: Path, half: Path) -> None:
    for source, precision in ((model, "fp32"), (half, "fp16")):
        path = source.with_suffix(".engine")
        report = export_engine(source, path, EngineOptions(precision=precision, shapes=SHAPES))
        sidecar = built(path)
        assert report.sidecar == sidecar
        assert (sidecar.precision, sidecar.layers, sidecar.read_back) == (precision, {precision: 3}, "inspector")
        assert sidecar.strongly_typed is (
            "STRONGLY_TYPED" in dir(sys.modules[sidecar.library.name].NetworkDefinitionCreationFlag)
        )
        # Types are the file's own, and float32 is float32.
        assert world.config.flags == ({"FP16"} if not sidecar.strongly_typed and precision == "fp16" else set())


@pytest.mark.parametrize("gpu", [None])
@pytest.mark.parametrize("world", ["rtx"], indirect=True)
def test_without_a_gpu_the_builder_is_believed_and_nothing_is_loaded(world: World, model: Path) -> None:
    report = export_engine(model, model.with_suffix(".engine"), images=[np.zeros((48, 64, 3), np.uint8)])
    assert (report.sidecar.gpu, report.sidecar.read_back, report.sidecar.layers) == (None, "builder", {"fp32": 3})
    assert report.parity is None
    assert report.not_run == "there is no NVIDIA driver on this machine"


@pytest.mark.parametrize("gpu", [None])
@pytest.mark.parametrize("world", ["8.6", "10", "11"], indirect=True)
def test_a_library_that_needs_a_gpu_says_so(world: World, model: Path) -> None:
    with pytest.raises(DeviceError, match=r"cannot build engines here \(CUDA initialization failure") as error:
        export_engine(model, model.with_suffix(".engine"))
    assert "RTX builds without one" in error.value.remedy
    assert files(model.parent) == {"net.onnx"}


@pytest.mark.parametrize(("asked", "computes"), [("fp16", "fp32"), ("fp32", "fp16"), ("fp32", "int8")])
def test_another_precision_than_asked_for_is_not_written(
    world: World, model: Path, half: Path, asked: str, computes: str
) -> None:
    world.computes = computes
    source = {"fp32": model, "fp16": half}[asked]
    before = files(model.parent)
    with pytest.raises(ExportError, match=f"another precision than {asked}: of the engine's 3 .*, 3 {computes}"):
        export_engine(source, source.with_suffix(".engine"))
    assert files(model.parent) == before


def test_an_engine_that_hides_its_types_is_not_written(world: World, model: Path) -> None:
    world.layers_readable = False
    with pytest.raises(ExportError, match="does not say which types"):
        export_engine(model, model.with_suffix(".engine"))
    assert files(model.parent) == {"net.onnx"}


def test_the_precision_asked_for_must_be_the_files(world: World, model: Path) -> None:
    with pytest.raises(UsageError, match="computes in fp32, not in fp16") as error:
        export_engine(model, model.with_suffix(".engine"), EngineOptions(precision="fp16"))
    assert "--precision fp16 first" in error.value.remedy


def test_options_reach_the_builder(world: World, model: Path) -> None:
    options = EngineOptions(shapes=SHAPES, compat="same-cc", workspace=64, plugin_free=True)
    sidecar = export_engine(model, model.with_suffix(".engine"), options).sidecar
    assert (sidecar.compat, world.config.level) == ("same-cc", "SAME_COMPUTE_CAPABILITY")
    assert world.config.memory == [64 << 20]
    assert world.config.profiles == [{"image": [[1, 16, 16, 3], [1, 48, 64, 3], [3, 96, 96, 3]]}]
    assert "plugins" not in world.log


@pytest.mark.parametrize(("world", "compat"), [("8.6", "same-cc"), ("rtx", "ampere+")], indirect=["world"])
def test_a_compatibility_that_the_library_lacks_is_refused(world: World, model: Path, compat: str) -> None:
    with pytest.raises(UsageError, match=f"knows no engines for --compat {compat}"):
        export_engine(model, model.with_suffix(".engine"), EngineOptions(compat=compat))


def test_timing_caches_are_written_read_and_never_replaced_by_mistake(
    world: World, model: Path, tmp_path: Path
) -> None:
    cache, engine = tmp_path / "timings", model.with_suffix(".engine")
    export_engine(model, engine, EngineOptions(timing_cache=cache))
    assert cache.read_bytes() == b"measured by 10.16.1.11"
    export_engine(model, engine, EngineOptions(timing_cache=cache, overwrite=True))
    for content in (b"measured by 8.6.0", b"a holiday picture"):
        cache.write_bytes(content)
        with pytest.raises(UsageError, match="does not take the timing cache") as error:
            export_engine(model, engine, EngineOptions(timing_cache=cache, overwrite=True))
        assert "remove the file" in error.value.remedy
        assert cache.read_bytes() == content
    for protected in (model, engine):
        with pytest.raises(UsageError, match="would replace"):
            export_engine(model, engine, EngineOptions(timing_cache=protected, overwrite=True))
    with pytest.raises(OutputError, match="is a folder"):
        export_engine(model, engine, EngineOptions(timing_cache=tmp_path, overwrite=True))


@pytest.mark.parametrize("world", ["rtx"], indirect=True)
def test_a_library_without_timing_caches_says_so(world: World, model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="keeps no timing caches"):
        export_engine(model, model.with_suffix(".engine"), EngineOptions(timing_cache=tmp_path / "timings"))
    assert files(tmp_path) == {"net.onnx"}


def add_node(model: Path, kind: str) -> None:
    parsed = onnx.load(model)
    parsed.graph.node.insert(1, onnx.helper.make_node(kind, ["image"], ["unused"], name="odd_one"))
    model.write_bytes(parsed.SerializeToString())


@pytest.mark.parametrize("world", ["8.6", "10"], indirect=True)
def test_the_parsers_complaint_names_the_node(monkeypatch: pytest.MonkeyPatch, world: World, model: Path) -> None:
    add_node(model, "Unheard")
    # The node is none of ONNX's, so its types cannot be inferred; TensorRT is asked all the same.
    from ltsh_deploy.export import to_tensorrt

    monkeypatch.setattr(to_tensorrt, "count_precisions", lambda parsed: {"fp32": 3})
    monkeypatch.setattr(to_tensorrt, "read_precision", lambda parsed: "fp32")
    with pytest.raises(
        ExportError, match=r"cannot read node 'odd_one' \(Unheard\): Found unsupported input type of UINT8"
    ):
        export_engine(model, model.with_suffix(".engine"))


@pytest.mark.parametrize(
    ("said", "message", "remedy"),
    [
        (
            "4: [optimizer.cpp::computeCosts::37] Error Code 4: Internal Error (Could not find any implementation "
            "for node {ForeignNode[conv_1...conv_9]} due to insufficient workspace.)",
            r"no way to compute node 'conv_1' in the memory it may use \(--workspace 7\): Could not find any",
            "--workspace",
        ),
        ("Error Code 2: OutOfMemory (Requested size was 99 bytes.)", "the GPU's memory does not suffice", "--shapes"),
        (
            "IBuilder::buildSerializedNetwork: Error Code 1: Cuda Runtime (In x at /_src/y.cpp:25 (cudaError 35: a))",
            "without a working NVIDIA GPU",
            "nvidia-smi",
        ),
        (
            "Error Code 4: Internal Error (node conv_3: kOPT dimension out of range)",
            "node 'conv_3' at the shapes",
            "--shapes",
        ),
        ("Error Code 10: Internal Error (something new)", "could not build an engine: something new", "--verbose"),
    ],
)
def test_the_builders_complaint_in_the_users_words(
    world: World, model: Path, said: str, message: str, remedy: str
) -> None:
    world.refuses = said
    with pytest.raises(LtshError, match=message) as error:
        export_engine(model, model.with_suffix(".engine"), EngineOptions(workspace=7))
    assert remedy in error.value.remedy
    assert "/_src" not in error.value.message
    assert files(model.parent) == {"net.onnx"}


def test_an_error_that_only_the_recorder_hears_is_told(world: World, model: Path) -> None:
    world.refuses, world.logger_hears = "Error Code 10: Internal Error (something new)", False
    with pytest.raises(ExportError, match="something new"):
        export_engine(model, model.with_suffix(".engine"))


def test_plugins_are_refused_or_noted(monkeypatch: pytest.MonkeyPatch, world: World, model: Path) -> None:
    add_node(model, "MyPlugin")
    from ltsh_deploy.export import to_tensorrt

    monkeypatch.setattr(to_tensorrt, "count_precisions", lambda parsed: {"fp32": 3})
    monkeypatch.setattr(to_tensorrt, "read_precision", lambda parsed: "fp32")
    with pytest.raises(ExportError, match="layer 'odd_one' needs a plugin library"):
        export_engine(model, model.with_suffix(".engine"), EngineOptions(plugin_free=True))


def test_progress_adds_up_to_a_hundred(world: World, model: Path) -> None:
    told: list[tuple[int, str]] = []
    export_engine(model, model.with_suffix(".engine"), done=lambda percents, phase: told.append((percents, phase)))
    assert sum(percents for percents, _ in told) == 100
    assert min(percents for percents, _ in told) >= 0
    assert told[0] == (0, "Building engine")


def test_ctrl_c_ends_the_build_and_writes_nothing(world: World, model: Path) -> None:
    world.steps = 10**9
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        export_engine(model, model.with_suffix(".engine"))
    timer.join()
    assert files(model.parent) == {"net.onnx"}
    assert not [thread for thread in threading.enumerate() if thread.name == "TensorRT build" and thread.is_alive()]


def test_a_progress_bar_that_fails_ends_the_build(world: World, model: Path) -> None:
    def fail(percents: int, phase: str) -> None:
        raise BrokenPipeError("the terminal is gone")

    with pytest.raises(BrokenPipeError):
        export_engine(model, model.with_suffix(".engine"), done=fail)
    assert files(model.parent) == {"net.onnx"}


def test_the_engine_is_run_where_there_is_a_gpu(world: World, model: Path) -> None:
    images = [np.random.default_rng(0).integers(0, 256, (70, 50, 3), np.uint8), np.zeros((48, 64, 3), np.uint8)]
    seen: list[Path] = []
    report = export_engine(model, model.with_suffix(".engine"), images=images, examine=seen.append)
    assert report.parity is not None
    assert (report.parity.agreement.pictures, report.parity.heatmaps, report.parity.pafs) == (2, 0.0, 0.0)
    assert [path.name for path in seen] == ["net.engine"]
    assert not seen[0].exists()


def test_an_engine_that_fails_its_examination_is_not_written(world: World, model: Path) -> None:
    def examine(engine: Path) -> None:
        assert built(engine).precision == "fp32"
        raise ExportError("it loses people")

    with pytest.raises(ExportError, match="it loses people"):
        export_engine(model, model.with_suffix(".engine"), examine=examine)
    assert files(model.parent) == {"net.onnx"}


def test_an_engine_of_another_network_is_noticed(world: World, shared: Path, tmp_path: Path) -> None:
    from ltsh_deploy.images import read_image

    good = default_model()
    parsed = onnx.load(good)
    for tensor in parsed.graph.initializer:
        if len(tensor.dims) == 4 and tensor.dims[0] == 44:
            values = onnx.numpy_helper.to_array(tensor)
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.zeros_like(values), tensor.name))
    bad = tmp_path / "bad.onnx"
    onnx.save(parsed, bad)
    export_engine(bad, tmp_path / "bad.engine")
    photograph = read_image(next((shared / "data" / "real" / "coco").glob("*.jpg")))
    with pytest.raises(ExportError, match=r"loses \d+ of the \d+ people"):
        compare_engine(Path(good), tmp_path / "bad.engine", [photograph], Shapes.parse("1x256x256"), 0.0)


def test_both_see_pictures_padded_to_the_smallest_that_the_engine_takes(world: World, tmp_path: Path) -> None:
    good, engine, shapes = default_model(), tmp_path / "net.engine", Shapes.parse("1x160x96")
    export_engine(good, engine, EngineOptions(shapes=shapes))
    # A scene that fills half of the box: what the network says of it changes with what lies beside it.
    found = compare_engine(good, engine, [draw_scene(0, (80, 96))], shapes, 0.0)
    assert found.agreement.pictures == 1
    assert max(found.heatmaps, found.pafs) < 1e-4


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        ("1x16x8/2x64x48/3x96x80", ((1, 8, 16), (2, 48, 64), (3, 80, 96))),
        (" 2X64x48 ", ((2, 48, 64),) * 3),
    ],
)
def test_shapes_are_pictures_width_height(text: str, shapes: Any) -> None:
    parsed = Shapes.parse(text)
    assert (parsed.min, parsed.opt, parsed.max) == shapes
    assert Shapes.parse(str(parsed)) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "64x48",
        "1x64x48/1x64x48",
        "1x64x48/1x32x48/1x64x48",
        "0x8x8/1x8x8/1x8x8",
        "1x8x8/1x8x8/9999x8x8",
        "axbxc",
        "1x-8x8",
    ],
)
def test_shapes_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="the shapes"):
        Shapes.parse(text)


def test_shapes_must_fit_the_network(world: World, model: Path) -> None:
    with pytest.raises(
        UsageError, match="the usual of --shapes has a side of 60, which is no multiple of the stride, 8"
    ) as e:
        export_engine(model, model.with_suffix(".engine"), EngineOptions(shapes=Shapes.parse("1x8x8/1x64x60/1x64x64")))
    assert e.value.remedy == "Write 56 or 64."
    fixed = write_model(model.with_name("fixed.onnx"), shape=(2, 48, 64), metadata=metadata())
    assert built_shapes(fixed, EngineOptions()) == "2x64x48/2x64x48/2x64x48"
    with pytest.raises(UsageError, match="takes N = 2 and nothing else"):
        built_shapes(fixed, EngineOptions(shapes=SHAPES, overwrite=True))


def built_shapes(model: Path, options: EngineOptions) -> str:
    return str(export_engine(model, model.with_suffix(".engine"), options).sidecar.shapes)


def test_default_shapes_take_upright_and_lying_pictures(world: World, model: Path) -> None:
    assert built_shapes(model, EngineOptions()) == "1x8x8/1x64x48/8x64x64"


def test_names_are_held_before_anything_is_built(world: World, model: Path) -> None:
    engine = model.with_suffix(".engine")
    with pytest.raises(UsageError, match="must be named so"):
        export_engine(model, model.with_suffix(".plan"))
    sidecar_path(engine).write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        export_engine(model, engine)
    assert sidecar_path(engine).read_text() == "mine"
    export_engine(model, engine, EngineOptions(overwrite=True))
    assert built(engine).precision == "fp32"
    for options in ({"compat": "all"}, {"workspace": 0}, {"workspace": 1 << 30}):
        with pytest.raises(UsageError):
            EngineOptions(**options)  # type: ignore[arg-type]
    with pytest.raises(OutputError, match="there is no folder"):
        export_engine(model, model.parent / "nowhere" / "net.engine")
    with pytest.raises(OutputError, match="there is no folder"):
        export_engine(model, engine, EngineOptions(overwrite=True, timing_cache=model.parent / "nowhere" / "timings"))
    assert world.log.count("build") == 1


def test_an_engine_and_its_file_are_replaced_together_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch, world: World, model: Path, half: Path
) -> None:
    engine, write = model.with_suffix(".engine"), Path.write_bytes
    export_engine(model, engine)
    before = {path: path.read_bytes() for path in (engine, sidecar_path(engine))}

    def fill_up(path: Path, data: bytes) -> int:
        if path.suffix == ".json" and path.parent == engine.parent:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", fill_up)
    with pytest.raises(OutputError, match=r"net\.engine\.json: could not be written \(No space left"):
        export_engine(half, engine, EngineOptions(overwrite=True))
    assert {path: path.read_bytes() for path in before} == before
    assert files(model.parent) == {"net.onnx", "half.onnx", "net.engine", "net.engine.json"}


def test_a_timing_cache_that_cannot_be_written_does_not_undo_the_engine(
    monkeypatch: pytest.MonkeyPatch, world: World, model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine, cache, write = model.with_suffix(".engine"), model.with_name("timings"), Path.write_bytes

    def fill_up(path: Path, data: bytes) -> int:
        if data.startswith(b"measured"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", fill_up)
    report = export_engine(model, engine, EngineOptions(timing_cache=cache))
    assert (report.path, report.sidecar) == (engine, built(engine))
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        f"{cache}: could not be written (No space left on device); the engine is written, and the next build will not "
        "be faster"
    ]
    assert files(model.parent) == {"net.onnx", "net.engine", "net.engine.json"}


def test_integers_that_tensorrt_does_not_take_are_refused_before_anything_is_made(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["export", str(model), "--format", "engine", "-o", str(model.with_suffix(".engine")), "--precision", "int8"]
    assert main([*line, "--calibrate", str(model.parent), "--quantise-for", "onnxruntime"]) == 2
    assert "TensorRT does not take such integers" in capsys.readouterr().err


def test_without_any_tensorrt_both_are_named(monkeypatch: pytest.MonkeyPatch, world: World, model: Path) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(MissingPartError, match="needs TensorRT, which is not installed") as error:
        export_engine(model, model.with_suffix(".engine"))
    assert "[tensorrt]" in error.value.remedy
    assert "[tensorrt-rtx]" in error.value.remedy


def test_the_command_builds_reports_and_says_how_to_build_again(
    world: World, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = model.with_name("my net.engine")
    line = [
        "export",
        str(model),
        "--format",
        "engine",
        "-o",
        str(engine),
        "--shapes",
        str(SHAPES),
        "--compat",
        "same-cc",
    ]
    assert main([*line, "--workspace", "512", "--plugin-free", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["precision"], report["layers"], report["shapes"]) == ("fp32", {"fp32": 3}, str(SHAPES))
    assert report["run"]["pictures"] == 3
    again = shlex.split(built(engine).rebuild)
    assert again == ["ltsh", *line, "--workspace", "512", "--plugin-free", "--overwrite"]
    assert main(again[1:]) == 0
    text = capsys.readouterr().out
    assert "Layers with weights: 3 in fp32, read back from the engine." in text
    assert "Takes 1 to 3 pictures of 16x16 to 96x96 pixels at once, fastest at 1 of 64x48." in text
    assert "Run beside the ONNX file on 3 pictures" in text


def test_verification_runs_the_engine_or_says_that_it_cannot(
    monkeypatch: pytest.MonkeyPatch, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, picture, engine = write_arms(tmp_path / "arms.onnx"), tmp_path / "picture.png", tmp_path / "arms.engine"
    write_image(picture, arms(1)[0])
    line = ["export", str(model), "--format", "engine", "-o", str(engine), "--verify", str(picture)]
    assert main([*line, "--json"]) == 0
    accuracy = json.loads(capsys.readouterr().out)["accuracy"]
    assert (accuracy["data"], accuracy["people"], accuracy["lost"]) == (str(picture), 2, 0)
    assert main([*line, "--overwrite"]) == 0
    assert f"Accuracy on {picture} (1 picture)\nPeople: 2 of 2 are found again" in capsys.readouterr().out
    write_image(picture, np.zeros((48, 64, 3), np.uint8))
    assert main([*line, "--overwrite"]) == 3
    assert "sure of nobody" in capsys.readouterr().err
    tensorrt_stand_in.install(monkeypatch, "rtx", None)
    assert main([*line, "--overwrite"]) == 4
    assert "--verify has to run the engine: there is no NVIDIA driver" in capsys.readouterr().err


def test_options_of_engines_are_refused_for_others(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["export", str(model), "-o", str(model.with_name("other.onnx"))]
    for option in (
        ["--shapes", "1x8x8"],
        ["--compat", "none"],
        ["--workspace", "5"],
        ["--plugin-free"],
        ["--timing-cache", "a"],
    ):
        assert main([*line, *option]) == 2
        assert f"{option[0]} is for --format engine" in capsys.readouterr().err

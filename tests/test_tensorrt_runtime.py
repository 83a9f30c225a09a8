"""Engines are run by the rules of TensorRT and CUDA, give what their ONNX files give, and leave nothing behind."""

from __future__ import annotations

import gc
import json
import logging
import shutil
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import yaml

from ltsh_deploy.cli.main import main
from ltsh_deploy.cuda_session import CudaSession
from ltsh_deploy.device_fields import DeviceArray
from ltsh_deploy.engine_files import EngineSidecar, Shapes, sidecar_path
from ltsh_deploy.errors import DeviceError, FieldsError, LtshError, MissingPartError, ModelFileError, UsageError
from ltsh_deploy.estimator import PoseEstimator
from ltsh_deploy.export.to_tensorrt import EngineOptions, export_engine
from ltsh_deploy.fields import Fields
from ltsh_deploy.poses import Poses
from ltsh_deploy.runtimes import OnnxRuntime, open_runtime
from ltsh_deploy.tensorrt_runtime import TensorRtRuntime
from tests import pycuda_stand_in, tensorrt_stand_in
from tests.colour_model import paint, write_colour_model
from tests.pycuda_stand_in import Gpu
from tests.tensorrt_stand_in import DATA_DEPENDENT, VERSIONS, World
from tests.tiny_onnx import metadata, write_model

SHAPES = Shapes.parse("1x16x16/1x64x48/3x96x96")


def pictures(*shape: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)


@pytest.fixture
def gpu() -> Gpu:
    return Gpu()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, gpu: Gpu, request: pytest.FixtureRequest) -> Iterator[World]:
    """TensorRT 10 and a GPU, or another version; after the test nothing may be left, nor freed in the wrong order."""
    world = tensorrt_stand_in.install(monkeypatch, getattr(request, "param", "10"), gpu)
    yield world
    gc.collect()
    gpu.check_nothing_left()
    assert world.broken == []


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "net.onnx", metadata=metadata())


@pytest.fixture
def engine(world: World, model: Path) -> Path:
    path = model.with_suffix(".engine")
    export_engine(model, path, EngineOptions(shapes=SHAPES, rebuild="ltsh export net.onnx --format engine"))
    return path


def assert_same(left: list[Fields], right: list[Fields]) -> None:
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        assert one.stride == other.stride
        np.testing.assert_array_equal(one.heatmaps, other.heatmaps)
        np.testing.assert_array_equal(one.pafs, other.pafs)


@pytest.mark.parametrize("world", VERSIONS, indirect=True)
@pytest.mark.parametrize("shape", [(1, 48, 64), (3, 96, 96), (2, 16, 16), (0, 48, 64), (7, 48, 64)])
def test_fields_are_those_of_the_onnx_file(model: Path, engine: Path, shape: tuple[int, ...]) -> None:
    images = pictures(*shape)
    with OnnxRuntime(model, "cpu") as onnx, open_runtime(engine) as runtime:
        assert isinstance(runtime, TensorRtRuntime)
        assert runtime.device == "cuda:0"
        assert runtime.description == onnx.description
        assert_same(runtime.run(images), onnx.run(images))


def test_runs_of_many_shapes_one_after_the_other(model: Path, engine: Path) -> None:
    shapes = [(1, 96, 96), (2, 16, 16), (1, 48, 64), (3, 24, 96), (1, 96, 16)]
    with OnnxRuntime(model, "cpu") as onnx, TensorRtRuntime(engine) as runtime:
        kept = [(runtime.run(pictures(*shape)), onnx.run(pictures(*shape))) for shape in shapes]
    for ours, theirs in kept:
        assert_same(ours, theirs)


def test_pictures_smaller_than_the_engine_takes_are_padded_and_cut_back(world: World, model: Path) -> None:
    path = model.with_suffix(".engine")
    export_engine(model, path, EngineOptions(shapes=Shapes.parse("2x64x32/2x64x48/4x96x96")))
    with OnnxRuntime(model, "cpu") as onnx, TensorRtRuntime(path) as runtime:
        for shape in ((1, 16, 16), (5, 24, 96), (3, 40, 8)):
            assert_same(runtime.run(pictures(*shape)), onnx.run(pictures(*shape)))


def test_pictures_larger_than_the_engine_takes_are_refused(engine: Path) -> None:
    with TensorRtRuntime(engine) as runtime:
        with pytest.raises(UsageError, match="at most 96x96 pixels, got 104x96") as error:
            runtime.run(pictures(1, 96, 104))
        assert "--size 96x96" in error.value.remedy
        with pytest.raises(UsageError, match="multiples of 8"):
            runtime.run(pictures(1, 20, 20))


@pytest.mark.parametrize(
    ("shape", "changes"),
    [
        (("N", "H", "W"), {"layout": "NCHW", "dtype": "float32"}),
        ((2, 48, 64), {}),
        (("N", "H", "W"), {"dtype": "float16", "maps_dtype": "float16"}),
        (("N", "H", "W"), {"maps_layout": "NHWC"}),
    ],
)
def test_networks_of_other_layouts_types_and_fixed_sizes(
    world: World, tmp_path: Path, shape: tuple[Any, ...], changes: dict[str, str]
) -> None:
    maps = {"layout": changes.get("maps_layout", "NCHW")}
    described = metadata(
        input={"name": "image", "layout": changes.get("layout", "NHWC"), "dtype": changes.get("dtype", "uint8")},
        heatmaps={"name": "heatmaps", **maps},
        pafs={"name": "pafs", **maps},
    )
    model = write_model(tmp_path / "net.onnx", shape=shape, metadata=described, **changes)  # type: ignore[arg-type]
    path = model.with_suffix(".engine")
    export_engine(model, path, EngineOptions())
    with OnnxRuntime(model, "cpu") as onnx, TensorRtRuntime(path) as runtime:
        assert_same(runtime.run(pictures(3, 48, 64)), onnx.run(pictures(3, 48, 64)))
        assert runtime.stays_on_device((2, 48, 64, 3)) is ("maps_layout" not in changes)


def add_output(model: Path, node: onnx.NodeProto, kind: int, shape: list[Any]) -> None:
    """Another output of a model, which its description does not name."""
    changed = onnx.load(model)
    changed.graph.node.append(node)
    changed.graph.output.append(onnx.helper.make_tensor_value_info(node.output[0], kind, shape))
    onnx.save(changed, model)


@pytest.mark.parametrize("kind", ["INT8", "INT32", "INT64", "BOOL"])
def test_outputs_that_nobody_asks_for_have_room_too(world: World, model: Path, kind: str) -> None:
    number = getattr(onnx.TensorProto, kind)
    add_output(model, onnx.helper.make_node("Cast", ["both"], ["more"], to=number), number, [None] * 4)
    export_engine(model, model.with_suffix(".engine"), EngineOptions(shapes=SHAPES))
    with OnnxRuntime(model, "cpu") as runtime, TensorRtRuntime(model.with_suffix(".engine")) as ours:
        assert_same(ours.run(pictures(2, 48, 64)), runtime.run(pictures(2, 48, 64)))


def test_an_output_of_bfloat16_has_two_bytes_a_number(world: World, model: Path) -> None:
    kind = onnx.TensorProto.BFLOAT16
    add_output(model, onnx.helper.make_node("Cast", ["both"], ["more"], to=kind), kind, [None] * 4)
    export_engine(model, model.with_suffix(".engine"), EngineOptions(shapes=SHAPES))
    with TensorRtRuntime(model.with_suffix(".engine")) as runtime:
        assert runtime._engine is not None
        assert runtime._engine.dtype("more").itemsize == 2


def test_outputs_of_types_without_a_known_size_are_refused(world: World, model: Path) -> None:
    kind = onnx.TensorProto.FLOAT8E4M3FN
    add_output(model, onnx.helper.make_node("Cast", ["both"], ["more"], to=kind), kind, [None] * 4)
    export_engine(model, model.with_suffix(".engine"), EngineOptions(shapes=SHAPES))
    with pytest.raises(ModelFileError, match=r"'more' is of the type .*, which is not known here"):
        TensorRtRuntime(model.with_suffix(".engine"))


def test_outputs_whose_size_depends_on_the_picture_are_refused(world: World, model: Path) -> None:
    node = onnx.helper.make_node("NonZero", ["both"], ["more"])
    add_output(model, node, onnx.TensorProto.INT64, [4, DATA_DEPENDENT])
    export_engine(model, model.with_suffix(".engine"), EngineOptions(shapes=SHAPES))
    with TensorRtRuntime(model.with_suffix(".engine")) as runtime:
        for run in (runtime.run, runtime.run_on_device):
            with pytest.raises(ModelFileError, match=r"its output 'more' is, \[4, -1\], depends on the picture"):
                run(pictures(1, 48, 64))


def read_device(gpu: Gpu, array: Any) -> npt.NDArray[Any]:
    interface = array.__cuda_array_interface__
    assert (interface["version"], interface["strides"]) == (3, None)
    dtype = np.dtype(interface["typestr"])
    size = int(np.prod(interface["shape"])) * dtype.itemsize
    content = gpu.view(interface["data"][0], size, "reading").copy()
    return content.view(dtype).reshape(interface["shape"])


def test_maps_stay_on_the_device_as_long_as_they_are_wanted(gpu: Gpu, model: Path, engine: Path) -> None:
    images = [pictures(2, 48, 64), 255 - pictures(2, 48, 64), pictures(1, 96, 96)]
    with OnnxRuntime(model, "cpu") as onnx, TensorRtRuntime(engine) as runtime:
        # Nothing waits between them: neither the pictures nor the maps of one may be overwritten by the next.
        left = [runtime.run_on_device(batch) for batch in images]
        stream = gpu.streams[left[0].stream]
        assert [fields.stream for fields in left] == [stream.handle] * 3
        assert (left[0].stride, left[0].device) == (8, 0)
        with runtime._turn():
            stream.synchronize()
        del stream
        for fields, batch in zip(left, images, strict=True):
            heatmaps, pafs = read_device(gpu, fields.heatmaps), read_device(gpu, fields.pafs)
            assert_same([Fields(*maps, 8) for maps in zip(heatmaps, pafs, strict=True)], onnx.run(batch))
        addresses = {fields.heatmaps.__cuda_array_interface__["data"][0] for fields in left}
        assert len(addresses) == 3
        # Memory that nobody wants any more is used again.
        blocks = len(gpu.blocks)
        del left, fields
        for _ in range(5):
            runtime.run_on_device(images[0])
        assert len(gpu.blocks) == blocks


@pytest.mark.parametrize("size", [0, 1, 100])
def test_memory_may_be_given_up_where_no_context_is_current(world: World, size: int) -> None:
    session = CudaSession(0, "a test")
    with session.current():
        memory = session.allocate(size)
    del memory
    session.close()


def test_pictures_that_are_on_the_device_go_in_as_they_are(gpu: Gpu, model: Path, engine: Path) -> None:
    images = pictures(2, 48, 64)
    with OnnxRuntime(model, "cpu") as onnx, TensorRtRuntime(engine) as runtime:
        assert runtime.takes_device_pictures
        session = runtime.session
        with session.current():
            memory, pinned = session.allocate(images.nbytes), session.pinned(images.shape, np.uint8)
            pinned[...] = images
            session.upload(memory, pinned)
        handle = int(session.stream.handle)
        there = DeviceArray(memory, images.shape, np.uint8, handle)
        del memory
        for wrong, message in (
            (replace(there, stream=handle + 8), "another stream"),
            (replace(there, shape=(4, 48, 64, 3)), "cannot leave the maps"),
            (replace(there, shape=(2, 42, 64, 3)), "multiples of 8"),
            (replace(there, dtype=np.float32), r"got float32 of shape"),
        ):
            with pytest.raises(UsageError, match=message):
                runtime.run_on_device(wrong)
            with pytest.raises(UsageError, match="must be a uint8 array"):
                runtime.run(wrong)  # type: ignore[arg-type]
            del wrong
        left = runtime.run_on_device(there)
        # Given up before the network has begun.
        del there
        with session.current():
            session.stream.synchronize()
        heatmaps, pafs = read_device(gpu, left.heatmaps), read_device(gpu, left.pafs)
        assert_same([Fields(*maps, 8) for maps in zip(heatmaps, pafs, strict=True)], onnx.run(images))
        del left, pinned, session
    with pytest.raises(UsageError, match="closed"):
        runtime.run_on_device(DeviceArray(0, images.shape, np.uint8, handle))


def test_pictures_on_the_device_are_refused_by_networks_that_take_them_otherwise(world: World, tmp_path: Path) -> None:
    described = metadata(input={"name": "image", "layout": "NCHW", "dtype": "float32"})
    model = write_model(tmp_path / "net.onnx", layout="NCHW", dtype="float32", metadata=described)
    export_engine(model, model.with_suffix(".engine"))
    with TensorRtRuntime(model.with_suffix(".engine")) as runtime:
        assert not runtime.takes_device_pictures
        there = DeviceArray(0, (1, 48, 64, 3), np.uint8, int(runtime.session.stream.handle))
        with pytest.raises(UsageError, match="takes pictures as float32 RGB NCHW, not as they are on the GPU"):
            runtime.run_on_device(there)


def test_what_cannot_stay_on_the_device_is_refused(engine: Path) -> None:
    with TensorRtRuntime(engine) as runtime:
        assert runtime.stays_on_device((3, 96, 96, 3))
        for shape in ((4, 48, 64), (1, 8, 64), (1, 104, 64)):
            assert not runtime.stays_on_device((*shape, 3))
            with pytest.raises(UsageError, match="cannot leave the maps"):
                runtime.run_on_device(pictures(*shape))


def test_threads_share_a_runtime(model: Path, engine: Path) -> None:
    shapes = [(1, 48, 64), (2, 96, 16), (3, 16, 96), (1, 96, 96)] * 4
    with OnnxRuntime(model, "cpu") as onnx, TensorRtRuntime(engine) as runtime, ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda shape: runtime.run(pictures(*shape)), shapes))
        for fields, shape in zip(found, shapes, strict=True):
            assert_same(fields, onnx.run(pictures(*shape)))


def test_closing_waits_for_runs_that_have_begun_and_ends_the_rest(engine: Path) -> None:
    runtime = TensorRtRuntime(engine)
    results: list[object] = []

    def work() -> None:
        try:
            while True:
                results.append(len(runtime.run(pictures(1, 48, 64))))
        except UsageError as error:
            results.append(error.message)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    while len(results) < 3:
        pass
    runtime.close()
    for thread in threads:
        thread.join()
    assert {str(result) for result in results} == {"1", "this runtime was closed"}
    runtime.close()
    with pytest.raises(UsageError, match="was closed"):
        runtime.run_on_device(pictures(1, 48, 64))


def test_memory_that_runs_out_is_told_and_does_no_harm(gpu: Gpu, model: Path, engine: Path) -> None:
    with OnnxRuntime(model, "cpu") as onnx, TensorRtRuntime(engine) as runtime:
        gpu.fail_after = 1
        with pytest.raises(LtshError, match="out of memory") as error:
            runtime.run(pictures(1, 48, 64))
        assert "--batch" in error.value.remedy
        gpu.fail_after = None
        assert_same(runtime.run(pictures(1, 48, 64)), onnx.run(pictures(1, 48, 64)))


def test_a_gpu_that_is_full_from_the_beginning_is_told_and_left(gpu: Gpu, engine: Path) -> None:
    gpu.fail_after = 0
    with pytest.raises(LtshError, match="out of memory"):
        TensorRtRuntime(engine)
    assert (gpu.retained, gpu.stack) == (0, [])


def test_an_engine_asks_for_a_gpu_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch, engine: Path, gpu: Gpu
) -> None:
    with pytest.raises(DeviceError, match="not on the CPU"):
        TensorRtRuntime(engine, "cpu")
    with pytest.raises(DeviceError, match="there is no GPU 1: the NVIDIA driver knows 1 GPU"):
        TensorRtRuntime(engine, "cuda:1")
    with pytest.raises(UsageError, match="0 threads"):
        TensorRtRuntime(engine, threads=0)
    pycuda_stand_in.install(monkeypatch, None)
    with pytest.raises(DeviceError, match="needs an NVIDIA GPU: there is no NVIDIA driver") as error:
        TensorRtRuntime(engine)
    assert "use the ONNX file or checkpoint that the engine was built from" in error.value.remedy


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, engine: Path, world: World) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(MissingPartError, match="needs tensorrt") as error:
        TensorRtRuntime(engine)
    assert "[tensorrt]" in error.value.remedy
    for name in ("pycuda", "pycuda.driver"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingPartError, match="needs pycuda") as error:
        TensorRtRuntime(engine)
    assert "[cuda]" in error.value.remedy


def change(engine: Path, **changes: Any) -> None:
    path = sidecar_path(engine)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"library": {"name": "tensorrt", "version": "8.6.1"}},
            r"tensorrt 8\.6\.1, and here is tensorrt 10\.16\.1\.11",
        ),
        (
            {"gpu": {"name": "NVIDIA A100", "compute_capability": [8, 0]}},
            r"built on NVIDIA A100 \(compute capability 8\.0\), and this is Stand-in 1000 \(compute capability 8\.6\)",
        ),
        (
            {"gpu": {"name": "NVIDIA T4", "compute_capability": [7, 5]}, "compat": "same-cc"},
            r"T4 \(compute capability 7\.5\), for same-cc, and this is",
        ),
    ],
)
def test_engines_of_another_place_are_refused_with_the_command_that_builds_them(
    engine: Path, changes: dict[str, Any], message: str
) -> None:
    change(engine, **changes)
    with pytest.raises(ModelFileError, match=message) as error:
        TensorRtRuntime(engine)
    assert "ltsh export net.onnx --format engine" in error.value.remedy


@pytest.mark.parametrize(
    ("compat", "capability", "warned"), [("none", (8, 6), True), ("same-cc", (8, 6), False), ("ampere+", (9, 0), False)]
)
def test_engines_that_may_run_elsewhere_do(
    engine: Path, caplog: pytest.LogCaptureFixture, compat: str, capability: tuple[int, int], warned: bool
) -> None:
    change(engine, compat=compat, gpu={"name": "Another", "compute_capability": capability})
    with caplog.at_level(logging.WARNING), TensorRtRuntime(engine) as runtime:
        assert len(runtime.run(pictures(1, 48, 64))) == 1
    assert ("may be slow" in caplog.text) is warned


def test_damaged_files_are_told_from_each_other(engine: Path) -> None:
    good = engine.read_bytes()
    engine.write_bytes(good[: len(good) // 2])
    with pytest.raises(ModelFileError, match=r"is not the engine that net\.engine\.json describes"):
        TensorRtRuntime(engine)
    sidecar = sidecar_path(engine)
    for content, message in (
        ("{", "is not JSON"),
        ("[]", "all of it: "),
        ('{"format": 2}', "format version 2; this program reads up to 1"),
        ('{"format": 1, "engine": 3}', "engine: "),
    ):
        sidecar.write_text(content)
        with pytest.raises(ModelFileError, match=message):
            TensorRtRuntime(engine)
    sidecar.unlink()
    with pytest.raises(ModelFileError, match=r"10\.16\.1\.11 cannot load it on Stand-in 1000"):
        TensorRtRuntime(engine)
    engine.write_bytes(b"")
    with pytest.raises(ModelFileError, match="is empty"):
        TensorRtRuntime(engine)


def test_an_engine_from_elsewhere_is_described_by_yaml(world: World, model: Path, engine: Path) -> None:
    other = engine.with_name("other.engine")
    shutil.copy(engine, other)
    with pytest.raises(ModelFileError, match="nothing says which joints") as error:
        TensorRtRuntime(other)
    assert str(other.with_suffix(".yaml")) in error.value.remedy
    skeleton = {"name": "arm", "joints": ["shoulder", "elbow"], "limbs": [["shoulder", "elbow"]]}
    maps = {"input": {"name": "image"}, "heatmaps": {"name": "heatmaps"}, "pafs": {"name": "pafs"}}
    other.with_suffix(".yaml").write_text(yaml.safe_dump({"skeleton": skeleton, "stride": 8, "size": [64, 48], **maps}))
    world.log.clear()
    with OnnxRuntime(model, "cpu") as onnx, TensorRtRuntime(other) as runtime:
        assert_same(runtime.run(pictures(2, 48, 64)), onnx.run(pictures(2, 48, 64)))
    # What it needs is not known, so plugins are loaded.
    assert world.log == ["plugins"]


def test_an_engine_that_contradicts_its_description_is_refused(engine: Path) -> None:
    described = json.loads(sidecar_path(engine).read_text())["metadata"]
    change(engine, metadata={**described, "ltsh.heatmaps": '{"name": "nothing"}'})
    with pytest.raises(ModelFileError, match="has no output 'nothing'"):
        TensorRtRuntime(engine)


def test_infer_takes_an_engine(engine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import cv2

    picture = tmp_path / "picture.png"
    cv2.imwrite(str(picture), pictures(48, 64))
    assert main(["infer", str(picture), "--model", str(engine), "--json", "-"]) == 0
    assert '"people"' in capsys.readouterr().out
    assert main(["infer", str(picture), "--model", str(engine), "--device", "cpu"]) == 4
    assert "runs on NVIDIA GPUs" in capsys.readouterr().err


def poses_of(found: list[Poses]) -> list[Any]:
    return [(poses.xy.round(3).tolist(), poses.scores.round(5).tolist()) for poses in found]


def photographs() -> list[npt.NDArray[np.uint8]]:
    """Five, of which three become network inputs of one size."""
    arms = ([(8, 8)], [(8, 8), (40, 56)], [(16, 40)], [(72, 96), (8, 16)], [])
    sizes = ((160, 120), (160, 120), (120, 160), (160, 120), (9, 9))
    return [paint(where, size) for where, size in zip(arms, sizes, strict=True)]


@pytest.fixture
def arms(world: World, tmp_path: Path) -> tuple[Path, Path]:
    """A network that finds painted arms, and its engine."""
    model = write_colour_model(tmp_path / "arms.onnx")
    shapes = Shapes.parse("1x16x16/1x160x120/4x160x160")
    export_engine(model, tmp_path / "arms.engine", EngineOptions(shapes=shapes))
    return model, tmp_path / "arms.engine"


def test_an_estimator_leaves_the_maps_on_the_gpu(
    monkeypatch: pytest.MonkeyPatch, world: World, arms: tuple[Path, Path]
) -> None:
    model, engine = arms
    with PoseEstimator.open(model, device="cpu") as onnx, PoseEstimator.open(engine) as estimator:
        expected = poses_of(onnx(photographs()))
        assert [len(xy) for xy, _ in expected] == [1, 2, 1, 2, 0]
        assert poses_of(estimator(photographs())) == expected
        assert [entry for entry in world.log if entry.startswith("decode ")] == ["decode 3", "decode 1", "decode 1"]
    assert world.log[-1] == "decoder closed"
    monkeypatch.setenv("LTSH_DECODER", "numpy")
    world.log.clear()
    with PoseEstimator.open(engine) as estimator:
        assert poses_of(estimator(photographs())) == expected
    assert world.log == []


def test_an_estimator_that_looks_several_times_averages_on_the_host(world: World, arms: tuple[Path, Path]) -> None:
    model, engine = arms
    for options in ({"scales": (1.0, 0.5)}, {"mirror": True}):
        with (
            PoseEstimator.open(model, device="cpu", **options) as onnx,
            PoseEstimator.open(engine, **options) as estimator,
        ):
            assert poses_of(estimator(photographs())) == poses_of(onnx(photographs()))
    assert not [entry for entry in world.log if entry.startswith("decode ")]


def test_one_image_without_poses_takes_no_other_along(world: World, tmp_path: Path) -> None:
    described = metadata(input={"name": "image", "dtype": "float32", "scale": 1.3e36})
    model = write_model(tmp_path / "net.onnx", dtype="float32", metadata=described)
    export_engine(model, model.with_suffix(".engine"))
    images = [np.zeros((48, 64, 3), np.uint8), np.full((48, 64, 3), 255, np.uint8)]
    with PoseEstimator.open(model.with_suffix(".engine")) as estimator:
        looks = estimator.run(estimator.prepare(images))
        assert len(estimator.decode(looks[0])) == 0
        with pytest.raises(FieldsError, match="NaN or infinity"):
            estimator.decode(looks[1])
        del looks


def test_sidecar_says_what_the_engine_is(engine: Path) -> None:
    sidecar = EngineSidecar.read(engine)
    assert sidecar is not None
    assert (sidecar.library.name, sidecar.library.version) == ("tensorrt", "10.16.1.11")
    assert str(sidecar.gpu) == "Stand-in 1000 (compute capability 8.6)"
    assert (sidecar.precision, sidecar.layers, sidecar.read_back) == ("fp32", {"fp32": 3}, "inspector")
    assert sidecar.shapes == SHAPES
    assert sidecar.engine.bytes == engine.stat().st_size

"""Runtimes give the fields that the network means, whatever its file's habits, and name what is wrong with a file."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch

from ltsh_deploy.checkpoints import save_checkpoint
from ltsh_deploy.decode import decode_fields
from ltsh_deploy.descriptions import ModelDescription
from ltsh_deploy.errors import DeviceError, ExitCode, LtshError, MissingPartError, ModelFileError, UsageError
from ltsh_deploy.images import apply, place, read_image
from ltsh_deploy.model_tensors import fields_from_tensors
from ltsh_deploy.networks import NETWORKS, ImageNetwork, create_network
from ltsh_deploy.parts import install_line, replace_line
from ltsh_deploy.runtimes import OnnxRuntime, Runtime, TorchRuntime, open_runtime
from ltsh_deploy.skeletons import COCO18, LTSH15
from tests.test_networks import TINY
from tests.tiny_onnx import WEIGHTS, described, foretold, metadata, write_model

Image = npt.NDArray[np.uint8]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def images() -> Image:
    return np.random.default_rng(1).integers(0, 256, (3, 24, 40, 3), np.uint8)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runtimes") / "light.safetensors"
    save_checkpoint(path, create_network("ltsh_light", LTSH15, **TINY["ltsh_light"]))
    return path


def open_tiny(folder: Path, changes: dict[str, Any] | None = None, **model: Any) -> OnnxRuntime:
    path = write_model(folder / "tiny.onnx", metadata=metadata(**(changes or {})), **model)
    return OnnxRuntime(path, device="cpu", threads=1)


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("maps_layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("colour", ["RGB", "BGR"])
@pytest.mark.parametrize(
    "scaling",
    [
        {"dtype": "uint8"},
        {"dtype": "float32"},
        {"dtype": "float32", "scale": 1 / 255, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.25, 0.3)},
        {"dtype": "float16"},
        {"dtype": "float16", "scale": 1 / 255, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.25, 0.3)},
    ],
)
def test_every_layout_order_of_colours_and_scale(
    tmp_path: Path, images: Image, layout: str, maps_layout: str, colour: str, scaling: dict[str, Any]
) -> None:
    changes = {
        "input": {"name": "image", "layout": layout, "colour": colour, **scaling},
        "heatmaps": {"name": "both", "layout": maps_layout, "channels": (2, 0, 1)},
        "pafs": {"name": "both", "layout": maps_layout, "channels": (4, 3)},
    }
    runtime = open_tiny(tmp_path, changes, layout=layout, maps_layout=maps_layout, dtype=scaling["dtype"])
    before = images.copy()
    results = runtime.run(images)
    assert np.array_equal(images, before)
    assert len(results) == 3
    mean, std = np.array(scaling.get("mean", 0.0)), np.array(scaling.get("std", 1.0))
    for fields, image in zip(results, images, strict=True):
        ordered = image if colour == "RGB" else image[:, :, ::-1]
        expected = foretold((ordered * scaling.get("scale", 1.0) - mean) / std)
        # Half precision rounds each normalised pixel by at most 2**-11 of itself; a cell's mean is off by no more.
        error = np.abs(expected).max() * 1e-6
        if scaling == {"dtype": "float16"}:
            assert np.array_equal(np.float16(image), image)
        elif scaling["dtype"] == "float16":
            error = 2.0**-11 * np.abs(WEIGHTS).sum(axis=1).max() * np.abs((ordered / 255 - mean) / std).max()
        np.testing.assert_allclose(fields.heatmaps, expected[[2, 0, 1]], atol=error)
        np.testing.assert_allclose(fields.pafs, expected[[4, 3]], atol=error)
        assert fields.stride == 8
        for maps in (fields.heatmaps, fields.pafs):
            assert maps.dtype == np.float32
            assert maps.flags.c_contiguous


def test_images_need_not_be_contiguous(tmp_path: Path, images: Image) -> None:
    runtime = open_tiny(tmp_path)
    plain, turned = runtime.run(images[:, :, ::-1].copy()), runtime.run(images[:, :, ::-1])
    assert np.array_equal(plain[2].pafs, turned[2].pafs)
    read_only = images.copy()
    read_only.flags.writeable = False
    assert np.array_equal(runtime.run(read_only)[0].pafs, runtime.run(images)[0].pafs)


def test_half_precision_maps_become_float32(tmp_path: Path, images: Image) -> None:
    fields = open_tiny(tmp_path, maps_dtype="float16").run(images)[0]
    assert fields.heatmaps.dtype == np.float32
    np.testing.assert_allclose(fields.heatmaps, foretold(images[0])[:3], rtol=1e-3, atol=0.2)


def test_no_images_no_fields(tmp_path: Path, images: Image, checkpoint: Path) -> None:
    assert open_tiny(tmp_path).run(images[:0]) == []
    assert open_tiny(tmp_path, shape=(2, 48, 64)).run(images[:0]) == []
    assert TorchRuntime(checkpoint).run(images[:0]) == []


@pytest.mark.parametrize(
    "shape", [(1, "H", "W"), (2, "H", "W"), (4, "H", "W"), ("N", 48, 64), (2, 48, 64), (1, 24, "W")]
)
def test_fixed_sizes_and_batches_are_met_by_padding(
    tmp_path: Path, images: Image, shape: tuple[int | str, ...]
) -> None:
    size = (64, shape[1]) if isinstance(shape[1], int) else (64, 48)
    results = open_tiny(tmp_path, {"size": size}, shape=shape).run(images)
    for fields, image in zip(results, images, strict=True):
        np.testing.assert_allclose(np.concatenate([fields.heatmaps, fields.pafs]), foretold(image), atol=1e-3)
        assert fields.heatmaps.flags.c_contiguous


def test_pictures_larger_than_a_fixed_size(tmp_path: Path) -> None:
    runtime = open_tiny(tmp_path, shape=("N", 48, 64))
    with pytest.raises(UsageError, match="at most 64x48 pixels, got 72x48") as caught:
        runtime.run(np.zeros((1, 48, 72, 3), np.uint8))
    assert "--size 64x48" in caught.value.remedy


@pytest.mark.parametrize(
    ("changes", "model", "message"),
    [
        ({"input": {"name": "picture"}}, {}, "has no input 'picture', but 'image'"),
        ({"pafs": {"name": "vectors"}}, {}, "has no output 'vectors', but 'heatmaps', 'pafs', 'both'"),
        ({"input": {"name": "image", "dtype": "float32"}}, {}, r"input 'image' is tensor\(uint8\), not float32"),
        ({}, {"dtype": "float32"}, r"input 'image' is tensor\(float\), not uint8"),
        ({"input": {"name": "image", "layout": "NCHW"}}, {}, ", not NCHW"),
        ({}, {"shape": ("N", 48, 60)}, "fixed size 60x48, which does not fit stride 8"),
        ({"size": (72, 48)}, {"shape": ("N", 48, 64)}, "fixed size 64x48, which does not fit stride 8 and size 72x48"),
    ],
)
def test_files_that_contradict_their_description_are_refused_at_once(
    tmp_path: Path, changes: dict[str, Any], model: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelFileError, match=message) as caught:
        open_tiny(tmp_path, changes, **model)
    assert "tiny.onnx" in caught.value.message


@pytest.mark.parametrize(
    ("changes", "model", "message"),
    [
        ({}, {"maps_layout": "NHWC"}, "output 'heatmaps' has shape .* does not fit NCHW"),
        ({}, {"maps_layout": "NHWC", "shape": ("N", 48, 64)}, "output 'heatmaps' has shape .* does not fit NCHW"),
        ({}, {"stride": 4, "shape": ("N", 48, 64)}, "output 'heatmaps' has shape .* does not fit NCHW and stride 8"),
        ({"heatmaps": {"name": "both"}}, {}, "'both' has 5 channels, but skeleton arm needs 2 or 3 heatmaps"),
        ({"pafs": {"name": "both"}}, {}, "'both' has 5 channels, but skeleton arm needs 2 pafs"),
        (
            {"heatmaps": {"name": "pafs"}, "pafs": {"name": "heatmaps"}},
            {},
            "'heatmaps' has 3 channels, but skeleton arm needs 2 pafs",
        ),
        ({"pafs": {"name": "both", "channels": (4, 5)}}, {}, "'both' has 5 channels, so there is no channel 5"),
        ({"skeleton": LTSH15}, {}, "has 3 channels, but skeleton ltsh15 needs 15 or 16 heatmaps"),
        ({}, {"maps_dtype": "uint8"}, r"output 'heatmaps' is tensor\(uint8\) .* floats of 4 dimensions"),
    ],
)
def test_outputs_that_contradict_the_description_are_refused_at_once(
    tmp_path: Path, changes: dict[str, Any], model: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelFileError, match=message) as caught:
        open_tiny(tmp_path, changes, **model)
    assert "tiny.onnx" in caught.value.message
    assert "Correct " in caught.value.remedy


@pytest.mark.parametrize(
    ("changes", "heatmaps", "pafs", "message"),
    [
        ({"stride": 4}, (1, 3, 3, 5), (1, 2, 3, 5), "stride 4 need floats for 1 images of 6 rows and 10 columns"),
        ({}, (1, 3, 5, 3), (1, 2, 3, 5), r"'heatmaps' has shape \[1, 3, 5, 3\] .* layout NCHW"),
        ({}, (2, 3, 3, 5), (2, 2, 3, 5), "need floats for 1 images"),
        ({}, (3, 3, 5), (2, 3, 5), "need floats"),
        ({}, (1, 4, 3, 5), (1, 2, 3, 5), "'heatmaps' has 4 channels, but skeleton arm needs 2 or 3 heatmaps"),
        ({}, (1, 3, 3, 5), (1, 3, 3, 5), "'pafs' has 3 channels, but skeleton arm needs 2 pafs"),
        ({"pafs": {"name": "pafs", "channels": (1, 2)}}, (1, 3, 3, 5), (1, 2, 3, 5), "there is no channel 2"),
    ],
)
def test_maps_that_no_file_declared_are_held_to_the_description_too(
    changes: dict[str, Any], heatmaps: tuple[int, ...], pafs: tuple[int, ...], message: str
) -> None:
    description = ModelDescription(**described(**changes))
    tensors = {"heatmaps": np.zeros(heatmaps, np.float32), "pafs": np.zeros(pafs, np.float32)}
    with pytest.raises(ModelFileError, match=message) as caught:
        fields_from_tensors(tensors, description, (1, 24, 40), Path("tiny.onnx"))
    assert "tiny.onnx" in caught.value.message
    whole = {"heatmaps": np.zeros((1, 3, 3, 5), np.uint8), "pafs": np.zeros((1, 2, 3, 5), np.float32)}
    with pytest.raises(ModelFileError, match="of uint8"):
        fields_from_tensors(whole, ModelDescription(**described()), (1, 24, 40), Path("tiny.onnx"))


def test_channels_that_nothing_uses_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    changes = {"heatmaps": {"name": "both", "channels": (0, 1)}, "pafs": {"name": "both", "channels": (3, 4)}}
    open_tiny(tmp_path, changes)
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'tiny.onnx'}: of output 'both', the description uses all but channels [2]"
    ]
    caplog.clear()
    open_tiny(tmp_path)
    assert not caplog.records


@pytest.mark.parametrize(("dtype", "shape"), [("int64", [1, 8, 8, 3]), ("float32", [1, 3]), ("float64", [1, 8, 8, 3])])
def test_inputs_that_no_picture_fits_are_refused_before_a_description_is_asked_for(
    tmp_path: Path, dtype: str, shape: list[int]
) -> None:
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    values = [onnx.helper.make_tensor_value_info(name, kind, shape) for name in ("first", "second")]
    for inputs, message in (([values[0]], "input 'first' is tensor"), (values, "takes 2 inputs")):
        nodes = [onnx.helper.make_node("Identity", [i.name], [f"{i.name}_out"]) for i in inputs]
        outputs = [onnx.helper.make_tensor_value_info(f"{i.name}_out", kind, shape) for i in inputs]
        graph = onnx.helper.make_graph(nodes, "other", inputs, outputs)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 19)])
        model.ir_version = 9
        (tmp_path / "other.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(ModelFileError, match=message) as caught:
            open_runtime(tmp_path / "other.onnx")
        assert "SKELETON" not in caught.value.remedy


def test_weights_in_a_second_file_that_is_missing_are_named(tmp_path: Path) -> None:
    model = onnx.load(write_model(tmp_path / "whole.onnx", metadata=metadata()))
    path = tmp_path / "tiny.onnx"
    onnx.save(model, path, save_as_external_data=True, location="tiny.data", size_threshold=0)
    open_runtime(path).close()
    (tmp_path / "tiny.data").unlink()
    with pytest.raises(ModelFileError, match=r"keeps its weights in a second file, tiny\.data, which is not") as caught:
        open_runtime(path)
    assert str(tmp_path) in caught.value.remedy


@pytest.fixture(params=["onnx", "torch"])
def runtime(request: pytest.FixtureRequest, tmp_path: Path, checkpoint: Path) -> Runtime:
    return open_tiny(tmp_path) if request.param == "onnx" else TorchRuntime(checkpoint, device="cpu")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((1, 24, 36, 3), np.uint8), "multiples of 8, got 36x24"),
        (np.zeros((1, 0, 8, 3), np.uint8), "multiples of 8, got 8x0"),
        (np.zeros((24, 40, 3), np.uint8), r"got uint8 of shape \[24, 40, 3\]"),
        (np.zeros((1, 24, 40, 4), np.uint8), r"got uint8 of shape \[1, 24, 40, 4\]"),
        (np.zeros((1, 24, 40, 3), np.float32), "got float32"),
        ([[1]], "got list"),
        (None, "got NoneType"),
    ],
)
def test_what_is_no_batch_of_images_is_refused(runtime: Runtime, wrong: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        runtime.run(wrong)


def test_closed_runtimes_say_so(runtime: Runtime, images: Image) -> None:
    assert len(runtime.run(images)) == 3
    runtime.close()
    runtime.close()
    with pytest.raises(UsageError, match="closed"):
        runtime.run(images)


def test_several_threads_get_what_one_gets(runtime: Runtime) -> None:
    batches = np.random.default_rng(2).integers(0, 256, (8, 2, 32, 48, 3), np.uint8)
    alone = [runtime.run(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(runtime.run, batches))
    for one, other in zip(alone, together, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a.pafs, b.pafs, atol=1e-4)


def test_what_the_network_itself_fails_on_is_told_in_one_line(
    tmp_path: Path, images: Image, monkeypatch: pytest.MonkeyPatch, checkpoint: Path
) -> None:
    def no_memory(*arguments: object) -> None:
        raise RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : allocation of 99 bytes failed\nstack:\n...")

    onnx_runtime, torch_runtime = open_tiny(tmp_path), TorchRuntime(checkpoint)
    monkeypatch.setattr(onnx_runtime._session, "run", no_memory)
    monkeypatch.setattr(torch_runtime._network, "forward", no_memory)
    for runtime in (onnx_runtime, torch_runtime):
        with pytest.raises(LtshError) as caught:
            runtime.run(images)
        assert "failed on 3 images of 40x24 (allocation of 99 bytes failed)" in caught.value.message
        assert "\n" not in caught.value.message
        assert "--batch" in caught.value.remedy


def test_unreadable_model_files_are_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole = write_model(tmp_path / "whole.onnx").read_bytes()
    for suffix in (".onnx", ".safetensors"):
        (tmp_path / f"folder{suffix}").mkdir()
        (tmp_path / f"empty{suffix}").touch()
        (tmp_path / f"text{suffix}").write_text("no model at all\n")
        (tmp_path / f"zeros{suffix}").write_bytes(bytes(1000))
        (tmp_path / f"cut{suffix}").write_bytes(whole[: len(whole) // 2])
        for name, message in (
            ("none", "No such file"),
            ("folder", "is a folder"),
            ("empty", r"is empty \(0 bytes\)"),
            ("text", "cannot read it|not a whole"),
            ("zeros", "cannot read it|not a whole"),
            ("cut", "cannot read it|not a whole"),
            ("nul\0", "cannot be read"),
        ):
            with pytest.raises(ModelFileError, match=message) as caught:
                open_runtime(tmp_path / f"{name}{suffix}")
            assert f"{name}{suffix}" in caught.value.message
            assert "Traceback" not in str(caught.value)
            assert caught.value.exit_code == ExitCode.BAD_INPUT
    assert capfd.readouterr() == ("", "")


def test_model_that_needs_a_later_onnxruntime(tmp_path: Path) -> None:
    model = onnx.load(write_model(tmp_path / "new.onnx", metadata=metadata()))
    model.opset_import[0].version = 999
    (tmp_path / "new.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelFileError, match="onnxruntime cannot read it") as caught:
        open_runtime(tmp_path / "new.onnx")
    assert len(str(caught.value).splitlines()) == 2


def test_damaged_metadata_is_named(tmp_path: Path) -> None:
    path = write_model(tmp_path / "tiny.onnx", metadata=metadata(licence="Apache"))
    path.write_bytes(path.read_bytes().replace(b"Apache", b"Ap\xffche"))
    with pytest.raises(ModelFileError, match=r"tiny.onnx: its names or metadata are damaged"):
        open_runtime(path)


@pytest.mark.parametrize("name", ["net.plan", "net.pt", "net", "net.onnx.gz"])
def test_other_kinds_of_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelFileError, match="no kind of model file") as caught:
        open_runtime(tmp_path / name)
    assert ".onnx" in caught.value.remedy
    assert ".safetensors" in caught.value.remedy


def test_model_without_description_shows_its_own_tensors(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="nothing says which joints") as caught:
        open_runtime(write_model(tmp_path / "tiny.onnx"))
    assert '{name: "image", layout: NHWC, dtype: uint8, colour: RGB}' in caught.value.remedy
    assert str(tmp_path / "tiny.yaml") in caught.value.remedy


def test_yaml_beside_the_file_describes_it(tmp_path: Path, images: Image) -> None:
    skeleton = described()["skeleton"].to_dict()
    (tmp_path / "tiny.yaml").write_text(json.dumps({**described(skeleton=skeleton), "size": [64, 48]}))
    (fields, _, _) = open_runtime(write_model(tmp_path / "tiny.onnx")).run(images)
    np.testing.assert_allclose(fields.heatmaps, foretold(images[0])[:3], atol=1e-3)


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cpu:0", "auto:1", "CUDA", ""])
def test_unheard_of_devices(tmp_path: Path, checkpoint: Path, device: str) -> None:
    for path in (write_model(tmp_path / "tiny.onnx", metadata=metadata()), checkpoint):
        with pytest.raises(UsageError, match="there is no device"):
            open_runtime(path, device=device)


@pytest.mark.parametrize("threads", [0, -1])
def test_impossible_numbers_of_threads(tmp_path: Path, checkpoint: Path, threads: int) -> None:
    for path in (write_model(tmp_path / "tiny.onnx", metadata=metadata()), checkpoint):
        with pytest.raises(UsageError, match="threads"):
            open_runtime(path, threads=threads)


def test_cuda_is_never_replaced_in_silence(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_model(tmp_path / "tiny.onnx", metadata=metadata())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="torch sees no CUDA devices"):
        open_runtime(checkpoint, device="cuda")
    assert open_runtime(checkpoint, device="auto").device == "cpu"
    # A GPU that torch lists and has no code for.
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)

    ones = torch.ones

    def no_kernel(*arguments: Any, **options: Any) -> Any:
        if options.get("device") != "cuda:0":
            return ones(*arguments, **options)
        raise RuntimeError("no kernel image is available for execution on the device\nadvice")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "ones", no_kernel)
        with pytest.raises(DeviceError, match=r"cuda:0: CUDA does not work \(no kernel image .* device\)"):
            open_runtime(checkpoint, device="cuda")
        assert open_runtime(checkpoint, device="auto").device == "cpu"
    with pytest.raises(DeviceError, match=r"cuda:2: torch sees 1 CUDA device\n"):
        open_runtime(checkpoint, device="cuda:2")
    # As in onnxruntime without CUDA ...
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(DeviceError, match="the one without CUDA") as caught:
        open_runtime(path, device="cuda:1")
    assert caught.value.remedy == replace_line(["onnxruntime", "onnxruntime-gpu"], "gpu")
    # ... and in onnxruntime-gpu where CUDA's libraries are missing: it is listed, and does not load.
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: both)
    opened = onnxruntime.InferenceSession

    def without_cuda(*arguments: Any, providers: list[Any], **options: Any) -> Any:
        # With its own fallback onnxruntime would take the CPU instead, and print on stdout that it does.
        assert options == {"enable_fallback": 0}
        return opened(*arguments, providers=["CPUExecutionProvider"], **options)

    monkeypatch.setattr(onnxruntime, "InferenceSession", without_cuda)
    with pytest.raises(DeviceError, match="cuda:0: CUDA does not work"):
        open_runtime(path, device="cuda")
    assert open_runtime(path, device="auto").device == "cpu"

    def no_such_gpu(*arguments: Any, providers: list[Any], **options: Any) -> Any:
        if len(providers) > 1:
            raise RuntimeError("[ONNXRuntimeError] : 1 : FAIL : CUDA failure 101: invalid device ordinal")
        return opened(*arguments, providers=providers, **options)

    monkeypatch.setattr(onnxruntime, "InferenceSession", no_such_gpu)
    with pytest.raises(DeviceError, match=r"cuda:9: .*invalid device ordinal"):
        open_runtime(path, device="cuda:9")
    assert open_runtime(path, device="auto").device == "cpu"
    assert capfd.readouterr() == ("", "")


def test_cuda_is_asked_for_without_tf32_and_with_its_libraries_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_model(tmp_path / "tiny.onnx", metadata=metadata())
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    calls: list[object] = []
    opened = onnxruntime.InferenceSession

    class OnCuda:
        def __init__(self, *arguments: Any, providers: list[Any], **options: Any) -> None:
            calls.append(providers)
            self._session = opened(*arguments, providers=["CPUExecutionProvider"], **options)

        def get_providers(self) -> list[str]:
            return both

        def __getattr__(self, name: str) -> Any:
            return getattr(self._session, name)

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: both)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: calls.append("preload_dlls"), raising=False)
    monkeypatch.setattr(onnxruntime, "InferenceSession", OnCuda)
    assert open_runtime(path, device="cuda:1").device == "cuda:1"
    options = {"device_id": "1", "use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
    assert calls == ["preload_dlls", [("CUDAExecutionProvider", options), "CPUExecutionProvider"]]
    assert open_runtime(path).device == "cuda:0"
    calls.clear()
    open_runtime(path, device="cpu")
    assert calls == [["CPUExecutionProvider"]]


class Overlap:
    """Two threads that would be at the same place at once: the second outstays the first, unless it is kept out."""

    def __init__(self) -> None:
        self._first = threading.Lock()
        self._both, self._one_left = threading.Event(), threading.Event()

    def stay(self) -> None:
        if self._first.acquire(blocking=False):
            self._both.wait(0.2)
        else:
            self._both.set()
            self._one_left.wait(0.2)

    def twice(self, work: Any) -> None:
        def leave() -> None:
            work()
            self._one_left.set()

        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(leave) for _ in range(2)]:
                done.result()


def on_a_gpu(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> TorchRuntime:
    """A runtime that takes the CPU for a GPU."""
    runtime, from_numpy = TorchRuntime(checkpoint, device="cpu"), torch.from_numpy
    runtime.device = "cuda:0"
    monkeypatch.setattr(torch, "from_numpy", lambda array: SimpleNamespace(to=lambda device: from_numpy(array)))
    return runtime


def test_threads_that_overlap_run_without_tf32_and_leave_the_switch_as_it_was(
    checkpoint: Path, images: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, overlap = on_a_gpu(checkpoint, monkeypatch), Overlap()
    assert runtime._network is not None
    forward, seen = runtime._network.forward, []

    def looking(image: torch.Tensor) -> Any:
        overlap.stay()
        seen.append(torch.backends.cudnn.allow_tf32)
        return forward(image)

    monkeypatch.setattr(runtime._network, "forward", looking)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=True):
        overlap.twice(lambda: runtime.run(images))
        assert torch.backends.cudnn.allow_tf32
    assert seen == [False, False]


def test_onnxruntime_is_hushed_by_one_thread_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, overlap = write_model(tmp_path / "tiny.onnx", metadata=metadata()), Overlap()
    opened, level, seen = onnxruntime.InferenceSession, [2], []
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
    monkeypatch.setattr(onnxruntime, "set_default_logger_severity", level.append)

    def open_session(*arguments: Any, providers: list[Any], **options: Any) -> Any:
        if len(providers) > 1:
            overlap.stay()
            seen.append(level[-1])
        return opened(*arguments, providers=["CPUExecutionProvider"], **options)

    monkeypatch.setattr(onnxruntime, "InferenceSession", open_session)
    overlap.twice(lambda: open_runtime(path))
    assert (seen, level[-1]) == ([4, 4], 2)


def test_torch_runs_without_tf32(checkpoint: Path, images: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = on_a_gpu(checkpoint, monkeypatch)
    assert runtime._network is not None
    forward, seen = runtime._network.forward, []

    def looking(image: torch.Tensor) -> Any:
        seen.append((torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32))
        return forward(image)

    monkeypatch.setattr(runtime._network, "forward", looking)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=True):
        runtime.run(images)
        assert torch.backends.cudnn.allow_tf32
    assert seen == [(False, False)]


def test_onnxruntime_does_not_talk(tmp_path: Path, images: Image, capfd: pytest.CaptureFixture[str]) -> None:
    model = onnx.load(write_model(tmp_path / "tiny.onnx", metadata=metadata()))
    # onnxruntime warns of weights that nothing uses.
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(3, np.float32), "unused"))
    (tmp_path / "tiny.onnx").write_bytes(model.SerializeToString())
    assert len(open_runtime(tmp_path / "tiny.onnx").run(images)) == 3
    assert capfd.readouterr() == ("", "")


def test_missing_onnxruntime_is_named_with_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_model(tmp_path / "tiny.onnx", metadata=metadata())
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingPartError, match="needs onnxruntime") as caught:
        open_runtime(path)
    assert caught.value.remedy == f"{install_line('cpu')} or {install_line('gpu')}"
    assert caught.value.exit_code == ExitCode.MISSING_PART


@pytest.mark.parametrize("name", NETWORKS)
def test_checkpoints_run_as_their_network_does(name: str, tmp_path: Path, images: Image) -> None:
    network = create_network(name, LTSH15, 4, **TINY[name]).eval()
    save_checkpoint(tmp_path / "net.safetensors", network)
    with open_runtime(tmp_path / "net.safetensors", device="cpu", threads=1) as runtime, torch.inference_mode():
        assert isinstance(runtime, TorchRuntime)
        assert (runtime.description.skeleton, runtime.description.network) == (LTSH15, name)
        together = runtime.run(images)
        for i, fields in enumerate(together):
            heatmaps, pafs = ImageNetwork(network)(torch.from_numpy(images[i : i + 1]))
            alone = runtime.run(images[i : i + 1])[0]
            for a, b, c in ((fields.heatmaps, alone.heatmaps, heatmaps), (fields.pafs, alone.pafs, pafs)):
                assert np.abs(a - b).max() <= 1e-4
                assert np.abs(b - c[0].numpy()).max() <= 1e-6
                assert a.flags.c_contiguous


def photographs(shared: Path) -> Image:
    """[4, 368, 432, 3] real pictures as a network sees them."""
    paths = sorted((shared / "data" / "real" / "coco").glob("*.jpg"))
    pictures = [read_image(path) for path in paths]
    pixels = [apply(p, place((p.shape[1], p.shape[0]), (432, 368), 8)) for p in pictures]
    canvas = np.full((len(pixels), 368, 432, 3), 128, np.uint8)
    for target, source in zip(canvas, pixels, strict=True):
        target[: source.shape[0], : source.shape[1]] = source
    return canvas


def test_coco_model_finds_real_people_alone_and_in_a_batch(shared: Path, capfd: pytest.CaptureFixture[str]) -> None:
    batch = photographs(shared)
    with OnnxRuntime(shared / "models" / "coco_paf_mobilenet_v2_small.onnx", device="cpu", threads=1) as runtime:
        assert runtime.description.skeleton == COCO18
        together = runtime.run(batch)
        found = 0
        for i, fields in enumerate(together):
            alone = runtime.run(batch[i : i + 1])[0]
            assert fields.heatmaps.shape == (19, 46, 54)
            assert fields.pafs.shape == (38, 46, 54)
            assert fields.stride == 8
            assert np.abs(fields.heatmaps - alone.heatmaps).max() <= 1e-4
            assert np.abs(fields.pafs - alone.pafs).max() <= 1e-4
            poses = decode_fields(fields, COCO18)
            assert len(poses) == len(decode_fields(alone, COCO18))
            found += len(poses)
            # The last channel is background: high where there is nobody.
            assert fields.heatmaps[18].mean() > 0.8
    assert found >= 4
    assert capfd.readouterr() == ("", "")


def test_nothing_is_imported_that_is_not_used(shared: Path) -> None:
    model = shared / "models" / "coco_paf_mobilenet_v2_small.onnx"
    code = f"""
import sys
import ltsh_deploy.runtimes
assert not {{"onnxruntime", "torch", "pydantic", "yaml"}} & set(sys.modules)
ltsh_deploy.runtimes.open_runtime({str(model)!r})
assert not {{"torch", "onnx", "safetensors"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent.parent)

"""ONNX in float16 and in 8 bits: the contract is kept, the precision true, and what is broken is not written."""

from __future__ import annotations

import logging
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto

from ltsh_deploy.default_model import default_model
from ltsh_deploy.demo import draw_scene
from ltsh_deploy.descriptions import ModelDescription
from ltsh_deploy.errors import ExportError, InputError, ModelFileError, SourceError, UsageError
from ltsh_deploy.export import to_onnx
from ltsh_deploy.export.accuracy import open_verification
from ltsh_deploy.export.calibration import measure_values
from ltsh_deploy.export.graphs import Graph, check_model, count_precisions, read_precision
from ltsh_deploy.export.precision import OnnxExport, Quantisation, export_precision
from ltsh_deploy.export.quantise import STYLES, plan, quantise, style_of
from ltsh_deploy.export.to_float16 import LARGEST, rounding_as_float16, to_float16
from ltsh_deploy.export.to_onnx import export_onnx
from ltsh_deploy.onnx_files import read_own_model
from ltsh_deploy.outputs import write_image
from ltsh_deploy.runtimes import OnnxRuntime
from tests.arms_onnx import arms_values, write_arms
from tests.colour_model import paint
from tests.test_export import pictures, save
from tests.tiny_onnx import metadata, write_model

Image = npt.NDArray[np.uint8]

pytestmark = pytest.mark.usefixtures("one_thread")


def arms(count: int) -> list[Image]:
    """Pictures of one or two arms each."""
    random = np.random.default_rng(1)
    found = []
    for _ in range(count):
        x, y = (8 * random.integers(0, limit, 2) for limit in (4, 6))
        found.append(paint([(int(x[0]), int(y[0])), (int(x[1]) + 8, int(y[1]) + 64)]))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures to calibrate on."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, image in enumerate(arms(12)):
        write_image(folder / f"{number}.png", image)
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_arms(tmp_path_factory.mktemp("model") / "arms.onnx")


def float32_of(network: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX file of a network: the package's own, or one that is untrained, its checkpoint beside it.

    The latter is made once, for it takes seconds.
    """
    if network == "ltsh_light":
        return default_model()
    path = tmp_path_factory.getbasetemp() / "networks" / f"{network}.onnx"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        export_onnx(save(path.with_suffix(".safetensors"), network), path, images=pictures(1), size=(64, 48))
    return path


def export(source: Path, output: Path, precision: str, folder: Path | None = None, **options: Any) -> OnnxExport:
    how = None if folder is None else Quantisation(folder, options.pop("style", "onnxruntime"))
    options.setdefault("images", arms(2))
    return export_precision(source, output, precision=precision, quantisation=how, **options)


def maps_of(path: Path, image: Image) -> npt.NDArray[Any]:
    with OnnxRuntime(path, device="cpu", threads=1) as runtime:
        return runtime.run(image[None])[0].heatmaps[:3]


@pytest.mark.parametrize("network", ["ltsh_light", "openpose_vgg19"])
@pytest.mark.parametrize(("precision", "style"), [("fp16", ""), ("int8", "onnxruntime"), ("int8", "tensorrt")])
def test_checkpoints_export_to_every_precision(
    tmp_path_factory: pytest.TempPathFactory, network: str, precision: str, style: str
) -> None:
    base = float32_of(network, tmp_path_factory)
    tmp_path = tmp_path_factory.mktemp("out")
    for number in range(8):
        write_image(tmp_path / f"{number}.png", draw_scene(number, (80, 64)))
    int8 = precision == "int8"
    options: dict[str, Any] = {"style": style} if int8 else {}
    # What is compared is drawn people: painted arms are noise to a network of photographs, and its people in noise come
    # and go with the last digit.
    options["images"] = [draw_scene(number, (80, 64)) for number in range(2)]
    # A small size, for speed.
    report = export(base, tmp_path / "net.onnx", precision, tmp_path if int8 else None, size=(64, 48), **options)
    assert report.precision == precision == report.description.precision == read_precision(report.path)
    assert report.operators[precision] >= 0.9 * sum(report.operators.values())
    model = onnx.load(report.path)
    check_model(model, "")
    assert [entry.version for entry in model.opset_import if not entry.domain] == [19]
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
    assert [output.type.tensor_type.elem_type for output in model.graph.output] == [TensorProto.FLOAT] * 2
    assert [node.op_type for node in Graph(model).users("image")] == ["Cast"]
    before, after = (read_own_model(path)[1] for path in (base, report.path))
    assert after.size == (64, 48)
    changed = {"precision": before.precision, "calibration": "", "size": before.size}
    assert after.model_copy(update=changed) == before
    # Any number of pictures, of any size.
    with OnnxRuntime(report.path, device="cpu", threads=1) as runtime:
        for count, height, width in ((1, 8, 8), (3, 40, 72)):
            for fields in runtime.run(np.zeros((count, height, width, 3), np.uint8)):
                assert fields.heatmaps.dtype == np.float32
                assert fields.heatmaps.shape[1:] == (height // 8, width // 8)
    weights = sum(len(tensor.raw_data) for tensor in onnx.load(base).graph.initializer)
    ratio = sum(len(tensor.raw_data) for tensor in model.graph.initializer) / weights
    assert ratio < {"fp16": 0.51, "int8": 0.33}[precision]
    assert style_of(model) == (style or None)


def test_a_checkpoint_is_proven_before_it_is_converted(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = float32_of("openpose_vgg19", tmp_path_factory)
    checkpoint = base.with_suffix(".safetensors")
    # The conversion is tested elsewhere, and slow.
    monkeypatch.setattr(to_onnx, "_convert", lambda network, opset: onnx.load(base))
    report = export(checkpoint, tmp_path / "net.onnx", "fp16", images=pictures(1), size=(72, 56))
    assert report.parity is not None
    assert report.parity.pictures == 1
    assert report.likeness is not None
    assert 0 < report.likeness.paf_error < 0.01
    assert report.description.size == (72, 56)
    assert list(tmp_path.iterdir()) == [report.path]
    plain = export(checkpoint, tmp_path / "plain.onnx", "fp32", images=pictures(1))
    assert (plain.precision, plain.description.precision, plain.likeness) == ("fp32", "fp32", None)

    def other(network: Any, opset: int) -> Any:
        model = onnx.load(base)
        weights = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
        weights.raw_data = (np.frombuffer(weights.raw_data, np.float32) * np.float32(1.01)).tobytes()
        return model

    monkeypatch.setattr(to_onnx, "_convert", other)
    with pytest.raises(ExportError, match="differ on picture 1"):
        export(checkpoint, tmp_path / "other.onnx", "fp16", images=pictures(1))
    assert not (tmp_path / "other.onnx").exists()


def test_float16_rounds_and_no_more(source: Path, tmp_path: Path) -> None:
    report = export(source, tmp_path / "half.onnx", "fp16")
    image = np.random.default_rng(5).integers(0, 256, (120, 160, 3), np.uint8)
    expected, found = arms_values(image), maps_of(report.path, image)
    # Six operations, each rounded once, on values up to 2.
    assert np.abs(found - expected).max() <= 6 * 2 * 2.0**-11
    assert np.abs(found - maps_of(source, image)).max() > 0
    assert report.operators == {"fp16": 3}
    assert report.likeness is not None
    assert (report.likeness.agreement.people, report.likeness.agreement.lost) == (4, 0)


@pytest.mark.parametrize("style", STYLES)
def test_eight_bits_are_as_near_as_their_steps_allow(source: Path, tmp_path: Path, folder: Path, style: str) -> None:
    report = export(source, tmp_path / "int8.onnx", "int8", folder, style=style)
    image = arms(3)[2]
    expected, found = arms_values(image), maps_of(report.path, image)
    # Five activations up to 2 are rounded to 127 steps or more, and weights to 63 or more.
    assert np.abs(found - expected).max() <= 5 * 2 / (2 * 127) + 2 * 2 / (2 * 63)
    # The convolution whose results are the maps stays as it was.
    assert report.operators == {"int8": 2, "fp32": 1}
    assert report.likeness is not None
    assert (report.likeness.agreement.people, report.likeness.agreement.lost) == (4, 0)
    assert "12 pictures of " + folder.name in report.description.calibration
    assert style in report.description.calibration
    metadata = {entry.key: entry.value for entry in onnx.load(report.path).metadata_props}
    assert metadata["ltsh.precision"] == '"int8"'
    assert "SHA-256" in metadata["ltsh.calibration"]


def test_tensors_that_only_move_share_a_scale_and_bounded_ones_pass(source: Path) -> None:
    graph = Graph(onnx.load(source))
    chosen = plan(graph)
    assert [node.name for node in chosen.convolutions] == ["colours_node", "each_node"]
    # "colours" goes into a ReLU alone, and "maps" and what follows are what users see.
    assert chosen.tensors == ["back", "each", "joined", "larger", "means", "normal", "seen", "sum"]
    assert chosen.groups["back"] == chosen.groups["larger"] == chosen.groups["sum"] == "sum"
    assert chosen.groups["joined"] == "joined"


def test_integers_are_those_of_the_style(source: Path, tmp_path: Path, folder: Path) -> None:
    for style, kind in (("onnxruntime", np.uint8), ("tensorrt", np.int8)):
        path = tmp_path / f"{style}.onnx"
        export(source, path, "int8", folder, style=style)
        values = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
        zeros = {name: array for name, array in values.items() if re.fullmatch(r"(?!.*(weights|bias)).*_zero", name)}
        assert {array.dtype for array in zeros.values()} == {np.dtype(kind)}
        # What passed a ReLU has no negative values.
        assert zeros["seen_zero"] == 0
        assert ("each_bias_integers" in values) == (style == "onnxruntime")
        weights = values["colours_weights_integers"]
        assert weights.dtype == np.int8
        assert np.abs(weights).max() == STYLES[style].weight
        scale = values["colours_weights_scale"]
        assert scale.shape == (3,)
        np.testing.assert_allclose(weights[:, :, 0, 0] * scale[:, None], 1.5 * np.eye(3) - 0.5, atol=scale.max() / 2)


@pytest.mark.parametrize("style", STYLES)
def test_what_rounding_weights_adds_on_average_the_bias_takes_away(source: Path, style: str) -> None:
    model = onnx.load(source)
    chosen = plan(Graph(model))
    inputs = list(np.random.default_rng(0).integers(0, 256, (4, 1, 80, 80, 3), np.uint8))
    values = measure_values(model, [*chosen.tensors, "colours"], inputs)
    quantised = quantise(model, chosen, values, STYLES[style])
    # Of (1, -0.5, -0.5), the halves are 31.5 steps of 63, or 63.5 of 127; rounded, they weigh half a step more each.
    step = 1 / STYLES[style].weight
    uncorrected = -2 * (step / 2) * 0.5
    added = measure_values(quantised, ["colours"], inputs)["colours"].means - values["colours"].means
    assert np.abs(added).max() < abs(uncorrected) / 20


def test_a_bias_beside_weights_of_almost_nothing_fits_into_32_bits(tmp_path: Path, folder: Path) -> None:
    path = write_arms(tmp_path / "arms.onnx")
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor).copy()
        if tensor.name == "each_weights":
            values[1] = 1e-12
        if tensor.name == "each_bias":
            values[1] = 0.5
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    path.write_bytes(model.SerializeToString())
    report = export(path, tmp_path / "int8.onnx", "int8", folder)
    image = arms(1)[0]
    assert np.abs(maps_of(report.path, image) - maps_of(path, image)).max() < 0.05


def test_precision_is_read_from_tensors_not_from_what_the_file_says(source: Path, tmp_path: Path, folder: Path) -> None:
    half, integers = tmp_path / "half.onnx", tmp_path / "int8.onnx"
    export(source, half, "fp16")
    export(source, integers, "int8", folder)
    for path, expected in ((source, "fp32"), (half, "fp16"), (integers, "int8")):
        model = onnx.load(path)
        for claim in ("fp32", "fp16", "int8"):
            description = ModelDescription.from_metadata({e.key: e.value for e in model.metadata_props}, "model")
            onnx.helper.set_model_props(model, description.model_copy(update={"precision": claim}).to_metadata())
            assert read_precision(model) == expected
        assert read_precision(str(path)) == read_precision(path) == expected
    with pytest.raises(ModelFileError, match="the model file cannot be read"):
        read_precision(tmp_path / "none.onnx")


def test_values_too_large_for_float16_are_found_where_a_cpu_would_hide_them(tmp_path: Path) -> None:
    source = write_arms(tmp_path / "arms.onnx", inner=3e5)
    output = tmp_path / "half.onnx"
    with pytest.raises(ExportError, match=r"cannot hold a weight of 'colours_node' \(colours_weights\): it is 3e\+05"):
        export(source, output, "fp16")
    # The weights fit, the values do not.
    source = write_arms(tmp_path / "arms.onnx", inner=6e4)
    with pytest.raises(ExportError, match=r"cannot hold what 'sum_node' \(Add\) computes: 1.2e\+05"):
        export(source, output, "fp16")
    assert not output.exists()
    # The last sizes that fit.
    source = write_arms(tmp_path / "arms.onnx", inner=LARGEST / 2.01)
    assert export(source, output, "fp16").precision == "fp16"


def test_float16_keeps_the_normalisation_and_the_scales_of_a_resize(source: Path) -> None:
    model = to_float16(onnx.load(source))
    graph = Graph(model)
    for name, kind in (("normal", TensorProto.FLOAT), ("colours", TensorProto.FLOAT16), ("twice", TensorProto.FLOAT)):
        assert graph.type_of(name) == kind
    assert [node.op_type for node in model.graph.node].count("Cast") == 4
    assert count_precisions(model) == {"fp16": 3}


def test_what_a_gpu_rounds_is_rounded_where_a_cpu_would_not(tmp_path: Path) -> None:
    """Between two nodes the values become infinite, and a CPU says nothing of it."""
    half = to_float16(onnx.load(write_arms(tmp_path / "arms.onnx", inner=6e4)))
    image = arms(1)[0]
    (tmp_path / "half.onnx").write_bytes(half.SerializeToString())
    rounding = rounding_as_float16(half)
    check_model(rounding, "")
    (tmp_path / "rounding.onnx").write_bytes(rounding.SerializeToString())
    assert not np.isfinite(maps_of(tmp_path / "rounding.onnx", image)).all()
    # And where nothing is infinite, all values are float16's.
    half = to_float16(onnx.load(write_arms(tmp_path / "arms.onnx")))
    path = tmp_path / "fine.onnx"
    path.write_bytes(rounding_as_float16(half).SerializeToString())
    noise = np.random.default_rng(5).integers(0, 256, (120, 160, 3), np.uint8)
    found = maps_of(path, noise)
    np.testing.assert_array_equal(found, found.astype(np.float16))
    assert 0 < np.abs(found - arms_values(noise)).max() <= 6 * 2 * 2.0**-11


def broken(model: Any, *_: Any) -> Any:
    """A conversion after which the network says nothing."""
    half = to_float16(model)
    for tensor in half.graph.initializer:
        if tensor.name == "last_weights_float16":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.zeros((8, 6, 1, 1), np.float16), tensor.name))
    return half


def test_a_network_that_says_nothing_or_nan_is_never_written(
    source: Path, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "net.onnx"
    output.write_bytes(b"the user's older file")

    def poisoned(model: Any, *_: Any) -> Any:
        half = to_float16(model)
        for tensor in half.graph.initializer:
            if tensor.name == "last_bias_float16":
                tensor.CopyFrom(onnx.numpy_helper.from_array(np.full(8, np.nan, np.float16), tensor.name))
        return half

    monkeypatch.setattr("ltsh_deploy.export.to_float16.to_float16", broken)
    with pytest.raises(ExportError, match=r"heat maps in fp16 differ from float32's by 1 of their size"):
        export(source, output, "fp16", overwrite=True)
    monkeypatch.setattr("ltsh_deploy.export.to_float16.to_float16", poisoned)
    with pytest.raises(ExportError, match="gives NaN or infinity on picture 1"):
        export(source, output, "fp16", overwrite=True)
    monkeypatch.setattr("ltsh_deploy.export.quantise.quantise", broken)
    with pytest.raises(ExportError, match=r"heat maps in int8 differ from float32's by 1 of their size"):
        export(source, output, "int8", folder, overwrite=True)
    assert output.read_bytes() == b"the user's older file"
    assert list(tmp_path.iterdir()) == [output]


def test_the_source_is_never_replaced(tmp_path: Path, source: Path) -> None:
    path, link = tmp_path / "net.onnx", tmp_path / "link.onnx"
    path.write_bytes(source.read_bytes())
    link.symlink_to(path)
    for output in (path, link):
        with pytest.raises(UsageError, match="would replace"):
            export(path, output, "fp16", overwrite=True)
    assert path.read_bytes() == source.read_bytes()


def test_people_who_are_lost_are_noticed_where_maps_are_nearly_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_arms(tmp_path / "arms.onnx", faint=0.055)

    def fainter(model: Any) -> Any:
        half = to_float16(model)
        for tensor in half.graph.initializer:
            if tensor.name == "last_weights_float16":
                values = onnx.numpy_helper.to_array(tensor).copy()
                # A tenth less takes the wrists below the decoder's threshold of 0.05; two joints are nobody.
                values[2] *= np.float16(0.9)
                tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
        return half

    monkeypatch.setattr("ltsh_deploy.export.to_float16.to_float16", fainter)
    with pytest.raises(ExportError, match="fp16 loses 4 of the 4 people"):
        export(source, tmp_path / "half.onnx", "fp16")


def test_the_gate_keeps_what_loses_people_from_being_written(
    source: Path, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = open_verification(str(folder), {})
    output = tmp_path / "net.onnx"
    report = export(source, output, "fp16", verification=data)
    assert report.accuracy is not None
    assert (report.accuracy.agreement.pictures, report.accuracy.agreement.lost) == (12, 0)
    assert report.accuracy.agreement.people == 24
    output.unlink()
    monkeypatch.setattr("ltsh_deploy.export.to_float16.to_float16", broken)
    monkeypatch.setattr("ltsh_deploy.export.likeness._LIMITS", {"fp16": math.inf})
    # On these the float32 network finds nobody either.
    grey = [np.full((64, 64, 3), 128, np.uint8)]
    with pytest.raises(ExportError, match="loses 24 of the 24 people whom the model is sure of") as caught:
        export(source, output, "fp16", verification=data, images=grey)
    assert "Nothing was written" in caught.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_arguments_that_cannot_be(source: Path, tmp_path: Path, folder: Path) -> None:
    half, integers = tmp_path / "half.onnx", tmp_path / "int8.onnx"
    export(source, half, "fp16")
    export(source, integers, "int8", folder)
    foreign = write_arms(tmp_path / "foreign.onnx", metadata=False)
    third = write_model(
        tmp_path / "third.onnx", dtype="float32", metadata=metadata(input={"name": "image", "dtype": "float32"})
    )
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"\x0a" + b"\xff" * 40)
    shallow = write_model(tmp_path / "shallow.onnx", metadata=metadata())
    empty = tmp_path / "empty"
    empty.mkdir()
    output = tmp_path / "out.onnx"
    cases: list[tuple[type[Exception], str, tuple[Any, ...], dict[str, Any]]] = [
        (UsageError, "int8 needs pictures to calibrate on", (source, output, "int8"), {}),
        (UsageError, "are for int8, and the model will be fp16", (source, output, "fp16", folder), {}),
        (UsageError, "is an ONNX file of fp32 already", (source, output, "fp32"), {}),
        (UsageError, "computes in fp16, and int8 can be made of float32 alone", (half, output, "int8", folder), {}),
        (UsageError, "computes in int8, and fp16 can be made", (integers, output, "fp16"), {}),
        (UsageError, "is an ONNX file of int8 already", (integers, output, "int8", folder), {}),
        (UsageError, "--opset is for checkpoints", (source, output, "fp16"), {"opset": 19}),
        (UsageError, "must be multiples of 8", (source, output, "fp16"), {"size": (100, 96)}),
        (UsageError, "no pictures to prove", (source, output, "fp16"), {"images": []}),
        (UsageError, "must be named so", (source, tmp_path / "out.bin", "fp16"), {}),
        (UsageError, "exists already", (source, half, "fp16"), {}),
        (UsageError, "nothing is known of int8 for 'coreml'", (source, output, "int8", folder), {"style": "coreml"}),
        (ModelFileError, "is no ONNX file that `ltsh export` wrote", (foreign, output, "fp16"), {}),
        (ModelFileError, "is no ONNX file that `ltsh export` wrote", (third, output, "fp16"), {}),
        (ModelFileError, "damaged.onnx: cannot be read as ONNX", (damaged, output, "fp16"), {}),
        (ModelFileError, "none.onnx", (tmp_path / "none.onnx", output, "fp16"), {}),
        (ExportError, "no convolution that could be quantised", (shallow, output, "int8", folder), {}),
        (SourceError, "holds no picture", (source, output, "int8", empty), {}),
        (SourceError, "there is no such file or folder", (source, output, "int8", tmp_path / "none"), {}),
        (
            UsageError,
            "takes a folder with pictures, and this is a file",
            (source, output, "int8", folder / "0.png"),
            {},
        ),
    ]
    before = sorted(tmp_path.iterdir())
    for kind, message, arguments, options in cases:
        with pytest.raises(kind, match=message):
            export(*arguments, **options)
    assert sorted(tmp_path.iterdir()) == before


def test_pictures_that_cannot_be_read_are_named_and_left_out_while_enough_are_left(
    source: Path, tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for path in folder.iterdir():
        (mixed / path.name).write_bytes(path.read_bytes()[: 40 if path.stem in ("3", "7") else None])
    (mixed / "notes.txt").write_text("no picture")
    with caplog.at_level(logging.WARNING):
        report = export(source, tmp_path / "int8.onnx", "int8", mixed)
    assert "10 pictures of mixed" in report.description.calibration
    assert sorted(Path(r.message.split(": ")[1]).name for r in caplog.records) == ["3.png", "7.png"]
    for name in ("0", "1", "2"):
        (mixed / f"{name}.png").write_bytes(b"")
    with pytest.raises(InputError, match="needs at least 8 pictures, and of 12 are 7 readable"):
        export(source, tmp_path / "other.onnx", "int8", mixed)
    for path in sorted(mixed.glob("*.png"))[1:]:
        path.unlink()
    with pytest.raises(InputError, match="needs at least 8 pictures, and there is 1 here"):
        export(source, tmp_path / "other.onnx", "int8", mixed)


def test_the_same_command_gives_the_same_file_and_another_draw_another(
    source: Path, tmp_path: Path, folder: Path
) -> None:
    files = {}
    for name, count, seed in (("a", 8, 0), ("b", 8, 0), ("c", 8, 1)):
        path = tmp_path / f"{name}.onnx"
        export_precision(
            source, path, images=arms(1), precision="int8", quantisation=Quantisation(folder, count=count, seed=seed)
        )
        files[name] = path.read_bytes()
    assert files["a"] == files["b"] != files["c"]

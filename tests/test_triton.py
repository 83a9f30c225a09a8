"""Model repositories for Triton: they fit the model, Triton's own protocol understands them, and they are kept."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.grpc import model_config_pb2

from ltsh_deploy.cli import main
from ltsh_deploy.default_model import default_model
from ltsh_deploy.description_template import TensorInfo
from ltsh_deploy.descriptions import ModelDescription
from ltsh_deploy.engine_files import EngineSidecar, Shapes, sidecar_path
from ltsh_deploy.errors import ExportError, ModelFileError, OutputError, UsageError
from ltsh_deploy.export import to_triton
from ltsh_deploy.export.to_triton import ONNX, TritonOptions, TritonReport, export_triton, model_name
from ltsh_deploy.export.triton_config import serve
from ltsh_deploy.outputs import write_image
from ltsh_deploy.runtimes import OnnxRuntime
from tests.colour_model import ARM, paint, write_colour_model
from tests.served_models import read_config, serving
from tests.tiny_onnx import described, metadata, write_model

ROOT = Path(__file__).parent.parent
#: Triton's word for each type of ONNX.
TRITON_TYPES = {
    onnx.TensorProto.UINT8: model_config_pb2.TYPE_UINT8,
    onnx.TensorProto.FLOAT: model_config_pb2.TYPE_FP32,
    onnx.TensorProto.FLOAT16: model_config_pb2.TYPE_FP16,
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_colour_model(tmp_path / "arms.onnx")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "repository"


def put(model: Path, repository: Path, name: str = "arms", version: int = 1, overwrite: bool = False) -> TritonReport:
    return export_triton(model, repository, TritonOptions(name, version, overwrite))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def check_against_onnx(folder: Path, version: int = 1) -> Any:
    """Hold a config.pbtxt against the model file it is for, as onnx reads that; the config."""
    config = read_config(folder)
    assert config.name == folder.name
    assert (config.backend, config.platform) == ("onnxruntime", "onnxruntime_onnx")
    path = str(folder / str(version) / config.default_model_filename)
    graph = onnx.load(path).graph
    declared = {value.name: value.type.tensor_type for value in (*graph.input, *graph.output)}
    # Triton's backend asks onnxruntime, which infers lengths that the file leaves open, and demands just these.
    session = onnxruntime.InferenceSession(path)
    seen = {tensor.name: tensor.shape for tensor in (*session.get_inputs(), *session.get_outputs())}
    assert [tensor.name for tensor in config.input] == [value.name for value in graph.input]
    batched = config.max_batch_size > 0
    for tensor in (*config.input, *config.output):
        assert tensor.data_type == TRITON_TYPES[declared[tensor.name].elem_type]
        dims = [length if isinstance(length, int) else -1 for length in seen[tensor.name]]
        assert not batched or dims[0] == -1
        assert list(tensor.dims) == dims[batched:]
        for axis, length in zip(declared[tensor.name].shape.dim[batched:], tensor.dims, strict=True):
            assert not axis.HasField("dim_value") or axis.dim_value == length
    parameters = {key: value.string_value for key, value in config.parameters.items()}
    description = ModelDescription.from_metadata(parameters, "config.pbtxt")
    used = {description.heatmaps.name, description.pafs.name}
    assert {tensor.name for tensor in config.output} == used
    return config


@pytest.mark.parametrize(
    ("tensors", "changes", "batched"),
    [
        ({}, {}, True),
        ({"shape": (1, "H", "W")}, {}, False),
        ({"shape": (4, 48, 64)}, {}, False),
        ({"shape": ("N", 48, 64)}, {}, True),
        (
            {"layout": "NCHW", "dtype": "float32"},
            {"input": {"name": "image", "layout": "NCHW", "dtype": "float32"}},
            True,
        ),
        ({"dtype": "float16", "maps_dtype": "float16"}, {"input": {"name": "image", "dtype": "float16"}}, True),
        (
            {"maps_layout": "NHWC"},
            {
                "heatmaps": {"name": "both", "layout": "NHWC", "channels": "0-2"},
                "pafs": {"name": "both", "layout": "NHWC", "channels": [3, 4]},
            },
            True,
        ),
    ],
)
def test_the_configuration_says_what_the_model_file_says(
    tmp_path: Path, repository: Path, tensors: dict[str, Any], changes: dict[str, Any], batched: bool
) -> None:
    model = write_model(tmp_path / "tiny.onnx", metadata=metadata(**changes), **tensors)
    report = put(model, repository, "tiny")
    config = check_against_onnx(repository / "tiny")
    assert (config.max_batch_size > 1) == batched == config.HasField("dynamic_batching")
    (group,) = config.instance_group
    assert (group.kind, group.count) == (model_config_pb2.ModelInstanceGroup.KIND_AUTO, 1)
    assert (repository / "tiny/1/model.onnx").read_bytes() == model.read_bytes()
    assert report.served.description == ModelDescription(**described(**changes))
    assert report.served.max_batch == config.max_batch_size


def test_what_a_client_and_a_person_are_told(model: Path, repository: Path) -> None:
    put(model, repository)
    config = check_against_onnx(repository / "arms")
    parameters = {key: value.string_value for key, value in config.parameters.items()}
    description = ModelDescription.from_metadata(parameters, "config.pbtxt")
    assert (description.skeleton, description.size, description.stride) == (ARM, (160, 120), 8)
    assert (repository / "arms/heatmaps.txt").read_text().split() == ["shoulder", "elbow", "wrist", "background"]
    limbs = ["shoulder to elbow, x", "shoulder to elbow, y", "elbow to wrist, x", "elbow to wrist, y"]
    assert (repository / "arms/pafs.txt").read_text().splitlines() == limbs
    facts = json.loads((repository / "arms/1/ltsh.json").read_text())
    assert facts["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert ModelDescription.from_metadata(facts["metadata"], "ltsh.json").skeleton == ARM


@pytest.mark.parametrize("channels", [("0-1", 2), ("0-2", 3)])
def test_background_is_named_only_where_there_is_one(
    tmp_path: Path, repository: Path, channels: tuple[str, int]
) -> None:
    taken, count = channels
    model = write_model(tmp_path / "m.onnx", metadata=metadata(heatmaps={"name": "heatmaps", "channels": taken}))
    put(model, repository, "m")
    assert (repository / "m/heatmaps.txt").read_text().split() == ["shoulder", "elbow", "background"][:count]


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_name_of_a_tensor_arrives_as_it_is(name: str) -> None:
    description = ModelDescription(**described(input={"name": name}))
    image = TensorInfo(name, "tensor(uint8)", ("N", "H", "W", 3))
    maps = [TensorInfo(n, "tensor(float)", (None,) * 4) for n in ("heatmaps", "pafs")]
    text = serve(ONNX, description, [image], maps).config("tiny")
    config = text_format.Parse(text.encode(), model_config_pb2.ModelConfig())
    assert config.input[0].name == name
    assert text.isascii()


def test_a_real_model_of_somebody_else(shared: Path, repository: Path) -> None:
    put(shared / "models/coco_paf_mobilenet_v2_small.onnx", repository, "coco")
    check_against_onnx(repository / "coco")
    assert len((repository / "coco/heatmaps.txt").read_text().split()) == 19
    assert len((repository / "coco/pafs.txt").read_text().splitlines()) == 38


def test_the_client_of_the_documents_finds_the_people(
    repository: Path, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(model, repository, "model")
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "photo.png", paint([(8, 16), (40, 80)]))
    (code,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs/triton.md").read_text(encoding="utf-8"), re.M | re.S)
    with serving(repository) as address:
        code = code.replace("localhost:8001", address).replace("photo.jpg", "photo.png")
        exec(compile(code, "triton.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    found = [json.loads(line.partition(" ")[2].replace("'", '"')) for line in lines]
    shoulders = sorted(joints["shoulder"] for joints in found)
    # Cells of 8 pixels that begin where the arms were painted; the decoder reads between cells.
    np.testing.assert_allclose(shoulders, np.array([[8, 16], [40, 80]]) + 3.5, atol=0.2)
    for joints in found:
        np.testing.assert_allclose(joints["wrist"], np.add(joints["shoulder"], [64, 0]), atol=0.2)


def test_versions_stand_beside_each_other_and_edits_of_the_configuration_stay(model: Path, repository: Path) -> None:
    assert put(model, repository).config_written
    config = repository / "arms/config.pbtxt"
    edited = config.read_text().replace("max_batch_size: 8", "max_batch_size: 3")
    config.write_text(edited)
    report = put(model, repository, version=12)
    assert (report.versions, report.config_written) == ((1, 12), False)
    assert report.version == 12
    assert config.read_text() == edited
    report = put(model, repository, version=1, overwrite=True)
    assert (report.versions, report.config_written) == ((1, 12), False)
    config.unlink()
    assert put(model, repository, version=2).config_written
    check_against_onnx(repository / "arms", 2)
    assert not list(repository.rglob(".*"))


def test_nothing_is_overwritten_unasked(model: Path, repository: Path) -> None:
    put(model, repository)
    put(model, repository, version=4)
    before = contents(repository)
    with pytest.raises(UsageError, match="has version 1 already") as caught:
        put(model, repository)
    assert "--model-version 5" in caught.value.remedy
    assert contents(repository) == before


def test_another_model_is_no_version_of_this_one(tmp_path: Path, model: Path, repository: Path) -> None:
    other = write_model(tmp_path / "tiny.onnx", metadata=metadata())
    put(model, repository)
    before = contents(repository)
    with pytest.raises(UsageError, match="version 1 is another model, by its outputs, skeleton, size"):
        put(other, repository, version=2)
    # Nor may one of several versions become another model.
    put(model, repository, version=2)
    with pytest.raises(UsageError, match="version 1 is another model"):
        put(other, repository, version=2, overwrite=True)
    shutil.rmtree(repository / "arms/2")
    assert contents(repository) == before
    # The only version may.
    assert put(other, repository, overwrite=True).config_written
    check_against_onnx(repository / "arms")
    assert (repository / "arms/heatmaps.txt").read_text().split() == ["shoulder", "elbow", "background"]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"contract": []}'])
def test_a_version_whose_facts_are_damaged_is_named(model: Path, repository: Path, damage: str) -> None:
    put(model, repository)
    facts = repository / "arms/1/ltsh.json"
    facts.write_text(damage)
    with pytest.raises(UsageError, match=re.escape(f"{facts.parent}: ltsh.json is not there or damaged")):
        put(model, repository, version=2)


def test_folders_that_are_no_place_for_a_model(model: Path, repository: Path) -> None:
    put(model, repository)
    with pytest.raises(UsageError, match="is a model in a repository") as caught:
        put(model, repository / "arms")
    assert str(repository) in caught.value.remedy
    (repository / "theirs/1").mkdir(parents=True)
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="`ltsh export` did not write it"):
            put(model, repository, "theirs", overwrite=overwrite)
    (repository / "file").write_text("")
    with pytest.raises(UsageError, match="did not write it"):
        put(model, repository, "file")
    with pytest.raises(UsageError, match="is a file"):
        put(model, repository / "file")


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "a b", "-o", "a\n", "ä", "x" * 129])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be called"):
        TritonOptions(name)


@pytest.mark.parametrize("version", [0, -1, 1 << 31])
def test_versions_that_cannot_be(version: int) -> None:
    with pytest.raises(UsageError, match="there is no version"):
        TritonOptions("arms", version)


@given(st.text(min_size=1))
def test_a_model_can_be_called_after_any_file(stem: str) -> None:
    path = Path("/models") / (stem.replace("/", "_").replace("\0", "_") + ".onnx")
    TritonOptions(model_name(path))


@pytest.mark.parametrize("constants", [False, True], ids=["weights", "constants"])
def test_weights_in_a_second_file_come_along(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch, constants: bool
) -> None:
    whole = write_model(tmp_path / "whole.onnx", metadata=metadata())
    loaded = onnx.load(str(whole))
    if constants:
        nodes = [onnx.helper.make_node("Constant", [], [w.name], value=w) for w in loaded.graph.initializer]
        del loaded.graph.initializer[:]
        for node in nodes:
            loaded.graph.node.insert(0, node)
    (tmp_path / "split").mkdir()
    split = tmp_path / "split/split.onnx"
    ways = {"size_threshold": 0, "location": "weights.bin", "convert_attribute": constants}
    onnx.save(loaded, str(split), save_as_external_data=True, **ways)
    assert (split.parent / "weights.bin").is_file()
    monkeypatch.chdir(split.parent)
    put(split, repository, "split")
    shutil.rmtree(split.parent)
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (1, 24, 40, 3), np.uint8)
    with OnnxRuntime(whole, "cpu") as a, OnnxRuntime(repository / "split/1/model.onnx", "cpu") as b:
        assert np.array_equal(a.run(images)[0].heatmaps, b.run(images)[0].heatmaps)


def test_models_that_triton_could_not_serve(tmp_path: Path, repository: Path) -> None:
    image = TensorInfo("image", "tensor(uint8)", ("N", "H", "W", 3))
    maps = [TensorInfo(name, "tensor(float)", ()) for name in ("heatmaps", "pafs")]
    with pytest.raises(ExportError, match=re.escape("'heatmaps' is tensor(float) of no declared shape")):
        serve(ONNX, ModelDescription(**described()), [image], maps)
    undescribed = write_model(tmp_path / "undescribed.onnx")
    with pytest.raises(ModelFileError, match="nothing says"):
        put(undescribed, repository)
    (tmp_path / "cut.onnx").write_bytes(undescribed.read_bytes()[:100])
    with pytest.raises(ModelFileError, match="cannot read it"):
        put(tmp_path / "cut.onnx", repository)
    assert not repository.exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_fails_half_way_leaves_all_as_it_was(
    model: Path, repository: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    put(model, repository)
    before = contents(repository)
    rename = Path.rename

    def fail(path: Path, target: Path) -> Path:
        if path.suffix == ".part":
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(to_triton.Path, "rename", fail)
    with pytest.raises(OutputError, match="No space left"):
        put(model, repository, version=1 if overwrite else 2, overwrite=overwrite)
    with pytest.raises(OutputError, match="No space left"):
        put(model, repository, "new")
    assert contents(repository) == before
    assert sorted(path.name for path in repository.iterdir()) == ["arms"]


# Engines: their JSON files are all that is looked at, so that no GPU is needed.


def write_engine(
    path: Path, library: str = "tensorrt", shapes: str = "1x64x64/1x256x256/6x512x512", **changes: Any
) -> Path:
    content = b"an engine"
    path.write_bytes(content)
    description = ModelDescription(**described(**changes))
    sidecar = EngineSidecar.model_validate(
        {
            "engine": {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)},
            "library": {"name": library, "version": "10.16.1"},
            "gpu": {"name": "NVIDIA A100", "compute_capability": (8, 0)},
            "compat": "none",
            "onnx_sha256": "0" * 64,
            "precision": "fp16",
            "layers": {"fp16": 9},
            "read_back": "inspector",
            "strongly_typed": True,
            "plugins": (),
            "shapes": Shapes.parse(shapes),
            "rebuild": "ltsh export",
            "metadata": description.to_metadata(),
        }
    )
    sidecar_path(path).write_bytes(sidecar.to_json())
    return path


def test_an_engine_is_served_as_one(tmp_path: Path, repository: Path) -> None:
    engine = write_engine(tmp_path / "fast.engine")
    report = put(engine, repository, "fast")
    config = read_config(repository / "fast")
    assert (config.backend, config.platform, config.max_batch_size) == ("tensorrt", "tensorrt_plan", 6)
    assert config.instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_GPU
    assert [(t.name, t.data_type, list(t.dims)) for t in (*config.input, *config.output)] == [
        ("image", model_config_pb2.TYPE_UINT8, [-1, -1, 3]),
        ("heatmaps", model_config_pb2.TYPE_FP32, [3, -1, -1]),
        ("pafs", model_config_pb2.TYPE_FP32, [2, -1, -1]),
    ]
    assert (repository / "fast/1/model.plan").read_bytes() == engine.read_bytes()
    assert report.library == "TensorRT 10.16.1"


def test_an_engine_and_an_onnx_file_are_no_versions_of_each_other(tmp_path: Path, repository: Path) -> None:
    put(write_model(tmp_path / "m.onnx", metadata=metadata()), repository, "m")
    with pytest.raises(UsageError, match="by its backend, max_batch"):
        put(write_engine(tmp_path / "m.engine"), repository, "m", version=2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"library": "tensorrt_rtx"}, "built by TensorRT-RTX"),
        ({"shapes": "2x64x64/4x64x64/4x64x64"}, "at least 2 pictures"),
        ({"input": {"name": "image", "layout": "NCHW"}}, "not known"),
        ({"heatmaps": {"name": "heatmaps", "channels": "0-1"}}, "not known"),
    ],
)
def test_engines_that_triton_could_not_serve(
    tmp_path: Path, repository: Path, changes: dict[str, Any], message: str
) -> None:
    engine = write_engine(tmp_path / "e.engine", **changes)
    with pytest.raises(ExportError, match=message):
        put(engine, repository)


def test_an_engine_needs_its_json_file(tmp_path: Path, repository: Path) -> None:
    engine = write_engine(tmp_path / "e.engine")
    engine.write_bytes(b"another")
    with pytest.raises(ModelFileError, match="SHA-256 differ"):
        put(engine, repository)
    sidecar_path(engine).unlink()
    with pytest.raises(ModelFileError, match=re.escape("there is no e.engine.json beside it")):
        put(engine, repository)
    assert not repository.exists()


# The command.


def run(*arguments: object) -> int:
    return main.main(["export", *map(str, arguments), "--format", "triton"])


def test_the_command_serves_onnx_files_as_they_are(
    model: Path, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(model, "-o", repository, "--json") == 0
    form = json.loads(capsys.readouterr().out)
    assert (form["folder"], form["version"], form["versions"]) == (str(repository / "arms"), 1, [1])
    assert form["inputs"] == [{"name": "image", "type": "TYPE_UINT8", "dims": [-1, -1, 3]}]
    assert run(model, "-o", repository, "--model-version", 2) == 0
    out = capsys.readouterr().out
    assert "config.pbtxt was left as it was" in out
    assert "It has versions 1, 2 now" in out
    assert run(write_engine(model.parent / "e.engine"), "-o", repository, "--model-name", "fast") == 0
    assert "must have TensorRT 10.16.1" in capsys.readouterr().out
    assert run(model, "-o", repository) == 2
    assert "has version 1 already" in capsys.readouterr().err


def test_the_command_converts_on_the_way(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(default_model(), "-o", repository, "--precision", "fp16", "--json") == 0
    form = json.loads(capsys.readouterr().out)
    assert form["onnx"]["precision"] == "fp16"
    config = check_against_onnx(repository / "default")
    assert config.input[0].data_type == model_config_pb2.TYPE_UINT8
    facts = json.loads((repository / "default/1/ltsh.json").read_text())
    assert ModelDescription.from_metadata(facts["metadata"], "ltsh.json").precision == "fp16"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["absent.onnx"], 3),
        (["absent.engine"], 3),
        (["e.engine", "--precision", "fp16"], 2),
        (["arms.onnx", "--model-name", "a/b"], 2),
        (["arms.onnx", "--model-version", "0"], 2),
        (["arms.onnx", "--shapes", "1x8x8"], 2),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int
) -> None:
    write_engine(tmp_path / "e.engine")
    monkeypatch.chdir(tmp_path)
    assert run(*arguments, "-o", "repository") == code
    assert not Path("repository").exists()


def test_options_of_triton_are_for_triton(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["export", str(model), "-o", str(tmp_path / "x.onnx"), "--model-name", "a"]) == 2
    assert "--model-name is for --format triton" in capsys.readouterr().err

"""Real engines, built by TensorRT for RTX, which needs no GPU for it: they compute in what they say."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from ltsh_deploy.cli.main import main
from ltsh_deploy.default_model import default_model
from ltsh_deploy.engine_files import EngineSidecar, Shapes, sidecar_path
from ltsh_deploy.errors import DeviceError, ExportError, UsageError
from ltsh_deploy.export.engine_precision import count_layers
from ltsh_deploy.export.graphs import count_precisions
from ltsh_deploy.export.precision import Quantisation, export_precision
from ltsh_deploy.export.to_float16 import to_float16
from ltsh_deploy.export.to_tensorrt import EngineOptions, EngineReport, export_engine
from ltsh_deploy.nvidia_driver import list_gpus
from ltsh_deploy.tensorrt_runtime import TensorRtRuntime
from tests.conftest import ROOT
from tests.tiny_onnx import metadata, write_model

pytest.importorskip("tensorrt_rtx", reason="needs TensorRT for RTX: `make test` installs it")
pytestmark = pytest.mark.usefixtures("no_stand_in")


def has_gpu() -> bool:
    try:
        return bool(list_gpus())
    except DeviceError:
        return False


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The default model in ONNX files of every precision; noise to calibrate on will do here."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "pictures").mkdir()
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(8)]
    for number, picture in enumerate(pictures):
        cv2.imwrite(str(folder / "pictures" / f"{number}.png"), picture)
    paths = {"fp32": Path(default_model()), "fp16": folder / "fp16.onnx", "int8": folder / "int8.onnx"}
    onnx.save(to_float16(onnx.load(paths["fp32"])), paths["fp16"])
    quantisation = Quantisation(folder / "pictures", "tensorrt")
    export_precision(paths["fp32"], paths["int8"], images=pictures[:1], precision="int8", quantisation=quantisation)
    return paths


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_an_engine_computes_in_the_precision_of_its_onnx_file(
    models: dict[str, Path], tmp_path: Path, precision: str
) -> None:
    engine, told = tmp_path / "net.engine", list[tuple[int, str]]()
    report = export_engine(
        models[precision],
        engine,
        EngineOptions(precision=precision, shapes=Shapes.parse("1x64x64/1x128x96/4x256x256")),
        done=lambda percents, phase: told.append((percents, phase)),
    )
    expected = count_precisions(onnx.load(models[precision]))
    assert expected[precision] == max(expected.values())
    assert report.sidecar.layers == dict(expected)
    assert report.sidecar.strongly_typed
    assert json.loads(report.sidecar.metadata["ltsh.skeleton"])["name"] == "ltsh15"
    assert report.sidecar.library.name == "tensorrt_rtx"
    assert report.sidecar == EngineSidecar.read(engine)
    assert report.sidecar.engine.sha256 == hashlib.sha256(engine.read_bytes()).hexdigest()
    assert engine.read_bytes()[8:] != models[precision].read_bytes()[8:]
    assert sum(percents for percents, _ in told) == 100
    if not has_gpu():
        assert (report.sidecar.read_back, report.sidecar.gpu, report.parity) == ("builder", None, None)


def test_unsigned_quantisation_is_refused_with_the_nodes_name(tmp_path: Path) -> None:
    model = onnx.load(write_model(tmp_path / "net.onnx", metadata=metadata()))
    scale = onnx.numpy_helper.from_array(np.array(0.5, np.float32), "scale")
    zero = onnx.numpy_helper.from_array(np.array(128, np.uint8), "zero")
    model.graph.initializer.extend([scale, zero])
    place = next(index for index, node in enumerate(model.graph.node) if node.op_type == "Conv")
    for node in model.graph.node:
        node.input[:] = ["dequantised" if name == "means" else name for name in node.input]
    for kind, source, target in (("Dequantize", "quantised", "dequantised"), ("Quantize", "means", "quantised")):
        node = onnx.helper.make_node(f"{kind}Linear", [source, "scale", "zero"], [target], name=f"my_{kind}")
        model.graph.node.insert(place, node)
    unsigned = tmp_path / "unsigned.onnx"
    onnx.save(model, unsigned)
    with pytest.raises(ExportError, match=r"cannot read node 'my_\w+' \(\w+Linear\): .*UINT8") as error:
        export_engine(unsigned, tmp_path / "unsigned.engine")
    assert "Nothing was written" in error.value.remedy
    assert "--quantise-for tensorrt" in error.value.remedy
    assert not (tmp_path / "unsigned.engine").exists()


def test_somebody_elses_network_becomes_an_engine_as_it_is(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign, engine = shared / "models" / "coco_paf_mobilenet_v2_small.onnx", tmp_path / "coco.engine"
    line = ["--quiet", "export", str(foreign), "--format", "engine", "-o", str(engine)]
    assert main([*line, "--precision", "fp16"]) == 3
    assert "become engines and go to Triton as they are" in " ".join(capsys.readouterr().err.split())
    assert main(line) == 0
    sidecar = EngineSidecar.read(engine)
    assert sidecar is not None
    assert sidecar.precision == "fp32"
    assert json.loads(sidecar.metadata["ltsh.skeleton"])["name"] == "coco18"


def test_too_little_memory_is_told_in_plain_words(models: dict[str, Path], tmp_path: Path) -> None:
    shapes = Shapes.parse("1x64x64/1x512x512/8x1024x1024")
    with pytest.raises(ExportError, match=r"no way to compute .* in the memory it may use \(--workspace 1\)"):
        export_engine(models["fp32"], tmp_path / "net.engine", EngineOptions(workspace=1, shapes=shapes))
    assert list(tmp_path.iterdir()) == []


def test_what_this_library_lacks_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    for options, message in (
        (EngineOptions(compat="ampere+"), "knows no engines for --compat ampere"),
        (EngineOptions(timing_cache=tmp_path / "timings"), "keeps no timing caches"),
    ):
        with pytest.raises(UsageError, match=message):
            export_engine(models["fp32"], tmp_path / "net.engine", options)
    assert list(tmp_path.iterdir()) == []


def test_plugin_free_builds_alike(models: dict[str, Path], tmp_path: Path) -> None:
    report: EngineReport = export_engine(models["fp32"], tmp_path / "net.engine", EngineOptions(plugin_free=True))
    assert report.sidecar.plugins == ()


def test_no_engine_is_loaded_without_a_gpu(models: dict[str, Path], tmp_path: Path) -> None:
    if has_gpu():
        return
    export_engine(models["fp32"], tmp_path / "net.engine")
    with pytest.raises(DeviceError, match="needs an NVIDIA GPU"):
        TensorRtRuntime(tmp_path / "net.engine")


def test_failed_builds_do_not_end_the_process(models: dict[str, Path], tmp_path: Path) -> None:
    """TensorRT's objects are freed in an order that it survives, whatever goes wrong in between."""
    program = f"""
import gc
from pathlib import Path
from ltsh_deploy.errors import LtshError
from ltsh_deploy.export.to_float16 import to_float16
from ltsh_deploy.export.to_tensorrt import EngineOptions, export_engine
from ltsh_deploy.engine_files import Shapes
kept = []
large = Shapes.parse("1x64x64/1x512x512/8x1024x1024")
for options in (EngineOptions(workspace=1, shapes=large), EngineOptions(compat="same-cc"),
                EngineOptions(timing_cache=Path("t")), EngineOptions(overwrite=True)):
    try:
        export_engine({str(models["fp32"])!r}, {str(tmp_path / "net.engine")!r}, options)
    except LtshError as error:
        kept.append(error)
def stop(percents, phase):
    raise KeyboardInterrupt
try:
    export_engine({str(models["fp32"])!r}, {str(tmp_path / "net.engine")!r}, EngineOptions(overwrite=True), done=stop)
except KeyboardInterrupt as error:
    kept.append(error)
print(len(kept))
kept.clear()
gc.collect()
"""
    line = [sys.executable, "-c", program]
    run = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert (run.returncode, run.stdout) == (0, "4\n"), run.stderr
    assert sidecar_path(tmp_path / "net.engine").exists()


def test_the_builders_own_list_is_what_is_counted() -> None:
    """Lines of a real build of TensorRT for RTX 1.7, shortened."""
    shape, more = "Dimensions: [-1,32,-1,-1], Strides: [-1,1,-1,32]", "Format: (NHWC) Channel major format"
    tensor = "{{ Name: a, " + shape + ", Datatype: {kind}, " + more + " }}"
    kernel = "{{ Name: b, Dimensions: [64,32,1,1], Datatype: {kind}, " + more + " }}"
    literal = "{ Name: c, Dimensions: [1], Datatype: Float, Format: (Linear) Row major linear format }"
    scale = "{ Name: d, Dimensions: [1,3,1,1], Datatype: Int8, Format: (Linear) Row major linear format }"
    line = "Name: {name}, LayerType: {kind}, Inputs: [ {inputs}], Constants: [{constants}], Outputs: [ {inputs}], "
    layers = [
        ("conv_4_myl0_6", "correlation", "Half", f" {kernel.format(kind='Half')}, {literal}"),
        ("__myl_CorrAdd_myl0_40", "runtime_fusion", "Int8", f" {kernel.format(kind='Int8')}"),
        ("__myl_Move_myl0_43", "kgen", "Float", f" {literal}, {scale}"),
    ]
    report = "Layers:\n" + "\n".join(
        line.format(name=name, kind=kind, inputs=tensor.format(kind=datatype), constants=constants)
        for name, kind, datatype, constants in layers
    )
    report += "\nName: __mye7274, LayerType: shape_call, Inputs: [], Constants: [], Outputs: [], TacticName: "
    assert count_layers(report) == {"fp16": 1, "int8": 1}

"""Exported files keep the contract and say what their checkpoints say; what cannot be proven is not written."""

from __future__ import annotations

import json
import logging
import math
import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from onnx import TensorProto

from ltsh_deploy.checkpoints import Provenance, load_checkpoint, save_checkpoint
from ltsh_deploy.cli.main import main
from ltsh_deploy.descriptions import ModelDescription
from ltsh_deploy.errors import ExportError, MissingPartError, UsageError
from ltsh_deploy.export import to_onnx
from ltsh_deploy.export.parity import MapParity, Parity, check_parity, largest_distance
from ltsh_deploy.export.to_onnx import ExportReport, export_onnx, fold_batchnorm
from ltsh_deploy.fields import Fields
from ltsh_deploy.images import read_image
from ltsh_deploy.networks import ImageNetwork, Maps, NetworkConfig, PoseNetwork, create_network
from ltsh_deploy.parts import install_line
from ltsh_deploy.poses import Poses
from ltsh_deploy.runtimes import OnnxRuntime
from ltsh_deploy.skeletons import COCO18, LTSH15, Skeleton
from tests.colour_model import ARM, paint
from tests.test_networks import TINY

Image = npt.NDArray[np.uint8]
Exported = tuple[Path, Path, ExportReport]

# The light network without the blocks that only repeat others, and the large one's structure with few channels.
NETWORKS: dict[str, tuple[Skeleton, dict[str, Any]]] = {
    "ltsh_light": (COCO18, {"blocks": (1, 1, 4)}),
    "openpose_vgg19": (LTSH15, TINY["openpose_vgg19"]),
}


pytestmark = pytest.mark.usefixtures("one_thread")


def pictures(count: int = 2) -> list[Image]:
    shapes = ((90, 130), (150, 80), (64, 64))
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes[:count]]


def save(path: Path, name: str) -> Path:
    skeleton, config = NETWORKS[name]
    network = create_network(name, skeleton, 7, **config)
    for module in network.modules():
        # As after training; an untrained normalisation would be folded into its convolution unnoticed.
        if isinstance(module, torch.nn.BatchNorm2d):
            generator = torch.Generator().manual_seed(0)
            for tensor, low in ((module.running_mean, -0.1), (module.running_var, 0.5), (module.bias, -0.2)):
                assert tensor is not None
                torch.nn.init.uniform_(tensor, low, low + 1, generator=generator)
    save_checkpoint(path, network, Provenance("drawings", "Apache-2.0", "step 7"))
    return path


@pytest.fixture(scope="module")
def export_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    """Exports of the two networks, each made once: it takes seconds."""

    @cache
    def export(name: str) -> Exported:
        folder = tmp_path_factory.mktemp(name)
        checkpoint, path = save(folder / "net.safetensors", name), folder / "net.onnx"
        return checkpoint, path, export_onnx(checkpoint, path, images=pictures(), size=(128, 96))

    return export


@pytest.fixture(params=NETWORKS)
def exported(request: pytest.FixtureRequest, export_of: Callable[[str], Exported]) -> Exported:
    return export_of(request.param)


@pytest.fixture
def small(export_of: Callable[[str], Exported]) -> Exported:
    return export_of("openpose_vgg19")


def test_report_proves_parity_on_every_picture_and_size(exported: Exported) -> None:
    _, path, report = exported
    assert report.size_bytes == path.stat().st_size
    assert report.parity.pictures == 2
    assert set(report.parity.sizes) == {(128, 96), (56, 96)}
    for parity in (report.parity.heatmaps, report.parity.pafs):
        assert parity.extent > 1e-4
        assert 0 < parity.exported <= parity.limit < 1e-4 * parity.extent
    assert [entry.name for entry in path.parent.iterdir() if entry.name.startswith(".")] == []


def test_file_keeps_the_contract(exported: Exported) -> None:
    checkpoint, path, report = exported
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [entry.version for entry in model.opset_import if not entry.domain] == [19]
    (image,) = model.graph.input
    shape = image.type.tensor_type.shape.dim
    assert (image.name, image.type.tensor_type.elem_type) == ("image", TensorProto.UINT8)
    assert [bool(d.dim_param) for d in shape] == [True, True, True, False]
    assert shape[3].dim_value == 3
    network, provenance = load_checkpoint(checkpoint)
    counts = (network.skeleton.num_joints + 1, 2 * network.skeleton.num_limbs)
    for output, name, count in zip(model.graph.output, ("heatmaps", "pafs"), counts, strict=True):
        dims = output.type.tensor_type.shape.dim
        assert (output.name, output.type.tensor_type.elem_type) == (name, TensorProto.FLOAT)
        assert [d.dim_param or d.dim_value for d in dims] == ["N", count, "h", "w"]
    # TensorRT takes a uint8 input into a cast and nowhere else, and only then the transposition.
    users = [node.op_type for node in model.graph.node if "image" in node.input]
    assert users == ["Cast"]
    assert model.graph.node[0].op_type == "Cast"
    first = model.graph.node[0].output[0]
    assert "Transpose" in [node.op_type for node in model.graph.node if first in node.input]
    assert "BatchNormalization" not in [node.op_type for node in model.graph.node]
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    description = ModelDescription.from_metadata(metadata, "net")
    assert description == report.description
    assert (description.skeleton, description.size) == (network.skeleton, (128, 96))
    assert (description.training_data, description.licence) == (provenance.training_data, "Apache-2.0")
    assert json.loads(metadata["ltsh.notes"]) == provenance.notes == "step 7"
    # Nothing of the machine it was made on.
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert path.stat().st_size < 5e6


@pytest.mark.parametrize(
    ("count", "height", "width"), [(1, 8, 8), (1, 72, 40), (3, 16, 136), (2, 368, 432), (5, 24, 8)]
)
def test_any_number_and_size_of_pictures(exported: Exported, count: int, height: int, width: int) -> None:
    checkpoint, path, _ = exported
    images = np.random.default_rng(3).integers(0, 256, (count, height, width, 3), np.uint8)
    network = ImageNetwork(load_checkpoint(checkpoint)[0])
    with OnnxRuntime(path, device="cpu", threads=1) as runtime, torch.inference_mode():
        together = runtime.run(images)
        expected = network(torch.from_numpy(images))
        assert len(together) == count
        for i, fields in enumerate(together):
            alone = runtime.run(images[i : i + 1])[0]
            for a, b, c in (
                (fields.heatmaps, alone.heatmaps, expected[0][i]),
                (fields.pafs, alone.pafs, expected[1][i]),
            ):
                assert a.shape[1:] == (height // 8, width // 8)
                assert np.abs(a - b).max() <= 1e-4
                np.testing.assert_allclose(a, c.numpy(), atol=1e-4 * float(c.abs().max()))


def test_exported_file_agrees_on_real_pictures(exported: Exported, shared: Path) -> None:
    checkpoint, path, _ = exported
    paths = sorted((shared / "data" / "real" / "mpii").glob("*.jpg"))[:2]
    with OnnxRuntime(path, device="cpu", threads=1) as runtime:
        parity = check_parity(load_checkpoint(checkpoint)[0], runtime, [read_image(path) for path in paths])
    assert parity.pictures == 2


def test_folding_changes_nothing_and_leaves_the_network_alone(tmp_path: Path) -> None:
    network, _ = load_checkpoint(save(tmp_path / "net.safetensors", "ltsh_light"))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    folded = fold_batchnorm(network)
    assert not [module for module in folded.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for a, b in zip(folded(image)[-1], network(image)[-1], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_exporter_is_hushed_and_only_while_it_runs(
    capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    chatter = logging.getLogger("torch.onnx")

    def speak() -> None:
        chatter.warning("an optimisation is not available")
        warnings.warn("this will change", FutureWarning, stacklevel=1)

    with caplog.at_level(logging.INFO), to_onnx._hushed():
        speak()
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert not recwarn.list
    # With --verbose nothing is held back.
    with caplog.at_level(logging.DEBUG), to_onnx._hushed():
        speak()
    speak()
    assert len(caplog.records) == 2
    assert recwarn.list


class Pretender:
    """A runtime that answers with a network's maps, changed."""

    device = "cpu"

    def __init__(self, network: PoseNetwork, description: ModelDescription, fault: str) -> None:
        self.network, self.description, self.fault = ImageNetwork(network), description, fault

    def run(self, images: Image) -> list[Fields]:
        with torch.inference_mode():
            heatmaps, pafs = (maps.numpy() for maps in self.network(torch.from_numpy(images.copy())))
        if self.fault == "noise":
            pafs = pafs * np.float32(1 + 1e-4)
        if self.fault == "nan":
            heatmaps[0, 0, 0, 0] = np.nan
        if self.fault == "batch" and len(images) > 1:
            heatmaps = heatmaps + np.float32(1e-3)
        if self.fault == "batch of PAFs" and len(images) > 1:
            pafs = pafs + np.float32(1e-3)
        return [Fields(a, b, 8) for a, b in zip(heatmaps, pafs, strict=True)]

    def close(self) -> None:
        """Nothing to free."""


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("noise", "PAFs differ"),
        ("nan", "heat maps differ"),
        ("batch", "heat maps differ"),
        ("batch of PAFs", "PAFs differ"),
    ],
)
def test_parity_fails_for_what_float32_does_not_explain(small: Exported, fault: str, message: str) -> None:
    checkpoint, _, report = small
    network, _ = load_checkpoint(checkpoint)
    assert check_parity(network, Pretender(network, report.description, ""), pictures()).pictures == 2
    with pytest.raises(ExportError, match=f"{message} on picture 1"):
        check_parity(network, Pretender(network, report.description, fault), pictures())


def test_parity_compares_poses_where_there_are_any(small: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint, _, report = small
    network, _ = load_checkpoint(checkpoint)
    skeleton = network.skeleton
    found: list[Poses] = []

    def decode(fields: Fields, *_: object) -> Poses:
        people = people_at(10.0 + moved * len(found))
        found.append(people)
        return people

    def people_at(x: float) -> Poses:
        xy = np.full((2, skeleton.num_joints, 2), x)
        return Poses(skeleton, xy, np.ones(xy.shape[:2]), np.ones(2))

    monkeypatch.setattr("ltsh_deploy.export.parity.decode_fields", decode)
    runtime = Pretender(network, report.description, "")
    moved = 0.001
    parity = check_parity(network, runtime, pictures(1))
    assert parity.poses == 2
    assert parity.pose_distance == pytest.approx(0.002 * math.sqrt(2))
    moved = 1.0
    with pytest.raises(ExportError, match="other people on picture 1: the checkpoint 2, the exported file 2"):
        check_parity(network, runtime, pictures(1))


class ColourNetwork(PoseNetwork):
    """Finds the painted arms of tests/colour_model.py, as that file's network does."""

    name = "colour"

    def __init__(self) -> None:
        super().__init__(ARM, NetworkConfig(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)))
        self.colours = torch.nn.Conv2d(3, 4, 1, bias=False)
        with torch.no_grad():
            self.colours.weight.zero_()
            self.colours.weight[:3, :, 0, 0] = 1.5 * torch.eye(3) - 0.5

    def forward(self, images: torch.Tensor) -> list[Maps]:
        heatmaps = self.colours(torch.nn.functional.avg_pool2d(images, 8))
        x, y = torch.ones_like(heatmaps[:, :1]), torch.zeros_like(heatmaps[:, :1])
        return [(heatmaps, torch.cat([x, y, x, y], dim=1))]


class Blind(Pretender):
    """One that sees nobody: alone, in a batch, or never."""

    def run(self, images: Image) -> list[Fields]:
        fields = super().run(images)
        if (self.fault == "alone" and len(images) == 1) or (self.fault == "together" and len(images) > 1):
            return [Fields(np.zeros_like(f.heatmaps), f.pafs, f.stride) for f in fields]
        return fields


def colour_parity(fault: str) -> Parity:
    described = {key: {"name": key} for key in ("heatmaps", "pafs")}
    description = ModelDescription(skeleton=ARM, stride=8, size=(160, 120), input={"name": "image"}, **described)
    network = ColourNetwork().eval()
    picture = paint([(16, 24), (40, 72)])
    return check_parity(network, Blind(network, description, fault), [picture, np.full_like(picture, 128)])


def test_parity_compares_people_that_are_really_there(monkeypatch: pytest.MonkeyPatch) -> None:
    parity = colour_parity("")
    assert (parity.poses, parity.to_dict()["poses_compared"]) == (2, 2)
    assert parity.pose_distance < 1e-3
    # The maps alone would tell too; here the poses have to.
    monkeypatch.setattr(MapParity, "holds", True)
    assert colour_parity("").poses == 2
    for fault in ("alone", "together"):
        with pytest.raises(ExportError, match="finds other people on picture 1: the checkpoint 2, the exported file 0"):
            colour_parity(fault)


def test_parity_looks_at_no_more_than_it_needs(small: Exported) -> None:
    checkpoint, _, report = small
    network, _ = load_checkpoint(checkpoint)
    huge = report.description.model_copy(update={"size": (16384, 8192)})
    parity = check_parity(network, Pretender(network, huge, ""), [np.zeros((40, 4000, 3), np.uint8)])
    assert parity.sizes == ((864, 16),)


def test_map_parity_is_never_met_by_nan() -> None:
    zeros = np.zeros((1, 2, 2))
    good = MapParity()
    good.add(zeros, zeros, [zeros])
    assert good.holds
    assert good.relative(good.exported) == 0
    for position in range(3):
        maps = [zeros + 1, zeros + 1, zeros + 1]
        maps[position] = maps[position] * np.nan
        parity = MapParity()
        parity.add(maps[0], maps[1], [maps[2]])
        parity.add(zeros, zeros, [zeros])
        assert not parity.holds


def test_distance_between_people() -> None:
    random = np.random.default_rng(0)
    xy = random.uniform(0, 100, (4, 15, 2))
    xy[1, 3] = np.nan
    poses = Poses(LTSH15, xy, np.isfinite(xy[..., 0]) * 1.0, np.ones(4))
    order = np.array([2, 0, 3, 1])
    assert largest_distance(poses, poses.select(order)) == 0
    other = xy[order]
    other[0, 0, 1] += 3.0
    assert largest_distance(poses, Poses(LTSH15, other, np.ones((4, 15)), np.ones(4))) == pytest.approx(3.0)
    assert largest_distance(poses, poses.select(order[:3])) == math.inf
    other[0, 0] = np.nan
    assert largest_distance(poses, Poses(LTSH15, other, np.ones((4, 15)), np.ones(4))) == math.inf
    nobody = Poses.empty(LTSH15)
    assert largest_distance(nobody, nobody) == 0
    assert largest_distance(poses, nobody) == math.inf


def test_arguments_that_cannot_be(small: Exported, tmp_path: Path) -> None:
    checkpoint, path, _ = small
    before = path.read_bytes()
    good: dict[str, Any] = {"checkpoint": checkpoint, "output": tmp_path / "a.onnx", "images": pictures(1)}
    for change, message in (
        ({"output": path}, "exists already"),
        ({"output": tmp_path / "a.bin"}, r"must be named so\nWrite to \S+a\.onnx\.$"),
        ({"output": tmp_path / "a.engine"}, r"\nWrite to \S+a\.onnx, or give --format engine "),
        ({"opset": 18}, "opset 18 cannot be written"),
        ({"opset": 10**6}, "opset 1000000 cannot"),
        ({"images": []}, "no pictures"),
        ({"size": (100, 96)}, "multiples of 8"),
    ):
        with pytest.raises(UsageError, match=message):
            export_onnx(**{**good, **change})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_when_the_exporter_or_parity_fails(
    small: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, path, _ = small
    output = tmp_path / "net.onnx"
    output.write_bytes(b"the user's older file")

    def failing(*arguments: object, **options: object) -> None:
        raise RuntimeError("no conversion\nfor many reasons")

    def other_network(network: PoseNetwork, opset: int) -> Any:
        model = onnx.load(path)
        weights = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
        weights.raw_data = (np.frombuffer(weights.raw_data, np.float32) * np.float32(1.01)).tobytes()
        return model

    with monkeypatch.context() as patch:
        patch.setattr(torch.onnx, "export", failing)
        with pytest.raises(ExportError, match=r"torch cannot export \w+: no conversion$"):
            export_onnx(checkpoint, output, images=pictures(), overwrite=True)
    monkeypatch.setattr(to_onnx, "_convert", other_network)
    with pytest.raises(ExportError, match="differ on picture 1"):
        export_onnx(checkpoint, output, images=pictures(), overwrite=True)
    assert output.read_bytes() == b"the user's older file"
    assert list(tmp_path.iterdir()) == [output]


def test_a_file_that_is_not_sound_onnx_is_never_written(
    small: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, path, _ = small

    def unsound(network: PoseNetwork, opset: int) -> Any:
        model = onnx.load(path)
        # onnxruntime reads over it.
        model.graph.node[3].name, model.graph.name = "", ""
        return model

    monkeypatch.setattr(to_onnx, "_convert", unsound)
    with pytest.raises(ExportError, match=r"not sound ONNX: .*name"):
        export_onnx(checkpoint, tmp_path / "net.onnx", images=pictures(1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory\nframe 1"), "can't allocate memory"),
    ],
)
def test_comparing_that_fails_for_want_of_memory_leaves_nothing(
    small: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    checkpoint, path, _ = small

    def failing(*_: object) -> None:
        raise error

    monkeypatch.setattr(to_onnx, "_convert", lambda network, opset: onnx.load(path))
    monkeypatch.setattr("ltsh_deploy.export.parity.check_parity", failing)
    with pytest.raises(ExportError, match=f"could not be compared with the checkpoint .*{said}") as caught:
        export_onnx(checkpoint, tmp_path / "net.onnx", images=pictures(1))
    assert "--size" in caught.value.remedy
    assert "\n" not in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_the_usual_size_is_the_checkpoints_own(
    small: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, path, _ = small
    network, provenance = load_checkpoint(checkpoint)
    sized = tmp_path / "sized.safetensors"
    save_checkpoint(sized, network, provenance, size=(96, 64))
    monkeypatch.setattr(to_onnx, "_convert", lambda network, opset: onnx.load(path))
    for size, expected in ((None, (96, 64)), ((64, 48), (64, 48))):
        report = export_onnx(sized, tmp_path / "net.onnx", images=pictures(1), size=size, overwrite=True)
        assert report.description.size == OnnxRuntime(tmp_path / "net.onnx").description.size == expected


@pytest.mark.parametrize("module", ["torch", "onnx", "onnxscript", "onnxruntime"])
def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingPartError, match=f"needs {module}") as caught:
        export_onnx(tmp_path / "a.safetensors", tmp_path / "a.onnx", images=pictures(1))
    extras = ("cpu", "gpu") if module == "onnxruntime" else ("export",)
    assert caught.value.remedy == " or ".join(map(install_line, extras))


def test_command_exports_and_reports(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, small: Exported
) -> None:
    checkpoint, path, _ = small
    # The conversion itself is tested above, and slow.
    monkeypatch.setattr(to_onnx, "_convert", lambda network, opset: onnx.load(path))
    arguments = ["export", str(checkpoint), "-o", str(tmp_path / "net.onnx"), "--size", "64x48"]
    assert main(["--quiet", *arguments, "--json"]) == 0
    out, err = capfd.readouterr()
    report = json.loads(out)
    assert err == ""
    assert report["file"] == str(tmp_path / "net.onnx")
    assert report["size"] == [64, 48]
    assert report["parity"]["drawn_pictures"] is True
    assert report["parity"]["pictures"] == 3
    assert report["parity"]["pafs"]["exported_error"] <= report["parity"]["pafs"]["limit"]
    assert OnnxRuntime(tmp_path / "net.onnx").description.size == (64, 48)
    assert main(arguments) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert "exists already" in err
    assert "--overwrite" in err
    assert main([*arguments, "--overwrite"]) == 0
    out, err = capfd.readouterr()
    assert "Parity with" in out
    assert "3 pictures drawn by this program" in out
    # An untrained network finds nobody, and so its poses prove nothing.
    assert report["parity"]["poses_compared"] == 0
    assert "Poses: none were compared" in out
    assert "warning: " in err
    assert "no poses were compared" in err
    assert "Warning" not in err


def test_command_with_own_pictures(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, small: Exported, shared: Path
) -> None:
    checkpoint, path, _ = small
    monkeypatch.setattr(to_onnx, "_convert", lambda network, opset: onnx.load(path))
    arguments = ["export", str(checkpoint), "-o", str(tmp_path / "net.onnx"), "--size", "64x48"]
    mpii = sorted((shared / "data" / "real" / "mpii").glob("*.jpg"))
    folder = shared / "data" / "real" / "coco"
    assert main([*arguments, "--images", str(mpii[0]), "--images", str(folder), "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert report["parity"]["pictures"] == 5
    assert report["parity"]["drawn_pictures"] is False
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(mpii[0].read_bytes()[:5000])
    for wrong, code, message in (
        (str(tmp_path / "none.jpg"), 3, "none.jpg"),
        (str(cut), 3, "cut.jpg"),
        (str(shared / "data" / "real" / "video" / "demo.mp4"), 2, "is no picture"),
    ):
        assert main([*arguments, "--overwrite", "--images", wrong]) == code
        out, err = capfd.readouterr()
        assert out == ""
        assert message in err
        assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none.safetensors"], 3, "none.safetensors"),
        (["."], 3, "is a folder"),
        (["none.safetensors", "--size", "432x"], 2, "is not a size"),
        (["none.safetensors", "--opset", "7"], 2, "opset 7"),
        (["none.safetensors", "--format", "coreml"], 2, "coreml"),
    ],
)
def test_command_errors(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", *arguments, "-o", "out.onnx"]) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert message in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []

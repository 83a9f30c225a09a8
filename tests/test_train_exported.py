"""Beginning with an ONNX file's weights: the network computes what the file does, and goes on learning from there."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from ltsh_deploy.checkpoints import Provenance, load_checkpoint, save_checkpoint
from ltsh_deploy.default_model import default_model
from ltsh_deploy.errors import InputError, ModelFileError
from ltsh_deploy.export.to_onnx import export_onnx
from ltsh_deploy.network_base import ImageNetwork, MapHead, Maps, PoseNetwork
from ltsh_deploy.networks import create_network
from ltsh_deploy.runtimes import OnnxRuntime
from ltsh_deploy.skeletons import LTSH15
from ltsh_deploy.train.config import RunConfig
from ltsh_deploy.train.config_file import save_config
from ltsh_deploy.train.exported_weights import load_exported_weights, measure_normalisations
from ltsh_deploy.train.results import write_card
from ltsh_deploy.train.start import prepare
from ltsh_deploy.train.state import load_state
from studies.default_model.command import main
from tests.test_networks import TINY
from tests.test_train_run import own_datasets, trained  # noqa: F401  (a fixture of every test)
from tests.training_data import tiny_config

pytestmark = pytest.mark.usefixtures("one_thread")

LIGHT, VGG = "ltsh_light", "openpose_vgg19"


def network_of(name: str, *, new: bool = False) -> PoseNetwork:
    """With random weights; unless it is new, as after training: with statistics, offsets, and maps of some height."""
    network = create_network(name, LTSH15, 7, **TINY[name])
    generator = torch.Generator().manual_seed(0)
    for module in () if new else network.modules():
        if isinstance(module, MapHead):
            module.weight.data.mul_(100)
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in ((module.running_mean, -0.1), (module.running_var, 0.5), (module.bias, -0.2)):
                assert tensor is not None
                nn.init.uniform_(tensor, low, low + 1, generator=generator)
    return network


def pictures(count: int = 3) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).integers(0, 256, (count, 64, 48, 3), np.uint8))


def maps_of(network: PoseNetwork) -> Maps:
    with torch.no_grad():
        maps: Maps = ImageNetwork(network)(pictures())
    return maps


def largest_difference(a: Maps, b: Maps) -> float:
    return max(float((one - other).abs().max()) for one, other in zip(a, b, strict=True))


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    """ONNX files of :func:`network_of`, each made once: it takes seconds."""

    @cache
    def export(name: str, *, new: bool = False) -> bytes:
        folder = tmp_path_factory.mktemp("export")
        network = network_of(name, new=new)
        save_checkpoint(folder / "first.safetensors", network, Provenance("drawings", "CC0-1.0", "step 7"))
        export_onnx(folder / "first.safetensors", folder / "first.onnx", images=list(pictures().numpy()))
        return (folder / "first.onnx").read_bytes()

    return export


@pytest.fixture
def light(exports: Callable[..., bytes], tmp_path: Path) -> Path:
    """One that a test may change."""
    path = tmp_path / "first.onnx"
    path.write_bytes(exports(LIGHT))
    return path


@pytest.mark.parametrize(("name", "new"), [(LIGHT, False), (VGG, False), (LIGHT, True)])
def test_a_network_computes_what_the_file_does(
    tmp_path: Path, exports: Callable[..., bytes], name: str, new: bool
) -> None:
    path = tmp_path / "first.onnx"
    path.write_bytes(exports(name, new=new))
    network = create_network(name, LTSH15, 8, **TINY[name])
    assert load_exported_weights(network, path) == Provenance("drawings", "CC0-1.0", "step 7")
    wanted = maps_of(network_of(name, new=new).eval())
    extent = max(float(each.abs().max()) for each in wanted)
    assert extent > 1e-4
    assert largest_difference(maps_of(network.eval()), wanted) < 1e-5 * extent
    measure_normalisations(network, pictures().split(1))
    assert largest_difference(maps_of(network.eval()), wanted) < 1e-5 * extent


def test_normalisations_know_what_they_see(light: Path) -> None:
    wanted = maps_of(network_of(LIGHT).eval())
    network = create_network(LIGHT, LTSH15, 8, **TINY[LIGHT])
    load_exported_weights(network, light)
    network.train()
    measure_normalisations(network, pictures().split(2))
    assert network.training
    # In training, they use the statistics of the batch. What was measured on other pictures would not agree.
    assert largest_difference(maps_of(network), wanted) < 1e-3 * max(float(each.abs().max()) for each in wanted)
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.bias is None:
            sizes = module.weight.square().mean(dim=(1, 2, 3)).sqrt()
            torch.testing.assert_close(sizes, torch.full_like(sizes, (2 / module.weight[0].numel()) ** 0.5))


def change(path: Path, edit: Any) -> None:
    model = onnx.load(path)
    edit(model)
    onnx.save(model, path)


def describe(model: Any, key: str, text: str) -> None:
    next(entry for entry in model.metadata_props if entry.key == key).value = text


def tensor_of(model: Any, part: str) -> Any:
    return next(each for each in model.graph.initializer if part in each.name)


def kind_of(model: Any, part: str, kind: int) -> None:
    tensor_of(model, part).data_type = kind


def put(model: Any, part: str, kind: Any = np.float32, cut: int | None = None) -> None:
    tensor = tensor_of(model, part)
    values = onnx.numpy_helper.to_array(tensor)[:cut].astype(kind)
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))


def spoil(model: Any, part: str) -> None:
    tensor = tensor_of(model, part)
    values = onnx.numpy_helper.to_array(tensor).copy()
    values.flat[0] = np.nan
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))


@pytest.mark.parametrize(
    ("damage", "kind", "message"),
    [
        (lambda path: path.unlink(), ModelFileError, "No such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), ModelFileError, "cannot be read as ONNX"),
        (lambda path: change(path, lambda m: m.ClearField("metadata_props")), ModelFileError, "`ltsh export` wrote"),
        (
            lambda path: change(path, lambda m: describe(m, "ltsh.network", '"resnet"')),
            InputError,
            "resnet, and ltsh_light is",
        ),
        (lambda path: change(path, lambda m: describe(m, "ltsh.precision", '"fp16"')), ModelFileError, "is of fp16"),
        (lambda path: change(path, lambda m: spoil(m, "coarse.0")), ModelFileError, r"coarse\.0.* holds NaN"),
        (lambda path: change(path, lambda m: spoil(m, "offset")), InputError, "normalised otherwise"),
        (
            lambda path: change(path, lambda m: tensor_of(m, "offset").dims.append(2)),
            ModelFileError,
            "offset is damaged",
        ),
        (lambda path: change(path, lambda m: kind_of(m, "fine.0", 99)), ModelFileError, r"fine\.0.* is damaged"),
        (
            lambda path: change(path, lambda m: put(m, "fine.0", np.float64)),
            ModelFileError,
            r"fine\.0.* is float64, not",
        ),
        (lambda path: change(path, lambda m: put(m, "0.0.bias", cut=1)), InputError, r"bias has shape \[1\]"),
    ],
)
def test_what_cannot_be_begun_with_is_named(light: Path, damage: Any, kind: type[Exception], message: str) -> None:
    damage(light)
    with pytest.raises(kind, match=rf"first\.onnx.*{message}"):
        load_exported_weights(create_network(LIGHT, LTSH15, **TINY[LIGHT]), light)


def begun_with(path: Path, **changes: Any) -> RunConfig:
    network = {"name": LIGHT, "config": TINY[LIGHT]}
    return tiny_config(**{"init": str(path), "network": network, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"skeleton": "lsp14"}, "another skeleton"),
        ({"network": {"name": LIGHT}}, "the configured network's has"),
        ({"skeleton": "coco17"}, "ltsh15, and coco17 is configured"),
        ({"network": {"name": VGG}}, "another network"),
        ({"network": {"name": LIGHT, "config": TINY[LIGHT] | {"std": [0.2, 0.2, 0.2]}}}, "normalised otherwise"),
    ],
)
def test_another_network_is_refused_at_its_key(light: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=rf"^init: .*first\.onnx: .*{message}"):
        prepare(begun_with(light, **changes), light.with_name("run"))


def test_a_run_that_began_so_goes_on_without_the_file(light: Path, tmp_path: Path) -> None:
    whole, _ = trained(begun_with(light), tmp_path / "whole")
    trained(begun_with(light, steps=3), tmp_path / "parts")
    light.unlink()
    parts, _ = trained(begun_with(light), tmp_path / "parts", resume=True)
    for key, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, parts.network.state_dict()[key]), key
    for run in (whole, parts):
        origin = load_checkpoint(run.folder / "last.safetensors")[1]
        assert origin.training_data == "real; before that: drawings"
        assert origin.licence == "not known; the weights it began with: CC0-1.0"


def test_what_weights_learned_from_is_said_once(light: Path, tmp_path: Path) -> None:
    init = light
    for name in ("a", "b", "c"):
        run, _ = trained(begun_with(init, steps=1), tmp_path / name)
        init = run.folder / "last.safetensors"
    assert load_checkpoint(init)[1].training_data == "real; before that: drawings"
    no_more_known, _ = trained(tiny_config(steps=1), tmp_path / "d")
    last, _ = trained(tiny_config(steps=1, init=str(no_more_known.folder / "last.safetensors")), tmp_path / "e")
    assert load_checkpoint(last.folder / "last.safetensors")[1].licence == "not known"


@pytest.mark.parametrize("later", ["default", "nowhere.onnx", None])
def test_a_run_that_goes_on_keeps_what_it_began_with(
    light: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, later: str | None
) -> None:
    trained(begun_with(light, steps=2), tmp_path / "run")
    run, _ = trained(begun_with(light, init=later, steps=3), tmp_path / "run", resume=True)
    assert "begins with nothing else" in caplog.text
    assert run.config.init == str(light)
    assert run.origin is not None
    (tmp_path / "run" / "metrics.jsonl").touch()
    write_card(run, None)
    card = (tmp_path / "run" / "model_card.md").read_text(encoding="utf-8")
    assert f"began with the weights in `{light}`, which had learned from: drawings. Their licence: CC0-1.0." in card


def test_a_run_from_before_origins_were_kept_does_not_know_its_own(light: Path, tmp_path: Path) -> None:
    trained(begun_with(light, steps=2), tmp_path)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    del state["origin"]
    torch.save(state, tmp_path / "state.pt")
    trained(begun_with(light, steps=3), tmp_path, resume=True)
    assert load_checkpoint(tmp_path / "last.safetensors")[1].training_data == "real; before that: not known"


def test_a_run_measures_its_own_crops_before_it_learns(light: Path, tmp_path: Path) -> None:
    wanted = maps_of(network_of(LIGHT).eval())
    network = prepare(begun_with(light), tmp_path / "run").network
    assert largest_difference(maps_of(network.eval()), wanted) < 1e-5 * max(float(each.abs().max()) for each in wanted)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_mean.abs().max() > 0


def test_the_packages_own_model_can_be_begun_with(tmp_path: Path) -> None:
    run = prepare(tiny_config(init="default", network={"name": LIGHT}), tmp_path / "run")
    assert run.origin is not None
    assert "Leeds Sports Pose" in run.origin.training_data
    with OnnxRuntime(default_model(), device="cpu") as runtime:
        fields = runtime.run(pictures(1).numpy())[0]
    with torch.no_grad():
        heatmaps, _ = ImageNetwork(run.network.eval())(pictures(1))
    np.testing.assert_allclose(heatmaps[0].numpy(), fields.heatmaps, atol=1e-4)


@pytest.mark.parametrize(("init", "problem"), [("Default", "no such file"), (".", "it is a folder")])
def test_weights_that_are_not_there_are_named_with_what_could_be(tmp_path: Path, init: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        prepare(tiny_config(init=init), tmp_path / "run")
    assert "`default`" in caught.value.remedy


def test_where_the_first_weights_came_from_is_checked(tmp_path: Path) -> None:
    trained(tiny_config(steps=1), tmp_path)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    for origin in ({"licence": 3}, {}, "x"):
        torch.save({**state, "origin": origin}, tmp_path / "state.pt")
        with pytest.raises(InputError, match="'origin'"):
            load_state(tmp_path / "state.pt")


def test_what_a_training_begins_with_is_written(
    light: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "begin.safetensors"
    save_config(recipe, begun_with(light))
    assert main(["begin", str(recipe), "--out", str(out)]) == 0
    wanted = prepare(begun_with(light), tmp_path / "run").network.state_dict()
    network, origin = load_checkpoint(out)
    assert origin == Provenance("drawings", "CC0-1.0", "step 7")
    assert all(torch.equal(tensor, wanted[key]) for key, tensor in network.state_dict().items())
    light.unlink()
    assert main(["begin", str(recipe), "--out", str(out)]) == 3
    assert "init: " in capsys.readouterr().err

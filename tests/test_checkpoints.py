"""Checkpoints bring back exactly what was saved, and refuse everything else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from ltsh_deploy.checkpoints import Provenance, describe_network, load_checkpoint, read_checkpoint, save_checkpoint
from ltsh_deploy.description_template import DEFAULT_SIZE
from ltsh_deploy.errors import LtshError, MissingPartError, ModelFileError, OutputError, UsageError
from ltsh_deploy.networks import NETWORKS, create_network
from ltsh_deploy.parts import install_line
from ltsh_deploy.runtimes import TorchRuntime
from ltsh_deploy.skeletons import LTSH15, Skeleton
from tests.test_networks import TINY

PROVENANCE = Provenance("MPII and drawings", "CC BY 4.0", "step 70002, été")
KEY = "ltsh.checkpoint"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoints") / "light.safetensors"
    save_checkpoint(path, create_network("ltsh_light", LTSH15, 3, **TINY["ltsh_light"]), PROVENANCE)
    return path


@pytest.mark.parametrize("name", NETWORKS)
def test_round_trip(name: str, tmp_path: Path) -> None:
    skeleton = Skeleton("arm", ("shoulder", "elbow"), ((0, 1),), (), (0.1, 0.2))
    network = create_network(name, skeleton, 5, mean=(0.5, 0.5, 0.5), **TINY[name])
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, network, PROVENANCE)
    state = torch.get_rng_state()
    loaded, provenance = load_checkpoint(path)
    assert torch.equal(torch.get_rng_state(), state)
    assert (type(loaded), loaded.config, loaded.skeleton) == (type(network), network.config, skeleton)
    assert provenance == PROVENANCE
    assert not loaded.training
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    before, after = network.state_dict(), loaded.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_loaded_network_owes_nothing_to_its_file(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(saved.read_bytes())
    network, _ = load_checkpoint(path)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with path.open("r+b") as file:
        file.seek(-1000, 2)
        file.write(b"\0" * 1000)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    with torch.no_grad():
        next(network.parameters()).add_(1)


def test_saving_replaces_whole_files_only(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"the older one")
    network, _ = load_checkpoint(saved)

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full_disk)
        with pytest.raises(OutputError, match="No space left"):
            save_checkpoint(path, network)
    assert path.read_bytes() == b"the older one"
    assert list(tmp_path.iterdir()) == [path]
    save_checkpoint(path, network)
    load_checkpoint(path)
    with pytest.raises(OutputError, match="no folder"):
        save_checkpoint(tmp_path / "none" / "a.safetensors", network)


Tensors = dict[str, torch.Tensor]
Header = dict[str, Any]


def drop(tensors: Tensors, header: Header) -> None:
    del tensors["first_maps.bias"]


def add(tensors: Tensors, header: Header) -> None:
    tensors["second_head.bias"] = torch.zeros(3)


def reshape(tensors: Tensors, header: Header) -> None:
    tensors["first_maps.bias"] = torch.zeros(3)


def halve(tensors: Tensors, header: Header) -> None:
    tensors["first_maps.bias"] = tensors["first_maps.bias"].half()


def poison(tensors: Tensors, header: Header) -> None:
    tensors["first_maps.bias"][1] = float("nan")


def head(**changes: object) -> Callable[[Tensors, Header], None]:
    def change(tensors: Tensors, header: Header) -> None:
        header.update(changes)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop, "tensor first_maps.bias is missing"),
        (add, "tensor second_head.bias is none of this network's"),
        (reshape, r"tensor first_maps.bias has shape \[3\], this network's has \[44\]"),
        (halve, "tensor first_maps.bias is torch.float16"),
        (poison, "tensor first_maps.bias holds NaN"),
        (head(version=2), "format version 2; this program reads up to 1"),
        (head(version="1"), "has no version"),
        (head(version=0), "has no version"),
        (head(version=True), "has no version"),
        (head(network="resnet"), "there is no network 'resnet'"),
        (head(network=None), "no proper 'network'"),
        (head(config={"stem_channels": 8}), "its configuration lacks mean, std, channels"),
        (lambda tensors, header: header["config"].pop("blocks"), "its configuration lacks blocks"),
        (lambda tensors, header: header["config"].update(stem_channels=8), "has shape"),
        (head(config={"width": 8}), "no configuration key 'width'"),
        (lambda tensors, header: header["config"].update(stem_channels=4096, channels=[4096] * 3), "has shape"),
        (head(size=[432]), "no proper 'size'"),
        (head(size=[432, True]), "no proper 'size'"),
        (head(size="432x368"), "no proper 'size'"),
        (head(size=[430, 368]), "multiples of 8"),
        (head(config=[]), "no proper 'config'"),
        (head(skeleton={"joints": 3}), "skeleton: 'joints' must be"),
        (head(skeleton=None), "no proper 'skeleton'"),
        (head(provenance={"training_data": 3}), "provenance may hold"),
        (head(provenance={"author": "x"}), "provenance may hold"),
    ],
)
def test_whatever_does_not_fit_is_refused_and_named(
    saved: Path, tmp_path: Path, change: Callable[[Tensors, Header], None], message: str
) -> None:
    tensors = safetensors.torch.load_file(saved)
    with safetensors.safe_open(saved, "pt") as file:
        header = json.loads(file.metadata()[KEY])
    change(tensors, header)
    path = tmp_path / "changed.safetensors"
    safetensors.torch.save_file(tensors, path, {KEY: json.dumps(header)})
    with pytest.raises(LtshError, match=message) as caught:
        load_checkpoint(path)
    assert str(path) in caught.value.message
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "not a checkpoint of this project"),
        ({"format": "pt"}, "not a checkpoint of this project"),
        ({KEY: "{"}, "is not JSON"),
        ({KEY: "[" * 100_000}, "is not JSON"),
        ({KEY: "[1]"}, "has no version"),
    ],
)
def test_other_safetensors_files(tmp_path: Path, metadata: dict[str, str] | None, message: str) -> None:
    path = tmp_path / "foreign.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(2)}, path, metadata)
    with pytest.raises(ModelFileError, match=message):
        load_checkpoint(path)


def test_broken_files(saved: Path, tmp_path: Path) -> None:
    whole = saved.read_bytes()
    path = tmp_path / "a.safetensors"
    for data in (b"", b"abc", b"\xff" * 64, whole[:7], whole[:1000], whole[:-1], whole + b"\0", bytes(len(whole))):
        path.write_bytes(data)
        with pytest.raises(ModelFileError, match="not a whole safetensors file") as caught:
            load_checkpoint(path)
        assert str(path) in caught.value.message
    with pytest.raises(ModelFileError, match="No such file"):
        load_checkpoint(tmp_path / "none.safetensors")
    with pytest.raises(ModelFileError, match="is a folder"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("module", ["torch", "safetensors"])
def test_missing_packages_are_named_with_the_line_that_installs_them(
    saved: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(MissingPartError, match=module) as caught:
        load_checkpoint(saved)
    assert caught.value.remedy == install_line("train")
    if module == "safetensors":
        with pytest.raises(MissingPartError, match="safetensors"):
            save_checkpoint(saved, create_network("ltsh_light", LTSH15, **TINY["ltsh_light"]))


def test_the_usual_size_is_kept_and_is_the_usual_one_where_none_is_given(saved: Path, tmp_path: Path) -> None:
    network, _ = load_checkpoint(saved)
    assert read_checkpoint(saved).size == DEFAULT_SIZE
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, network, PROVENANCE, size=(656, 368))
    assert read_checkpoint(path).size == (656, 368)
    assert TorchRuntime(path, device="cpu").description.size == (656, 368)
    with pytest.raises(UsageError, match="multiples of 8"):
        save_checkpoint(tmp_path / "b.safetensors", network, size=(100, 100))
    assert list(tmp_path.iterdir()) == [path]
    # A file from before there was a size.
    tensors = safetensors.torch.load_file(path)
    with safetensors.safe_open(path, "pt") as file:
        header = json.loads(file.metadata()[KEY])
    del header["size"]
    safetensors.torch.save_file(tensors, path, {KEY: json.dumps(header)})
    assert read_checkpoint(path).size == DEFAULT_SIZE


def test_description_of_a_network(saved: Path) -> None:
    network, provenance = load_checkpoint(saved)
    description = describe_network(network, provenance, (656, 368))
    assert (description.skeleton, description.stride, description.size) == (LTSH15, 8, (656, 368))
    assert (description.network, description.licence) == ("ltsh_light", "CC BY 4.0")
    assert description.training_data == "MPII and drawings"
    assert description.notes == "step 70002, été"
    for size in ((0, 8), (8, -8), (431, 368), (1 << 20, 8)):
        with pytest.raises(UsageError, match="multiples of 8"):
            describe_network(network, provenance, size)

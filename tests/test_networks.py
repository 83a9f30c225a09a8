"""The networks' structure, what they promise of sizes and batches, and how they begin."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import nn

from ltsh_deploy.errors import UsageError
from ltsh_deploy.networks import NETWORKS, ImageNetwork, LtshLight, OpenPoseVgg19, build_network, create_network
from ltsh_deploy.skeletons import COCO18, LTSH15, SKELETONS, Skeleton

TINY: dict[str, dict[str, Any]] = {
    "ltsh_light": {"stem_channels": 4, "channels": (4, 6, 8), "blocks": (1, 2, 3), "feature_channels": 8},
    "openpose_vgg19": {
        "trunk_channels": (4, 4, 6, 8),
        "feature_channels": (8, 6),
        "stage_channels": 4,
        "head_channels": 8,
        "stages": 3,
    },
}


pytestmark = pytest.mark.usefixtures("one_thread")


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def convolutions(layers: nn.Module) -> list[tuple[int, int, int]]:
    """(inputs, outputs, kernel) of each convolution, in order."""
    found = [module for module in layers.modules() if isinstance(module, nn.Conv2d)]
    return [(conv.in_channels, conv.out_channels, conv.kernel_size[0]) for conv in found]


def test_openpose_vgg19_is_the_published_network() -> None:
    network = build_network("openpose_vgg19", LTSH15, {})
    assert isinstance(network, OpenPoseVgg19)
    widths = [3, 64, 64, 128, 128, 256, 256, 256, 256, 512, 512, 256, 128]
    assert convolutions(network.trunk) == [(a, b, 3) for a, b in itertools.pairwise(widths)]
    kinds = [type(layer).__name__ for layer in network.trunk if not isinstance(layer, nn.ReLU)]
    assert [i for i, kind in enumerate(kinds) if kind == "MaxPool2d"] == [2, 5, 10]
    for stages, maps in ((network.paf_stages, 28), (network.heatmap_stages, 16)):
        first = [(128, 128, 3)] * 3 + [(128, 512, 1), (512, maps, 1)]
        later = [(128 + 28 + 16, 128, 7)] + [(128, 128, 7)] * 4 + [(128, 128, 1), (128, maps, 1)]
        assert [convolutions(stage) for stage in stages] == [first] + [later] * 5
    # VGG19's first ten convolutions have 5,865,536 parameters, the two after them 1,474,944: counted on paper, as is
    # each stage's branch: weights and one bias an output.
    branches = sum(
        sum(a * b * k * k + b for a, b, k in convolutions(stage))
        for stage in (*network.paf_stages, *network.heatmap_stages)
    )
    assert parameters(network) == 5_865_536 + 1_474_944 + branches
    assert parameters(network) == 51_481_032


def test_ltsh_light_is_light() -> None:
    for skeleton in SKELETONS.values():
        # 4 bytes a parameter: below 5 MB as ONNX.
        assert parameters(build_network("ltsh_light", skeleton, {})) < 1_200_000
    kinds = {
        type(module) for module in build_network("ltsh_light", LTSH15, {}).modules() if not list(module.children())
    }
    assert {kind.__name__ for kind in kinds} == {"Conv2d", "MapHead", "BatchNorm2d", "ReLU"}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 2), (3, 5), (4, 7), (8, 6)])
def test_maps_have_one_cell_for_eight_pixels(name: str, rows: int, columns: int) -> None:
    network = create_network(name, COCO18, **TINY[name]).eval()
    with torch.inference_mode():
        stages = network(torch.zeros(2, 3, 8 * rows, 8 * columns))
    assert len(stages) == (2 if name == "ltsh_light" else 3)
    for heatmaps, pafs in stages:
        assert heatmaps.shape == (2, 19, rows, columns)
        assert pafs.shape == (2, 38, rows, columns)


@pytest.mark.parametrize("name", NETWORKS)
def test_any_skeleton(name: str) -> None:
    skeleton = Skeleton("dot", ("a", "b"), ((0, 1),), (), (0.1, 0.1))
    heatmaps, pafs = create_network(name, skeleton, **TINY[name]).eval()(torch.zeros(1, 3, 16, 16))[-1]
    assert (heatmaps.shape[1], pafs.shape[1]) == (3, 2)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_serves_the_answer_and_every_stage_can_be_trained(name: str) -> None:
    network = create_network(name, LTSH15, **TINY[name]).train()
    stages = network(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    sum(heatmaps.square().sum() + pafs.square().sum() for heatmaps, pafs in stages).backward()
    idle = [key for key, parameter in network.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert not idle


@pytest.mark.parametrize("name", NETWORKS)
def test_seed_decides_all_weights_and_nothing_else_is_touched(name: str) -> None:
    state = torch.get_rng_state()
    one, same, other = (create_network(name, LTSH15, seed, **TINY[name]) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    for key, value in one.state_dict().items():
        assert torch.equal(value, same.state_dict()[key])
        assert value.isfinite().all()
    weights = [key for key, value in one.named_parameters() if value.ndim == 4]
    assert all(not torch.equal(one.state_dict()[key], other.state_dict()[key]) for key in weights)


@pytest.mark.parametrize("name", NETWORKS)
def test_untrained_maps_are_of_ordinary_size(name: str) -> None:
    image = torch.randint(0, 256, (1, 96, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        maps = torch.cat(ImageNetwork(create_network(name, LTSH15, 0).eval())(image), dim=1)
    assert 1e-3 < float(maps.abs().max()) < 10


def test_image_network_normalises_red_green_and_blue() -> None:
    network = create_network("ltsh_light", LTSH15, **TINY["ltsh_light"]).eval()
    image = torch.randint(0, 256, (2, 16, 24, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalised = ((image / 255 - mean) / std).permute(0, 3, 1, 2)
    with torch.inference_mode():
        expected = network(normalised)[-1]
        found = ImageNetwork(network)(image)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", NETWORKS)
def test_no_image_depends_on_its_batch_mates(name: str) -> None:
    network = ImageNetwork(create_network(name, LTSH15, **TINY[name])).eval()
    images = torch.randint(0, 256, (3, 40, 56, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        together = network(images)
        for i in range(3):
            for batch, alone in zip(together, network(images[i : i + 1]), strict=True):
                assert (batch[i] - alone[0]).abs().max() <= 1e-4


def test_light_network_sees_a_person_whole() -> None:
    """One pixel changes maps within at least 150 pixels around it."""
    network = create_network("ltsh_light", LTSH15, feature_channels=16, refinement_blocks=1).eval()
    image = torch.randn(1, 3, 512, 512, generator=torch.Generator().manual_seed(0)).requires_grad_()
    network(image)[-1][0][0, :, 32, 32].sum().backward()
    assert image.grad is not None
    reached = image.grad[0].abs().sum(0).nonzero()
    assert reached.min() <= 256 - 150
    assert reached.max() >= 256 + 150


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("resnet", {}, "no network 'resnet'"),
        ("ltsh_light", {"stages": 3}, "no configuration key 'stages'"),
        ("ltsh_light", {"stem_channels": 0}, "stem_channels must be a whole number"),
        ("ltsh_light", {"stem_channels": 10**9}, "stem_channels must be a whole number"),
        ("ltsh_light", {"stem_channels": True}, "stem_channels must be a whole number"),
        ("ltsh_light", {"stem_channels": 8.0}, "stem_channels must be a whole number"),
        ("ltsh_light", {"blocks": (1, 2)}, "blocks must be 3 numbers"),
        ("ltsh_light", {"blocks": "abc"}, "blocks must be 3 numbers"),
        ("ltsh_light", {"mean": (0.0, float("nan"), 0.0)}, "mean must be a number"),
        ("ltsh_light", {"mean": (0.0, 10**400, 0.0)}, "mean must be a number"),
        ("openpose_vgg19", {"std": (1, 0, 1)}, "std must be at least"),
    ],
)
def test_wrong_configurations_are_named(name: str, config: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_network(name, LTSH15, config)


def test_configuration_from_json_is_that_of_the_class() -> None:
    network = build_network("ltsh_light", LTSH15, {"blocks": [2, 3, 6], "std": [0.229, 0.224, 0.225]})
    assert isinstance(network, LtshLight)
    assert network.config == build_network("ltsh_light", LTSH15, {}).config
    assert hash(network.config)

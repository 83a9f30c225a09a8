"""The networks: images to heat maps and PAFs, with any skeleton.

``OpenPoseVgg19`` is the large network of the published students; ``LtshLight`` is a small one for real time. Both take
normalised float32 [N, 3, H, W], H and W multiples of 8, and return one pair of maps per stage, of which the last is the
answer and the others are for training. :class:`ImageNetwork` puts the normalisation in front, so that what is deployed
takes plain pictures. Nothing imports this module, and so torch, before a network is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from ltsh_deploy.errors import UsageError
from ltsh_deploy.network_base import ImageNetwork, MapHead, Maps, NetworkConfig, PoseNetwork
from ltsh_deploy.skeletons import Skeleton

__all__ = [
    "NETWORKS",
    "ImageNetwork",
    "LtshLight",
    "LtshLightConfig",
    "Maps",
    "NetworkConfig",
    "OpenPoseVgg19",
    "OpenPoseVgg19Config",
    "PoseNetwork",
    "build_network",
    "create_network",
]


@dataclass(frozen=True)
class OpenPoseVgg19Config(NetworkConfig):
    """Channels and depth; the defaults are the published network.

    Attributes:
        trunk_channels: of VGG19's four groups of convolutions.
        feature_channels: of the two convolutions that follow the trunk.
        stage_channels: of a stage's hidden convolutions.
        head_channels: of the 1x1 convolution before the first stage's maps.
        stages: how many, the first included.
    """

    trunk_channels: tuple[int, int, int, int] = (64, 128, 256, 512)
    feature_channels: tuple[int, int] = (256, 128)
    stage_channels: int = 128
    head_channels: int = 512
    stages: int = 6


class OpenPoseVgg19(PoseNetwork):
    """VGG19 up to conv4_2, two more convolutions, then stages of two branches, each stage refining the one before."""

    name = "openpose_vgg19"
    config_class = OpenPoseVgg19Config

    def __init__(self, skeleton: Skeleton, config: OpenPoseVgg19Config = OpenPoseVgg19Config()) -> None:
        super().__init__(skeleton, config)
        layers: list[nn.Module] = []
        channels = 3
        for group, (width, depth) in enumerate(zip(config.trunk_channels, (2, 2, 4, 2), strict=True)):
            layers += [nn.MaxPool2d(2)] if group else []
            for _ in range(depth):
                layers += _conv_relu(channels, width, 3)
                channels = width
        for width in config.feature_channels:
            layers += _conv_relu(channels, width, 3)
            channels = width
        self.trunk = nn.Sequential(*layers)
        joined = channels + self.num_pafs + self.num_heatmaps
        inputs = [channels] + [joined] * (config.stages - 1)
        self.paf_stages = nn.ModuleList(self._branch(i, n, self.num_pafs, config) for i, n in enumerate(inputs))
        self.heatmap_stages = nn.ModuleList(self._branch(i, n, self.num_heatmaps, config) for i, n in enumerate(inputs))

    @staticmethod
    def _branch(stage: int, inputs: int, outputs: int, config: OpenPoseVgg19Config) -> nn.Sequential:
        depth, kernel, head = (5, 7, config.stage_channels) if stage else (3, 3, config.head_channels)
        layers: list[nn.Module] = []
        for i in range(depth):
            layers += _conv_relu(config.stage_channels if i else inputs, config.stage_channels, kernel)
        layers += _conv_relu(config.stage_channels, head, 1)
        return nn.Sequential(*layers, MapHead(head, outputs))

    def forward(self, images: Tensor) -> list[Maps]:
        """[N, 3, H, W] normalised to the maps of every stage, the last stage last."""
        features = self.trunk(images)
        joined, maps = features, []
        for paf_branch, heatmap_branch in zip(self.paf_stages, self.heatmap_stages, strict=True):
            pafs, heatmaps = paf_branch(joined), heatmap_branch(joined)
            maps.append((heatmaps, pafs))
            joined = torch.cat([features, pafs, heatmaps], dim=1)
        return maps


def _conv_relu(inputs: int, outputs: int, kernel: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), nn.ReLU(inplace=True)]


@dataclass(frozen=True)
class LtshLightConfig(NetworkConfig):
    """Channels and depth.

    Attributes:
        stem_channels: at stride 2.
        channels: at strides 4, 8 and 16.
        blocks: inverted residual blocks at those strides.
        expansions: how many times wider those blocks are inside.
        feature_channels: at stride 8, where the maps are read.
        refinement_blocks: in the second stage.
    """

    stem_channels: int = 24
    channels: tuple[int, int, int] = (32, 64, 128)
    blocks: tuple[int, int, int] = (2, 3, 6)
    expansions: tuple[int, int, int] = (2, 3, 4)
    feature_channels: int = 128
    refinement_blocks: int = 3


class LtshLight(PoseNetwork):
    """Inverted residuals down to stride 16 for a wide view, joined with stride 8, then a first and a second stage.

    Only convolutions, ReLU, additions and one nearest-neighbour upsampling: what every runtime does fast, and what
    low precision harms least. Batch normalisation disappears when the network is exported.
    """

    name = "ltsh_light"
    config_class = LtshLightConfig

    def __init__(self, skeleton: Skeleton, config: LtshLightConfig = LtshLightConfig()) -> None:
        super().__init__(skeleton, config)
        inputs = config.stem_channels
        groups: list[nn.Sequential] = []
        for width, depth, expansion in zip(config.channels, config.blocks, config.expansions, strict=True):
            blocks = [_InvertedResidual(inputs, width, expansion, downsample=True)]
            for i in range(depth - 1):
                # Dilation at the coarsest stride only: there it widens the view to most of a person.
                dilation = 2 ** (i % 3) if len(groups) == 2 else 1
                blocks.append(_InvertedResidual(width, width, expansion, dilation=dilation))
            groups.append(nn.Sequential(*blocks))
            inputs = width
        features, outputs = config.feature_channels, self.num_heatmaps + self.num_pafs
        self.fine = nn.Sequential(_conv_norm(3, config.stem_channels, 3, downsample=True), groups[0], groups[1])
        self.coarse = groups[2]
        self.from_fine = _conv_norm(config.channels[1], features, 1, relu=False)
        self.from_coarse = _conv_norm(config.channels[2], features, 1, relu=False)
        self.features = nn.Sequential(_Separable(features, 3), _Separable(features, 3))
        self.first_maps = MapHead(features, outputs)
        self.refinement = nn.Sequential(
            _conv_norm(features + outputs, features, 1),
            *(_Separable(features, 5) for _ in range(config.refinement_blocks)),
        )
        self.second_maps = MapHead(features, outputs)

    def forward(self, images: Tensor) -> list[Maps]:
        """[N, 3, H, W] normalised to the maps of both stages, the second last."""
        fine = self.fine(images)
        coarse = self.from_coarse(self.coarse(fine))
        # Exactly twice, then cut: a size that is odd at stride 8 has the same alignment as its even neighbour.
        coarse = nn.functional.interpolate(coarse, scale_factor=2.0)[:, :, : fine.shape[2], : fine.shape[3]]
        features = self.features(nn.functional.relu(self.from_fine(fine) + coarse))
        first = self.first_maps(features)
        second = self.second_maps(self.refinement(torch.cat([features, first], dim=1)))
        return [self._split(first), self._split(second)]

    def _split(self, maps: Tensor) -> Maps:
        return maps[:, : self.num_heatmaps], maps[:, self.num_heatmaps :]


def _conv_norm(
    inputs: int,
    outputs: int,
    kernel: int,
    *,
    downsample: bool = False,
    dilation: int = 1,
    depthwise: bool = False,
    relu: bool = True,
) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(
            inputs,
            outputs,
            kernel,
            stride=2 if downsample else 1,
            padding=kernel // 2 * dilation,
            dilation=dilation,
            groups=inputs if depthwise else 1,
            bias=False,
        ),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if relu else nn.Sequential(*layers)


class _InvertedResidual(nn.Module):
    """Widen, filter each channel, narrow; added to its input where the two have one shape."""

    def __init__(self, inputs: int, outputs: int, expansion: int, *, downsample: bool = False, dilation: int = 1):
        super().__init__()
        inner = inputs * expansion
        self.residual = inputs == outputs and not downsample
        self.layers = nn.Sequential(
            _conv_norm(inputs, inner, 1),
            _conv_norm(inner, inner, 3, downsample=downsample, dilation=dilation, depthwise=True),
            _conv_norm(inner, outputs, 1, relu=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.residual else y


class _Separable(nn.Module):
    """Filter each channel, then mix them; added to its input."""

    def __init__(self, channels: int, kernel: int):
        super().__init__()
        self.layers = nn.Sequential(
            _conv_norm(channels, channels, kernel, depthwise=True), _conv_norm(channels, channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y


NETWORKS: Mapping[str, type[PoseNetwork]] = {network.name: network for network in (OpenPoseVgg19, LtshLight)}


def build_network(name: str, skeleton: Skeleton, config: Mapping[str, Any]) -> PoseNetwork:
    """A network whose weights have shapes but no values or memory yet (they are on torch's ``meta`` device).

    Raises:
        UsageError: for a network or a configuration key that does not exist, or a value out of range.
    """
    if name not in NETWORKS:
        raise UsageError(f"there is no network {name!r}", f"Networks: {', '.join(NETWORKS)}.")
    network_class = NETWORKS[name]
    known = [field.name for field in fields(network_class.config_class)]
    unknown = [key for key in config if key not in known]
    if unknown:
        raise UsageError(f"network {name} has no configuration key {unknown[0]!r}", f"Keys: {', '.join(known)}.")
    with torch.device("meta"):
        return network_class(skeleton, network_class.config_class(**config))


def create_network(name: str, skeleton: Skeleton, seed: int = 0, **config: Any) -> PoseNetwork:
    """A network with random weights: the same seed gives the same weights, and torch's own generator is left alone.

    Args:
        name: a key of :data:`NETWORKS`.
        skeleton: any.
        seed: of the weights.
        config: fields of that network's configuration class that differ from their defaults.

    Raises:
        UsageError: as :func:`build_network`.
    """
    network = build_network(name, skeleton, config).to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
        if isinstance(module, MapHead):
            nn.init.normal_(module.weight, std=0.01, generator=generator)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            nn.init.zeros_(module.bias)
    for module in network.modules():
        if isinstance(module, _InvertedResidual | _Separable):
            # Every block starts near the identity, or a dozen of them in a row would amplify without bound.
            last = [m for m in module.layers.modules() if isinstance(m, nn.BatchNorm2d)][-1]
            nn.init.constant_(last.weight, 0.2)
    return network

"""What the networks have in common. Imported, and torch with it, by :mod:`ltsh_deploy.networks` alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ltsh_deploy.errors import UsageError
from ltsh_deploy.skeletons import Skeleton

__all__ = ["ImageNetwork", "MapHead", "Maps", "NetworkConfig", "PoseNetwork"]

#: Heat maps [N, J + 1, h, w], background last, and PAFs [N, 2L, h, w].
Maps = tuple[Tensor, Tensor]

# Bounds every number in a configuration, so that a corrupt file cannot ask for all the memory there is.
_LARGEST = 4096


@dataclass(frozen=True)
class NetworkConfig:
    """What every network's configuration holds.

    Attributes:
        mean: of red, green and blue as fractions of 255; subtracted from the picture.
        std: likewise; what is left is divided by it. The defaults of both are ImageNet's.
    """

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        for field in fields(self):
            value = _checked(field.name, field.default, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        if min(self.std) < 1e-3:
            raise UsageError(f"network configuration: std must be at least 0.001, got {self.std}")


def _checked(name: str, default: Any, value: Any) -> Any:
    """The value, if it is of the default's kind; lists, as JSON gives them, become tuples.

    Raises:
        UsageError: naming the key.
    """
    if isinstance(default, tuple):
        if isinstance(value, list | tuple) and len(value) == len(default):
            return tuple(_checked(name, d, v) for d, v in zip(default, value, strict=True))
        raise UsageError(f"network configuration: {name} must be {len(default)} numbers, got {value!r}")
    if isinstance(default, int):
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _LARGEST:
            return value
        raise UsageError(f"network configuration: {name} must be a whole number in 1..{_LARGEST}, got {value!r}")
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST:
        return float(value)
    raise UsageError(f"network configuration: {name} must be a number of ordinary size, got {value!r}")


class PoseNetwork(nn.Module, ABC):
    """What every network has.

    Attributes:
        name: its key in :data:`NETWORKS`.
        stride: pixels of the input a cell of the maps.
        skeleton: whose joints and limbs the channels are.
        config: as it was built.
    """

    name: ClassVar[str]
    config_class: ClassVar[type[NetworkConfig]]
    stride: ClassVar[int] = 8
    skeleton: Skeleton
    config: NetworkConfig

    def __init__(self, skeleton: Skeleton, config: NetworkConfig) -> None:
        super().__init__()
        self.skeleton = skeleton
        self.config = config
        self.num_heatmaps = skeleton.num_joints + 1
        self.num_pafs = 2 * skeleton.num_limbs

    @abstractmethod
    def forward(self, images: Tensor) -> list[Maps]:
        """[N, 3, H, W] normalised to the maps of every stage, the last stage last."""


class MapHead(nn.Conv2d):
    """The 1x1 convolution that reads maps off features; a class of its own because it starts near zero."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1)


class ImageNetwork(nn.Module):
    """A network as it is deployed: pictures in, the last stage's maps out.

    The cast comes before the transposition because TensorRT takes a uint8 input only into a cast.
    """

    scale: Tensor
    offset: Tensor

    def __init__(self, network: PoseNetwork) -> None:
        super().__init__()
        self.network = network
        config = network.config
        mean, std = (torch.tensor(v, dtype=torch.float64).reshape(1, 3, 1, 1) for v in (config.mean, config.std))
        self.register_buffer("scale", (1 / (255 * std)).float(), persistent=False)
        self.register_buffer("offset", (-mean / std).float(), persistent=False)

    def forward(self, image: Tensor) -> Maps:
        """uint8 [N, H, W, 3] RGB to heat maps [N, J + 1, h, w] and PAFs [N, 2L, h, w]."""
        maps: list[Maps] = self.network(self.normalise(image))
        return maps[-1]

    def normalise(self, image: Tensor) -> Tensor:
        """uint8 [N, H, W, 3] RGB to what the network takes, [N, 3, H, W]; on the CPU it lies channels-last already."""
        return image.to(self.scale.dtype).permute(0, 3, 1, 2) * self.scale + self.offset

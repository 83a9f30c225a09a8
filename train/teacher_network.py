"""The network with which the adversarial teacher looks at real crops: images to one number a group."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ltsh_deploy.errors import ModelFileError, UsageError
from ltsh_deploy.train.config_file import about_key

if TYPE_CHECKING:
    from ltsh_deploy.networks import PoseNetwork
    from ltsh_deploy.train.teacher_config import TeacherNetworkConfig

__all__ = ["TeacherNetwork", "create_teacher_network", "load_trunk", "student_features"]

_VGG19_DEPTHS = (2, 2, 4, 2)
# The last layer starts so near zero that the first distributions are uniform: a teacher that knows nothing says so.
_FIRST_LOGITS_STD = 1e-3


class TeacherNetwork(nn.Module):
    """VGG19 up to conv4_2, then two convolutions, pooling, two convolutions, pooling, and three linear layers.

    There is no activation on what it returns: a ReLU there would keep any group from falling below another that is at
    zero. There is no batch normalisation either, so a crop's numbers depend on that crop alone.

    Args:
        groups: G.
        config: of the widths.
        features: (channels, height, width) of what it is given in place of images, where it has no trunk of its own.

    Raises:
        UsageError: when the features are too small to be pooled twice.
    """

    def __init__(self, groups: int, config: TeacherNetworkConfig, features: tuple[int, int, int] | None = None) -> None:
        super().__init__()
        trunk: list[nn.Module] = []
        channels, height, width = features or (3, config.input_size, config.input_size)
        if features is None:
            for group, (out, depth) in enumerate(zip(config.trunk_channels, _VGG19_DEPTHS, strict=True)):
                trunk += [nn.MaxPool2d(2)] if group else []
                for _ in range(depth):
                    trunk += _conv_relu(channels, out)
                    channels = out
            height, width = height // 8, width // 8
        if min(height, width) < 4:
            raise UsageError(
                f"the teacher's network needs features of 4x4 cells or more, got {height}x{width}",
                "Train with larger crops.",
            )
        layers: list[nn.Module] = []
        for pair in (config.feature_channels, config.head_channels):
            for out in pair:
                layers += _conv_relu(channels, out)
                channels = out
            layers.append(nn.MaxPool2d(2))
        inputs = channels * (height // 4) * (width // 4)
        layers.append(nn.Flatten())
        for out in config.hidden:
            layers += [nn.Linear(inputs, out), nn.ReLU(inplace=True)]
            inputs = out
        self.trunk = nn.Sequential(*trunk)
        self.head = nn.Sequential(*layers, nn.Linear(inputs, groups))

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, S, S] normalised images, or [B, C, h, w] features, to [B, G] logits."""
        logits: Tensor = self.head(self.trunk(x))
        return logits


def _conv_relu(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]


def create_teacher_network(
    groups: int, config: TeacherNetworkConfig, seed: int, features: tuple[int, int, int] | None = None
) -> TeacherNetwork:
    """A network with random weights, but for the trunk's where the configuration names a file.

    The same seed gives the same weights, and torch's own generator is left alone.

    Raises:
        UsageError: as :class:`TeacherNetwork`.
        ModelFileError: as :func:`load_trunk`.
    """
    with torch.device("meta"):
        network = TeacherNetwork(groups, config, features)
    network.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    for module in layers:
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    nn.init.normal_(layers[-1].weight, std=_FIRST_LOGITS_STD, generator=generator)
    if config.trunk_weights is not None:
        with about_key("teacher.network.trunk_weights"):
            load_trunk(network, config.trunk_weights)
    return network


def load_trunk(network: TeacherNetwork, path: str | Path) -> None:
    """Give a teacher's trunk the weights of another VGG19; its other layers stay as they are.

    Args:
        network: whose trunk is to be filled, in place.
        path: a safetensors file, or a state dictionary that ``torch.save`` wrote, whose tensors are named
            ``trunk.N.weight`` as in this project's checkpoints, or ``features.N.weight`` as in torchvision's ``vgg19``.

    Raises:
        ModelFileError: when the file cannot be read, or lacks one of the trunk's tensors, or has it in another shape.
    """
    path = Path(path)
    tensors = _read_tensors(path)
    loaded = {}
    for key, own in network.trunk.state_dict().items():
        found = tensors.get(f"trunk.{key}", tensors.get(f"features.{key}"))
        if found is None:
            raise ModelFileError(
                f"{path}: holds neither trunk.{key} nor features.{key}, so it is no VGG19",
                "Give an openpose_vgg19 checkpoint or the state dictionary of torchvision's vgg19.",
            )
        if found.shape != own.shape:
            raise ModelFileError(
                f"{path}: the trunk's tensor {key} has shape {list(found.shape)}, the teacher's has {list(own.shape)}",
                "teacher.network.trunk_channels must be those of the file.",
            )
        if not found.isfinite().all():
            raise ModelFileError(f"{path}: the trunk's tensor {key} holds NaN or infinity", "The file is damaged.")
        loaded[key] = found
    network.trunk.load_state_dict(loaded)


def _read_tensors(path: Path) -> Mapping[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise ModelFileError(f"{path}: is not a whole file of weights ({reason})") from None
    if not isinstance(tensors, dict):
        raise ModelFileError(f"{path}: holds a {type(tensors).__name__}, not a state dictionary")
    return {key: value for key, value in tensors.items() if isinstance(value, Tensor)}


def student_features(student: PoseNetwork) -> Callable[[Tensor], Tensor]:
    """What a student makes of images just before its first maps, for a teacher without a trunk of its own.

    The student is asked as it is at the moment of the call, in evaluation mode and without gradients, and left as it
    was: its batch statistics do not change.

    Args:
        student: bare, not wrapped for several processes or compiled.

    Returns:
        A function of [B, 3, H, W] normalised images that returns [B, C, h, w] features.
    """
    layer = student.get_submodule("trunk" if student.name == "openpose_vgg19" else "features")

    def features(images: Tensor) -> Tensor:
        caught: list[Tensor] = []
        hook = layer.register_forward_hook(lambda module, inputs, output: caught.append(output))
        modes = [(module, module.training) for module in student.modules()]
        try:
            student.eval()
            with torch.no_grad():
                student(images.to(next(student.parameters()).device))
        finally:
            # One by one: layers that are frozen stay in evaluation mode while the others train.
            for module, training in modes:
                module.training = training
            hook.remove()
        return caught[0]

    return features

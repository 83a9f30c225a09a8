"""Beginning with an exported network: an ONNX file's weights in a network that learns again.

An export folds every batch normalisation into the convolution before it. With ``W`` and ``b`` the folded weights of a
channel, ``m`` and ``v`` the mean and variance of ``W * x`` over pictures, and any ``c > 0``, a convolution with ``c W``
and after it a normalisation with mean ``c m``, variance ``c^2 v``, factor ``sqrt(c^2 v + eps) / c`` and offset
``m + b`` compute ``W * x + b`` too, and normalise by what is true of those pictures, as training does from then on.
``c`` only decides how much a step of the optimiser turns ``W``; it makes weights as large as a new network's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ltsh_deploy.checkpoints import Provenance
from ltsh_deploy.errors import InputError, ModelFileError
from ltsh_deploy.network_base import ImageNetwork, PoseNetwork
from ltsh_deploy.onnx_files import Model, read_own_model
from ltsh_deploy.train.network_choice import check_alike

__all__ = ["load_exported_weights", "measure_normalisations"]

Arrays = dict[str, npt.NDArray[Any]]

_PREFIX = "network."


def load_exported_weights(network: PoseNetwork, path: str | Path) -> Provenance:
    """Give a network the weights of an ONNX file; in evaluation mode it then computes what the file does.

    Its normalisations only add an offset. Before it learns, :func:`measure_normalisations` has to be called.

    Args:
        network: on the CPU; its weights are replaced.
        path: of a file in float32 that ``ltsh export`` wrote.

    Returns:
        Where the weights came from.

    Raises:
        ModelFileError: when the file cannot be read, another program wrote it, or it is not of float32.
        InputError: when it is of another network, configuration or skeleton.
        MissingPartError: when onnx is not installed.
    """
    path = Path(path)
    model, description = read_own_model(path, _OWN)
    # Files of older versions do not say it.
    if description.precision not in ("", "fp32"):
        raise ModelFileError(
            f"{path}: is of {description.precision}, in which too little of its weights is left to learn from", _FLOAT32
        )
    check_alike(network, description.network, description.skeleton, str(path))
    constants = _constants(model, path)
    _check_normalisation(network, model, constants, path)
    # Exporters let equal biases share one tensor, so a bias is looked for where it is used.
    biases = {node.input[1]: node.input[2] for node in model.graph.node if node.op_type == "Conv" and node.input[2:]}
    with torch.no_grad():
        for name, layer, normalisation in _convolutions(network):
            key = f"{_PREFIX}{name}.weight"
            weight = _tensor(constants, key, tuple(layer.weight.shape), path)
            shape = (layer.out_channels,)
            bias = _tensor(constants, biases[key], shape, path) if key in biases else torch.zeros(shape)
            layer.weight.copy_(weight)
            if normalisation is None:
                assert layer.bias is not None
                layer.bias.copy_(bias)
            else:
                normalisation.reset_parameters()
                normalisation.weight.fill_(math.sqrt(1 + normalisation.eps))
                normalisation.bias.copy_(bias)
    return Provenance(description.training_data, description.licence, description.notes)


_ALIKE = "Give network and network.config as in the run that it was exported from."
_FLOAT32 = "Name the fp32 file, or the checkpoint that it was made from."
_OWN = "Name a checkpoint (.safetensors), or a file that `ltsh export` made of one."
_AGAIN = "Export or copy it again."


def measure_normalisations(network: PoseNetwork, batches: Iterable[Tensor]) -> None:
    """Give normalisations that do nothing the statistics of pictures, without changing what the network computes.

    Args:
        network: after :func:`load_exported_weights`.
        batches: uint8 [N, H, W, 3] RGB each, pictures as they are trained on; at least one.
    """
    pairs = [(layer, normalisation) for _, layer, normalisation in _convolutions(network) if normalisation is not None]
    if not pairs:
        return
    sums = [torch.zeros(3, layer.out_channels, dtype=torch.float64) for layer, _ in pairs]
    hooks = [
        normalisation.register_forward_pre_hook(_summing(total))
        for (_, normalisation), total in zip(pairs, sums, strict=True)
    ]
    training = network.training
    network.eval()
    images = ImageNetwork(network)
    try:
        with torch.no_grad():
            for batch in batches:
                network(images.normalise(batch))
            for (layer, normalisation), (count, total, squares) in zip(pairs, sums, strict=True):
                _settle(layer, normalisation, total / count, squares / count - (total / count).square())
    finally:
        for hook in hooks:
            hook.remove()
        network.train(training)


def _settle(layer: nn.Conv2d, normalisation: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    weights = layer.weight.double()
    inputs = weights[0].numel()
    # As create_network draws them: of a variance of 2 / inputs.
    sizes = weights.square().mean(dim=(1, 2, 3)).sqrt()
    scale = torch.where(sizes > 0, math.sqrt(2 / inputs) / sizes, 1.0)
    variance = variance.clamp(min=0) * scale.square()
    normalisation.bias.add_(mean)
    layer.weight.mul_(scale.reshape(-1, 1, 1, 1))
    normalisation.weight.copy_((variance + normalisation.eps).sqrt() / scale)
    assert normalisation.running_mean is not None
    assert normalisation.running_var is not None
    normalisation.running_mean.copy_(mean * scale)
    normalisation.running_var.copy_(variance)


def _summing(total: Tensor) -> Any:
    """A hook that adds up the number of values, the values and their squares, by channel."""

    def add(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].double()
        total[0] += values.numel() / values.shape[1]
        total[1] += values.sum(dim=(0, 2, 3))
        total[2] += values.square().sum(dim=(0, 2, 3))

    return add


def _convolutions(network: PoseNetwork) -> Iterator[tuple[str, nn.Conv2d, nn.BatchNorm2d | None]]:
    """The network's convolutions by name, each with the normalisation that follows it."""
    followers = {
        first: second
        for layers in network.modules()
        if isinstance(layers, nn.Sequential)
        for first, second in pairwise(layers)
        if isinstance(second, nn.BatchNorm2d)
    }
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            yield name, module, followers.get(module)


def _constants(model: Model, path: Path) -> Arrays:
    from onnx.numpy_helper import to_array

    constants = {}
    for tensor in model.graph.initializer:
        try:
            constants[tensor.name] = to_array(tensor)
        # Of a type that there is not, or with more or fewer values than its shape says.
        except (ValueError, TypeError, KeyError) as error:
            raise ModelFileError(f"{path}: tensor {tensor.name} is damaged ({error})", _AGAIN) from None
    return constants


def _tensor(constants: Arrays, key: str, shape: tuple[int, ...], path: Path) -> Tensor:
    """One of them, of a known shape."""
    found = constants.get(key)
    if found is None or found.shape != shape:
        problem = "is missing" if found is None else f"has shape {list(found.shape)}"
        raise InputError(f"{path}: tensor {key} {problem}, the configured network's has {list(shape)}", _ALIKE)
    if found.dtype != np.float32:
        raise ModelFileError(f"{path}: tensor {key} is {found.dtype}, not float32", _FLOAT32)
    if not np.isfinite(found).all():
        raise ModelFileError(f"{path}: tensor {key} holds NaN or infinity", _AGAIN)
    return torch.tensor(found)


def _check_normalisation(network: PoseNetwork, model: Model, constants: Arrays, path: Path) -> None:
    """Pictures are multiplied by one constant, and another is added to them."""
    images = ImageNetwork(network)
    for kind, own in (("Mul", images.scale.numpy()), ("Add", images.offset.numpy())):
        names = [name for node in model.graph.node if node.op_type == kind for name in node.input]
        if not any(name in constants and _same(constants[name], own) for name in names):
            raise InputError(f"{path}: pictures are normalised otherwise than the configured network does it", _ALIKE)


def _same(found: npt.NDArray[Any], own: npt.NDArray[np.float32]) -> bool:
    return found.dtype == own.dtype and found.shape == own.shape and np.allclose(found, own, rtol=1e-5, atol=1e-7)

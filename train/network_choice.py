"""The network that a configuration names: is there one, do the crops fit it, and are weights of the same one?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ltsh_deploy.errors import ConfigError, InputError
from ltsh_deploy.network_base import PoseNetwork
from ltsh_deploy.networks import NETWORKS, build_network
from ltsh_deploy.skeletons import Skeleton
from ltsh_deploy.train.config_file import about_key

if TYPE_CHECKING:
    from ltsh_deploy.train.config import RunConfig

__all__ = ["check_alike", "network_stride"]


def network_stride(config: RunConfig, skeleton: Skeleton) -> int:
    """Pixels a cell of the configured network's maps.

    Raises:
        ConfigError: when there is no such network, it cannot be built so, or the crops do not fit its stride.
    """
    choice = config.network
    with about_key("network.config" if choice.name in NETWORKS else "network.name"):
        stride = build_network(choice.name, skeleton, choice.config).stride
    if any(side % stride for side in config.size):
        raise ConfigError(f"size: both sides must be multiples of {stride}, got {list(config.size)}", key="size")
    return stride


def check_alike(network: PoseNetwork, name: str, skeleton: Skeleton, where: str) -> None:
    """Refuse weights of another network or skeleton.

    Args:
        network: the configured one.
        name: of the network that the weights are of.
        skeleton: that it learned.
        where: the weights are, to begin the message with.

    Raises:
        InputError: saying what differs.
    """
    remedy = "Give network, network.config and skeleton as in the run that the weights are of."
    if name != network.name:
        raise InputError(f"{where}: is of another network: {name}, and {network.name} is configured", remedy)
    if skeleton != network.skeleton:
        own, other = network.skeleton.name, skeleton.name
        which = f"{other}, and {own} is configured" if own != other else f"it is called {own} too, but differs"
        raise InputError(f"{where}: is of another skeleton: {which}", remedy)

"""The network that a configuration names, before it has weights: is there one, and do the crops fit it?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ltsh_deploy.errors import ConfigError
from ltsh_deploy.networks import NETWORKS, build_network
from ltsh_deploy.skeletons import Skeleton
from ltsh_deploy.train.config_file import about_key

if TYPE_CHECKING:
    from ltsh_deploy.train.config import RunConfig

__all__ = ["network_stride"]


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

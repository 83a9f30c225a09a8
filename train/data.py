"""From a configuration to the people it trains on, in groups where a teacher chooses among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ltsh_deploy.datasets import KINDS, open_dataset
from ltsh_deploy.datasets.opening import check_path
from ltsh_deploy.errors import InputError
from ltsh_deploy.skeletons import Skeleton
from ltsh_deploy.train.config_file import about_key
from ltsh_deploy.train.groups import Groups, create_grouping
from ltsh_deploy.train.pools import Pool, find_people

if TYPE_CHECKING:
    from ltsh_deploy.train.config import DataConfig, RunConfig

__all__ = ["Pools", "group_people", "open_pools"]


@dataclass(frozen=True, eq=False)
class Pools:
    """Everybody a run deals with.

    Attributes:
        training: in the order of ``data.mix``.
        parts: of each, in a batch.
        validation: whom progress is measured on.
    """

    training: tuple[Pool, ...]
    parts: tuple[float, ...]
    validation: Pool | None


def open_pools(config: DataConfig, skeleton: Skeleton) -> Pools:
    """Open the data sets that are used.

    Raises:
        InputError: when one cannot be read, or holds nobody to train on or to validate with.
        ConfigError: when its kind or an option cannot be.
    """
    used = {*config.mix, *({config.validation} if config.validation is not None else ())}
    datasets = {}
    for name, entry in config.sets.items():
        if name in used:
            with about_key(f"data.sets.{name}.path"):
                if entry.kind in KINDS:
                    check_path(entry.path)
            with about_key(f"data.sets.{name}"):
                datasets[name] = open_dataset(entry.kind, entry.path, **{"name": name, **entry.options})
    validation = config.validation
    return Pools(
        tuple(find_people(name, datasets[name], skeleton, "train") for name in config.mix),
        tuple(config.mix.values()),
        None if validation is None else find_people(validation, datasets[validation], skeleton, "val"),
    )


def group_people(config: RunConfig, pools: Pools) -> Groups:
    """Part the synthetic people into the groups that the configured teacher chooses among.

    Raises:
        InputError: when there are no synthetic people, a data set has both kinds, or nobody has the characteristic.
        ConfigError: when the boundaries cannot be.
    """
    teacher = config.teacher
    if teacher is None:
        return Groups(None, (), ())
    for pool in pools.training:
        if pool.is_synthetic.any() and not pool.all_synthetic:
            raise InputError(
                f"data set {pool.name!r} holds pictures of real and pictures of synthetic people; a teacher cannot "
                "choose among the synthetic ones without changing their part in the mix",
                "Make two data sets of it, each with its part in data.mix.",
            )
    synthetic = [pool for pool in pools.training if pool.all_synthetic]
    if not synthetic:
        raise InputError(
            "teacher: no data set in data.mix is of synthetic people, so there is nothing to choose",
            "Add one to data.mix, or leave the teacher out.",
        )
    if teacher.kind == "random":
        return Groups(None, (), ())
    names = {name for pool in synthetic for name in pool.characteristics}
    values = {name: np.concatenate([_values(pool, name) for pool in synthetic]) for name in sorted(names)}
    with about_key("teacher.groups"):
        grouping = create_grouping(teacher.groups, values)
    # Real people are in no group, whatever is known of them.
    members = tuple(
        np.where(pool.all_synthetic, grouping.assign(_values(pool, grouping.characteristic)), -1)
        for pool in pools.training
    )
    counts = grouping.count(values[grouping.characteristic])
    return Groups(grouping, members, tuple(counts.tolist()))


def _values(pool: Pool, name: str) -> npt.NDArray[np.float64]:
    return pool.characteristics.get(name, np.full(len(pool), np.nan))

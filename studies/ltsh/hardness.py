"""What there is for a teacher to find: how the loss of synthetic people differs between the groups of a characteristic.

A teacher sees the mean loss of windows of one group. Where groups differ less than such means do by chance, no teacher
can tell which is the hardest; where they hardly differ at all, it would gain little by knowing.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import InputError
from ltsh_deploy.train.folder import LAST
from ltsh_deploy.train.groups import create_grouping
from ltsh_deploy.whole_files import write_whole
from studies.ltsh.configs import FIRST, GROUPS, group_boundaries, run_config
from studies.ltsh.measuring import digest
from studies.ltsh.plan import BASE, Budget, Layout, Study

if TYPE_CHECKING:
    from ltsh_deploy.train.config import RunConfig
    from studies.ltsh.results import Results

__all__ = ["AFTER", "SHOWN", "Hardness", "Spread", "measure_hardness", "read_hardness", "spreads", "who_is_asked"]

FloatArray = npt.NDArray[np.float64]

#: The row whose students are asked after their training; those before are :data:`~studies.ltsh.configs.FIRST`.
AFTER = BASE
#: The rows whose synthetic people are shown, D_S and the tail, to the students that rows begin with and to their own.
SHOWN = (AFTER, "uniform-T")
_KNOWN = "known_"
# Crops are drawn anew for it: of the same people, not those of any run.
_CROPS = 0x4A4D


@dataclass(frozen=True, eq=False)
class Hardness:
    """What synthetic people cost one student, a crop each; who cannot be used is left out.

    Attributes:
        losses: [P] mean loss a joint, the teacher's signal.
        known: name to [P] what is known of them, NaN where unknown.
        weights: digest of the student's.
    """

    losses: FloatArray
    known: Mapping[str, FloatArray]
    weights: str


@dataclass(frozen=True)
class Spread:
    """How the loss differs between the groups of one characteristic; parts of the mean loss of all people.

    Attributes:
        groups: that a teacher could choose, since they have as many people as a batch.
        largest: the largest group's part of all people.
        apart: standard deviation of the groups' means (about their own mean, divided by their number).
        chance: the root mean square of that if all groups were equally hard, their people differing as they do: the
            root of (1 - 1 / G) times the mean of s^2 / n over groups of n people with the variance s^2. People of one
            picture are taken as independent.
        hardest: the hardest group's bounds in words.
        excess: by so much its mean is above that of all people; the largest of G means is above it by chance too.
    """

    groups: int
    largest: float
    apart: float
    chance: float
    hardest: str
    excess: float


def who_is_asked(results: Results, shown: str) -> dict[str, list[int]]:
    """The rows whose students are shown the people of a row of :data:`SHOWN`, to their seeds: before, then after."""
    return {FIRST: list(results.first), shown: list(results.runs[shown])}


def measure_hardness(
    study: Study, budget_name: str, row: str, seed: int, layout: Layout, shown: str = AFTER
) -> Hardness:
    """The losses of a trained student; where they have been taken of these weights already, only read.

    Args:
        study: of the row.
        budget_name: how large everything is.
        row: whose student: :data:`~studies.ltsh.configs.FIRST` or a row's name.
        seed: of the student.
        layout: where it lies.
        shown: the row whose synthetic people it is shown, one of :data:`SHOWN`.

    Raises:
        LtshError: when that student is not there, or something cannot be read or written.
    """
    folder = layout.run(row, seed)
    weights = folder / LAST
    before, made_of = read_hardness(folder, shown), digest(weights)
    if before is not None and before.weights == made_of:
        return before
    config = run_config(study, budget_name, shown, seed, layout)
    losses, known = _losses(config, weights)
    found = Hardness(losses, known, made_of)
    arrays = {"losses": losses, **{_KNOWN + name: values for name, values in known.items()}, "weights": made_of}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_whole(_file(folder, shown), buffer.getvalue())
    return found


def _losses(config: RunConfig, weights: Path) -> tuple[FloatArray, dict[str, FloatArray]]:
    import torch

    from ltsh_deploy.checkpoints import load_checkpoint
    from ltsh_deploy.network_base import ImageNetwork
    from ltsh_deploy.skeletons import load_skeleton
    from ltsh_deploy.train.batches import CropMaker, collate
    from ltsh_deploy.train.data import open_pools
    from ltsh_deploy.train.objective import batch_losses
    from ltsh_deploy.train.sampling import Sampler
    from ltsh_deploy.train.start import choose_device

    if config.threads is not None:
        torch.set_num_threads(config.threads)
    device = choose_device(config)
    network, _ = load_checkpoint(weights)
    images = ImageNetwork(network).to(device).eval()
    pools = open_pools(config.data, load_skeleton(config.skeleton))
    (pool,) = (pool for pool in pools.training if pool.all_synthetic)
    maker = CropMaker(Sampler(pools.training, pools.parts, config.batch, config.seed), config, network.stride)
    losses: list[float] = []
    rows: list[int] = []
    for begin in range(0, len(pool), config.batch):
        crops = []
        for row in range(begin, min(begin + config.batch, len(pool))):
            crop = maker.make(np.random.default_rng([_CROPS, config.seed, row]), pool, row)
            # Whoever is skipped is replaced, and somebody else's loss is not theirs.
            if not crop.skipped:
                crops.append(crop)
                rows.append(row)
        if not crops:
            continue
        batch = collate(crops).to(device)
        with torch.inference_mode():
            maps = network(images.normalise(batch.images))
            losses += batch_losses(maps, batch, network.skeleton, network.stride, config).signal.tolist()
    known = {name: np.asarray(values, np.float64)[rows] for name, values in pool.characteristics.items()}
    return np.array(losses, np.float64), known


def _file(folder: Path, shown: str) -> Path:
    return folder / f"hardness-{shown}.npz"


def read_hardness(folder: Path, shown: str = AFTER) -> Hardness | None:
    """What the synthetic people of a row of :data:`SHOWN` cost a run's student, or None where that was not taken.

    Raises:
        InputError: when the file is damaged.
    """
    path = _file(folder, shown)
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            losses, weights = np.asarray(stored["losses"], np.float64), str(stored["weights"])
            names = [name for name in stored.files if name.startswith(_KNOWN)]
            known = {name.removeprefix(_KNOWN): np.asarray(stored[name], np.float64) for name in names}
        if not len(losses) or any(len(values) != len(losses) for values in known.values()):
            raise ValueError("no value a person")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        raise InputError(f"{path}: is damaged", "Delete it: the losses are then taken again.") from None
    return Hardness(losses, known, weights)


def spreads(found: Hardness, budget: Budget) -> dict[str, Spread]:
    """How groups differ, by characteristic, in ten groups as a teacher of the budget would have them.

    Characteristics that part nobody into two groups that could be chosen are left out.
    """
    from ltsh_deploy.train.teacher_config import GroupingConfig

    result = {}
    mean = found.losses.mean()
    for name, values in sorted(found.known.items()):
        options: Any = {"count": GROUPS, "boundaries": group_boundaries(name, budget)}
        try:
            grouping = create_grouping(GroupingConfig(characteristic=name, **options), found.known)
        except InputError:
            continue
        groups, sizes = grouping.assign(values), grouping.count(values)
        choosable = np.flatnonzero(sizes >= int(budget.training["batch"]))
        if len(choosable) < 2:
            continue
        members = [found.losses[groups == group] / mean for group in choosable]
        means = np.array([each.mean() for each in members])
        chance = np.sqrt(np.mean([each.var(ddof=1) / len(each) for each in members]) * (1 - 1 / len(members)))
        hardest = int(means.argmax())
        result[name] = Spread(
            len(choosable),
            float(sizes.max() / len(values)),
            float(means.std()),
            float(chance),
            grouping.names[choosable[hardest]],
            float(means[hardest] - 1),
        )
    return result

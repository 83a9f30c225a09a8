"""Everything that a report says, before it becomes a file: the analysis of one or two models on the same units."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.evaluation.analysis import Breakdown
from ltsh_deploy.evaluation.comparison import Comparison
from ltsh_deploy.evaluation.error_kinds import EXTRA_KINDS, KINDS
from ltsh_deploy.evaluation.measures import Curve
from ltsh_deploy.evaluation.worst import UnitTally

__all__ = ["DrawnUnit", "ModelAnalysis", "Report", "plain"]


@dataclass(frozen=True)
class DrawnUnit:
    """One of the units a model does worst on.

    Attributes:
        unit_id: of the unit.
        image_name: of its picture.
        tally: how its joints were done.
        score: the F1 score of its joints, in 0..1.
        true: JPEG file of the true poses.
        predicted: JPEG file of the predicted poses, of the same size.
        no_picture: why they are drawn on plain grey; empty where the picture could be read.
    """

    unit_id: str
    image_name: str
    tally: UnitTally
    score: float
    true: bytes
    predicted: bytes
    no_picture: str


@dataclass(frozen=True, eq=False)
class ModelAnalysis:
    """What is known of one model.

    Attributes:
        name: of the model, as short as it can be told from the other.
        source: the model's file, or that of its predictions.
        notes: what ought to be known of its figures.
        figures: name to value in 0..100, the headline first; NaN where one is not defined.
        rows: the benchmark's table, where the metric has one: name to value in 0..100.
        curves: of precision over recall; empty where the metric has none.
        kinds: [6, K] joints of each of :data:`~ltsh_deploy.evaluation.error_kinds.KINDS`.
        extra: [3, K] joints of each of :data:`~ltsh_deploy.evaluation.error_kinds.EXTRA_KINDS`.
        mended: name of a kind to the headline figure as if all its joints were right; empty where the metric is not
            multi-person AP.
        worst: units, the worst first.
    """

    name: str
    source: str
    notes: tuple[str, ...]
    figures: dict[str, float]
    rows: dict[str, float]
    curves: tuple[Curve, ...]
    kinds: npt.NDArray[np.int64]
    extra: npt.NDArray[np.int64]
    mended: dict[str, float]
    worst: tuple[DrawnUnit, ...]


@dataclass(frozen=True, eq=False)
class Report:
    """An analysis of one or two models.

    Attributes:
        kind: of data set.
        source: its annotation file or folder.
        metric: as :data:`~ltsh_deploy.evaluation.units.METRICS` names it.
        units: how many were evaluated.
        people: how many of the labelled have a joint that is evaluated.
        joints: [K] names of those joints.
        models: one or two.
        breakdowns: the headline figure by property of people; a value for each model.
        comparison: of the two models, else None.
    """

    kind: str
    source: str
    metric: str
    units: int
    people: int
    joints: tuple[str, ...]
    models: tuple[ModelAnalysis, ...]
    breakdowns: tuple[Breakdown, ...]
    comparison: Comparison | None

    def to_json(self) -> dict[str, Any]:
        """The numbers of the report, without its pictures; what is not defined is null."""
        models = []
        for model in self.models:
            by_joint = {
                joint: {
                    **dict(zip(KINDS, model.kinds[:, k].tolist(), strict=True)),
                    **dict(zip(EXTRA_KINDS, model.extra[:, k].tolist(), strict=True)),
                }
                for k, joint in enumerate(self.joints)
            }
            worst = [
                {"unit": unit.unit_id, "image": unit.image_name, "score": unit.score, **plain(unit.tally)}
                for unit in model.worst
            ]
            models.append(
                {
                    "name": model.name,
                    "source": model.source,
                    "notes": list(model.notes),
                    "figures": plain(model.figures),
                    "table": plain(model.rows),
                    "precision_recall": plain(model.curves),
                    "error_kinds": by_joint,
                    "headline_if_mended": plain(model.mended),
                    "worst_units": worst,
                }
            )
        return {
            "data_set": {name: plain(getattr(self, name)) for name in ("kind", "source", "metric", "units", "people")},
            "joints": list(self.joints),
            "models": models,
            "breakdowns": plain(self.breakdowns),
            "comparison": plain(self.comparison),
        }


def plain(value: Any) -> Any:
    """Dataclasses, tuples and arrays as what JSON knows. NaN becomes null, infinity text, since JSON has neither."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(inner) for inner in (value.tolist() if isinstance(value, np.ndarray) else value)]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else f"{value:+}".replace("inf", "infinity")
    return value

"""The training configuration of a row's run."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from ltsh_deploy.train.config import RunConfig
from ltsh_deploy.train.config_file import parse_config
from ltsh_deploy.train.folder import LAST
from studies.ltsh.night import BOUNDARIES, LOT, LOTS
from studies.ltsh.plan import Budget, Layout, Row, Study

__all__ = ["FIRST", "GROUPS", "IGNORE_OUTSIDE", "group_boundaries", "merged", "run_config"]

#: How many groups a teacher has, as in the paper.
GROUPS = 10
#: The name under which the students on real people are kept with which rows begin; there is one of each seed.
FIRST = "first"
_FIRST_ROW = Row(about="the student on real people that rows begin with", mix={"real": 1.0})
#: Outside of a labelled person's box, enlarged so many times, people may be whom nobody labelled.
IGNORE_OUTSIDE = 1.6


def run_config(study: Study, budget_name: str, row_name: str, seed: int, layout: Layout) -> RunConfig:
    """The training configuration of a run: what all rows share, then the budget, then the row.

    Args:
        study: of the row.
        budget_name: how large everything is.
        row_name: of the row, or :data:`FIRST`.
        seed: of everything that is drawn.
        layout: where data sets and first weights lie.

    Raises:
        InputError: when that is no configuration; it names the row, the budget and the key.
        UsageError: for an unknown budget.
    """
    budget = study.budget(budget_name)
    row = _FIRST_ROW if row_name == FIRST else study.rows[row_name]
    own = budget.first if row_name == FIRST else budget.alone if row.begins == "random" else {}
    data = merged(study.training, budget.training, own, row.training)
    if row_name != FIRST and row.begins == "first":
        data["init"] = str(layout.run(FIRST, seed) / LAST)
    sets: dict[str, Any] = {}
    for name in row.mix:
        path = study.real if name == "real" else layout.data(name)
        sets[name] = {"kind": "shards", "path": str(path)}
    if "real" in sets:
        # Photographs of sport show spectators whom nobody labelled.
        sets["real"]["options"] = {"ignore_outside": IGNORE_OUTSIDE}
    data["data"] = {"sets": sets, "mix": dict(row.mix)}
    data["seed"] = seed
    teacher = data.get("teacher")
    if isinstance(teacher, dict):
        data["teacher"] = _teacher(teacher, budget)
    return parse_config(data, f"row {row_name}, budget {budget_name}")


def _teacher(own: Mapping[str, Any], budget: Budget) -> dict[str, Any]:
    learned = budget.group_teacher if own.get("kind") == "group" else {}
    teacher = merged(budget.teacher, learned, own)
    groups = teacher.get("groups")
    if isinstance(groups, dict):
        name = groups.get("characteristic", "")
        if name == LOT:
            # Lots are what they are, whatever the budget says of groups.
            groups["count"] = LOTS
        if name == LOT or "boundaries" not in groups:
            groups["boundaries"] = group_boundaries(name, budget)
    return teacher


def group_boundaries(characteristic: str, budget: Budget) -> list[float] | str:
    """Between ten groups; ``"auto"`` where the characteristic has no boundaries of its own in this study.

    Those by distance are equal parts of the side of D_S's pictures, as the paper's are of 640 pixels. Each lot is one.
    """
    if characteristic == "min_distance":
        return [budget.pictures.side * part / GROUPS for part in range(1, GROUPS)]
    return list(BOUNDARIES) if characteristic == LOT else "auto"


def merged(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings within mappings put together; where two say something else of one key, the later one holds."""
    result: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            before = result.get(key)
            if isinstance(before, dict) and isinstance(value, Mapping):
                result[key] = merged(before, value)
            else:
                result[key] = deepcopy(value)
    return result

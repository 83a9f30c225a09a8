"""All of it: a model, or predictions somebody stored, against a data set."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ltsh_deploy.errors import InputError, LtshError
from ltsh_deploy.estimator import PoseEstimator
from ltsh_deploy.evaluation.matching import joints_without_source, submit
from ltsh_deploy.evaluation.predictions import StoredPredictions, UnitPredictions, align
from ltsh_deploy.evaluation.protocols import LONGEST_SIDE, Protocol, choose_protocol
from ltsh_deploy.evaluation.running import Look, predict_units
from ltsh_deploy.evaluation.scoring import Scores, score_units
from ltsh_deploy.evaluation.store import PredictionStore
from ltsh_deploy.evaluation.units import EvaluationSet
from ltsh_deploy.file_digests import sha256_of
from ltsh_deploy.poses import Poses

__all__ = ["Evaluation", "evaluate_model", "evaluate_predictions"]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What came of an evaluation.

    Attributes:
        data: what was evaluated on.
        source: the model, or the file of predictions.
        protocol: how the model looked; None for stored predictions.
        filter_groups: whether people who cannot belong to a unit's group were left out.
        predictions: as they were scored, in the joints of the metric, in the order of the units.
        scores: what they are worth.
        notes: what is odd, was left out or ought to be known of the figures.
        failures: unit id to what was wrong, where a picture could not be used. Nobody counts as found there.
    """

    data: EvaluationSet
    source: str
    protocol: Protocol | None
    filter_groups: bool
    predictions: Sequence[UnitPredictions]
    scores: Scores
    notes: tuple[str, ...]
    failures: Mapping[str, LtshError] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """What metrics.json holds: the figures, and what they are of."""
        return {
            "metric": self.scores.metric,
            **self.scores.values,
            "data_set": {"kind": self.data.kind, "source": self.data.source, "units": len(self.data)},
            "predictions_of": self.source,
            "protocol": None if self.protocol is None else asdict(self.protocol),
            "filter_groups": self.filter_groups,
            "notes": list(self.notes),
            "failures": {name: error.message for name, error in self.failures.items()},
        }


def evaluate_predictions(
    data: EvaluationSet, stored: StoredPredictions, *, filter_groups: bool | None = None
) -> Evaluation:
    """Score stored predictions.

    Args:
        data: what they are of.
        stored: as :func:`~ltsh_deploy.evaluation.opening.read_predictions` gives them.
        filter_groups: leave out who cannot belong to a unit's group; None does so for MPII's groups alone.

    Raises:
        InputError: when they are of another data set, or nothing can be measured.
        SkeletonError: when they have none of the metric's joints.
    """
    predictions, notes = align(data, stored)
    return _scored(data, stored.source, None, predictions, filter_groups, notes, {})


def evaluate_model(
    model: str | Path | PoseEstimator,
    data: EvaluationSet,
    protocol: Protocol | None = None,
    *,
    filter_groups: bool | None = None,
    batch: int | None = None,
    keep: str | Path | None = None,
    restart: bool = False,
    done: Callable[[int], None] = lambda units: None,
    **options: Any,
) -> Evaluation:
    """Let a model look at every unit, and score what it finds.

    A picture that cannot be used is counted as one in which nobody was found, and reported among the failures.

    Args:
        model: a checkpoint or model file, or an estimator, which stays open.
        data: what to evaluate on.
        protocol: how to look; None for the data set's own, see
            :func:`~ltsh_deploy.evaluation.protocols.choose_protocol`.
        filter_groups: as in :func:`evaluate_predictions`.
        batch: units that go through the network together; None for 1 on a CPU, else 8. Speed alone depends on it.
        keep: file that predictions are added to as they come. An evaluation with the same settings goes on there.
        restart: discard what the file has.
        done: is told of the units that are done, as they are.
        options: of :meth:`PoseEstimator.open <ltsh_deploy.estimator.PoseEstimator.open>`, for a file.

    Raises:
        UsageError: when the protocol cannot be followed, or ``keep`` is of an evaluation with other settings.
        InputError: when not one picture can be used, or nothing can be measured.
        ModelFileError: when the model cannot be used.
        OutputError: when ``keep`` cannot be written.
    """
    protocol = protocol or choose_protocol(data)
    protocol.check(data)
    with ExitStack() as stack:
        if isinstance(model, PoseEstimator):
            estimator, name, digest = model, "an estimator", ""
        else:
            estimator, name = stack.enter_context(PoseEstimator.open(model, **options)), str(model)
            digest = sha256_of(Path(model))
        # What cannot be scored should stop the run now, not at its end.
        joints_without_source(data, estimator.skeleton, name)
        batch = batch or (1 if estimator.runtime.device == "cpu" else 8)
        store = None
        if keep is not None:
            settings = _settings(estimator, digest, data, protocol)
            store = stack.enter_context(PredictionStore(keep, settings, estimator.skeleton, restart=restart))
        looks = _look_at_all(estimator, data, protocol, batch, store, done)
        skeleton = estimator.skeleton
    failures = {look.unit.id: look.error for look in looks if look.error is not None}
    if len(failures) == len(data):
        first = next(iter(failures.values()))
        raise InputError(f"not one of {len(data)} pictures could be used; the first: {first.message}", first.remedy)
    nobody = Poses.empty(skeleton)
    predictions = [look.predictions or UnitPredictions(look.unit.id, nobody) for look in looks]
    notes = {
        f"views whose longer side was limited to {LONGEST_SIDE} pixels": sum(look.is_limited for look in looks),
        "units of which no scale is known, looked at in the model's own box": (
            sum(unit.mean_scale is None for unit in data) if protocol.name == "paper" else 0
        ),
        "pictures that could not be used, in which nobody counts as found": len(failures),
    }
    return _scored(data, name, protocol, predictions, filter_groups, notes, failures)


def _settings(estimator: PoseEstimator, digest: str, data: EvaluationSet, protocol: Protocol) -> dict[str, Any]:
    """Everything that predictions depend on."""
    told = [(unit.id, str(unit.image), unit.mean_scale if protocol.name == "paper" else None) for unit in data]
    return {
        "model": digest,
        "model_description": hashlib.sha256(repr(estimator.runtime.description).encode()).hexdigest(),
        "decoder": asdict(estimator.decode_config),
        "protocol": asdict(protocol) | {"size": list(protocol.size or estimator.size)},
        "data_set": hashlib.sha256(repr((data.kind, told)).encode()).hexdigest(),
    }


def _look_at_all(
    estimator: PoseEstimator,
    data: EvaluationSet,
    protocol: Protocol,
    batch: int,
    store: PredictionStore | None,
    done: Callable[[int], None],
) -> list[Look]:
    """A look at each unit, in order; those that the store has are not looked at again."""
    before = {} if store is None else store.found
    done(sum(unit.id in before for unit in data))
    fresh = predict_units(estimator, (u for u in data if u.id not in before), protocol, batch=batch)
    looks = []
    for unit in data:
        if unit.id in before:
            looks.append(Look(unit, UnitPredictions(unit.id, before[unit.id])))
            continue
        look = next(fresh)
        if store is not None and look.predictions is not None:
            store.add(look.predictions)
        looks.append(look)
        done(1)
    return looks


def _scored(
    data: EvaluationSet,
    source: str,
    protocol: Protocol | None,
    predictions: list[UnitPredictions],
    filter_groups: bool | None,
    notes: Mapping[str, int],
    failures: Mapping[str, LtshError],
) -> Evaluation:
    filtered = data.kind == "mpii" if filter_groups is None else filter_groups
    lacking = joints_without_source(data, predictions[0].poses.skeleton, source)
    handed_in = submit(data, predictions, filter_groups=filtered)
    counts: Counter[str] = Counter(data.notes)
    counts.update(notes)
    if filtered:
        everybody = sum(len(p.poses) for p in submit(data, predictions))
        kept = sum(len(p.poses) for p in handed_in)
        counts["people found who cannot belong to the unit's group, left out"] = everybody - kept
    scores = score_units(data, handed_in)
    remarks = [f"measured by these joints alone: {', '.join(data.measured)}"] if data.measured else []
    remarks += [*scores.notes, *([f"never found, and so always missed: {', '.join(lacking)}"] if lacking else [])]
    remarks += [f"{count} {what}" for what, count in counts.items() if count]
    return Evaluation(data, source, protocol, filtered, handed_in, scores, tuple(remarks), failures)

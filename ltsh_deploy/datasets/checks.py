"""Looking a data set over: what is in it, and what is wrong with it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.datasets.bodies import PIXELS_PER_SCALE
from ltsh_deploy.datasets.samples import SPLITS, Sample, SampleList
from ltsh_deploy.datasets.skips import Skips
from ltsh_deploy.datasets.stored import read_bytes, source_name
from ltsh_deploy.errors import ImageError
from ltsh_deploy.image_headers import read_header
from ltsh_deploy.images import read_image

__all__ = ["Report", "check_dataset"]

FloatArray = npt.NDArray[np.float64]
# JPEG's size stands behind its thumbnails and colour profiles.
_HEAD = 1 << 16
_BINS = 10


@dataclass
class Report:
    """What was found.

    Attributes:
        facts: counts and ranges, as ``ltsh data check --json`` writes them.
        findings: everything that is wrong or noteworthy.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    findings: Skips = field(default_factory=lambda: Skips("data set"))

    @property
    def is_broken(self) -> bool:
        """Whether something is damaged or missing, and not merely left out by a rule of the format."""
        return bool(self.findings.broken)

    def to_dict(self) -> dict[str, Any]:
        """The form of ``--json``."""
        found = [
            {
                "what": reason,
                "count": count,
                "broken": reason in self.findings.broken,
                "examples": self.findings.examples[reason],
            }
            for reason, count in self.findings.counts.most_common()
        ]
        return {**self.facts, "broken": self.is_broken, "findings": found}


def check_dataset(dataset: SampleList, *, read: bool = False, done: Callable[[int], None] | None = None) -> Report:
    """Look at every sample.

    Args:
        dataset: an open one.
        read: decode every picture and mask, and compare pictures with each other; otherwise only their headers are
            looked at.
        done: is told of every sample that was looked at.
    """
    report = Report(findings=dataset.skips.copy())
    report.facts = _facts(dataset)
    looks = _look_whole if read else _look_at_header
    outside = Counter[str]()
    seen: dict[bytes, Sample] = {}
    pool = ThreadPoolExecutor()
    try:
        for sample, look in zip(dataset, pool.map(looks, dataset), strict=True):
            for what, example in look.faults:
                report.findings.add(what, example)
            if look.size is None:
                outside["pictures of unknown size"] += 1
            else:
                _count_outside(sample, look.size, outside)
            if look.digest is not None:
                _compare(sample, seen.setdefault(look.digest, sample), report.findings)
            if done is not None:
                done(1)
    finally:
        # Ctrl-C shall not wait for the pictures that are still to come.
        pool.shutdown(cancel_futures=True)
    report.facts["outside"] = {
        "joints": outside["joints"],
        "people": outside["people"],
        "pictures_of_unknown_size": outside["pictures of unknown size"],
    }
    return report


@dataclass(frozen=True)
class _Look:
    """What was seen of one sample's files."""

    size: tuple[int, int] | None = None
    digest: bytes | None = None
    faults: tuple[tuple[str, str], ...] = ()


def _look_at_header(sample: Sample) -> _Look:
    name = source_name(sample.image, f"sample {sample.id!r}")
    faults = []
    size = None
    try:
        head = read_bytes(sample.image, name, _HEAD)
        header = read_header(head)
        size = None if header is None else header.size
        if header is None:
            faults.append(("pictures that cannot be read", f"{name}: not a picture of a known kind"))
        elif header.fault and len(head) < _HEAD:
            faults.append(("pictures that cannot be read", f"{name}: {header.fault}"))
    except ImageError as error:
        faults.append(("pictures that cannot be read", error.message))
    for mask, what in ((sample.ignore, "ignore mask"), (sample.instances, "instance mask")):
        if mask is not None:
            try:
                read_bytes(mask, f"{what} of sample {sample.id!r}", 1)
            except ImageError as error:
                faults.append(("masks that cannot be read", error.message))
    return _Look(size, None, tuple(faults))


def _look_whole(sample: Sample) -> _Look:
    name = source_name(sample.image, f"sample {sample.id!r}")
    try:
        data = read_bytes(sample.image, name)
        image = read_image(data, name)
    except ImageError as error:
        return _Look(faults=(("pictures that cannot be read", error.message),))
    size = (image.shape[1], image.shape[0])
    faults = []
    try:
        mask = sample.read_ignore(size)
        if mask is not None and mask.all():
            faults.append(("pictures that are ignored as a whole", sample.id))
        instances = sample.read_instances(size)
        if instances is not None and instances.max(initial=0) > len(sample):
            faults.append(("instance masks of more people than are labelled", sample.id))
    except ImageError as error:
        faults.append(("masks that cannot be read", error.message))
    return _Look(size, hashlib.sha256(data).digest(), tuple(faults))


def _count_outside(sample: Sample, size: tuple[int, int], outside: Counter[str]) -> None:
    xy = sample.joints[:, :, :2]
    beyond = ((xy < -0.5) | (xy > np.array(size) - 0.5)).any(axis=2)
    outside["joints"] += int(beyond.sum())
    outside["people"] += int(np.asarray(beyond).any(axis=1).sum())


def _compare(sample: Sample, first: Sample, findings: Skips) -> None:
    if first is sample:
        return
    if first.split != sample.split:
        findings.add("pictures that are in both splits", f"{first.id} and {sample.id}")
    else:
        findings.add("pictures that are there twice", f"{first.id} and {sample.id}", broken=False)


def _facts(dataset: SampleList) -> dict[str, Any]:
    samples = list(dataset)
    joints = np.concatenate([s.joints for s in samples])
    synthetic = np.concatenate([s.is_synthetic for s in samples])
    heights = np.concatenate([s.scales for s in samples]) * PIXELS_PER_SCALE
    labels = joints[:, :, 2]
    names = sorted({name for s in samples for name in s.characteristics})
    unknown = {s: np.full(len(s), np.nan) for s in samples} if names else {}
    return {
        "name": dataset.name,
        "licence": dataset.licence,
        "skeleton": dataset.skeleton.name,
        "samples": {split: sum(s.split == split for s in samples) for split in SPLITS},
        "people": {
            "all": len(joints),
            "real": int((~synthetic).sum()),
            "synthetic": int(synthetic.sum()),
            "trainable": int(sum(s.trainable.sum() for s in samples)),
            "without_joints": int((labels == 0).all(axis=1).sum()),
            "most_in_a_picture": max(len(s) for s in samples),
        },
        "height_px": {name: round(float(np.quantile(heights, q)), 1) for name, q in _QUANTILES},
        "joints": {
            name: {"labelled": int((labels[:, j] > 0).sum()), "visible": int((labels[:, j] == 2).sum())}
            for j, name in enumerate(dataset.skeleton.joints)
        },
        "masks": {
            "ignore": sum(s.ignore is not None for s in samples),
            "instances": sum(s.instances is not None for s in samples),
            "regions": sum(len(s.regions) for s in samples),
        },
        "characteristics": {
            name: _histogram(np.concatenate([s.characteristics.get(name, unknown[s]) for s in samples]))
            for name in names
        },
    }


_QUANTILES = (("least", 0.0), ("tenth", 0.1), ("median", 0.5), ("nine_tenths", 0.9), ("most", 1.0))


def _histogram(values: FloatArray) -> dict[str, Any]:
    """Ten bins between the least and the greatest value."""
    known = values[np.isfinite(values)]
    if not len(known):
        return {"known": 0, "unknown": len(values), "edges": [], "counts": []}
    low, high = known.min(), known.max()
    # numpy's histogram refuses ranges that are very wide or very narrow.
    place = (known / 2 - low / 2) / max(high / 2 - low / 2, np.finfo(np.float64).tiny)
    bins = np.clip((place * _BINS).astype(np.int64), 0, _BINS - 1)
    return {
        "known": len(known),
        "unknown": len(values) - len(known),
        "edges": (low + (high / 2 - low / 2) * np.linspace(0, 2, _BINS + 1)).tolist(),
        "counts": np.bincount(bins, minlength=_BINS).tolist(),
    }

"""The metrics: time and memory of average precision, with pycocotools beside it. Run with
``OMP_NUM_THREADS=1 python -m benchmarks.metrics``, on a machine that does nothing else; it takes some minutes.

People are random: each picture has 10, of 14 joints (OKS: 17), whose predictions are off by an error of their own, and
as many false predictions, which tend to have lower scores. Everything runs on one thread. Memory is what Python and
NumPy hold at most, beyond the people themselves.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import os
import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from benchmarks.report import machine, median_ms, table, write_section
from ltsh_deploy.metrics import (
    MultiPersonPrediction,
    MultiPersonTruth,
    OksAp,
    OksPrediction,
    OksTruth,
    UnitMatches,
    multi_person_ap,
    multi_person_ap_draws,
    multi_person_matches,
    oks_ap,
    oks_matches,
)
from ltsh_deploy.skeletons import COCO17

PEOPLE = 10
LIMIT_S = 5.0
Array = npt.NDArray[np.float64]


def people(rng: np.random.Generator, joints: int) -> tuple[Array, Array]:
    """[10, joints, 2] where people are, and [20, joints, 2] where some were found."""
    centres = rng.uniform(0, 1000, (PEOPLE, 1, 2))
    truth = centres + rng.normal(0, 60, (PEOPLE, joints, 2))
    spread = rng.uniform(2, 25, (PEOPLE, 1, 1))
    return truth, np.concatenate([truth + spread * rng.normal(size=truth.shape), rng.uniform(0, 1000, truth.shape)])


def scores(rng: np.random.Generator, *each: int) -> Array:
    """[20, ...] of the predictions that :func:`people` gives."""
    return np.concatenate([rng.uniform(0.3, 1, (PEOPLE, *each)), rng.uniform(0, 0.7, (PEOPLE, *each))])


def units(count: int) -> list[tuple[MultiPersonTruth, MultiPersonPrediction]]:
    """For the multi-person metric."""
    made = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        truth, found = people(rng, 14)
        prediction = MultiPersonPrediction(found, scores(rng, 14))
        made.append((MultiPersonTruth(truth, rng.uniform(30, 60, PEOPLE)), prediction))
    return made


def peak_mib(work: Callable[[], object]) -> float:
    """MiB held at most while ``work`` ran, over what was held before."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


def multi_person(counts: Sequence[int] = (500, 1000, 2000, 4000)) -> list[list[object]]:
    """MPII multi-person average precision: medians of three runs."""
    rows: list[list[object]] = []
    for count in counts:
        pairs = units(count)

        def match(pairs: Any = pairs) -> list[UnitMatches]:
            return [multi_person_matches(*pair) for pair in pairs]

        matches = match()
        matching = median_ms(match, 3) / 1000
        ranking = median_ms(lambda matches=matches: multi_person_ap(matches), 3) / 1000
        memory = peak_mib(lambda match=match: multi_person_ap(match()))
        mean = multi_person_ap(matches).mean_ap
        rows.append([count, matching, ranking, matching + ranking, memory, 1000 * memory / count, mean])
    return rows


def bootstrap(counts: Sequence[int] = (350, 2000)) -> list[list[object]]:
    """Average precision of 1,000 draws from the pictures, as a paired bootstrap computes it for each of two models."""
    rows: list[list[object]] = []
    for count in counts:
        matches = [multi_person_matches(*pair) for pair in units(count)]
        draws = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), 1000)
        begin = time.perf_counter()
        ap = multi_person_ap_draws(matches, draws).mean(axis=1)
        spent = time.perf_counter() - begin
        memory = peak_mib(lambda matches=matches, draws=draws: multi_person_ap_draws(matches, draws[:100]))
        rows.append([count, spent, memory, float(ap.std())])
    return rows


def oks(counts: Sequence[int] = (500, 2000)) -> list[list[object]]:
    """COCO's average precision of the same people, by this package and by pycocotools: once each, from arrays and from
    pycocotools' own index, so without the reading of files.
    """
    rows: list[list[object]] = []
    for count in counts:
        pairs, ground_truth, results = coco_people(count)
        theirs = COCO()
        theirs.dataset = ground_truth
        with contextlib.redirect_stdout(io.StringIO()):
            theirs.createIndex()
            evaluation = COCOeval(theirs, theirs.loadRes(results), "keypoints")
            begin = time.perf_counter()
            evaluation.evaluate()
            evaluation.accumulate()
            slow = time.perf_counter() - begin
            evaluation.summarize()
        begin = time.perf_counter()
        measured: OksAp = oks_ap([oks_matches(*pair, COCO17.sigmas) for pair in pairs])
        fast = time.perf_counter() - begin
        apart = float(np.abs(np.array(list(measured.stats.values())) - evaluation.stats).max())
        rows.append([count, fast, slow, slow / fast, measured.stats["AP"], apart])
    return rows


def coco_people(count: int) -> tuple[list[tuple[OksTruth, OksPrediction]], dict[str, Any], list[dict[str, Any]]]:
    """The same people as arrays, and as COCO's annotations and results."""
    pairs, annotations, results = [], [], []
    for image in range(count):
        rng = np.random.default_rng(image)
        truth, found = people(rng, 17)
        areas, surest, nobody = rng.uniform(5000, 40000, PEOPLE), scores(rng), np.zeros(PEOPLE, np.bool_)
        pairs.append((OksTruth(truth, areas, np.zeros((PEOPLE, 4)), nobody, nobody), OksPrediction(found, surest)))
        common = {"image_id": image, "category_id": 1}
        for joints, area in zip(truth, areas.tolist(), strict=True):
            keypoints = np.column_stack([joints, np.full(17, 2.0)]).ravel().tolist()
            person = {"id": len(annotations) + 1, "keypoints": keypoints, "num_keypoints": 17, "area": area}
            annotations.append({**common, **person, "bbox": [0, 0, 0, 0], "iscrowd": 0})
        for joints, score in zip(found, surest.tolist(), strict=True):
            keypoints = np.column_stack([joints, np.ones(17)]).ravel().tolist()
            results.append({**common, "keypoints": keypoints, "score": score})
    images = [{"id": image} for image in range(count)]
    return pairs, {"info": {}, "images": images, "annotations": annotations, "categories": [{"id": 1}]}, results


def main() -> None:
    """Measure all and write the tables."""
    # Others that compete for the cores make every time here longer.
    load = f"Programs that were running already, on average over a minute: {os.getloadavg()[0]:.1f}."
    rows = multi_person()
    spent = next(float(str(row[3])) for row in rows if row[0] == 2000)
    kept = "yes" if spent <= LIMIT_S else "no"
    promise = [["2,000 pictures of 10 people and 20 predictions, s", LIMIT_S, spent, kept]]
    write_section(
        "metrics",
        "\n\n".join(
            [
                "## Metrics",
                f"`OMP_NUM_THREADS=1 python -m benchmarks.metrics`. {machine()}, "
                f"pycocotools {importlib.metadata.version('pycocotools')}.",
                (__doc__ or "").split("\n\n", 1)[1].strip() + " " + load,
                table(["goal", "at most", "measured", "kept"], promise),
                "### Multi-person average precision",
                (multi_person.__doc__ or "").strip(),
                table(["pictures", "matching s", "AP s", "all s", "peak MiB", "MiB a 1,000", "mAP"], rows),
                "### Bootstrap",
                (bootstrap.__doc__ or "").strip() + " Memory is that of 100 draws.",
                table(["pictures", "1,000 draws s", "peak MiB", "mAP's standard deviation"], bootstrap()),
                "### OKS average precision",
                " ".join((oks.__doc__ or "").split()),
                table(["pictures", "s", "pycocotools s", "times as fast", "AP", "largest difference"], oks()),
            ]
        ),
    )


if __name__ == "__main__":
    main()

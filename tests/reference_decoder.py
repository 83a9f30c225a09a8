"""The decoder once more, as slowly and plainly as possible: what every real decoder is compared with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ltsh_deploy.decode import Connections, DecodeConfig, Peaks
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import Skeleton

DEFAULTS = DecodeConfig()


def find_peaks(heatmaps: Any, threshold: float = 0.05, max_peaks: int = 60) -> Peaks:
    joints, xy, scores, starts, dropped = [], [], [], [0], []
    for j, heatmap in enumerate(np.asarray(heatmaps, np.float32)):
        tops = sorted(_regional_maxima(heatmap, threshold), key=lambda top: (-heatmap[top[0]], top[0]))
        dropped.append(max(0, len(tops) - max_peaks))
        for cell, plateau in sorted(tops[:max_peaks]):
            offset, height = _fit(heatmap, *cell)
            rows, columns = [r for r, _ in plateau], [c for _, c in plateau]
            place = (cell[1] + offset[0], cell[0] + offset[1])
            if max(rows) - min(rows) > 1 or max(columns) - min(columns) > 1:
                place = (float(np.mean(columns)), float(np.mean(rows)))
            joints.append(j)
            xy.append(place)
            scores.append(height)
        starts.append(len(joints))
    return Peaks(
        np.array(joints, np.intp),
        np.array(xy, np.float64).reshape(-1, 2),
        np.array(scores, np.float64),
        np.array(starts, np.intp),
        np.array(dropped, np.intp),
    )


def _neighbours(heatmap: Any, row: int, column: int) -> list[tuple[int, int]]:
    return [
        (r, c)
        for r in range(max(row - 1, 0), min(row + 2, heatmap.shape[0]))
        for c in range(max(column - 1, 0), min(column + 2, heatmap.shape[1]))
        if (r, c) != (row, column)
    ]


def _regional_maxima(heatmap: Any, threshold: float) -> list[tuple[tuple[int, int], list[tuple[int, int]]]]:
    """(first cell, all cells) of every plateau, of one cell or more, that all cells around it are lower than."""
    seen, maxima = np.zeros(heatmap.shape, bool), []
    for start in np.ndindex(heatmap.shape):
        if seen[start] or not heatmap[start] > threshold:
            continue
        plateau, waiting, is_top = [], [start], True
        seen[start] = True
        while waiting:
            cell = waiting.pop()
            plateau.append(cell)
            for other in _neighbours(heatmap, *cell):
                if heatmap[other] > heatmap[cell]:
                    is_top = False
                elif heatmap[other] == heatmap[cell] and not seen[other]:
                    seen[other] = True
                    waiting.append(other)
        if is_top:
            maxima.append((min(plateau), plateau))
    return maxima


def _fit(heatmap: Any, row: int, column: int) -> tuple[tuple[float, float], float]:
    """Offset and height of an isotropic Gaussian, fitted to the logarithms with the values as weights."""
    top = float(heatmap[row, column])
    cells = [(row, column), *_neighbours(heatmap, row, column)]
    values = np.array([max(float(heatmap[c]) / top, 0.0) for c in cells])
    terms = np.array([(1, c - column, r - row, -((c - column) ** 2 + (r - row) ** 2)) for r, c in cells], float)
    weights = np.where(values < 0.05, 0, values)
    logs = np.log(np.maximum(values, 1e-6))
    prior, faith = np.array([0, 0, 0, 32 / 49]), np.array([1e-6, 1e-6, 1e-6, 1e-3])
    for refits_left in (2, 1, 0):
        solution = np.linalg.lstsq(
            np.vstack([terms * weights[:, None], np.diag(faith)]), np.append(logs * weights, faith * prior)
        )[0]
        foreign = values - np.exp(np.minimum(terms @ solution, 1)) > 0.05
        if not foreign.any() or not refits_left:
            break
        weights[foreign] *= math.sqrt(0.05)
    curvature = max(solution[3], 1e-3)
    h, w = heatmap.shape
    x, y = (
        min(max(b / (2 * curvature), -0.5 if at > 0 else -1), 0.5 if at < last else 1)
        for b, at, last in zip(solution[1:3], (column, row), (w - 1, h - 1), strict=True)
    )
    return (x, y), min(top * min(math.exp(curvature * (x * x + y * y)), 2), max(top, 1))


def score_limbs(pafs: Any, peaks: Peaks, skeleton: Skeleton, config: DecodeConfig = DEFAULTS) -> Connections:
    chosen = []
    for limb, (a, b) in enumerate(skeleton.limbs):
        pairs = []
        for i in range(peaks.starts[a], peaks.starts[a + 1]):
            for k in range(peaks.starts[b], peaks.starts[b + 1]):
                integral = _integral(np.asarray(pafs[2 * limb : 2 * limb + 2], float), peaks.xy[i], peaks.xy[k], config)
                if integral is not None:
                    sure_i, sure_k = (min(peaks.scores[p] / config.sure_peak, 1) for p in (i, k))
                    pairs.append((-integral * sure_i * sure_k, i, k))
        used: set[int] = set()
        kept = []
        for negative, i, k in sorted(pairs):
            if i not in used and k not in used:
                used |= {i, k}
                kept.append((limb, i, k, -negative))
        chosen += sorted(kept)
    columns: list[Any] = [[c[n] for c in chosen] for n in range(4)]
    limbs, first, second = (np.array(c, np.intp) for c in columns[:3])
    return Connections(limbs, first, second, np.array(columns[3], np.float64))


def _integral(paf: Any, start: Any, end: Any, config: DecodeConfig) -> float | None:
    length = math.hypot(*(end - start))
    if length <= 1e-3:
        return None
    _, h, w = paf.shape
    direction = (end - start) / length
    start, end = (np.clip(p, 0, [w - 1, h - 1]) for p in (start, end))
    values = []
    for t in np.linspace(0, 1, config.samples):
        x, y = start + t * (end - start)
        x0, y0 = int(x), int(y)
        x1, y1 = min(x0 + 1, w - 1), min(y0 + 1, h - 1)
        upper = paf[:, y0, x0] * (1 - x + x0) + paf[:, y0, x1] * (x - x0)
        lower = paf[:, y1, x0] * (1 - x + x0) + paf[:, y1, x1] * (x - x0)
        values.append(float(direction @ (upper * (1 - y + y0) + lower * (y - y0))))
    integral = float(np.mean(values)) + min(config.max_limb * h / length - 1, 0)
    enough = sum(v > config.sample_threshold for v in values) >= config.min_samples
    return integral if enough and integral > 0 else None


def assemble_poses(
    peaks: Peaks, connections: Connections, skeleton: Skeleton, config: DecodeConfig = DEFAULTS
) -> Poses:
    people: list[tuple[set[int], float]] = [({p}, 0.0) for p in range(len(peaks))]
    links = zip(-connections.scores, range(len(connections.limbs)), connections.first, connections.second, strict=True)
    for negative, _, i, k in sorted(links):
        mine = next(p for p in people if i in p[0])
        other = next(p for p in people if k in p[0])
        if {peaks.joints[p] for p in mine[0]} & {peaks.joints[p] for p in other[0]}:
            continue
        people = [p for p in people if p is not mine and p is not other]
        people.append((mine[0] | other[0], mine[1] + other[1] - negative))
    scored = [((sum(peaks.scores[p] for p in m) + limbs) / (2 * len(m)), sorted(m)) for m, limbs in people]
    kept = [(s, m) for s, m in scored if len(m) >= config.min_joints and s >= config.min_score]
    kept.sort(key=lambda person: -person[0])
    xy = np.full((len(kept), skeleton.num_joints, 2), np.nan)
    joint_scores = np.zeros((len(kept), skeleton.num_joints))
    for row, (_, members) in enumerate(kept):
        xy[row, peaks.joints[members]] = peaks.xy[members]
        joint_scores[row, peaks.joints[members]] = peaks.scores[members]
    return Poses(skeleton, xy, joint_scores, np.array([s for s, _ in kept]), dropped_peaks=int(peaks.dropped.sum()))

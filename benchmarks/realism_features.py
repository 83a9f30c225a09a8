"""Low-level features of crops, and how well a small network tells two kinds of crops apart by them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ltsh_deploy.images import Image

__all__ = ["FEATURES", "area_under_curve", "features", "tell_apart", "weights"]

Floats = npt.NDArray[np.float64]

_OCTAVES, _BINS, _ORIENTATIONS = 4, 8, 9
_FOLDS, _EPOCHS = 5, 300

#: The features' names, in the order of :func:`features`.
FEATURES: tuple[str, ...] = (
    *(
        f"detail at {2**octave} px: {what}"
        for octave in range(_OCTAVES)
        for what in ("spread", "mean size", "median size", "how rare")
    ),
    *(f"{what} of {channel}" for what in ("mean", "spread") for channel in ("lightness", "green-red", "blue-yellow")),
    *(
        f"{channel} in part {part + 1} of {_BINS} of its range"
        for channel in ("lightness", "green-red", "blue-yellow")
        for part in range(_BINS)
    ),
    *(f"edges at {180 * part / _ORIENTATIONS:.0f} degrees" for part in range(_ORIENTATIONS)),
    "detail of colour",
)


def features(crop: Image) -> Floats:
    """[F] the features of a crop [S, S, 3] uint8 RGB: how much detail of each size, which colours, edges which way."""
    lab = cv2.cvtColor(crop, cv2.COLOR_RGB2LAB).astype(np.float32)
    grey = lab[..., 0]
    found: list[float] = []
    left: npt.NDArray[Any] = grey
    for _ in range(_OCTAVES):
        smooth = cv2.GaussianBlur(left, (0, 0), 1.2)
        detail = left - smooth
        size = np.abs(detail)
        rare = (detail**4).mean() / (detail.var() + 1e-3) ** 2
        found += [np.log(detail.std() + 0.1), np.log(size.mean() + 0.05), np.log(np.median(size) + 0.05)]
        found.append(np.log(rare + 0.1))
        left = cv2.resize(smooth, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    found += [*(lab.mean(axis=(0, 1)) / 255), *(lab.std(axis=(0, 1)) / 255)]
    for channel in range(3):
        counts = np.histogram(lab[..., channel], _BINS, (0, 256))[0]
        found += list(np.sqrt(counts / grey.size))
    right, down = (cv2.Sobel(grey, cv2.CV_32F, x, y) for x, y in ((1, 0), (0, 1)))
    slope, angle = np.hypot(right, down), np.arctan2(down, right) % np.pi
    edges = np.histogram(angle, _ORIENTATIONS, (0, np.pi), weights=slope)[0]
    found += list(edges / (slope.sum() + 1))
    colour = lab[..., 1:] - cv2.GaussianBlur(lab[..., 1:], (0, 0), 1.2)
    found.append(np.log(colour.std() + 0.1))
    return np.array(found, np.float64)


def area_under_curve(scores: npt.NDArray[Any], positive: npt.NDArray[np.bool_]) -> float:
    """The part of all pairs of a positive and a negative in which the positive has the larger score; ties count half.

    Args:
        scores: [N].
        positive: [N], both kinds present.
    """
    ordered = np.sort(scores[~positive])
    below = np.searchsorted(ordered, scores[positive], "left")
    up_to = np.searchsorted(ordered, scores[positive], "right")
    return float((below + up_to).mean() / 2 / len(ordered))


def tell_apart(
    real: Floats, synthetic: Floats, groups: npt.NDArray[np.int64], *, linear: bool = False
) -> tuple[float, float]:
    """How well a classifier tells two kinds apart: area under its curve, mean and spread over five folds.

    Args:
        real: [N, F] features.
        synthetic: [M, F].
        groups: [M] numbers of what synthetic crops share, such as the photograph behind them: no group is both learned
            from and tested on, or the classifier could learn the photographs by heart.
        linear: logistic regression rather than a network with one hidden layer of 64.
    """
    values = np.concatenate([real, synthetic])
    positive = np.arange(len(values)) >= len(real)
    rng = np.random.default_rng(0)
    folds = np.concatenate([rng.permutation(len(real)) % _FOLDS, (rng.permutation(groups.max() + 1) % _FOLDS)[groups]])
    areas = []
    for fold in range(_FOLDS):
        tested = folds == fold
        scores = _fit(values[~tested], positive[~tested], linear=linear)[0](values[tested])
        areas.append(area_under_curve(scores, positive[tested]))
    return float(np.mean(areas)), float(np.std(areas))


def weights(real: Floats, synthetic: Floats) -> list[tuple[str, float]]:
    """What tells the kinds apart: features with their standardised weights in a logistic regression, largest first.

    Positive means: more of it in synthetic crops.
    """
    values = np.concatenate([real, synthetic])
    network = _fit(values, np.arange(len(values)) >= len(real), linear=True)[1]
    found = next(network.parameters()).detach().numpy()[0]
    return [(FEATURES[f], float(found[f])) for f in np.argsort(-np.abs(found))]


def _fit(
    values: Floats, positive: npt.NDArray[np.bool_], *, linear: bool
) -> tuple[Callable[[Floats], Floats], nn.Sequential]:
    mean, spread = values.mean(axis=0), values.std(axis=0) + 1e-4
    torch.manual_seed(0)
    inputs = values.shape[1]
    layers: list[nn.Module] = [nn.Linear(inputs, 1)]
    if not linear:
        layers = [nn.Linear(inputs, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 1)]
    network = nn.Sequential(*layers)
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=0.05)
    # Both kinds count the same, however many there are.
    share = positive.mean()
    each = torch.from_numpy(np.where(positive, 0.5 / share, 0.5 / (1 - share)).astype(np.float32))
    loss = nn.BCEWithLogitsLoss(weight=each)
    data = torch.from_numpy(((values - mean) / spread).astype(np.float32))
    wanted = torch.from_numpy(positive.astype(np.float32))
    for _ in range(_EPOCHS):
        optimiser.zero_grad()
        loss(network(data)[:, 0], wanted).backward()
        optimiser.step()
    network.eval()

    def scores(others: Floats) -> Floats:
        with torch.no_grad():
            found = network(torch.from_numpy(((others - mean) / spread).astype(np.float32)))
        return np.asarray(found[:, 0].numpy(), np.float64)

    return scores, network

"""The loss, against numbers worked out by hand."""

from __future__ import annotations

import pytest
import torch

from ltsh_deploy.train.losses import compute_losses
from ltsh_deploy.train.targets import Targets


def targets(n: int = 2) -> Targets:
    """Two joints and a background, one limb, maps of 2 x 2 cells; everything counts, all zero."""
    heat, pafs = torch.zeros(n, 3, 2, 2), torch.zeros(n, 2, 2, 2)
    return Targets(heat, pafs, torch.ones_like(heat), torch.ones_like(pafs), torch.tensor([0.0, 2.0][:n]))


def test_the_loss_is_that_of_the_paper() -> None:
    # Every heat-map cell is off by 2, every PAF cell by 3: 12 * 4 and 8 * 9.
    maps = [(torch.full((2, 3, 2, 2), 2.0), torch.full((2, 2, 2, 2), 3.0))]
    losses = compute_losses(maps, targets())
    expected = 0.5 * (0.5 * 72 + 0.5 * 48)
    assert losses.stages.tolist() == [[expected, expected]]
    assert losses.total.item() == expected
    # No labelled joint counts as one.
    assert losses.signal.tolist() == [expected, expected / 2]


def test_stages_are_summed_and_the_signal_is_the_last_ones() -> None:
    zero = (torch.zeros(2, 3, 2, 2), torch.zeros(2, 2, 2, 2))
    one = (torch.ones(2, 3, 2, 2), torch.zeros(2, 2, 2, 2))
    losses = compute_losses([one, one, zero], targets())
    assert losses.total.item() == 2 * 0.25 * 12
    assert losses.signal.tolist() == [0, 0]


def test_cells_without_weight_cost_nothing_and_have_no_gradient() -> None:
    aim = targets(1)
    aim.heatmap_weights[0, 1] = 0
    aim.paf_weights[0, 0, 0, 0] = 0
    heat, pafs = torch.ones(1, 3, 2, 2, requires_grad=True), torch.ones(1, 2, 2, 2, requires_grad=True)
    losses = compute_losses([(heat, pafs)], aim)
    assert losses.total.item() == 0.25 * 8 + 0.25 * 7
    losses.total.backward()
    assert heat.grad is not None
    assert pafs.grad is not None
    assert not heat.grad[0, 1].any()
    assert heat.grad[0, 0].all()
    assert pafs.grad[0, 0, 0, 0] == 0


def test_parts_can_be_weighted() -> None:
    maps = [(torch.ones(1, 3, 2, 2), torch.ones(1, 2, 2, 2))]
    assert compute_losses(maps, targets(1), heatmap_weight=2, paf_weight=0.5).total.item() == 0.25 * (2 * 12 + 4)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_low_precision_maps_are_compared_in_full_precision(kind: torch.dtype) -> None:
    # 300 squared overflows half precision.
    maps = [(torch.full((1, 3, 2, 2), 300.0, dtype=kind), torch.zeros(1, 2, 2, 2, dtype=kind))]
    assert compute_losses(maps, targets(1)).total.item() == pytest.approx(0.25 * 12 * 300**2)

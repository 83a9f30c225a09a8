"""Schedules, the average of the weights, and what does not learn."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from ltsh_deploy.errors import ConfigError
from ltsh_deploy.network_base import PoseNetwork
from ltsh_deploy.networks import create_network
from ltsh_deploy.skeletons import LTSH15
from ltsh_deploy.train.config import OptimiserConfig, ScheduleConfig
from ltsh_deploy.train.optimisation import Average, create_optimiser, freeze_convolutions, learning_rate
from tests.training_data import TINY_NETWORK


@pytest.fixture
def network() -> PoseNetwork:
    return create_network("ltsh_light", LTSH15, 0, **TINY_NETWORK)


def test_steps_are_those_of_the_paper() -> None:
    rates = {step: learning_rate(5e-5, ScheduleConfig(), step, 70_002) for step in (0, 19_999, 20_000, 40_000, 70_001)}
    assert rates[0] == rates[19_999] == 5e-5
    assert rates[20_000] == pytest.approx(5e-5 * 0.33)
    assert rates[40_000] == pytest.approx(5e-5 * 0.33**2)
    assert rates[70_001] == pytest.approx(5e-5 * 0.33**3)


def test_cosine_warms_up_and_ends_at_the_final_part() -> None:
    schedule = ScheduleConfig(kind="cosine", warm_up=10, final=0.1)
    rates = [learning_rate(2.0, schedule, step, 111) for step in range(111)]
    assert rates[:10] == pytest.approx([0.2 * (i + 1) for i in range(10)])
    assert rates[10] == 2.0
    assert rates[60] == pytest.approx(2 * (0.1 + 0.9 * 0.5))
    assert rates[110] == pytest.approx(0.2)
    assert all(a > b for a, b in pairwise(rates[10:]))


def test_a_run_may_end_before_its_cosine_does() -> None:
    whole, part = ScheduleConfig(kind="cosine", warm_up=10), ScheduleConfig(kind="cosine", warm_up=10, length=111)
    for step in (0, 10, 30, 59):
        assert learning_rate(2.0, part, step, 60) == learning_rate(2.0, whole, step, 111)
    assert learning_rate(2.0, part, 200, 300) == 0, "and may go on after it"


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_run_shorter_than_its_warm_up_has_a_rate(steps: int) -> None:
    schedule = ScheduleConfig(kind="cosine", warm_up=5)
    assert all(0 < learning_rate(1.0, schedule, step, steps) <= 1 for step in range(steps))
    assert learning_rate(3.0, ScheduleConfig(kind="constant"), 7, 9) == 3


def test_the_average_is_that_of_weights_and_statistics(network: PoseNetwork) -> None:
    average = Average(network, 0.5)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(1)
    # At step 90 the decay is the configured one; in the first steps it is less: 1/10 of the old is kept.
    average.update(network, 90)
    for key, value in average.network.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, before[key] + 0.5)
    average.update(network, 0)
    for key, value in average.network.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, before[key] + 0.95)
    assert not any(p.requires_grad for p in average.network.parameters())
    assert not average.network.training


def test_normalisations_and_biases_never_decay(network: PoseNetwork) -> None:
    decaying, others = create_optimiser(OptimiserConfig(weight_decay=0.1), network).param_groups
    assert decaying["weight_decay"] == 0.1
    assert all(p.ndim > 1 for p in decaying["params"])
    assert others["weight_decay"] == 0
    assert all(p.ndim <= 1 for p in others["params"])
    plain = create_optimiser(OptimiserConfig(), network)
    assert type(plain) is torch.optim.Adam
    assert plain.param_groups[0]["betas"] == (0.8, 0.999)


def test_frozen_layers_are_the_first_ones(network: PoseNetwork) -> None:
    frozen = freeze_convolutions(network, 2)
    assert sum(isinstance(module, torch.nn.Conv2d) for module in frozen) == 2
    flags = [p.requires_grad for p in network.parameters()]
    assert flags == sorted(flags)
    assert not all(flags)
    total = sum(isinstance(module, torch.nn.Conv2d) for module in network.modules())
    with pytest.raises(ConfigError, match=f"has {total} convolutions"):
        freeze_convolutions(network, total)
    assert freeze_convolutions(create_network("ltsh_light", LTSH15, 0, **TINY_NETWORK), 0) == []


def test_cosine_may_end_at_nothing_and_stays_there() -> None:
    schedule = ScheduleConfig(kind="cosine", final=0)
    assert learning_rate(1.0, schedule, 99, 100) == pytest.approx(0, abs=1e-12)
    assert math.isfinite(learning_rate(1.0, schedule, 500, 100))

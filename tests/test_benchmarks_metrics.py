"""What in benchmarks/metrics.py would go wrong without a sign."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pycocotools")

from benchmarks import metrics


def test_pycocotools_is_given_the_same_people() -> None:
    (row,) = metrics.oks((12,))
    average_precision, apart = row[4], row[5]
    assert isinstance(average_precision, float)
    assert 0.05 < average_precision < 0.95
    assert isinstance(apart, float)
    assert apart <= 1e-12


def test_each_picture_has_as_many_people_as_the_goal_says() -> None:
    for truth, prediction in metrics.units(3):
        assert np.isfinite(truth.joints).all()
        assert truth.joints.shape == (10, 14, 2)
        assert prediction.joints.shape == (20, 14, 2)


def test_every_size_is_a_row() -> None:
    rows = metrics.multi_person((4, 8))
    assert [row[0] for row in rows] == [4, 8]
    assert all(20 < float(str(row[-1])) < 80 for row in rows)
    ((count, _, _, deviation),) = metrics.bootstrap((5,))
    assert count == 5
    assert float(str(deviation)) > 0

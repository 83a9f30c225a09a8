"""Data sets: every format is read into one :class:`~ltsh_deploy.datasets.samples.Sample`."""

from __future__ import annotations

from ltsh_deploy.datasets.bodies import complete_people
from ltsh_deploy.datasets.opening import KINDS, open_dataset
from ltsh_deploy.datasets.samples import Dataset, Sample, SampleList

__all__ = ["KINDS", "Dataset", "Sample", "SampleList", "complete_people", "open_dataset"]

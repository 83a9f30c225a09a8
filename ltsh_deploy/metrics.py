"""What evaluation counts: the one address of all metrics. Pure functions on arrays: no files, no guesses at joints.

Multi-person average precision as MPII's benchmark has it (:mod:`~ltsh_deploy.metrics_matching`,
:mod:`~ltsh_deploy.metrics_ap`), PCKh and PCK of single people (:mod:`~ltsh_deploy.metrics_pck`), and COCO's average
precision (:mod:`~ltsh_deploy.metrics_oks`, :mod:`~ltsh_deploy.metrics_oks_ap`).

A unit is what is evaluated by itself: on MPII one group of people, elsewhere one picture. The metrics filter nothing,
and every joint they are given takes part: the caller leaves out what is no joint of the benchmark, on MPII pelvis and
thorax (:data:`MPII_JOINTS`). Coordinates are pixels, float64; NaN is a joint that is not there.

====== =====================================================================
U      units
G      people who are labelled in a unit
P      people who are predicted in a unit
N      single people, labelled and predicted
K      joints, the same for both
D      detections: predicted joints of one kind, of all units
B      draws of a bootstrap
====== =====================================================================
"""

from __future__ import annotations

from ltsh_deploy.metrics_ap import (
    MPII_JOINTS,
    MPII_ROWS,
    MultiPersonAp,
    PrecisionRecall,
    mpii_table,
    multi_person_ap,
    multi_person_ap_draws,
    precision_recall,
)
from ltsh_deploy.metrics_distances import head_sizes, mean_known, relative_distances
from ltsh_deploy.metrics_matching import (
    HIT_THRESHOLD,
    MultiPersonPrediction,
    MultiPersonTruth,
    UnitMatches,
    multi_person_matches,
)
from ltsh_deploy.metrics_oks import OksMatches, OksPrediction, OksTruth, oks_matches, oks_matrix
from ltsh_deploy.metrics_oks_ap import OksAp, oks_ap, oks_ap_draws
from ltsh_deploy.metrics_pck import (
    PCK_THRESHOLD,
    PCKH_THRESHOLDS,
    JointRates,
    PckhScore,
    joint_rates,
    pck,
    pckh,
    torso_lengths,
)

__all__ = [
    "HIT_THRESHOLD",
    "MPII_JOINTS",
    "MPII_ROWS",
    "PCKH_THRESHOLDS",
    "PCK_THRESHOLD",
    "JointRates",
    "MultiPersonAp",
    "MultiPersonPrediction",
    "MultiPersonTruth",
    "OksAp",
    "OksMatches",
    "OksPrediction",
    "OksTruth",
    "PckhScore",
    "PrecisionRecall",
    "UnitMatches",
    "head_sizes",
    "joint_rates",
    "mean_known",
    "mpii_table",
    "multi_person_ap",
    "multi_person_ap_draws",
    "multi_person_matches",
    "oks_ap",
    "oks_ap_draws",
    "oks_matches",
    "oks_matrix",
    "pck",
    "pckh",
    "precision_recall",
    "relative_distances",
    "torso_lengths",
]

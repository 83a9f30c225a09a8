"""Measurements of what the project promises; each prints a table and writes it into docs/performance.md."""

import os

# One thread, unless the caller says otherwise. NumPy's linear algebra reads these once, when it is loaded.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

"""``python -m studies.default_model``."""

from __future__ import annotations

import sys

from studies.default_model.command import main

if __name__ == "__main__":
    sys.exit(main())

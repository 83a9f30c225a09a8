"""``python -m studies.ltsh``."""

from __future__ import annotations

import os
import sys

# Torch's threads would otherwise wait for each other at full speed on a busy processor. To be said before it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from studies.ltsh.command import main

if __name__ == "__main__":
    sys.exit(main())

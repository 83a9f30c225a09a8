"""``python -m ltsh_deploy``: the ``ltsh`` command."""

from __future__ import annotations

import sys

from ltsh_deploy.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

"""With what a figure was made."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from ltsh_deploy.machine import describe_machine
from ltsh_deploy.train.versions import code_version, package_versions

__all__ = ["provenance"]


def provenance() -> dict[str, Any]:
    """The machine, the code, the packages and the time, as JSON has them."""
    import torch

    machine = asdict(describe_machine())
    if torch.cuda.is_available():
        machine["gpu"] = torch.cuda.get_device_name()
    return {
        "machine": machine,
        "code": asdict(code_version()),
        "packages": package_versions(),
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }

"""With what a figure was made."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from ltsh_deploy.machine import describe_machine
from ltsh_deploy.train.versions import code_version, package_versions

__all__ = ["machine_facts", "now", "provenance"]


def provenance() -> dict[str, Any]:
    """The machine, the code and the packages, as JSON has them.

    To be asked before the work, not after it: by then, the checkout may have other code than ran.
    """
    return {"machine": machine_facts(), "code": asdict(code_version()), "packages": package_versions()}


def machine_facts() -> dict[str, Any]:
    """The machine, as JSON has it."""
    import torch

    machine = asdict(describe_machine())
    if torch.cuda.is_available():
        machine["gpu"] = torch.cuda.get_device_name()
    return machine


def now() -> str:
    """The time in UTC, as ISO 8601 has it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")

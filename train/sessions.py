"""What a run was made with: a run that goes on may do so with other code, packages, settings or data than before."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ltsh_deploy.errors import InputError
from ltsh_deploy.train.config_file import parse_config
from ltsh_deploy.train.versions import CodeVersion

if TYPE_CHECKING:
    from ltsh_deploy.train.config import RunConfig
    from ltsh_deploy.train.data import Pools
    from ltsh_deploy.train.groups import Groups

__all__ = ["Session", "changes_since", "data_facts", "differences", "read_sessions"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Session:
    """A part of a run that was made with other means than the one before.

    Attributes:
        step: how many steps were done when it began.
        code: which ran.
        packages: name to version of what it stood on; empty when not known.
        device: it ran on; empty when not known.
        changes: what was set or read otherwise than before: a name to what it was and what it is.
    """

    step: int
    code: CodeVersion
    packages: Mapping[str, str] = field(default_factory=dict)
    device: str = ""
    changes: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)

    def differs(self, before: Session) -> bool:
        """Whether anything is other than in the session before."""
        same = (self.code, self.packages, self.device) == (before.code, before.packages, before.device)
        return bool(self.changes) or not same

    def to_dict(self) -> dict[str, Any]:
        """It in numbers, texts, lists and dictionaries."""
        changes = {key: list(values) for key, values in self.changes.items()}
        return {**asdict(self), "packages": dict(self.packages), "changes": changes}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Session:
        """What :meth:`to_dict` was made of.

        Raises:
            ValueError, TypeError, KeyError: when it was made of nothing such.
        """
        changes = {str(key): (before, after) for key, (before, after) in data["changes"].items()}
        packages = {str(name): str(number) for name, number in data["packages"].items()}
        return cls(int(data["step"]), CodeVersion(**data["code"]), packages, str(data["device"]), changes)


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What differs between two nested mappings, by dotted keys: what it was and what it is, None where nothing was."""
    one, other = _flat(before), _flat(after)
    return {
        key: (one.get(key), other.get(key)) for key in dict.fromkeys((*one, *other)) if one.get(key) != other.get(key)
    }


def _flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in data.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def data_facts(pools: Pools, groups: Groups) -> dict[str, str]:
    """What a run's data sets hold, in a few words each: who goes on with it learns of other data by comparing them."""
    used = [(pool, "training") for pool in pools.training]
    if pools.validation is not None:
        used.append((pools.validation, "validation"))
    facts = {
        f"data set {pool.name}, {use}": f"{len(pool)} people in {len(set(pool.samples.tolist()))} pictures"
        for pool, use in used
    }
    if groups.grouping is not None:
        edges = ", ".join(f"{edge:.6g}" for edge in groups.grouping.boundaries)
        facts["groups"] = f"{groups.grouping.characteristic} parted at {edges}"
        facts["people in the groups"] = ", ".join(map(str, groups.counts))
    return facts


def changes_since(
    state: Mapping[str, Any], config: RunConfig, data: Mapping[str, str], where: str
) -> dict[str, tuple[Any, Any]]:
    """What is set or read otherwise than when a state was saved; said in warnings too.

    Args:
        state: with what was set and read then.
        config: of now.
        data: what the data sets hold now, from :func:`data_facts`.
        where: the state is from, for messages.

    Raises:
        InputError: when the state's configuration is none.
    """
    before = parse_config(state["config"], where).model_dump(mode="json")
    settings = differences(before, config.model_dump(mode="json"))
    # States of the first version say nothing of the data.
    read = differences(state.get("data") or data, data)
    for what, changes in (("another configuration", settings), ("other data", read)):
        if changes:
            said = "; ".join(
                f"{key} was {json.dumps(old)}, is {json.dumps(new)}" for key, (old, new) in changes.items()
            )
            _log.warning("resuming with %s than the run had so far: %s", what, said)
    return settings | read


def read_sessions(state: Mapping[str, Any], where: str) -> list[Session]:
    """The sessions in a state, at least one.

    Raises:
        InputError: when they are none.
    """
    try:
        sessions = [Session.from_dict(each) for each in state.get("sessions", [])]
    except (ValueError, TypeError, LookupError, AttributeError):
        raise InputError(f"{where}: does not say what the run was made with; it is damaged") from None
    return sessions or [Session(0, CodeVersion("of a version not known"))]

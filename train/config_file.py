"""Reading a run's configuration, with what is wrong in it said in its own terms, and writing it down again."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltsh_deploy.errors import ConfigError, InputError, UsageError
from ltsh_deploy.whole_files import write_whole
from ltsh_deploy.yaml_text import parse_yaml, read_yaml

if TYPE_CHECKING:
    from ltsh_deploy.train.config import RunConfig

__all__ = ["about_key", "blame", "dump_config", "parse_config", "read_config", "save_config"]


def read_config(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """The configuration in a YAML file.

    Args:
        path: of the file.
        overrides: ``key=value`` each, where the key is dotted (``optimiser.lr``) and the value is YAML.

    Raises:
        InputError: when the file cannot be read, or holds what no run can be made of.
        UsageError: for an override that is not ``key=value``, or makes a configuration that cannot be.
    """
    path = Path(path)
    data = _read_mapping(path)
    changed = deepcopy(data)
    for override in overrides:
        _override(changed, override)
    with blame(path, overrides):
        try:
            return _parse(changed)
        except ConfigError as error:
            # What is wrong without the overrides too is the file's.
            if overrides and error.message in _messages(data):
                raise InputError(f"{path}: {error.message}", error.remedy) from None
            raise


def parse_config(data: object, where: str) -> RunConfig:
    """The configuration in a mapping that ``where`` describes in messages.

    Raises:
        InputError: naming the first key that is wrong; for an unknown one, with the key that may have been meant.
    """
    try:
        return _parse(data)
    except ConfigError as error:
        raise InputError(f"{where}: {error.message}", error.remedy) from None


@contextmanager
def blame(path: str | Path, overrides: Sequence[str] = ()) -> Iterator[None]:
    """Say of errors of the configuration inside where the key that is wrong was set: in the file, or by an override.

    Args:
        path: of the file.
        overrides: ``key=value`` each.

    Raises:
        InputError: in place of a :class:`~ltsh_deploy.errors.ConfigError` whose key is the file's.
        UsageError: in place of one whose key is an override's.
    """
    try:
        yield
    except ConfigError as error:
        guilty = [f"--set {override}" for override in overrides if _is_about(error.key, override)]
        if guilty:
            raise UsageError(f"{', '.join(guilty)}: {error.message}", error.remedy) from None
        raise InputError(f"{path}: {error.message}", error.remedy) from None


@contextmanager
def about_key(key: str) -> Iterator[None]:
    """Errors of usage inside are errors of the configuration, at this key; files that cannot be used are named with it.

    Raises:
        ConfigError: in place of a UsageError.
        InputError: in place of one that is not of the configuration.
    """
    try:
        yield
    except ConfigError:
        raise
    except (UsageError, InputError) as error:
        message = error.message if error.message.startswith(key) else f"{key}: {error.message}"
        if isinstance(error, UsageError):
            raise ConfigError(message, error.remedy, key) from None
        raise type(error)(message, error.remedy) from None


def dump_config(config: RunConfig) -> str:
    """The configuration as YAML, every key with its value."""
    import yaml

    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def save_config(path: str | Path, config: RunConfig) -> None:
    """Write :func:`dump_config`'s text.

    Raises:
        OutputError: when it cannot be written.
    """
    write_whole(path, dump_config(config).encode())


def _read_mapping(path: Path) -> dict[Any, Any]:
    try:
        data = read_yaml(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    if not isinstance(data, dict):
        raise InputError(f"{path}: a configuration is a mapping of keys to values", "recipes/ holds examples.")
    return data


def _override(data: dict[Any, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise UsageError(f"--set {override}: is not key=value", "For example: --set optimiser.lr=0.001")
    try:
        value = parse_yaml(text)
    except ValueError as error:
        raise UsageError(f"--set {override}: the value {error}") from None
    from ltsh_deploy.train.teacher_config import spelled_out

    if parts[0] == "teacher" and len(parts) > 1:
        data["teacher"] = spelled_out(data.get("teacher"))
    inner = data
    for depth, part in enumerate(parts[:-1], start=1):
        if inner.get(part) is None:
            inner[part] = {}
        inner = inner[part]
        if not isinstance(inner, dict):
            raise UsageError(f"--set {override}: {'.'.join(parts[:depth])} is a value, it has no keys of its own")
    inner[parts[-1]] = value


def _is_about(key: str, override: str) -> bool:
    """Whether an override sets the key, something in it, or something it lies in; the empty key is the whole."""
    there, own = override.partition("=")[0].strip().split("."), key.split(".") if key else []
    return all(one == other for one, other in zip(there, own, strict=False))


def _messages(data: object) -> list[str]:
    return [error.message for error in _find_errors(data)[1]]


def _parse(data: object) -> RunConfig:
    config, errors = _find_errors(data)
    if config is None:
        raise errors[0]
    return config


def _find_errors(data: object) -> tuple[RunConfig | None, list[ConfigError]]:
    """The configuration, or all that is wrong with it, what explains most first."""
    from pydantic import TypeAdapter, ValidationError

    from ltsh_deploy.train.config import FORMAT_VERSION, RunConfig
    from ltsh_deploy.train.config_base import UNKNOWN_KEY

    try:
        version = TypeAdapter(int).validate_python(data.get("version") if isinstance(data, dict) else None)
    except ValidationError:
        version = FORMAT_VERSION
    if version > FORMAT_VERSION:
        later = ConfigError(
            f"version: is {version}, and this program reads configurations up to version {FORMAT_VERSION}",
            "It was written by a later version: pip install --upgrade ltsh-deploy",
            "version",
        )
        return None, [later]
    try:
        return RunConfig.model_validate(data), []
    except ValidationError as error:
        problems = error.errors(include_url=False)
        problems.sort(key=lambda problem: problem["type"] != UNKNOWN_KEY)
        return None, [_explain(problem, data) for problem in problems]


def _explain(problem: Mapping[str, Any], data: object) -> ConfigError:
    """What pydantic found, in the terms of the file."""
    from ltsh_deploy.train.config_base import TRUTH, UNKNOWN_KEY

    kind, context, location = problem["type"], problem.get("ctx", {}), problem["loc"]
    if kind in (UNKNOWN_KEY, TRUTH):
        location = (*location, context["key"])
    key = _dotted(location, data, is_missing=kind == "missing")
    if kind == UNKNOWN_KEY:
        close = difflib.get_close_matches(str(context["key"]), context["known"], n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"Keys there: {', '.join(context['known'])}."
        return ConfigError(f"there is no key {key!r}", hint, key)
    message = problem["msg"].removeprefix("Value error, ")
    if kind not in ("missing", "value_error", TRUTH):
        message += f", got {ascii(problem['input'])[:60]}"
    return ConfigError(f"{key or 'the configuration'}: {message}", key=key)


def _dotted(location: Sequence[str | int], data: Any, *, is_missing: bool = False) -> str:
    """A place as the user would write it.

    Where a value may be of several kinds, pydantic puts the kind's name into the location. What is not in the data
    is such a name, but for the last part of a key that is missing.
    """
    parts = []
    for number, part in enumerate(location, start=1):
        if part in (data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()):
            data = data[part]
        elif not (is_missing and number == len(location)):
            continue
        parts.append(str(part))
    return ".".join(parts)

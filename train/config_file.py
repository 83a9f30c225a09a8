"""Reading a run's configuration, with what is wrong in it said in its own terms, and writing it down again."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltsh_deploy.errors import InputError, UsageError
from ltsh_deploy.whole_files import write_whole

if TYPE_CHECKING:
    from pydantic import BaseModel

    from ltsh_deploy.train.config import RunConfig

__all__ = ["dump_config", "parse_config", "read_config", "save_config"]


def read_config(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """The configuration in a YAML file.

    Args:
        path: of the file.
        overrides: ``key=value`` each, where the key is dotted (``optimiser.lr``) and the value is YAML.

    Raises:
        InputError: when the file cannot be read, or holds what no run can be made of.
        UsageError: for an override that is not ``key=value`` or does not fit.
    """
    import yaml

    path = Path(path)
    try:
        data = _load_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not text in UTF-8, so not a configuration") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InputError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise InputError(f"{path}: a configuration is a mapping of keys to values", "recipes/ holds examples.")
    for override in overrides:
        _override(data, override)
    return parse_config(data, str(path))


def _load_yaml(text: str) -> Any:
    """The YAML's value; unlike plain YAML, a key that is there twice is an error and not the last one's value."""
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{key.value} is there twice", key.start_mark)
                seen.add(key.value if isinstance(key, yaml.ScalarNode) else None)
            return super().construct_mapping(node, deep)

    return yaml.load(text, Loader)


def _override(data: dict[str, Any], override: str) -> None:
    import yaml

    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise UsageError(f"--set {override}: is not key=value", "For example: --set optimiser.lr=0.001")
    try:
        value = _load_yaml(text)
    except (yaml.YAMLError, RecursionError, ValueError):
        raise UsageError(f"--set {override}: the value is not YAML") from None
    inner = data
    for depth, part in enumerate(parts[:-1], start=1):
        if inner.get(part) is None:
            inner[part] = {}
        inner = inner[part]
        if not isinstance(inner, dict):
            raise UsageError(f"--set {override}: {'.'.join(parts[:depth])} is a value, it has no keys of its own")
    inner[parts[-1]] = value


def parse_config(data: object, where: str) -> RunConfig:
    """The configuration in a mapping that ``where`` describes in messages.

    Raises:
        InputError: naming the first key that is wrong; for an unknown one, with the key that may have been meant.
    """
    from pydantic import ValidationError

    from ltsh_deploy.train.config import FORMAT_VERSION, RunConfig

    version = data.get("version") if isinstance(data, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise InputError(
            f"{where}: is a configuration of format version {version}; this program reads up to {FORMAT_VERSION}",
            "It was written by a later version: pip install --upgrade ltsh-deploy",
        )
    try:
        return RunConfig.model_validate(data)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        first = min(problems, key=lambda problem: problem["type"] != "extra_forbidden")
        key, _ = _place(RunConfig, first["loc"])
        if first["type"] == "extra_forbidden":
            _, known = _place(RunConfig, first["loc"][:-1])
            close = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else f"Keys there: {', '.join(known)}."
            raise InputError(f"{where}: there is no key {key!r}", hint) from None
        given = "" if first["type"] == "missing" else f", got {ascii(first['input'])[:60]}"
        message = first["msg"].removeprefix("Value error, ")
        given = "" if first["type"] == "value_error" else given
        raise InputError(f"{where}: {key or 'the configuration'}: {message}{given}") from None


def _place(model: type[BaseModel], location: Sequence[str | int]) -> tuple[str, list[str]]:
    """A place as the user would write it, dotted, and the keys there are at it; none if it is no place for keys.

    Where a value may be of several kinds, pydantic puts the kind's name into the location; the file has no such key.
    """
    kinds, parts = [model], []
    for part in location:
        if len(kinds) > 1:
            kinds = [kind for kind in kinds if part == _tag(kind)]
            continue
        parts.append(str(part))
        kind = kinds[0] if kinds else None
        field = getattr(kind, "model_fields", {}).get(part)
        # Of a mapping or a list, the last argument is the type of what is in it.
        inner = field.annotation if field is not None else next(reversed(typing.get_args(kind)), None)
        kinds = _alternatives(inner)
    return ".".join(parts), list(getattr(kinds[0], "model_fields", {})) if kinds else []


def _tag(kind: Any) -> Any:
    field = getattr(kind, "model_fields", {}).get("kind")
    return None if field is None else field.default


def _alternatives(annotation: Any) -> list[Any]:
    """The types that a value may be of, None aside."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _alternatives(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [kind for each in typing.get_args(annotation) for kind in _alternatives(each)]
    return [] if annotation in (None, type(None)) else [annotation]


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

"""YAML as people write it: every key stands once, and what cannot be read is said in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["parse_yaml", "read_yaml"]


def read_yaml(path: Path) -> Any:
    """The value of a YAML file, as :func:`parse_yaml` gives it.

    Raises:
        OSError: when the file cannot be read.
        ValueError: when it holds no text, or such as :func:`parse_yaml` refuses; the message continues a sentence.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError("is not YAML: it is not text in UTF-8") from None
    return parse_yaml(text)


def parse_yaml(text: str) -> Any:
    """The value of a YAML text, of plain kinds alone: mappings, lists, text, numbers, truth values, dates, None.

    Raises:
        ValueError: when it cannot be read, or has a key twice, of which YAML would silently take the last. The message
            continues a sentence: "has the key 'batch' twice (line 2)".
    """
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            # What is tagged as a mapping may be none, which is told by PyYAML.
            for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
                if not isinstance(key, yaml.ScalarNode):
                    continue
                if key.value in seen:
                    raise _TwiceError(f"has the key {key.value!r} twice (line {key.start_mark.line + 1})")
                seen.add(key.value)
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader)
    except _TwiceError:
        raise
    except yaml.MarkedYAMLError as error:
        line = f" (line {error.problem_mark.line + 1})" if error.problem_mark is not None else ""
        raise ValueError(f"is not YAML: {error.problem}{line}") from None
    # PyYAML lets these out for numbers, dates and tagged values that cannot be, and has no limit to nesting but the
    # stack's.
    except (yaml.YAMLError, RecursionError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise ValueError(f"is not YAML: {' '.join(str(error).split())}") from None


class _TwiceError(ValueError):
    pass

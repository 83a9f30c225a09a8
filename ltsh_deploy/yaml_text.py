"""YAML as people write it: every key stands once, and what cannot be read is said in one line."""

from __future__ import annotations

from typing import Any

__all__ = ["parse_yaml"]


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
            for key, _ in node.value:
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

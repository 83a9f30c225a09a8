"""What a reader left out of a data set, counted and reported, never silently."""

from __future__ import annotations

import logging
from collections import Counter

from ltsh_deploy.errors import InputError

__all__ = ["Skips"]

_log = logging.getLogger("ltsh_deploy.datasets")
_EXAMPLES = 3


class Skips:
    """Collects the entries that a reader cannot use.

    Args:
        source: the data set's file or folder, for messages.

    Attributes:
        counts: reason to number of entries.
        examples: reason to the first few entries, each with what is wrong about it.
        broken: the reasons that mean that the data set is damaged; others are rules of its format.
    """

    def __init__(self, source: object) -> None:
        self.source = source
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}
        self.broken: set[str] = set()

    def add(self, reason: str, entry: object, *, broken: bool = True) -> None:
        """Count one more entry; ``reason`` is a plural: "pictures without labels"."""
        self.counts[reason] += 1
        if broken:
            self.broken.add(reason)
        examples = self.examples.setdefault(reason, [])
        if len(examples) < _EXAMPLES:
            examples.append(str(entry))

    def copy(self) -> Skips:
        """An independent one with the same counts."""
        other = Skips(self.source)
        other.counts, other.broken = self.counts.copy(), set(self.broken)
        other.examples = {reason: list(examples) for reason, examples in self.examples.items()}
        return other

    def report(self, kept: int) -> None:
        """Warn, once, of everything that was left out.

        Raises:
            InputError: when nothing at all was kept.
        """
        if not kept:
            raise self.nothing_left()
        if self.counts:
            _log.warning("%s: left out %s", self.source, self._summary())

    def nothing_left(self, remedy: str = "") -> InputError:
        """The error for a data set of which nothing could be used."""
        because = f": left out {self._summary()}" if self.counts else ""
        return InputError(f"{self.source}: holds no usable samples{because}", remedy)

    def _summary(self) -> str:
        return "; ".join(f"{n} {reason} (first: {self.examples[reason][0]})" for reason, n in self.counts.most_common())

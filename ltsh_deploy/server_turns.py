"""Who may decode a picture now: lanes take turns, and large pictures leave a place for small ones."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Hashable

__all__ = ["Turns"]


class Turns:
    """Places of which each picture needs one; its methods belong to the event loop's thread.

    Args:
        places: pictures at a time; where there are several, large ones never take the last of them.
    """

    def __init__(self, places: int) -> None:
        self._free, self._free_for_large = places, max(1, places - 1)
        self._lanes: OrderedDict[Hashable, deque[tuple[bool, asyncio.Future[None]]]] = OrderedDict()

    async def take(self, lane: Hashable, large: bool) -> None:
        """Wait for a place; :meth:`give` gives it back.

        Args:
            lane: whose turn it must be; within a lane the order is kept.
            large: whether the picture takes long.
        """
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lanes.setdefault(lane, deque()).append((large, granted))
        self._grant()
        try:
            await granted
        except asyncio.CancelledError:
            if not granted.cancelled():
                # It came in the same moment.
                self.give(large)
            raise

    def give(self, large: bool) -> None:
        """Give a place back; ``large`` as it was taken."""
        self._free += 1
        self._free_for_large += large
        self._grant()

    def _grant(self) -> None:
        while self._free and self._next():
            pass

    def _next(self) -> bool:
        """Give a place to the first lane that can use it, and send that lane to the end; whether there was one."""
        for lane, waiting in list(self._lanes.items()):
            while waiting and waiting[0][1].done():
                # Nobody waits for it any more.
                waiting.popleft()
            if not waiting:
                del self._lanes[lane]
                continue
            large, granted = waiting[0]
            if large and not self._free_for_large:
                continue
            waiting.popleft()
            self._lanes.move_to_end(lane)
            self._free -= 1
            self._free_for_large -= large
            granted.set_result(None)
            return True
        return False

"""Turns at decoding: lanes, large pictures, and those who do not wait any more."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

from ltsh_deploy.server_turns import Turns


async def wait(turns: Turns, order: list[Hashable], lane: Hashable, large: bool = False) -> None:
    await turns.take(lane, large)
    order.append(lane)


async def begun() -> None:
    """Let tasks go as far as they can."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_lanes_take_turns_at_decoding() -> None:
    async def scene() -> list[Hashable]:
        turns, order = Turns(1), list[Hashable]()
        await turns.take("first", False)
        tasks = [asyncio.ensure_future(wait(turns, order, lane)) for lane in ("greedy", "greedy", "greedy", "modest")]
        await begun()
        for _ in tasks:
            turns.give(False)
            await begun()
        return order

    assert asyncio.run(scene()) == ["greedy", "modest", "greedy", "greedy"]


def test_a_place_is_kept_from_large_pictures() -> None:
    async def scene() -> tuple[list[Hashable], list[Hashable]]:
        turns, order = Turns(2), list[Hashable]()
        tasks = [asyncio.ensure_future(wait(turns, order, number, large=True)) for number in range(2)]
        tasks.append(asyncio.ensure_future(wait(turns, order, "small")))
        await begun()
        before = list(order)
        turns.give(True)
        await asyncio.gather(*tasks)
        return before, order

    assert asyncio.run(scene()) == ([0, "small"], [0, "small", 1])


def test_where_there_is_one_place_large_pictures_have_it_too() -> None:
    async def scene() -> None:
        turns = Turns(1)
        for large in (True, False, True):
            await asyncio.wait_for(turns.take("lane", large), 5)
            turns.give(large)

    asyncio.run(scene())


def test_whoever_goes_takes_no_place_with_him() -> None:
    async def scene() -> list[Hashable]:
        turns, order = Turns(1), list[Hashable]()
        await turns.take("first", False)
        gone, stays = (asyncio.ensure_future(wait(turns, order, lane)) for lane in ("gone", "stays"))
        await begun()
        gone.cancel()
        await begun()
        turns.give(False)
        await asyncio.wait_for(stays, 5)
        # And if the place comes at the very moment when he goes.
        late, last = (asyncio.ensure_future(wait(turns, order, lane)) for lane in ("late", "last"))
        await begun()
        turns.give(False)
        late.cancel()
        await asyncio.wait_for(last, 5)
        return order

    assert asyncio.run(scene()) == ["stays", "last"]

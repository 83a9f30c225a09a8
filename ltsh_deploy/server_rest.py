"""``POST /v1/poses``: from a body to results."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from starlette.requests import ClientDisconnect, Request

from ltsh_deploy.server_engine import Engine
from ltsh_deploy.server_errors import RequestError
from ltsh_deploy.server_metrics import Metrics
from ltsh_deploy.server_pictures import Wishes
from ltsh_deploy.server_uploads import Upload, Uploads

__all__ = ["find_all"]


async def find_all(request: Request, wishes: Wishes, engine: Engine, uploads: Uploads, metrics: Metrics) -> Any:
    """The results for the pictures in a request's body.

    Raises:
        RequestError: when there is none.
    """
    engine.check(wishes)
    lane = request.client.host if request.client else None
    with engine.places(lane):
        # Whoever would be refused anyway is so before the body is received.
        pass
    declared = request.headers.get("content-length", "")
    with uploads.room(int(declared) if declared.isdecimal() else None) as room:
        try:
            pictures = await room.receive(request.stream(), request.headers.get("content-type", ""))
        except ClientDisconnect:
            raise RequestError("bad_request", "the body is cut off") from None
        request.state.received = True
        with contextlib.ExitStack() as stack:
            try:
                places = stack.enter_context(engine.places(lane, min(len(pictures), engine.config.batch)))
            except RequestError as error:
                for _ in pictures:
                    metrics.outcome("http", error.code)
                raise
            task = asyncio.ensure_future(_in_turns(pictures, wishes, engine, metrics, lane, places))
            gone = asyncio.ensure_future(_until_gone(request))
            try:
                await asyncio.wait([task, gone], return_when=asyncio.FIRST_COMPLETED)
                if not task.done():
                    raise RequestError("bad_request", "nobody waits for the answer")
            finally:
                for each in (task, gone):
                    each.cancel()
                    with contextlib.suppress(asyncio.CancelledError, RequestError):
                        await each
            results = task.result()
    if len(results) == 1 and isinstance(results[0], RequestError):
        raise results[0]
    failures = [result for result in results if isinstance(result, RequestError)]
    if len(failures) == len(results):
        raise failures[0]
    return {
        "results": [
            {"source": picture.source, **result.body} if isinstance(result, RequestError) else result
            for picture, result in zip(pictures, results, strict=True)
        ]
    }


async def _until_gone(request: Request) -> None:
    while not await request.is_disconnected():
        await asyncio.sleep(0.5)


async def _in_turns(
    pictures: list[Upload], wishes: Wishes, engine: Engine, metrics: Metrics, lane: object, places: int
) -> list[dict[str, Any] | RequestError]:
    """Each picture's result or error, so many at a time."""
    free = asyncio.Semaphore(places)

    async def look(picture: Upload) -> dict[str, Any] | RequestError:
        try:
            async with free:
                found = await engine.find(bytes(picture.data), wishes, lane, time.perf_counter())
            answer = found.answer(found.poses)
        except RequestError as error:
            metrics.outcome("http", error.code)
            return error
        except asyncio.CancelledError:
            metrics.outcome("http", "gone")
            raise
        metrics.outcome("http", "done")
        return {"source": picture.source, **answer}

    return list(await asyncio.gather(*map(look, pictures)))

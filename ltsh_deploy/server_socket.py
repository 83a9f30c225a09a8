"""One WebSocket: a camera's frames come, poses go; the newest frame wins, and nothing piles up."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from ltsh_deploy.server_engine import Engine
from ltsh_deploy.server_errors import RequestError
from ltsh_deploy.server_forms import Settings
from ltsh_deploy.server_metrics import Metrics
from ltsh_deploy.tracking import Tracker, TrackerConfig

__all__ = ["Session"]

# Answers that a client has not taken; while there are so many, nothing more is read of it.
_MAX_UNSENT = 32
_LONGEST_SETTINGS = 4096


@dataclass(frozen=True)
class _Frame:
    """What came, when, and how it is to be looked at: as the settings were then."""

    number: int
    data: bytes
    arrived: float
    settings: Settings
    tracker: Tracker | None


class Session:
    """A client's frames, settings and tracks.

    Args:
        websocket: accepted.
        engine: looks at the frames.
        metrics: counts.
    """

    def __init__(self, websocket: WebSocket, engine: Engine, metrics: Metrics) -> None:
        self._websocket, self._engine, self._metrics = websocket, engine, metrics
        self._settings = Settings()
        self._tracker: Tracker | None = None
        self._count = 0
        self._waiting: _Frame | None = None
        self._arrived = asyncio.Event()
        self._unsent: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_MAX_UNSENT)
        self._allowance, self._allowed_at = max(engine.config.max_rate, 1.0), time.perf_counter()

    async def run(self) -> None:
        """Until the client goes, is idle for too long, or is cut off."""
        tasks = [asyncio.ensure_future(part()) for part in (self._receive, self._look, self._send)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            if self._waiting is not None:
                self._metrics.outcome("websocket", "gone")
        for end in ends:
            # A client that went is no news; anything else is a mistake of ours, and is to be seen.
            if isinstance(end, Exception) and not isinstance(end, WebSocketDisconnect):
                raise end

    async def _receive(self) -> None:
        while True:
            try:
                message = await asyncio.wait_for(self._websocket.receive(), self._engine.config.idle_s)
            except asyncio.TimeoutError:
                await self._websocket.close(1000, "idle")
                return
            if message["type"] == "websocket.disconnect":
                return
            text, data = message.get("text"), message.get("bytes")
            if text is not None:
                await self._unsent.put(self._change(text))
            elif data is not None:
                await self._take(data)

    def _change(self, text: str) -> dict[str, Any]:
        """Heed a text message; the answer."""
        try:
            if len(text) > _LONGEST_SETTINGS:
                raise RequestError("bad_settings", "settings are shorter than that")
            given = Settings.model_validate_json(text)
            self._engine.check(given.wishes)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            place = ".".join(map(str, first["loc"]))[:100]
            return RequestError("bad_settings", f"{place}: {first['msg']}" if place else str(first["msg"])).body
        except RequestError as error:
            return error.body
        before = self._settings
        self._settings = before.model_copy(update=given.model_dump(exclude_unset=True))
        now = self._settings
        if (now.track, now.smooth, now.skeleton) != (before.track, before.smooth, before.skeleton):
            follow = now.track or now.smooth
            self._tracker = Tracker(TrackerConfig(smooth=now.smooth)) if follow else None
        return {"settings": now.model_dump()}

    async def _take(self, data: bytes) -> None:
        """Make a frame the one that waits."""
        number, self._count = self._count, self._count + 1
        if not self._may_come():
            await self._drop(number, "rate")
            return
        frame = _Frame(number, data, time.perf_counter(), self._settings, self._tracker)
        passed, self._waiting = self._waiting, frame
        self._arrived.set()
        if passed is not None:
            await self._drop(passed.number, "newer")

    def _may_come(self) -> bool:
        """Whether the client keeps to its rate, a second's worth of frames being let through at once."""
        rate, now = self._engine.config.max_rate, time.perf_counter()
        self._allowance = min(max(rate, 1.0), self._allowance + rate * (now - self._allowed_at))
        self._allowed_at = now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True

    async def _drop(self, number: int, reason: str) -> None:
        self._metrics.outcome("websocket", f"dropped, {reason}")
        await self._unsent.put({"seq": number, "dropped": reason})

    async def _look(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            if self._waiting is None:
                continue
            frame, self._waiting = self._waiting, None
            try:
                with self._engine.places(self):
                    answer = await self._find(frame)
            except asyncio.CancelledError:
                self._metrics.outcome("websocket", "gone")
                raise
            except RequestError as error:
                if error.status == 503:
                    await self._drop(frame.number, "overload")
                    continue
                self._metrics.outcome("websocket", error.code)
                answer = {"seq": frame.number, **error.body}
            await self._unsent.put(answer)

    async def _find(self, frame: _Frame) -> dict[str, Any]:
        found = await self._engine.find(frame.data, frame.settings.wishes, self, frame.arrived)
        poses = found.poses if frame.tracker is None else frame.tracker.update(found.poses, frame.arrived)
        answer = found.answer(poses)
        self._metrics.outcome("websocket", "done")
        return {"seq": frame.number, **answer}

    async def _send(self) -> None:
        while True:
            answer = await self._unsent.get()
            await self._websocket.send_text(json.dumps(answer, separators=(",", ":"), allow_nan=False))

"""What pycuda does not know of streams: CUDA graphs, and streams of other libraries. The driver is called directly.

A graph is work that is put into a stream once and started again by a single call.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

__all__ = ["DriverError", "Graph", "record", "wait_for"]

# CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: what other threads do meanwhile has no bearing on it.
_THIS_THREAD = 1
_GRAPH_FUNCTIONS = (
    *("cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags"),
    *("cuGraphLaunch", "cuGraphDestroy", "cuGraphExecDestroy"),
)
# CU_EVENT_DISABLE_TIMING
_NO_TIMING = 2


class DriverError(Exception):
    """What was asked of the driver directly, it refuses; for the rest, pycuda has an error of its own."""


class Graph:
    """Recorded work, ready to be started."""

    def __init__(self, driver: Any, executable: ctypes.c_void_p) -> None:
        self._driver, self._executable = driver, executable

    def launch(self, stream: Any) -> None:
        """Put the work into a stream of pycuda's.

        Raises:
            DriverError: when the driver refuses.
        """
        _check("cuGraphLaunch", self._driver.cuGraphLaunch(self._executable, ctypes.c_void_p(stream.handle)))

    def close(self) -> None:
        """Give it back; work that was started still ends."""
        self._driver.cuGraphExecDestroy(self._executable)


def record(stream: Any, enqueue: Callable[[], None]) -> Graph | None:
    """What ``enqueue`` puts into a stream, as a graph; nothing of it is done yet.

    Args:
        stream: pycuda's, not the default one.
        enqueue: launches and asynchronous copies.

    Returns:
        None where the driver has no graphs, or takes this work into none.
    """
    driver = _driver()
    if not all(hasattr(driver, name) for name in _GRAPH_FUNCTIONS):
        return None
    handle = ctypes.c_void_p(stream.handle)
    graph, executable = ctypes.c_void_p(), ctypes.c_void_p()
    if driver.cuStreamBeginCapture_v2(handle, _THIS_THREAD):
        return None
    try:
        enqueue()
    finally:
        # Also when something was raised: a stream that goes on recording is of no use to anybody.
        code = driver.cuStreamEndCapture(handle, ctypes.byref(graph))
    if code or not graph.value:
        return None
    code = driver.cuGraphInstantiateWithFlags(ctypes.byref(executable), graph, ctypes.c_ulonglong(0))
    driver.cuGraphDestroy(graph)
    return None if code else Graph(driver, executable)


def wait_for(stream: Any, other: int) -> None:
    """Let what is put into a stream from now on wait for what another stream has by now.

    Args:
        stream: pycuda's.
        other: the handle of any; 1 and 2 are the default ones, as in ``__cuda_array_interface__``.

    Raises:
        DriverError: when the driver refuses.
    """
    driver, event = _driver(), ctypes.c_void_p()
    _check("cuEventCreate", driver.cuEventCreate(ctypes.byref(event), _NO_TIMING))
    try:
        _check("cuEventRecord", driver.cuEventRecord(event, ctypes.c_void_p(other)))
        _check("cuStreamWaitEvent", driver.cuStreamWaitEvent(ctypes.c_void_p(stream.handle), event, 0))
    finally:
        # The driver keeps the event for as long as somebody waits for it.
        driver.cuEventDestroy_v2(event)


def _check(function: str, code: int) -> None:
    if code:
        raise DriverError(f"{function} fails with error {code}")


@cache
def _driver() -> Any:
    return ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")

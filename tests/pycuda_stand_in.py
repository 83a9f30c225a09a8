"""A GPU that is none: the part of pycuda that runtimes use, on host memory, with every rule of its use enforced.

What is put into a stream is done when the stream is waited for and not before, so that a result read too early is a
wrong one, and a pinned array that changes while a copy from it is pending is noticed. Whatever breaks a rule raises
:class:`Broken`, which no code under test may catch.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt


class Broken(BaseException):
    """A rule was broken that real CUDA answers with a crash, garbage or a leak."""


class Error(Exception):
    """pycuda's error, which programs may catch."""


class Gpu:
    """The state of one device.

    Attributes:
        fail_after: so many further allocations succeed; None is any number.
    """

    def __init__(self, name: str = "Stand-in 1000", capability: tuple[int, int] = (8, 6)) -> None:
        self.name, self.capability = name, capability
        self.blocks: dict[int, npt.NDArray[np.uint8]] = {}
        self.watched: list[weakref.ref[Any]] = []
        self.broken: list[str] = []
        self.streams: weakref.WeakValueDictionary[int, Stream] = weakref.WeakValueDictionary()
        self.retained = 0
        self.fail_after: int | None = None
        self._stacks = threading.local()
        self._next = 1 << 20

    @property
    def stack(self) -> list[Context]:
        """Of this thread."""
        if not hasattr(self._stacks, "contexts"):
            self._stacks.contexts = []
        contexts: list[Context] = self._stacks.contexts
        return contexts

    def watch(self, thing: Any) -> None:
        """Have :meth:`check_nothing_left` ask whether it still lives, or was freed when its context was gone."""
        self.watched.append(weakref.ref(thing))
        weakref.finalize(thing, self._note_end, type(thing).__name__)

    def _note_end(self, kind: str) -> None:
        if not self.retained:
            self.broken.append(f"a {kind} was freed after its context")

    def check_current(self, what: str) -> None:
        if not self.stack:
            raise Broken(f"{what}: no context is current in this thread")

    def allocate(self, size: int) -> int:
        if self.fail_after is not None:
            if not self.fail_after:
                raise Error("cuMemAlloc failed: out of memory")
            self.fail_after -= 1
        address, self._next = self._next, self._next + size + 256
        # Real memory holds anything; this holds what no result may be.
        self.blocks[address] = np.full(size, 0xFF, np.uint8)
        return address

    def view(self, address: int, size: int, what: str) -> npt.NDArray[np.uint8]:
        """So many bytes at an address, which must lie within one block."""
        for start, block in self.blocks.items():
            if start <= address and address + size <= start + block.size:
                return block[address - start : address - start + size]
        raise Broken(f"{what}: {size} bytes at {address:#x} are no memory of the device, or were freed")

    def check_nothing_left(self) -> None:
        """After a runtime was closed and forgotten."""
        left = [type(thing).__name__ for reference in self.watched if (thing := reference()) is not None]
        assert self.broken == []
        assert (left, len(self.blocks), self.retained, self.stack) == ([], 0, 0, [])


class Context:
    def __init__(self, gpu: Gpu) -> None:
        self.gpu, self.detached = gpu, False
        gpu.retained += 1

    def push(self) -> None:
        if self.detached:
            raise Broken("a detached context was pushed")
        self.gpu.stack.append(self)

    def pop(self) -> None:
        if not self.gpu.stack or self.gpu.stack[-1] is not self:
            raise Broken("a context was popped that is not current")
        self.gpu.stack.pop()

    def detach(self) -> None:
        if self.detached or self in self.gpu.stack:
            raise Broken("a context was detached twice, or while it was current")
        self.detached = True
        self.gpu.retained -= 1


class Stream:
    def __init__(self, gpu: Gpu) -> None:
        gpu.check_current("Stream()")
        self.gpu, self.handle = gpu, 4096 + 8 * len(gpu.watched)
        self.pending: list[Callable[[], None]] = []
        gpu.streams[self.handle] = self
        gpu.watch(self)

    def synchronize(self) -> None:
        self.gpu.check_current("Stream.synchronize")
        while self.pending:
            self.pending.pop(0)()

    def __del__(self) -> None:
        if self.pending:
            self.gpu.broken.append("a stream was freed with work in it")


class Event:
    def __init__(self, gpu: Gpu) -> None:
        gpu.check_current("Event()")
        self.gpu, self.stream, self.reached = gpu, None, True
        gpu.watch(self)

    def record(self, stream: Stream) -> None:
        self.gpu.check_current("Event.record")
        self.stream, self.reached = stream, False
        stream.pending.append(lambda: setattr(self, "reached", True))

    def synchronize(self) -> None:
        self.gpu.check_current("Event.synchronize")
        while not self.reached:
            assert self.stream is not None
            self.stream.pending.pop(0)()


class Memory:
    """An allocation of the pool."""

    def __init__(self, pool: DeviceMemoryPool, size: int) -> None:
        # The real one rounds sizes up.
        self.pool, self.size = pool, max(size, 1)
        kept = pool.kept.get(self.size)
        self.address = kept.pop() if kept else pool.gpu.allocate(size)
        pool.gpu.watch(self)

    def __int__(self) -> int:
        return self.address

    def __del__(self) -> None:
        if hasattr(self, "address"):
            self.pool.take_back(self)


class DeviceMemoryPool:
    def __init__(self, gpu: Gpu) -> None:
        gpu.check_current("DeviceMemoryPool()")
        self.gpu, self.kept, self.holds = gpu, dict[int, list[int]](), True

    def allocate(self, size: int) -> Memory:
        self.gpu.check_current("DeviceMemoryPool.allocate")
        return Memory(self, size)

    def take_back(self, memory: Memory) -> None:
        if self.holds:
            if not self.gpu.stack and not any(self.kept.values()):
                self.gpu.broken.append("a pool began to keep memory where no context was current")
            self.kept.setdefault(memory.size, []).append(memory.address)
        else:
            self.gpu.blocks.pop(memory.address)

    def stop_holding(self) -> None:
        self.gpu.check_current("DeviceMemoryPool.stop_holding")
        self.holds = False
        for address in [address for addresses in self.kept.values() for address in addresses]:
            del self.gpu.blocks[address]
        self.kept.clear()


class Pinned(np.ndarray[Any, Any]):
    """A pinned array; views of it are pinned too."""


def install(monkeypatch: Any, gpu: Gpu | None) -> None:
    """Have ``import pycuda.driver`` and the NVIDIA driver find this GPU, or none."""
    from ltsh_deploy import nvidia_driver
    from ltsh_deploy.errors import DeviceError

    def list_gpus() -> list[nvidia_driver.Gpu]:
        if gpu is None:
            raise DeviceError("there is no NVIDIA driver on this machine")
        return [nvidia_driver.Gpu(gpu.name, gpu.capability)]

    monkeypatch.setattr(nvidia_driver, "list_gpus", list_gpus)
    for name, module in (modules(gpu) if gpu is not None else {"pycuda.driver": None}).items():
        monkeypatch.setitem(__import__("sys").modules, name, module)


def modules(gpu: Gpu) -> dict[str, ModuleType]:
    """pycuda's modules by name."""
    initialised: list[bool] = []

    class Device:
        def __init__(self, index: int) -> None:
            if not initialised or index:
                raise Broken("Device(): before init(), or of a GPU that is not there")

        def retain_primary_context(self) -> Context:
            return Context(gpu)

    def pagelocked_empty(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Pinned:
        gpu.check_current("pagelocked_empty")
        array = np.full(shape, 0xFF, np.uint8).astype(dtype).view(Pinned)
        gpu.watch(array)
        return array

    def memcpy_htod_async(target: Memory, source: npt.NDArray[Any], stream: Stream) -> None:
        gpu.check_current("memcpy_htod_async")
        content = check_pinned(source, "memcpy_htod_async").tobytes()
        room = gpu.view(int(target), len(content), "memcpy_htod_async")

        def copy() -> None:
            if source.tobytes() != content:
                raise Broken("a pinned array changed while a copy from it was pending")
            room[:] = np.frombuffer(content, np.uint8)

        stream.pending.append(copy)

    def memcpy_dtoh_async(target: npt.NDArray[Any], source: Memory, stream: Stream) -> None:
        gpu.check_current("memcpy_dtoh_async")
        check_pinned(target, "memcpy_dtoh_async")
        address, size = int(source), target.nbytes

        def copy() -> None:
            content = gpu.view(address, size, "memcpy_dtoh_async")
            target[...] = content.view(target.dtype).reshape(target.shape)

        stream.pending.append(copy)

    package, driver, tools = (ModuleType(name) for name in ("pycuda", "pycuda.driver", "pycuda.tools"))
    for module in (package, driver, tools):
        module.__spec__ = __import__("importlib.machinery").machinery.ModuleSpec(module.__name__, None, origin="tests")
    vars(driver).update(
        init=lambda: initialised.append(True),
        Device=Device,
        Stream=lambda: Stream(gpu),
        Event=lambda: Event(gpu),
        Error=Error,
        pagelocked_empty=pagelocked_empty,
        memcpy_htod_async=memcpy_htod_async,
        memcpy_dtoh_async=memcpy_dtoh_async,
    )
    vars(tools).update(DeviceMemoryPool=lambda: DeviceMemoryPool(gpu))
    vars(package).update(driver=driver, tools=tools, __path__=[])
    return {module.__name__: module for module in (package, driver, tools)}


def check_pinned(array: npt.NDArray[Any], what: str) -> npt.NDArray[Any]:
    if not isinstance(array, Pinned) or not array.flags.c_contiguous:
        raise Broken(f"{what}: the array on the host is not pinned, or not contiguous")
    return array

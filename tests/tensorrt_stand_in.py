"""TensorRTs that are none: what the exporter and the runtime use of 8.6, 10, 11 and of TensorRT for RTX, in Python.

An "engine" is the ONNX file and what was asked of it; onnxruntime runs it when the stand-in of a GPU
(:mod:`tests.pycuda_stand_in`) comes to it. Every attribute that may be used is declared, and by ``__slots__`` no other
can be set; ``test_tensorrt_contract.py`` holds them all against the real bindings. What ends a process that uses the
real ones, or is undefined there, raises :class:`~tests.pycuda_stand_in.Broken`.
"""

from __future__ import annotations

import enum
import json
import sys
import threading
import warnings
import weakref
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime

from ltsh_deploy.fields import Fields
from tests.pycuda_stand_in import Broken, Gpu

VERSIONS = {"8.6": "8.6.0", "10": "10.16.1.11", "11": "11.4.0.106", "rtx": "1.7.1.116"}
#: What an axis of an output is called whose length depends on the picture.
DATA_DEPENDENT = "data-dependent"
_ONNX_TYPES = {
    "tensor(uint8)": "UINT8",
    "tensor(float)": "FLOAT",
    "tensor(float16)": "HALF",
    "tensor(bool)": "BOOL",
    "tensor(int8)": "INT8",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(bfloat16)": "BF16",
    "tensor(float8e4m3fn)": "FP8",
}
_SIZED = {"UINT8": "uint8", "FLOAT": "float32", "HALF": "float16", "BOOL": "bool", "INT8": "int8", "INT32": "int32"}
_SIZED |= {"INT64": "int64", "BF16": "uint16"}
_SPELLINGS = {"fp32": "Float", "fp16": "Half", "int8": "Int8"}


class World:
    """What a test may set, and what it may ask afterwards.

    Attributes:
        gpu: the device, or None.
        computes: the precision in which layers are built, whatever was asked for; None obeys.
        refuses: what the builder says instead of building.
        layers_readable: whether layers tell their types.
        logger_hears: whether errors go to the logger, or to the recorder alone.
        steps: of the build; the monitor is told of each.
        log: calls in order, by name.
        config: what the last build was asked for.
    """

    def __init__(self, gpu: Gpu | None) -> None:
        self.gpu = gpu
        self.computes: str | None = None
        self.refuses: str | None = None
        self.steps = 20
        self.log: list[str] = []
        self.broken: list[str] = []
        self.layers_readable = True
        self.logger_hears = True
        self.config: Any = None

    def outlives(self, reference: Any, what: str) -> None:
        """Note that something was freed before what was made with it."""
        if reference is not None and reference() is None:
            self.broken.append(what)


def make(version: str, world: World) -> ModuleType:
    """The module ``tensorrt``, or ``tensorrt_rtx``, of one of :data:`VERSIONS`."""
    old, rtx = version == "8.6", version == "rtx"
    trt = ModuleType("tensorrt_rtx" if rtx else "tensorrt")
    trt.__spec__ = __import__("importlib.machinery").machinery.ModuleSpec(trt.__name__, None, origin="tests")

    def kind(name: str, members: str) -> Any:
        return enum.IntEnum(name, [(member, value) for value, member in enumerate(members.split())])

    flags = "REFIT" + ("" if version in ("11", "rtx") else " FP16 INT8") + " TF32"
    BuilderFlag = kind("BuilderFlag", flags)
    CreationFlag = kind(
        "NetworkDefinitionCreationFlag",
        {"8.6": "EXPLICIT_BATCH", "10": "EXPLICIT_BATCH STRONGLY_TYPED"}.get(version, "STRONGLY_TYPED"),
    )
    HardwareCompatibilityLevel = kind(
        "HardwareCompatibilityLevel", "NONE AMPERE_PLUS" + ("" if old else " SAME_COMPUTE_CAPABILITY")
    )
    DataType = kind("DataType", "FLOAT HALF INT8 INT32 BOOL UINT8" + ("" if old else " FP8 BF16 INT64"))
    TensorIOMode = kind("TensorIOMode", "NONE INPUT OUTPUT")
    Severity = kind("Severity", "INTERNAL_ERROR ERROR WARNING INFO VERBOSE")

    class ILogger:
        __slots__ = ("__dict__", "__weakref__")

        def log(self, severity: Any, msg: str) -> None:
            raise NotImplementedError

    ILogger.Severity = Severity  # type: ignore[attr-defined]

    class IErrorRecorder:
        __slots__ = ("__dict__", "__weakref__")

        def report_error(self, arg0: Any, arg1: str) -> bool:
            raise NotImplementedError

    class IProgressMonitor:
        __slots__ = ("__dict__", "__weakref__")

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            raise NotImplementedError

        def step_complete(self, phase_name: str, step: int) -> bool:
            raise NotImplementedError

        def phase_finish(self, phase_name: str) -> None:
            raise NotImplementedError

    class Reporting:
        """Something that has a logger and an error recorder, which must outlive it."""

        __slots__ = ("__weakref__", "_logger", "_recorder")

        def __init__(self, logger: Any) -> None:
            self._logger, self._recorder = weakref.ref(logger), None

        @property
        def error_recorder(self) -> Any:
            return self._recorder and self._recorder()

        @error_recorder.setter
        def error_recorder(self, recorder: Any) -> None:
            self._recorder = weakref.ref(recorder)

        def _say(self, message: str) -> None:
            logger, recorder = self._logger(), self._recorder and self._recorder()
            if logger is None:
                raise Broken("the logger was freed while it was needed")
            if world.logger_hears:
                logger.log(Severity.ERROR, message)
            if recorder is not None:
                recorder.report_error(1, message)

        def __del__(self) -> None:
            for name in ("_logger", "_recorder"):
                world.outlives(getattr(self, name, None), f"a {name[1:]} was freed before its {type(self).__name__}")

    class IHostMemory(bytes):
        pass

    class ILayer:
        __slots__ = ("name", "type")

        def __init__(self, node: Any) -> None:
            self.name = node.name
            self.type = trt.LayerType.PLUGIN_V2 if node.op_type == "MyPlugin" else trt.LayerType.CONVOLUTION

    class INetworkDefinition:
        __slots__ = ("__weakref__", "_builder", "_flags", "_model")

        def __init__(self, builder: Any, flags: int) -> None:
            self._builder, self._flags, self._model = builder, flags, None

        @property
        def num_layers(self) -> int:
            return len(self._model.graph.node)

        def get_layer(self, index: int) -> ILayer:
            return ILayer(self._model.graph.node[index])

    class IOptimizationProfile:
        __slots__ = ("_ranges",)

        def __init__(self) -> None:
            self._ranges: dict[str, Any] = {}

        def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:
            self._ranges[input] = [list(shape) for shape in (min, opt, max)]

    class ITimingCache:
        __slots__ = ("_content",)

        def __init__(self, content: bytes) -> None:
            self._content = content

        def serialize(self) -> bytes:
            return IHostMemory(b"measured by " + VERSIONS[version].encode())

    class IBuilderConfig:
        __slots__ = (
            *("__weakref__", "_builder", "_cache", "_flags", "_level", "_memory", "_profiles"),
            *("profiling_verbosity", *([] if old else ["progress_monitor"])),
        )

        def __init__(self, builder: Any) -> None:
            self._builder, self._flags, self._profiles = builder, {BuilderFlag.TF32}, []
            self._level, self._memory, self._cache = HardwareCompatibilityLevel.NONE, {}, None
            self.profiling_verbosity = trt.ProfilingVerbosity.LAYER_NAMES_ONLY
            if not old:
                self.progress_monitor = None

        @property
        def hardware_compatibility_level(self) -> Any:
            return self._level

        @hardware_compatibility_level.setter
        def hardware_compatibility_level(self, level: Any) -> None:
            self._level = HardwareCompatibilityLevel.NONE if rtx else level

        def set_flag(self, flag: Any) -> None:
            self._flags.add(flag)

        def clear_flag(self, flag: Any) -> None:
            self._flags.discard(flag)

        def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
            self._memory[pool] = pool_size

        def add_optimization_profile(self, profile: Any) -> int:
            for name, (low, middle, high) in profile._ranges.items():
                if not all(a <= b <= c for a, b, c in zip(low, middle, high, strict=True)):
                    self._builder._say(f"IOptimizationProfile::isValid: Error Code 4: API Usage Error ({name})")
                    return -1
            self._profiles.append(profile)
            return len(self._profiles) - 1

        def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache:
            if serialized_timing_cache and not serialized_timing_cache.startswith(b"measured by"):
                self._builder._say("Failed to deserialize timing cache. Returning an empty timing cache.")
            return ITimingCache(serialized_timing_cache)

        def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
            if rtx:
                warnings.warn("Timing cache operations are no-ops in TensorRT-RTX.", DeprecationWarning, stacklevel=2)
            self._cache = cache
            return ignore_mismatch or not cache._content or cache._content.endswith(VERSIONS[version].encode())

        def get_timing_cache(self) -> Any:
            return self._cache

    class Builder(Reporting):
        __slots__ = ()

        def __init__(self, logger: Any) -> None:
            if world.gpu is None and not rtx:
                logger.log(Severity.WARNING, "CUDA initialization failure with error: 35")
                raise TypeError("pybind11::init(): factory function returned nullptr")
            super().__init__(logger)

        def create_network(self, flags: int = 0) -> INetworkDefinition:
            if not flags:
                raise Broken("a network of implicit batches, or of weak types where strong ones exist")
            return INetworkDefinition(self, flags)

        def create_builder_config(self) -> IBuilderConfig:
            return IBuilderConfig(self)

        def create_optimization_profile(self) -> IOptimizationProfile:
            return IOptimizationProfile()

        def build_serialized_network(self, network: Any, config: Any) -> Any:
            world.log.append("build")
            world.config = SimpleNamespace(
                flags={flag.name for flag in config._flags},
                memory=list(config._memory.values()),
                level=config._level.name,
                profiles=[profile._ranges for profile in config._profiles],
            )
            if network._model is None:
                raise Broken("a network was built that nothing was parsed into")
            if config.profiling_verbosity != trt.ProfilingVerbosity.DETAILED:
                raise Broken("without details, the layers' types cannot be read back")
            monitor = None if old else config.progress_monitor
            if monitor is not None and threading.current_thread() is threading.main_thread():
                raise Broken("the build runs where Ctrl-C is raised")
            if monitor is not None:
                monitor.phase_start("Building engine", None, world.steps)
                for step in range(world.steps):
                    if not monitor.step_complete("Building engine", step):
                        self._say(
                            "IBuilder::buildSerializedNetwork: Error Code 7: BuildCanceled (Build canceled by user)"
                        )
                        return None
                monitor.phase_finish("Building engine")
            if world.refuses is not None:
                self._say(world.refuses)
                return None
            layers = _describe(network._model, _computed(network, config)) if world.layers_readable else []
            engine = {
                "version": VERSIONS[version],
                "layers": layers,
                "profile": config._profiles[0]._ranges if config._profiles else {},
                "model": network._model.SerializeToString().hex(),
            }
            self._logger().log(Severity.VERBOSE, "Layers:\n" + "\n".join(map(_as_line, layers)))
            return IHostMemory(json.dumps(engine).encode())

    def _computed(network: Any, config: Any) -> str | None:
        """In what every layer is computed; None where each keeps its own type."""
        if world.computes is not None or network._flags == 1 << CreationFlag.__members__.get("STRONGLY_TYPED", 99):
            return world.computes
        names = {"FP16": "fp16", "INT8": None}
        allowed = [names[flag.name] for flag in config._flags if flag.name in names]
        return allowed[0] if allowed else "fp32"

    class ParserError:
        __slots__ = ("_index", "_node", "_text")

        def __init__(self, text: str, index: int, node: Any) -> None:
            self._text, self._index, self._node = text, index, node

        def desc(self) -> str:
            return self._text

        def node(self) -> int:
            return self._index

    if not old:
        ParserError.node_name = lambda self: self._node.name  # type: ignore[attr-defined]
        ParserError.node_operator = lambda self: self._node.op_type  # type: ignore[attr-defined]

    class OnnxParser:
        __slots__ = ("_error", "_flags", "_logger", "_network")

        def __init__(self, network: Any, logger: Any) -> None:
            if network._builder.error_recorder is not None:
                raise Broken("a parser is made after the recorder was set: freeing it ends the process")
            self._network, self._logger, self._error, self._flags = network, logger, None, set()

        @property
        def num_errors(self) -> int:
            return int(self._error is not None)

        def get_error(self, index: int) -> Any:
            return self._error

        def parse(self, model: bytes, path: str | None = None) -> bool:
            world.log.append("parse")
            parsed = onnx.load_model_from_string(model)
            for index, node in enumerate(parsed.graph.node):
                if node.op_type == "Unheard":
                    text = "Assertion failed: status.is_success(): Found unsupported input type of UINT8"
                    self._error = ParserError(text, index, node)
                    return False
            self._network._model = parsed
            return True

    if not old:
        OnnxParser.set_flag = lambda self, flag: self._flags.add(flag)  # type: ignore[attr-defined]

    class EngineInspector:
        __slots__ = ("_engine",)

        def __init__(self, engine: Any) -> None:
            self._engine = engine

        def get_engine_information(self, format: Any) -> str:
            return json.dumps({"Layers": self._engine._data["layers"], "Bindings": []})

    class IExecutionContext:
        __slots__ = ("_addresses", "_engine", "_shape")

        def __init__(self, engine: Any) -> None:
            self._engine, self._shape, self._addresses = engine, None, {}

        def set_input_shape(self, name: str, shape: Any) -> bool:
            low, _, high = self._engine.get_tensor_profile_shape(name, 0)
            if not all(a <= length <= b for a, length, b in zip(low, shape, high, strict=True)):
                self._engine._runtime._say(f"IExecutionContext::setInputShape: Error Code 3: API Usage Error ({name})")
                return False
            self._shape = tuple(shape)
            return True

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            if self._shape is None:
                raise Broken("an output's shape was asked for before the input's was set")
            declared = next(o.shape for o in self._engine._session.get_outputs() if o.name == name)
            lengths = self._engine._shapes(self._shape)[name]
            return tuple(-1 if a == DATA_DEPENDENT else b for a, b in zip(declared, lengths, strict=True))

        def set_tensor_address(self, name: str, memory: int) -> bool:
            self._addresses[name] = memory
            return True

        def execute_async_v3(self, stream_handle: int) -> bool:
            gpu, engine = _device(world), self._engine
            gpu.check_current("execute_async_v3")
            if set(self._addresses) != set(engine._names):
                raise Broken("the engine was run without the addresses of all inputs and outputs")
            if stream_handle not in gpu.streams:
                raise Broken("the engine was run on a stream that is none")
            shape, addresses = self._shape, dict(self._addresses)
            sizes = {engine._input: int(np.prod(shape)) * engine._dtype(engine._input).itemsize}
            for name, output in engine._shapes(shape).items():
                sizes[name] = int(np.prod(output)) * engine._dtype(name).itemsize
            views = {name: gpu.view(addresses[name], size, f"the tensor {name}") for name, size in sizes.items()}

            def run() -> None:
                picture = views[engine._input].view(engine._dtype(engine._input)).reshape(shape)
                outputs = [name for name in engine._names if name != engine._input]
                for name, maps in zip(outputs, engine._session.run(outputs, {engine._input: picture}), strict=True):
                    views[name][:] = np.frombuffer(maps.tobytes(), np.uint8)

            gpu.streams[stream_handle].pending.append(run)
            return True

        def __del__(self) -> None:
            if self._engine._runtime is None:
                world.broken.append("an engine was freed before its context")

    class ICudaEngine:
        __slots__ = ("__weakref__", "_data", "_input", "_names", "_runtime", "_session", "_types")

        def __init__(self, runtime: Any, data: dict[str, Any]) -> None:
            self._runtime, self._data = runtime, data
            self._session = onnxruntime.InferenceSession(
                bytes.fromhex(data["model"]), providers=["CPUExecutionProvider"]
            )
            tensors = [*self._session.get_inputs(), *self._session.get_outputs()]
            self._names, self._input = [tensor.name for tensor in tensors], tensors[0].name
            self._types = {tensor.name: _ONNX_TYPES[tensor.type] for tensor in tensors}

        def _dtype(self, name: str) -> np.dtype[Any]:
            return np.dtype(_SIZED[self._types[name]])

        def _shapes(self, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
            zeros = np.zeros(shape, self._dtype(self._input))
            return {
                o.name: m.shape
                for o, m in zip(self._session.get_outputs(), self._session.run(None, {self._input: zeros}), strict=True)
            }

        @property
        def num_io_tensors(self) -> int:
            return len(self._names)

        def get_tensor_name(self, index: int) -> str:
            return self._names[index]

        def get_tensor_mode(self, name: str) -> Any:
            return TensorIOMode.INPUT if name == self._input else TensorIOMode.OUTPUT

        def get_tensor_dtype(self, name: str) -> Any:
            return DataType[self._types[name]]

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            tensors = {t.name: t for t in (*self._session.get_inputs(), *self._session.get_outputs())}
            return tuple(length if isinstance(length, int) else -1 for length in tensors[name].shape)

        def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[Any]:
            return self._data["profile"].get(name) or [self.get_tensor_shape(name)] * 3

        def create_engine_inspector(self) -> EngineInspector:
            return EngineInspector(self)

        def create_execution_context(self) -> IExecutionContext | None:
            _device(world).check_current("create_execution_context")
            return IExecutionContext(self)

    class Runtime(Reporting):
        __slots__ = ()

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
            if world.gpu is None:
                raise Broken("an engine was loaded without a GPU, which ends the process")
            try:
                data = json.loads(serialized_engine)
            except ValueError:
                self._say("IRuntime::deserializeCudaEngine: Error Code 1: Serialization (magicTag)")
                return None
            if data["version"] != VERSIONS[version]:
                self._say(
                    "IRuntime::deserializeCudaEngine: Error Code 6: API Usage Error (The engine plan file is old)"
                )
                return None
            return ICudaEngine(self, data)

    def init_libnvinfer_plugins(logger: Any, namespace: str) -> bool:
        world.log.append("plugins")
        return True

    classes = [ILogger, IErrorRecorder, INetworkDefinition, ILayer, IOptimizationProfile, ITimingCache, IBuilderConfig]
    classes += [Builder, ParserError, OnnxParser, EngineInspector, IExecutionContext, ICudaEngine, Runtime, IHostMemory]
    classes += [BuilderFlag, CreationFlag, HardwareCompatibilityLevel, DataType, TensorIOMode]
    classes += [] if old else [IProgressMonitor, kind("OnnxParserFlag", "NATIVE_INSTANCENORM")]
    classes += [kind("ProfilingVerbosity", "LAYER_NAMES_ONLY NONE DETAILED"), kind("MemoryPoolType", "WORKSPACE")]
    classes += [kind("LayerInformationFormat", "ONELINE JSON")]
    classes += [kind("LayerType", "CONVOLUTION PLUGIN PLUGIN_V2" + ("" if old else " PLUGIN_V3"))]
    vars(trt).update({each.__name__: each for each in classes})
    vars(trt).update(__version__=VERSIONS[version], init_libnvinfer_plugins=init_libnvinfer_plugins)
    return trt


def _device(world: World) -> Gpu:
    if world.gpu is None:
        raise Broken("a GPU is used, and there is none")
    return world.gpu


def _describe(model: Any, computed: str | None) -> list[dict[str, Any]]:
    """What TensorRT's inspector says of the convolutions of a model."""
    from ltsh_deploy.export.graphs import count_precisions

    kinds = [computed or name for name, count in count_precisions(model).items() for _ in range(count)]
    return [
        {
            "Name": f"conv {index}",
            "LayerType": "CaskConvolution",
            "Inputs": [{"Name": "x", "Dimensions": [-1, 8, -1, -1], "Format/Datatype": _SPELLINGS[kind]}],
            "Weights": {"Type": _SPELLINGS[kind], "Count": 64},
        }
        for index, kind in enumerate(kinds)
    ]


def _as_line(layer: dict[str, Any]) -> str:
    kind = layer["Weights"]["Type"]
    return (
        f"Name: {layer['Name']}, LayerType: correlation, "
        f"Inputs: [ {{ Name: x, Dimensions: [-1,8,-1,-1], Datatype: {kind} }}], "
        f"Constants: [ {{ Name: w, Dimensions: [8,8,3,3], Datatype: {kind} }}], Outputs: []"
    )


def install(monkeypatch: Any, version: str, gpu: Gpu | None) -> World:
    """Have programs find this TensorRT, and no other, and this GPU, or none."""
    from tests import pycuda_stand_in

    world = World(gpu)
    module = make(version, world)
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, module if module.__name__ == name else None)
    pycuda_stand_in.install(monkeypatch, gpu)
    decoder = ModuleType("ltsh_deploy.cuda_decode")
    decoder.CudaDecoder = partial(HostDecoder, world)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, decoder.__name__, decoder)
    return world


class HostDecoder:
    """The CUDA decoder's place taken by the one for the host, which reads the maps where the engine left them."""

    def __init__(self, world: World, skeleton: Any, config: Any, *, session: Any) -> None:
        self._world, self._session = world, session
        self._arguments = skeleton, config
        world.log.append("decoder")

    def decode_fields(self, fields: Any) -> list[Any]:
        from ltsh_deploy.decode import decode_fields

        if fields.stream != int(self._session.stream.handle):
            raise Broken("the maps are on another stream than the decoder's")
        with self._session.current():
            self._session.stream.synchronize()
        heatmaps, pafs = (self._read(maps.__cuda_array_interface__) for maps in (fields.heatmaps, fields.pafs))
        self._world.log.append(f"decode {len(heatmaps)}")
        images = [Fields(*maps, fields.stride) for maps in zip(heatmaps, pafs, strict=True)]
        return [decode_fields(each, *self._arguments) for each in images]

    def _read(self, interface: Any) -> Any:
        dtype = np.dtype(interface["typestr"])
        size = int(np.prod(interface["shape"])) * dtype.itemsize
        content = _device(self._world).view(interface["data"][0], size, "decode_fields").copy()
        return content.view(dtype).reshape(interface["shape"])

    def close(self) -> None:
        # It frees on the GPU what it had, for which the session must be there.
        with self._session.current():
            self._world.log.append("decoder closed")

"""ONNX to a TensorRT engine's bytes, by whichever TensorRT is installed.

An engine's precision is that of its ONNX file. Where TensorRT knows strong typing (10 and later), every type is taken
as the file has it; before, the builder is allowed the file's precision, and what it made of that is read back.
"""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltsh_deploy.errors import DeviceError, ExportError, UsageError
from ltsh_deploy.export.engine_errors import build_error, parser_error
from ltsh_deploy.export.engine_precision import count_layers
from ltsh_deploy.export.engine_progress import BuildProgress, monitor
from ltsh_deploy.tensorrt_library import Messages, freed_on_error, library_version, plain_words

if TYPE_CHECKING:
    from ltsh_deploy.engine_files import Shapes

__all__ = ["BuildSettings", "BuiltEngine", "build_engine"]

#: --compat as TensorRT spells it.
_LEVELS = {"same-cc": "SAME_COMPUTE_CAPABILITY", "ampere+": "AMPERE_PLUS"}
_PLUGIN_LAYERS = ("PLUGIN", "PLUGIN_V2", "PLUGIN_V3")


@dataclass(frozen=True)
class BuildSettings:
    """What a build is asked for.

    Attributes:
        source: the model as the user knows it, for messages.
        input: the name of the input.
        fixed: lengths of its axes, -1 for those that vary.
        layout: which axis is which, a permutation of ``NHWC``.
        shapes: the inputs that the engine shall take.
        precision: the ONNX file's own, for libraries without strong typing.
        compat: ``none``, ``same-cc`` or ``ampere+``.
        workspace: MiB of GPU memory that layers may take while they run; None leaves it to TensorRT.
        plugin_free: refuse what needs a plugin library.
        timing_cache: what earlier builds measured; None for no cache, empty for a new one.
    """

    source: Path
    input: str
    fixed: tuple[int, ...]
    layout: str
    shapes: Shapes
    precision: str
    compat: str = "none"
    workspace: int | None = None
    plugin_free: bool = False
    timing_cache: bytes | None = None


@dataclass(frozen=True)
class BuiltEngine:
    """What a build gave.

    Attributes:
        plan: the engine's bytes.
        layers: how many layers with weights compute in what; empty where TensorRT does not say.
        read_back: who said so: the ``inspector`` of the loaded engine, or, where no GPU can load it, the ``builder``.
        strongly_typed: whether types were taken as the ONNX file has them.
        plugins: layers that need a plugin library.
        timing_cache: what it measured; None where that was not asked for.
    """

    plan: bytes
    layers: Counter[str]
    read_back: str
    strongly_typed: bool
    plugins: tuple[str, ...]
    timing_cache: bytes | None


class _Workshop:
    """TensorRT's objects of one build, freed in the one order that does not take the process along."""

    def __init__(self, trt: Any, messages: Messages) -> None:
        self.trt, self.messages = trt, messages
        self.parser: Any = None
        self.network: Any = None
        self.profile: Any = None
        self.config: Any = None
        self.builder: Any = None
        try:
            self.builder = trt.Builder(messages.logger)
        except TypeError:
            # The bindings' way to say that there is no builder, for want of a GPU nearly always.
            said = messages.errors or messages.warnings
            reason = plain_words(said[-1]) if said else "it gives no reason"
            raise DeviceError(
                f"{library_version(trt)} cannot build engines here ({reason})",
                "It needs a working NVIDIA GPU: see nvidia-smi. TensorRT for RTX builds without one.",
            ) from None

    def __enter__(self) -> _Workshop:
        return self

    def __exit__(self, *exception: object) -> None:
        for name in ("parser", "profile", "config", "network", "builder"):
            setattr(self, name, None)


def build_engine(
    trt: Any, messages: Messages, model: bytes, path: Path, settings: BuildSettings, progress: BuildProgress, gpu: bool
) -> BuiltEngine:
    """Build, and read back what was built.

    Args:
        trt: the TensorRT module.
        messages: of :func:`~ltsh_deploy.tensorrt_library.listen`; the caller keeps it until this has returned.
        model: the ONNX file's bytes.
        path: the file, for weights that lie beside it.
        settings: what is asked for.
        progress: is told how far it is.
        gpu: whether a GPU is there; without one, loading an engine ends the process.

    Raises:
        ExportError: when TensorRT cannot take the network, or cannot build it.
        UsageError: for a setting that this TensorRT does not have.
        DeviceError: when it needs a GPU and there is none.
    """
    watcher = monitor(trt, progress)
    with freed_on_error(), _Workshop(trt, messages) as shop:
        strongly_typed = _parse(shop, model, path, settings)
        plugins = _plugin_layers(shop)
        if plugins and settings.plugin_free:
            raise ExportError(
                f"{settings.source}: layer {plugins[0]!r} needs a plugin library",
                "Leave --plugin-free out, if that is well.",
            )
        _configure(shop, settings, strongly_typed, watcher)
        cache = _timing_cache(shop, settings)
        memory = shop.builder.build_serialized_network(shop.network, shop.config)
        if memory is None:
            raise build_error(settings.source, messages, settings.workspace)
        plan = bytes(memoryview(memory))
        del memory
        measured = None if cache is None else bytes(memoryview(shop.config.get_timing_cache().serialize()))
        del cache
    found = ((witness, count_layers(report)) for witness, report in _read_back(trt, messages, plan, gpu))
    read_back, layers = next((pair for pair in found if pair[1]), ("builder", Counter[str]()))
    return BuiltEngine(plan, layers, read_back, strongly_typed, plugins, measured)


def _parse(shop: _Workshop, model: bytes, path: Path, settings: BuildSettings) -> bool:
    """Read the ONNX file into a network; whether that is strongly typed."""
    trt = shop.trt
    kinds = trt.NetworkDefinitionCreationFlag
    strongly_typed = hasattr(kinds, "STRONGLY_TYPED")
    # Explicit batches are a flag where they are not the only kind.
    flag = kinds.STRONGLY_TYPED if strongly_typed else kinds.EXPLICIT_BATCH
    shop.network = shop.builder.create_network(1 << int(flag))
    if not settings.plugin_free and hasattr(trt, "init_libnvinfer_plugins"):
        trt.init_libnvinfer_plugins(shop.messages.logger, "")
    shop.parser = trt.OnnxParser(shop.network, shop.messages.logger)
    if settings.plugin_free and hasattr(trt.OnnxParser, "set_flag"):
        shop.parser.set_flag(trt.OnnxParserFlag.NATIVE_INSTANCENORM)
    if not shop.parser.parse(model, str(path)):
        raise parser_error(settings.source, shop.parser, model)
    # Not before there is a parser: one made later looks at the recorder when it is freed, which ends the process.
    shop.builder.error_recorder = shop.messages.recorder
    return strongly_typed


def _plugin_layers(shop: _Workshop) -> tuple[str, ...]:
    kinds = [kind for name in _PLUGIN_LAYERS if (kind := getattr(shop.trt.LayerType, name, None)) is not None]
    layers = [shop.network.get_layer(index) for index in range(shop.network.num_layers)]
    return tuple(layer.name for layer in layers if layer.type in kinds)


def _configure(shop: _Workshop, settings: BuildSettings, strongly_typed: bool, watcher: Any | None) -> None:
    trt = shop.trt
    shop.config = config = shop.builder.create_builder_config()
    # Without details, an engine does not say what its layers compute in.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    # TF32 is no float32: it has 10 bits of mantissa, and would be taken without a word.
    if hasattr(trt.BuilderFlag, "TF32"):
        config.clear_flag(trt.BuilderFlag.TF32)
    if not strongly_typed:
        for precision in {"fp16": ("FP16",), "int8": ("INT8",)}.get(settings.precision, ()):
            config.set_flag(getattr(trt.BuilderFlag, precision))
    if settings.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace << 20)
    if settings.compat != "none":
        _set_compatibility(trt, config, settings.compat)
    if watcher is not None:
        config.progress_monitor = watcher
    if -1 in settings.fixed:
        shop.profile = profile = shop.builder.create_optimization_profile()
        ranges = (settings.shapes.min, settings.shapes.opt, settings.shapes.max)
        profile.set_shape(settings.input, *(_as_laid_out(shape, settings.layout) for shape in ranges))
        if config.add_optimization_profile(profile) < 0:
            reason = shop.messages.last_error()
            raise UsageError(f"TensorRT does not take the shapes {settings.shapes} ({reason})", "Give other --shapes.")


def _as_laid_out(shape: tuple[int, int, int], layout: str) -> tuple[int, ...]:
    axes = dict(zip("NHWC", (*shape, 3), strict=True))
    return tuple(axes[axis] for axis in layout)


def _set_compatibility(trt: Any, config: Any, compat: str) -> None:
    level = getattr(trt.HardwareCompatibilityLevel, _LEVELS[compat], None)
    if level is not None:
        config.hardware_compatibility_level = level
    # TensorRT for RTX takes any level and keeps none.
    if level is None or config.hardware_compatibility_level != level:
        raise UsageError(
            f"{library_version(trt)} knows no engines for --compat {compat}",
            "Leave --compat out"
            + (
                ": engines of TensorRT for RTX run on any of its GPUs."
                if level is not None
                else ", or take a newer one."
            ),
        )


def _timing_cache(shop: _Workshop, settings: BuildSettings) -> Any | None:
    """The cache in use, filled with what earlier builds measured."""
    if settings.timing_cache is None:
        return None
    config = shop.config
    before = len(shop.messages.errors)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        cache = config.create_timing_cache(settings.timing_cache)
        taken = cache is not None and config.set_timing_cache(cache, False)
    # TensorRT for RTX takes caches, and says that they do nothing.
    if any("no-op" in str(warning.message) for warning in said):
        raise UsageError(f"{library_version(shop.trt)} keeps no timing caches", "Leave --timing-cache out.")
    if not taken or len(shop.messages.errors) > before:
        raise UsageError(
            f"{library_version(shop.trt)} does not take the timing cache: it is of another version or GPU, or damaged",
            "Name another --timing-cache, or remove the file: a new one is then begun.",
        )
    return cache


def _read_back(trt: Any, messages: Messages, plan: bytes, gpu: bool) -> list[tuple[str, str]]:
    """What TensorRT says of the layers of an engine, and who says so: the best witness first."""
    reports = [("builder", "\n".join(messages.layers))]
    with freed_on_error():
        runtime = engine = inspector = None
        if gpu:
            runtime = trt.Runtime(messages.logger)
            runtime.error_recorder = messages.recorder
            engine = runtime.deserialize_cuda_engine(plan)
        if engine is not None:
            inspector = engine.create_engine_inspector()
            report = str(inspector.get_engine_information(trt.LayerInformationFormat.JSON))
            reports.insert(0, ("inspector", report))
        # In the one order that is safe.
        del inspector, engine, runtime
    return reports

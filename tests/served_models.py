"""A small server that speaks Triton's protocol over gRPC, and serves the ONNX models of a repository."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnxruntime
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

TYPES = {"UINT8": np.uint8, "FP16": np.float16, "FP32": np.float32}


def read_config(folder: Path) -> Any:
    """The config.pbtxt of a model, by the protocol's own parser, which refuses what it does not know."""
    return text_format.Parse((folder / "config.pbtxt").read_bytes(), model_config_pb2.ModelConfig())


class _Server(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    def __init__(self, repository: Path) -> None:
        self._repository = repository

    def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ModelConfigResponse(config=read_config(self._repository / request.name))

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        folder = self._repository / request.model_name
        config = read_config(folder)
        version = max(int(path.name) for path in folder.iterdir() if path.name.isdecimal())
        session = onnxruntime.InferenceSession(str(folder / str(version) / config.default_model_filename))
        (given,), (declared,) = request.inputs, config.input
        rank = len(declared.dims) + (config.max_batch_size > 0)
        fits = zip(declared.dims, given.shape[-len(declared.dims) :], strict=True)
        if (
            given.name != declared.name
            or f"TYPE_{given.datatype}" != model_config_pb2.DataType.Name(declared.data_type)
            or len(given.shape) != rank
            or (config.max_batch_size and given.shape[0] > config.max_batch_size)
            or any(want not in (-1, length) for want, length in fits)
        ):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"the input does not fit {declared}")
        array = np.frombuffer(request.raw_input_contents[0], TYPES[given.datatype]).reshape(list(given.shape))
        names = [output.name for output in config.output]
        answer = service_pb2.ModelInferResponse(model_name=request.model_name, model_version=str(version))
        for output, values in zip(config.output, session.run(names, {given.name: array}), strict=True):
            kind = model_config_pb2.DataType.Name(output.data_type).removeprefix("TYPE_")
            assert values.dtype == TYPES[kind]
            answer.outputs.add(name=output.name, datatype=kind, shape=values.shape)
            answer.raw_output_contents.append(values.tobytes())
        return answer


@contextmanager
def serving(repository: Path) -> Iterator[str]:
    """The address at which the models of a repository are served."""
    server = grpc.server(ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(_Server(repository), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(grace=None).wait()

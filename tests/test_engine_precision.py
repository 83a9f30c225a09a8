"""What an engine computes in is read from TensorRT's reports, and held against its ONNX file."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltsh_deploy.errors import ExportError
from ltsh_deploy.export.engine_precision import check_precision, count_layers
from ltsh_deploy.export.engine_progress import BuildProgress
from ltsh_deploy.tensorrt_library import plain_words


def layer(kind: str, datatype: str, **more: object) -> dict[str, object]:
    return {
        "Name": "x",
        "LayerType": kind,
        "Inputs": [{"Name": "a", "Format/Datatype": datatype}],
        "Outputs": [],
        **more,
    }


def test_layers_with_weights_are_counted_by_their_types() -> None:
    kernel = {"Dimensions": [64, 32, 3, 3], "Datatype": "Int8"}
    bias = {"Dimensions": [1, 64, 1, 1], "Datatype": "Float"}
    layers = [
        layer(
            "CaskConvolution", "Channel major FP16 format where channel % 8 == 0", Weights={"Type": "Half", "Count": 9}
        ),
        layer("CaskConvolution", "Row major Int8 format", Weights={"Type": "Int8", "Count": 9}),
        layer("correlation", "Half"),
        layer("gemm", "Row major linear FP32"),
        layer("kgen", "Float", Constants=[bias, kernel]),
        layer("kgen", "Half", Constants=[bias]),
        layer("Reformat", "Row major linear FP32"),
        layer("NoOp", "Half"),
        layer("CaskConvolution", "BFloat16"),
    ]
    counts = count_layers(json.dumps({"Layers": layers, "Bindings": []}))
    assert counts == {"fp16": 2, "int8": 2, "fp32": 1, "bf16": 1}


@pytest.mark.parametrize(
    "report",
    ["", "{}", "[]", "null", '{"Layers": 3}', '{"Layers": ["conv"]}', '{"Layers": [{"Constants": 1}]}', "Name: a"],
)
def test_reports_without_layers_count_nothing(report: str) -> None:
    assert count_layers(report) == {}


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    count_layers(text)
    count_layers("Name: " + text)
    assert len(plain_words(text)) <= 400


@pytest.mark.parametrize(
    ("wanted", "expected", "built"),
    [
        ("fp32", {"fp32": 49}, {"fp32": 47}),
        ("fp16", {"fp16": 49}, {"fp16": 45, "fp32": 4}),
        ("int8", {"int8": 48, "fp32": 1}, {"int8": 48, "fp32": 1}),
        ("int8", {"int8": 30, "fp32": 19}, {"int8": 29, "fp32": 20}),
    ],
)
def test_what_was_asked_for_passes(wanted: str, expected: dict[str, int], built: dict[str, int]) -> None:
    check_precision(wanted, expected, built)


@pytest.mark.parametrize(
    ("wanted", "expected", "built"),
    [
        ("fp32", {"fp32": 49}, {"fp32": 48, "fp16": 1}),
        ("fp16", {"fp16": 49}, {"fp32": 49}),
        ("fp16", {"fp16": 49}, {"fp16": 40, "fp32": 9}),
        ("fp16", {"fp16": 49}, {"fp16": 48, "int8": 1}),
        ("int8", {"int8": 49}, {"fp16": 49}),
        ("int8", {"int8": 49}, {"int8": 20, "fp32": 29}),
        ("fp32", {"fp32": 49}, {}),
    ],
)
def test_anything_else_does_not(wanted: str, expected: dict[str, int], built: dict[str, int]) -> None:
    with pytest.raises(ExportError):
        check_precision(wanted, expected, built)


def test_nested_phases_make_one_number_that_never_goes_back() -> None:
    told: list[tuple[int, str]] = []
    progress = BuildProgress(lambda percents, phase: told.append((percents, phase)))
    progress.start("all", None, 2)
    progress.start("first", "all", 4)
    for step in range(4):
        progress.step("first", step)
    assert sum(percents for percents, _ in told) == 50
    progress.finish("first")
    progress.step("all", 0)
    assert sum(percents for percents, _ in told) == 50
    progress.start("second", "all", 0)
    progress.step("unknown", 3)
    progress.finish("second")
    progress.step("all", 1)
    progress.finish("all")
    assert sum(percents for percents, _ in told) == 100
    assert all(percents >= 0 for percents, _ in told)
    assert [phase for _, phase in told if phase] == ["all", "first", "second"]
    assert progress.goes_on


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("IBuilder::buildSerializedNetwork: Error Code 4: API Usage Error (Network must have at least one output. In "
         "validate at /_src/optimizer/api/network.cpp:3810)", "Network must have at least one output"),
        ("Assertion failed: status.is_success(): Found unsupported type", "Found unsupported type"),
        ("2: [virtualMemoryBuffer.cpp::resizePhysical::145] Error Code 2: OutOfMemory (no further information)",
         "no further information"),
        ("something else entirely", "something else entirely"),
        ("", ""),
    ],
)  # fmt: skip
def test_messages_lose_what_only_tensorrts_makers_understand(said: str, words: str) -> None:
    assert plain_words(said) == words

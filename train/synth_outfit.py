"""An outfit in the making: layers that are put on one after the other, and what they hide."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.train.synth_charts import Sheet
from ltsh_deploy.train.synth_materials import MATERIAL, Materials
from ltsh_deploy.train.synth_types import Shape
from ltsh_deploy.train.synth_wardrobe import Wardrobe

__all__ = ["Layer", "Outfit"]

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Layer:
    """One sheet on one person at rest; n vertices of which m are distinct, as in :class:`Sheet`.

    Attributes:
        sheet: the triangles.
        rest: [m, 3] where its vertices lie on this person at rest.
        cut: [m] positive where it is cut away.
        materials: [F] int32.
        tint: [m].
        body_vertices: [m] int32 the body vertices that it moves with.
        sticks_out: whether it may reach far from the body.
        hangs_from: [3] a point at rest, from which it hangs and keeps upright however the body turns; or None.
    """

    sheet: Sheet
    rest: Floats
    cut: Floats
    materials: Ints
    tint: Floats
    body_vertices: Ints
    sticks_out: bool
    hangs_from: Floats | None = None


class Outfit:
    """What a person wears, filled from the skin outwards.

    Attributes:
        wardrobe: of the body.
        shape: the person.
        rng: where numbers come from.
        layers: put on so far.
        names: what was put on, by kind: plain text, for the data sheet.
        covered: [V] negative under a garment: about minus the metres to its hem.
        reach: [V] metres between the tights' rest and the outermost garment.
    """

    def __init__(self, wardrobe: Wardrobe, shape: Shape, rng: np.random.Generator) -> None:
        self.wardrobe, self.shape, self.rng = wardrobe, shape, rng
        self.layers: list[Layer] = []
        self.names: dict[str, str] = {}
        self.covered: Floats = np.ones(len(shape.vertices), np.float32)
        self.reach: Floats = np.zeros(len(shape.vertices), np.float32)
        self._materials: list[Materials] = []

    @property
    def materials(self) -> Materials:
        """[M] all materials so far."""
        # Concatenating structured arrays is slow.
        table = np.empty(len(self._materials), MATERIAL)
        for index, row in enumerate(self._materials):
            table[index] = row[0]
        return table

    def material(self, row: Materials) -> int:
        """Keep a material [1]; its index."""
        self._materials.append(row)
        return len(self._materials) - 1

    def wear(
        self,
        sheet: Sheet,
        offset: npt.NDArray[Any] | float,
        cut: npt.NDArray[Any],
        material: int | Ints,
        *,
        tint: Floats | None = None,
        push: npt.NDArray[Any] | None = None,
        hides: bool = True,
    ) -> None:
        """Put a sheet on.

        Args:
            sheet: which.
            offset: [V] or one number: metres between the sheet's own rest and where it lies, along its normals.
            cut: [V] positive where it is cut away, in about metres.
            material: an index, or one for each triangle [F].
            tint: [V] of the surface, or None for none.
            push: [V, 3] metres by which vertices are moved beside that.
            hides: whether it hides the skin beneath.
        """
        own = sheet.vertices
        distance = np.broadcast_to(np.asarray(offset, np.float32), len(self.shape.vertices))[own, None]
        rest = self.shape.vertices[own] + self.wardrobe.normals[own] * distance
        if push is not None:
            rest = rest + push[own]
        self.layers.append(
            Layer(
                sheet,
                np.asarray(rest, np.float32),
                cut[own].astype(np.float32),
                np.broadcast_to(np.asarray(material, np.int32), len(sheet.faces)),
                np.zeros(len(own), np.float32) if tint is None else tint[own],
                own,
                sticks_out=sheet is self.wardrobe.skirt or sheet is self.wardrobe.long_hair,
            )
        )
        if hides:
            self.covered = np.minimum(self.covered, cut).astype(np.float32)
            self.reach = np.where(cut <= 0, np.maximum(self.reach, offset), self.reach).astype(np.float32)

    def trim(self, cut: npt.NDArray[Any], depth: float) -> None:
        """Cut away what is worn so far where it lies further than ``depth`` metres under a garment with this cut [V].

        So that no fold of it comes through the garment.
        """
        hidden = cut < -depth
        for index, layer in enumerate(self.layers):
            trimmed = np.where(hidden[layer.body_vertices], np.float32(1), layer.cut)
            self.layers[index] = replace(layer, cut=trimmed)

    def waves(self, sheet: Sheet, wave_vectors: npt.NDArray[Any]) -> Floats:
        """[V] the mean of sine waves with random phases, from -1 to 1; 0 beyond a sheet.

        Args:
            sheet: where.
            wave_vectors: [K, 3] radians a metre.
        """
        points = self.wardrobe.body.mean[sheet.vertices]
        phases = self.rng.uniform(0, 2 * np.pi, len(wave_vectors))
        field = np.zeros(len(self.shape.vertices), np.float32)
        field[sheet.vertices] = np.sin(points @ wave_vectors.T.astype(np.float32) + phases.astype(np.float32)).mean(
            axis=1
        )
        return field

    def attach(
        self,
        vertices: npt.NDArray[Any],
        faces: Ints,
        body_vertex: int,
        material: int,
        texture: npt.NDArray[Any] | None = None,
        hangs_from: npt.NDArray[Any] | None = None,
    ) -> None:
        """Attach something rigid that is no sheet.

        Args:
            vertices: [n, 3] where it is on this person at rest.
            faces: [F, 3].
            body_vertex: the body vertex it moves with.
            material: an index.
            texture: [n, 3] texture coordinates, or None for the vertices themselves.
            hangs_from: [3], see :class:`Layer`.
        """
        rest, triangles = np.asarray(vertices, np.float32), np.asarray(faces, np.int32)
        coordinates = rest if texture is None else np.asarray(texture, np.float32)
        order = np.arange(len(rest), dtype=np.int32)
        sheet = Sheet(order, triangles, triangles, order, coordinates, np.zeros(len(triangles), np.int32))
        self.layers.append(
            Layer(
                sheet,
                rest,
                np.full(len(rest), -1.0, np.float32),
                np.full(len(triangles), material, np.int32),
                np.zeros(len(rest), np.float32),
                np.full(len(rest), body_vertex, np.int32),
                sticks_out=True,
                hangs_from=None if hangs_from is None else np.asarray(hangs_from, np.float32),
            )
        )

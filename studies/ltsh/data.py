"""The data sets of the study: generated once for all rows, and again only as far as something is missing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ltsh_deploy.errors import InputError, UsageError
from ltsh_deploy.whole_files import write_whole
from studies.ltsh.claims import wait_for
from studies.ltsh.configs import IGNORE_OUTSIDE
from studies.ltsh.mosaics import make_mosaics
from studies.ltsh.night import LOTS, write_night, write_tail
from studies.ltsh.plan import Budget, Layout, Study
from studies.ltsh.provenance import now, provenance

if TYPE_CHECKING:
    from ltsh_deploy.train.synth_run import Recipe

__all__ = ["FOR_MEASURES", "data_note", "data_settings", "make_data", "needed_sets"]

#: What every row is measured on, besides LSPET.
FOR_MEASURES = ("validation", "mosaics", "night")
# What is made of another one that the study made.
_MADE_OF = {"stylised": "mixed", "tail": "purely"}
_PITCH = (0.0, 45.0)
_STRENGTH = 0.8
# Of D_S, D_M and D_Style; the synthetic validation people and the mosaics have seeds of their own.
_SEED, _VALIDATION_SEED, _MOSAIC_SEED = 0, 1000, 2000
_PER_SHARD = 100


def needed_sets(study: Study, rows: Iterable[str]) -> list[str]:
    """The data sets that have to be made for these rows, each after what it is made of."""
    wanted = {name for row in rows for name in study.rows[row].mix if name != "real"}
    wanted.update({_MADE_OF[name] for name in wanted if name in _MADE_OF}, FOR_MEASURES)
    return [name for name in ("purely", "tail", "mixed", "stylised", *FOR_MEASURES) if name in wanted]


def make_data(
    study: Study,
    budget: Budget,
    layout: Layout,
    names: Iterable[str],
    *,
    workers: int = 1,
    tell: Callable[[str], None] = lambda line: None,
) -> None:
    """Make what is missing of these data sets; what is there is left alone. It may be interrupted and goes on.

    Where another process is making some, it is waited for.

    Args:
        study: says what of.
        budget: says how many.
        layout: says where.
        names: as :func:`needed_sets` gives them.
        workers: processes.
        tell: is told what is being made.

    Raises:
        UsageError: when a data set is there that was made otherwise.
        LtshError: when something cannot be read, made or written.
    """
    missing = [name for name in names if not _is_there(study, budget, layout, name)]
    if not missing:
        return
    _check_sources(study, missing)
    with ExitStack() as stack:
        wait_for(layout.data_folder, stack, "the data sets", tell)
        for name in missing:
            # Another process may have made it meanwhile.
            if _is_there(study, budget, layout, name):
                continue
            tell(f"making the data set {name}")
            begin, made_with = time.perf_counter(), provenance()
            if name in ("mosaics", "tail", "night"):
                pictures = _rearranged(study, budget, layout, name)
            else:
                pictures = _generate(study, budget, layout, name, workers)
            seconds, settings = time.perf_counter() - begin, data_settings(study, budget, name)
            made = {"settings": settings, "pictures": pictures, "seconds": seconds, **made_with, "finished": now()}
            write_whole(_note_path(layout, name), json.dumps(made, indent=1).encode())
            tell(f"made the data set {name}: {pictures} pictures, {seconds:.0f} s")


def _check_sources(study: Study, names: Iterable[str]) -> None:
    """Said before the first picture is made, not after a thousand of them."""
    for name in names:
        if name in ("purely", "validation"):
            if study.backgrounds is not None and not study.backgrounds.is_dir():
                raise InputError(
                    f"{study.backgrounds}: there is no such folder of photographs without people",
                    "Name one with --backgrounds, or write `backgrounds: null` into studies/ltsh/base.yaml for drawn "
                    "rooms and streets.",
                )
        elif name != "tail" and not study.real.is_dir():
            raise InputError(f"{study.real}: there is no such folder of LSPET's shards", "Name it with --real.")


def _is_there(study: Study, budget: Budget, layout: Layout, name: str) -> bool:
    note = data_note(layout, name)
    if note is not None and note["settings"] != data_settings(study, budget, name):
        raise UsageError(
            f"{layout.data(name)}: was made with other settings than are asked for now",
            "Choose another --out, or delete the study's folder of this budget.",
        )
    return note is not None


def data_note(layout: Layout, name: str) -> dict[str, Any] | None:
    """How a data set was made, or None where it is not there, or not whole."""
    path = _note_path(layout, name)
    if not path.is_file():
        return None
    try:
        note: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        note["settings"], note["pictures"], note["seconds"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{path}: is damaged", "Delete it: what is missing of the data set is then made.") from None
    return note


def _note_path(layout: Layout, name: str) -> Path:
    return layout.data_folder / f"{name}.json"


def data_settings(study: Study, budget: Budget, name: str) -> dict[str, Any]:
    """All that decides what is in a data set, but for the files it is made of."""
    pictures, measuring = budget.pictures, budget.measuring
    if name == "tail":
        return {**data_settings(study, budget, _MADE_OF[name]), "lots": LOTS}
    if name == "night":
        return {"real": str(study.real)}
    if name in ("purely", "validation"):
        count = pictures.purely if name == "purely" else pictures.validation
        places = None if study.backgrounds is None else str(study.backgrounds)
        return {"count": count, "people": pictures.people, "side": pictures.side, "backgrounds": places}
    if name == "mosaics":
        return {"count": measuring.mosaics, "tile": measuring.tile, "real": str(study.real)}
    return {"count": pictures.mixed, "people": pictures.mixed_people, "real": str(study.real)}


def _rearranged(study: Study, budget: Budget, layout: Layout, name: str) -> int:
    """Make what takes seconds, of pictures that are there."""
    folder = layout.data(name)
    # Shards of a run that was killed before its note was written are replaced.
    for shard in folder.glob("*.tar"):
        shard.unlink()
    if name == "mosaics":
        return make_mosaics(study.real, folder, budget.measuring.mosaics, budget.measuring.tile, _MOSAIC_SEED)
    if name == "night":
        return write_night(study.real, folder)
    source = _MADE_OF[name]
    note, count = data_note(layout, source), write_tail(layout.data(source), folder)
    if note is None or count != note["pictures"]:
        raise InputError(
            f"{layout.data(source)}: holds {count} pictures, not as many as were made",
            f"Delete {_note_path(layout, source)}, and give the command again: what is missing is then made.",
        )
    return count


def _generate(study: Study, budget: Budget, layout: Layout, name: str, workers: int) -> int:
    from ltsh_deploy.train.synth_compiled import prepare_numba

    prepare_numba()
    from ltsh_deploy.train.synth_run import make_pictures

    recipe, numbers = _recipe(study, budget, layout, name)
    outcome = make_pictures(
        recipe,
        layout.data(name),
        numbers,
        per_shard=_PER_SHARD,
        workers=workers,
        ltsh=False,
        done=lambda count: None,
    )
    return len(numbers) - outcome.left_out


def _recipe(study: Study, budget: Budget, layout: Layout, name: str) -> tuple[Recipe, list[int]]:
    from ltsh_deploy.train.synth_mixed import MixedIn
    from ltsh_deploy.train.synth_scenes import PurelySynthetic
    from ltsh_deploy.train.synth_stylised import Stylised

    pictures = budget.pictures
    if name in ("purely", "validation"):
        seed, split, count = (
            (_SEED, "train", pictures.purely) if name == "purely" else (_VALIDATION_SEED, "val", pictures.validation)
        )
        size = (pictures.side, pictures.side)
        purely = PurelySynthetic(seed, pictures.people, _PITCH, size, study.backgrounds, split=split)
        return purely, list(range(count))
    if name == "mixed":
        mixed = MixedIn(_SEED, "shards", study.real, "train", IGNORE_OUTSIDE, "{}", 1, pictures.mixed_people)
        return mixed, list(range(min(pictures.mixed, mixed.total())))
    stylised = Stylised(_SEED, layout.data("mixed"), _STRENGTH)
    return stylised, stylised.numbers()

"""Numba, which compiles the generator's inner loops, and a place for what it compiled."""

from __future__ import annotations

import atexit
import importlib
import logging
import os
import shutil
import tempfile

from ltsh_deploy.parts import import_part

__all__ = ["prepare_numba"]

_log = logging.getLogger(__name__)

#: A module with compiled functions that imports nothing else of the generator.
_ONE_OF_OURS = "ltsh_deploy.train.synth_noise"


def prepare_numba() -> None:
    """See that numba is there and can keep what it compiles, for this process and those it starts.

    Numba keeps compiled code beside the modules or in the user's cache folder, and refuses to load modules where it can
    write to neither, as in a container without a home. Then a temporary folder serves, for this run alone.

    Raises:
        MissingPartError: when numba is missing or broken.
    """
    numba = import_part("numba", "Making synthetic people", "synth")
    try:
        importlib.import_module(_ONE_OF_OURS)
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        folder = tempfile.mkdtemp(prefix="ltsh-numba-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        _log.warning(
            "compiled code has no place that outlasts this run, which starts slowly; NUMBA_CACHE_DIR names one"
        )
        os.environ["NUMBA_CACHE_DIR"] = numba.config.CACHE_DIR = folder

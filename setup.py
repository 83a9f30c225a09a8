"""The package's one compiled part, the decoder for the CPU; everything else is in setup.cfg.

It is optional: where it cannot be built, the install succeeds, and poses are decoded by NumPy.
"""

import runpy

from setuptools import Extension, setup

_FOLDER = "cuda_kernels/"
_SOURCES = runpy.run_path(_FOLDER + "sources.py")

setup(
    ext_modules=[
        # A plain library that ctypes loads, which setuptools compiles and ships like a module.
        Extension(
            f"ltsh_deploy.cuda_kernels.{_SOURCES['LIBRARY']}",
            [_FOLDER + name for name in _SOURCES["UNITS"]],
            # What the compiler is asked is a part of what the library is made of.
            depends=["setup.py", *(_FOLDER + name for name in ("sources.py", *_SOURCES["HEADERS"]))],
            define_macros=[("LTSH_SOURCES", f'"{_SOURCES["fingerprint"]()}"')],
            extra_compile_args=[*_SOURCES["COMPILE_FLAGS"], "-O3", "-g0"],
            language="c++",
            optional=True,
        )
    ]
)

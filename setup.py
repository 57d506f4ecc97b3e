"""Build the compiled wire ring; everything static about the package is in pyproject.toml.

FASTSIO_DEBUG=1     every check Cython has, C asserts on (CPython's macros too), unoptimised (``make debug``)
FASTSIO_ANNOTATE=1  write Cython's annotated HTML beside each source
"""

import os

from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = os.environ.get("FASTSIO_DEBUG") == "1"
ANNOTATE = os.environ.get("FASTSIO_ANNOTATE") == "1"

MODULES = ["_codec", "_emitter", "_frames", "_payload"]

directives = {"language_level": "3"}
if DEBUG:
    directives |= {"boundscheck": True, "wraparound": True, "initializedcheck": True, "nonecheck": True}

if os.name == "nt":
    compile_args = []
else:
    compile_args = ["-O0", "-g", "-UNDEBUG"] if DEBUG else ["-O3", "-DNDEBUG"]

setup(
    ext_modules=cythonize(
        [
            Extension(f"fastsio.{name}", [f"src/fastsio/{name}.pyx"], extra_compile_args=compile_args)
            for name in MODULES
        ],
        build_dir=f"build/cython-{'debug' if DEBUG else 'release'}",
        annotate=ANNOTATE,
        compiler_directives=directives,
    )
)

"""Build the compiled modules; everything static about the package is in pyproject.toml.

FASTSIO_DEBUG=1     every check Cython has, C asserts on (CPython's macros too), unoptimised (``make debug``)
FASTSIO_ANNOTATE=1  write Cython's annotated HTML beside each source
"""

import os
import sys

from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = os.environ.get("FASTSIO_DEBUG") == "1"
ANNOTATE = os.environ.get("FASTSIO_ANNOTATE") == "1"
JOBS = os.cpu_count() or 1

# The wire ring, and the Python modules that a message passes through above it: those are plain Python to
# read and to check, compiled with the layouts that the .pxd files beside them declare.
MODULES = [
    "_base64.pyx",
    "_codec.pyx",
    "_emitter.pyx",
    "_frames.pyx",
    "_http.pyx",
    "_json.pyx",
    "_jsonp.pyx",
    "_plain.pyx",
    "_payload.pyx",
    "_sockets.py",
    "adapters/delivery.py",
    "adapters/memory.py",
    "adapters/recovery.py",
    "engine/counters.py",
    "engine/cors.py",
    "engine/ids.py",
    "engine/polling.py",
    "engine/request.py",
    "engine/server.py",
    "engine/session.py",
    "engine/sink.py",
    "engine/timers.py",
    "net/exchange.py",
    "net/headers.py",
    "net/http.py",
    "net/hub.py",
    "net/streams.py",
    "net/websocket.py",
    "server/client.py",
    "server/handshake.py",
    "server/handlers.py",
    "server/namespace.py",
    "server/operator.py",
    "server/server.py",
    "server/socket.py",
    "server/typed.py",
]

if sys.platform == "linux":
    MODULES.append("net/_epoll.pyx")

# Annotations are for type checkers: as declarations they would refuse subclasses.
directives = {"language_level": "3", "annotation_typing": False}
if DEBUG:
    directives |= {"boundscheck": True, "wraparound": True, "initializedcheck": True, "nonecheck": True}

if os.name == "nt":
    compile_args = []
elif DEBUG:
    compile_args = ["-O0", "-g", "-UNDEBUG"]
else:
    # A tight loop across two cache lines takes twice as long, and which one lies so would be chance.
    compile_args = ["-O3", "-DNDEBUG", "-falign-loops=32"]

setup(
    ext_modules=cythonize(
        [
            Extension(
                "fastsio." + os.path.splitext(path)[0].replace("/", "."),
                [f"src/fastsio/{path}"],
                extra_compile_args=compile_args,
            )
            for path in MODULES
        ],
        build_dir=f"build/cython-{'debug' if DEBUG else 'release'}",
        annotate=ANNOTATE,
        compiler_directives=directives,
        nthreads=JOBS,
    ),
    options={"build_ext": {"parallel": JOBS}},
)

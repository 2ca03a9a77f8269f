"""A block emulator: kernels compiled along their CUDA branch and run on the CPU as a GPU would run them.

Blocks run one after the other. The threads of a block are fibers that meet at real barriers; shared
memory is filled with NaNs before each block. The kernels are compiled with ``-fsanitize=thread``, and the
runtime in ``runtime/`` implements the sanitizer's callbacks: it sees every access to memory, and reports

- races between two threads within an interval between barriers, or between two blocks;
- reads of scratch, of private arrays and of outputs that nobody has written, and outputs left incomplete;
- accesses outside the arrays and the scratch, and writes to inputs;
- barriers that only some threads of a block reach.

Threads run in ascending, descending and shuffled order; the results must be the bytes of the CPU build.

A kernel with a signature in ``qsmengine/backend/signatures`` is enrolled. Its arguments come from
``bench/inputs/kernels.py``, its sizes and grids from ``cases.py``.

The emulator runs on Linux with g++ or clang. On processors other than x86-64 fibers switch through
``ucontext``, which is slower. `build.unsupported` says why a machine cannot run it. `tests/emulator` runs every
kernel on it, `python -m bench access` counts their memory accesses.
"""

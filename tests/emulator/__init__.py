"""Every kernel on the block emulator of `bench/emulator`, and kernels with planted faults that it must find.

Run it on one kernel, or on those whose names match an expression of pytest's ``-k``::

    make emulate KERNELS=shim_moments
    .venv/bin/python -m pytest tests/emulator -k "shim_moments or vec_dot"
"""

"""What stands behind the stand-in packages ``cupy`` and ``cupyx``.

Arrays are NumPy arrays that refuse what CuPy's refuse; kernels are those of the CPU library. Tests and
benchmarks look at two modules: :mod:`standin.counting` (what a piece of code asks of the GPU) and
:mod:`standin.memory` (bytes in use and their peak).
"""

"""Release files: the compilers of the wheels as CMake sees them, and the recipe for conda-forge.

``python -m tools wheels`` uses ``toolchain.cmake``; ``conda/recipe.yaml`` is for rattler-build. The version of
the recipe is that of ``qsmengine/version.py``.
"""

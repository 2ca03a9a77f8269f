"""``cupy.cuda.compiler``."""

from standin.raw import CompileException

__all__ = ["CompileException"]

"""``cupy.cuda.nvrtc``: there, with nothing to compile."""


def getVersion() -> tuple[int, int]:
    """The compiler's version."""
    return 12, 9

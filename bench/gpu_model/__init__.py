"""Times on a GPU as they follow from bytes, instructions and launches: predictions, not measurements."""


def main(argv: list[str]) -> int:
    from bench.gpu_model import command

    return command.main(argv)

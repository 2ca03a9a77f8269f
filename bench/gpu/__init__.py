"""A short stay on a machine with a GPU: everything that has to be known, the most important first."""


def main(argv: list[str]) -> int:
    from bench.gpu import command

    return command.main(argv)

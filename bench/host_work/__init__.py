"""Host work of a whole chain: what Python does while a GPU would wait."""


def main(argv: list[str]) -> int:
    from bench.host_work import command

    return command.main(argv)

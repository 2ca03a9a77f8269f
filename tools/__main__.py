"""`python -m tools NAME [options]`; `python -m tools NAME --help` lists the options of one."""

from __future__ import annotations

import sys

from bench.dispatch import dispatch

COMMANDS = {
    "methods": "docs/methods.md and the table in docs/presets.md, from the registry and the presets",
    "meshnet": "the weights of qsmengine/stages/anatomy, from a model of brainchop",
    "template": "the measures of the template of qsmengine/stages/anatomy, from its image",
    "gallery": "run every preset on real data, check the maps, and draw them into docs/images/",
    "diffusion-pictures": "the pictures of docs/diffusion.md",
    "anatomy-picture": "the picture of docs/howto/anatomy.md, from a real T1-weighted image",
    "tutorial": "run the commands of docs/tutorial.md and draw its pictures",
    "screens": "pages of a good session and of faulty ones, for docs/quality.md",
    "boutiques": "docker/boutiques.json, from the arguments of qsmengine-bids",
    "xnat": "docker/xnat.json and the labels of the Dockerfiles, from the arguments of qsmengine-bids",
    "openrecon": "docker/openrecon.json, from the parameters of qsmengine serve",
    "wheels": "wheels for Linux on x86-64 and aarch64, and their SHA-256",
    "submissions": "a QSM-CI submission folder per method, from the registry",
}


def main(argv: list[str]) -> int:
    return dispatch("tools", COMMANDS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

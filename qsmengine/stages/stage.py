"""The description of a stage: its methods, when it runs, and what it is for."""

from __future__ import annotations

from typing import Literal, TypeAlias

from qsmengine.records import record

Presence: TypeAlias = Literal["required", "optional", "extra", "internal"]
"""Required; switched off by ``none``; run only if a method is named; or internal, without a configuration."""


@record
class Stage:
    """A stage of a reconstruction, configured by one section.

    Parameters
    ----------
    name
        As users write it ("phase-offset"); its section of the configuration has underscores instead of dashes.
    purpose
        One sentence for documents.
    modules
        Modules whose METHODS belong to the stage; a leading dot stands for ``qsmengine.stages.``.
    presence
        Condition under which it runs.
    default
        Method for configurations that do not mention the section; "" if they must name one.
    least_volumes
        Smallest number of echoes or volumes; with fewer the stage is skipped.
    replaces, excludes
        Sections that it replaces if a method is named, and sections that cannot be combined with it. A
        configuration that mentions one of them drops a preset's method of this stage.
    """

    name: str
    purpose: str
    modules: tuple[str, ...]
    presence: Presence = "required"
    default: str = ""
    least_volumes: int = 1
    replaces: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()

    @property
    def section(self) -> str:
        """Section of the configuration."""
        return self.name.replace("-", "_")

"""Steps of a session that would write the same file."""

from __future__ import annotations

from qsmengine.cohort.plan.model import Step
from qsmengine.cohort.plan.sessions import without_clashes


def step(name, *outputs):
    return Step(name=name, kind=name, inputs={}, outputs=outputs)


def test_the_later_of_two_steps_that_write_a_file_is_blocked():
    first, second, third = without_clashes(
        [
            step("qsm", "anat/a.nii.gz"),
            step("vfa", "anat/b.nii.gz", "anat/a.nii.gz"),
            step("dti", "dwi/a.nii.gz"),
        ]
    )
    assert (first.problems, third.problems) == ((), ())
    assert second.problems == ("anat/a.nii.gz: step qsm writes this file, too; add acq- to the images of one",)

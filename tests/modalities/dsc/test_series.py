from qsmengine.io.bids import BidsFile, BidsName
from qsmengine.modalities.dsc.series import group


def named(*names):
    return [BidsFile(f"sub-1/perf/{name}", BidsName.parse(name), "perf") for name in names]


def test_echoes_of_a_series_are_its_roles():
    (one,), notes = group(named("sub-1_echo-2_dsc.nii.gz", "sub-1_echo-1_dsc.nii.gz"))
    assert one.parts == {
        "dsc": ("sub-1/perf/sub-1_echo-1_dsc.nii.gz",),
        "second_dsc": ("sub-1/perf/sub-1_echo-2_dsc.nii.gz",),
    }
    assert (one.name.filename, one.kind, one.problems, notes) == ("sub-1_dsc.nii.gz", "dsc", (), [])


def test_functional_images_count_only_with_an_agent_in_their_name():
    series, notes = group(named("sub-1_task-rest_bold.nii.gz", "sub-1_ce-gadolinium_bold.nii.gz"))
    assert [one.name.filename for one in series] == ["sub-1_ce-gadolinium_bold.nii.gz"]
    assert notes == []


def test_series_with_the_same_entities_and_too_many_echoes_are_problems():
    series, _ = group(named("sub-1_dsc.nii.gz", "sub-1_perf.nii.gz"))
    assert [bool(one.problems) for one in series] == [False, True]
    assert "add acq-" in series[1].problems[0]
    (three,), _ = group(named(*(f"sub-1_echo-{n}_dsc.nii.gz" for n in (1, 2, 3))))
    assert "one or two" in three.problems[0]


def test_phase_is_left_out_and_phase_alone_is_a_problem():
    (one,), _ = group(named("sub-1_part-mag_dsc.nii.gz", "sub-1_part-phase_dsc.nii.gz"))
    assert not one.problems
    assert "not used" in one.notes[0]
    (alone,), _ = group(named("sub-1_part-phase_dsc.nii.gz"))
    assert "magnitude is missing" in alone.problems[0]

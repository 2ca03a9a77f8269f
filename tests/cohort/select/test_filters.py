import pytest

from qsmengine.cohort.select.filters import choose, read_filter
from qsmengine.errors import UsageError
from qsmengine.io import BidsName
from qsmengine.io.bids import BidsFile


def file(name, datatype="anat"):
    return BidsFile(f"sub-01/{datatype}/{name}", BidsName.parse(name), datatype)


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        ({"megre": {"acquisition": "fine"}}, ["sub-01_acq-fine_run-01_MEGRE.nii.gz"]),
        ({"megre": {"acq": ["fine", "f"]}}, ["sub-01_acq-fine_run-01_MEGRE.nii.gz"]),
        ({"gre": {"acq": None}}, ["sub-01_MEGRE.nii.gz"]),
        ({"gre": {"acq": [None, "fast"]}}, ["sub-01_MEGRE.nii.gz", "sub-01_acq-fast_MEGRE.nii.gz"]),
        ({"gre": {"run": 1}}, ["sub-01_acq-fine_run-01_MEGRE.nii.gz"]),
        ({"gre": {"run": "1"}}, ["sub-01_acq-fine_run-01_MEGRE.nii.gz"]),
        ({"gre": {"run": "*"}}, ["sub-01_acq-fine_run-01_MEGRE.nii.gz"]),
        ({"gre": {"run": 10}}, []),
        ({"gre": {"acq": "fine"}, "megre": {"run": 2}}, []),
        ({"gre": {"extension": ".nii.gz", "suffix": "MEGRE", "datatype": "anat", "subject": "01"}}, None),
        ({"gre": {"extension": "nii"}}, []),
        ({"dwi": {"direction": "AP"}}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_filters_keep_what_meets_every_condition(dataset, content, kept):
    names = ["sub-01_MEGRE.nii.gz", "sub-01_acq-fast_MEGRE.nii.gz", "sub-01_acq-fine_run-01_MEGRE.nii.gz"]
    chosen = read_filter(dataset.put("filter.json", content))
    assert [name for name in names if chosen.keeps(file(name))] == (names if kept is None else kept)


def test_a_filter_touches_images_of_its_suffix_alone(dataset):
    chosen = read_filter(dataset.put("filter.json", {"megre": {"acq": "fine"}}))
    assert chosen.keeps(file("sub-01_T2starw.nii.gz"))
    assert chosen.keeps(file("sub-01_dwi.nii.gz", "dwi"))
    assert not chosen.keeps(file("sub-01_MEGRE.nii.gz"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"megr": {}}, ("unknown query", "did you mean megre")),
        ({"bold": {}}, ("unknown query 'bold'",)),
        ({"megre": {"acquisitoin": "x"}}, ("megre", "did you mean acquisition")),
        ({"megre": {"acq": {"a": 1}}}, ("megre.acq",)),
        ({"megre": {"run": True}}, ("megre.run", "True")),
        ({"megre": ["fine"]}, ("megre", "object")),
        ("[1]", ("list",)),
        ('{"megre": }', ("line 1 column",)),
    ],
)
def test_mistakes_in_the_filter_file_are_named(dataset, content, words):
    with pytest.raises(UsageError) as caught:
        read_filter(dataset.put("filter.json", content))
    assert all(word in str(caught.value) for word in ("filter.json", *words))


def test_labels_with_or_without_prefix_count_once():
    known = ["01", "02", "10"]
    assert choose(["sub-10", "01", "10"], known, "sub-", "--participant-label") == ["01", "10"]
    assert choose(None, known, "sub-", "--participant-label") == known


@pytest.mark.parametrize(
    ("label", "words"), [("1", ("did you mean", "01")), ("sub-xyz", ("there are 01, 02, 10",))]
)
def test_unknown_labels_are_named_with_the_nearest(label, words):
    with pytest.raises(UsageError) as caught:
        choose([label], ["01", "02", "10"], "sub-", "--participant-label")
    assert all(word in str(caught.value) for word in ("--participant-label", *words))


def test_the_plan_takes_what_was_chosen(dataset, plan):
    for subject in ("01", "02"):
        for session in ("a", "b"):
            dataset.gre(subject, session, entities="_acq-fine")
            dataset.gre(subject, session, entities="_acq-fast")
    chosen = plan(
        participants=["sub-02"], sessions=["ses-b", "b"],
        filter_file=dataset.put("filter.json", {"megre": {"acquisition": "fine"}}),
    )  # fmt: skip
    (session,) = chosen.sessions
    assert session.key == "sub-02_ses-b"
    assert [step.name for step in session.steps] == ["qsm_acq-fine"]
    assert session.notes == ("6 images left out by the filter file",)
    with pytest.raises(UsageError, match="--session-label c: not in the dataset"):
        plan(sessions=["c"])

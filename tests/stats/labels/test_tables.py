from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from qsmengine.errors import InputError, UsageError
from qsmengine.stats.labels.tables import ATLASES, DATA, LABEL_TABLES, Label, atlas_image, load_label_table

HUGE = "9" * 5000
FIRST_NUMBERS = {
    "thalamus": (10, 49),
    "caudate": (11, 50),
    "putamen": (12, 51),
    "pallidum": (13, 52),
    "hippocampus": (17, 53),
    "amygdala": (18, 54),
    "accumbens": (26, 58),
}


def by_name(table):
    return {(label.name, label.hemisphere): label for label in table.labels}


@pytest.mark.parametrize("name", LABEL_TABLES)
def test_a_built_in_table_pairs_every_left_with_a_right(name):
    labels = load_label_table(name).labels
    sides = {side: {x.name for x in labels if x.hemisphere == side} for side in ("left", "right", "midline")}
    assert sides["left"] == sides["right"]
    assert sides["left"].isdisjoint(sides["midline"])
    assert len(sides["left"]) * 2 + len(sides["midline"]) == len(labels)
    assert {x.index for x in labels}.isdisjoint({0})


@pytest.mark.parametrize("name", ["fsl-first", "freesurfer-aseg", "synthseg"])
def test_first_aseg_and_synthseg_share_the_numbers_of_deep_grey_matter(name):
    labels = by_name(load_label_table(name))
    for structure, (left, right) in FIRST_NUMBERS.items():
        assert labels[structure, "left"].index == left
        assert labels[structure, "right"].index == right
        assert labels[structure, "left"].group == "dgm"
    assert labels["brainstem", "midline"].index == 16


def test_synthseg_has_its_32_structures_and_aseg_has_them_too():
    synthseg = set(load_label_table("synthseg").labels)
    assert len(synthseg) == 32
    assert synthseg < set(load_label_table("freesurfer-aseg").labels)


@pytest.mark.parametrize("name", ATLASES)
def test_an_atlas_image_holds_the_labels_of_its_table_on_the_right_side(name):
    image = nib.load(atlas_image(name))
    voxels = np.asarray(image.dataobj)
    table = load_label_table(name)
    assert set(np.unique(voxels).tolist()) - {0} == {label.index for label in table.labels}
    for label in table.labels:
        x = nib.affines.apply_affine(image.affine, np.argwhere(voxels == label.index))[:, 0].mean()
        assert (x < 0) == (label.hemisphere == "left"), label


def test_every_atlas_file_is_listed_in_a_licence_note():
    notes = "".join(path.read_text() for path in DATA.glob("LICENSE-*.txt"))
    for path in [*ATLASES.values(), *(f for f in LABEL_TABLES.values() if f.startswith("tpl-"))]:
        assert path in notes


def test_a_bids_table_gives_sides_from_names_or_from_its_column(tmp_path: Path):
    plain = tmp_path / "a_dseg.tsv"
    plain.write_text("index\tname\n0\tbackground\n5\tLeft-Red-Nucleus\n6\tRight-Red-Nucleus\n7\tpons\n")
    assert load_label_table(plain).labels == (
        Label(5, "Red-Nucleus", "left"),
        Label(6, "Red-Nucleus", "right"),
        Label(7, "pons"),
    )
    sided = tmp_path / "b_dseg.tsv"
    sided.write_text("name\tindex\themisphere\tgroup\tabbreviation\nLeft-x\t3\tR\tdgm\tX\n\n")
    assert load_label_table(sided).labels == (Label(3, "Left-x", "right", "X", "dgm"),)


def test_a_region_index_csv_is_read(tmp_path: Path):
    path = tmp_path / "regions.csv"
    path.write_text("Region_Index,Region_Name\n1,Pu_LH\n101,Pu_RH\n3,Anterior-lh\n4,lone\n")
    assert load_label_table(path).labels == (
        Label(1, "Pu", "left"),
        Label(3, "Anterior", "left"),
        Label(4, "lone"),
        Label(101, "Pu", "right"),
    )


def test_a_freesurfer_colour_table_is_read_and_repeated_names_are_made_distinct(tmp_path: Path):
    path = tmp_path / "lut.txt"
    path.write_text(
        "#No. Label Name: R G B A\n\n0 Unknown 0 0 0 0\n 10  Left-Thalamus  0 118 14 0\n"
        "1002 ctx-lh-caudalanteriorcingulate 125 100 160 0\n14 3rd-Ventricle 204 182 142 0\n"
        "15 3rd-Ventricle 1 2 3 0\n"
    )
    assert load_label_table(path).labels == (
        Label(10, "Thalamus", "left"),
        Label(14, "3rd-Ventricle"),
        Label(15, "3rd-Ventricle_15"),
        Label(1002, "ctx-caudalanteriorcingulate", "left"),
    )


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("index\tname\n1\ta\n1\tb\n", "label 1 appears in two rows"),
        ("index\tname\none\ta\n", "line 2"),
        ("index\tname\n1\n", "line 2"),
        ("index\tname\n-1\ta\n", "line 2: need a whole number >= 0"),
        ("index\tname\n1.0\ta\n", "line 2: need a whole number >= 0"),
        ("index\tname\n2147483648\ta\n", "label 2147483648 is larger than 2147483647"),
        (f"index\tname\n{HUGE}\ta\n", "label 9{20} is larger than"),
        (f"{HUGE} Left-Thalamus\n", "label 9{20} is larger than"),
        (f"{HUGE} Left-Thalamus 1 2 3 0\n", "label 9{20} is larger than"),
        (f"1 a A 1 2 3 0\n{HUGE} b B 1 2 3 0\n", "label 9{20} is larger than"),
        (f'{HUGE} 1 2 3 1 1 1 "a"\n', "label 9{20} is larger than"),
        (
            f'<atlas><header><type>Label</type></header><data><label index="{HUGE}">a</label></data></atlas>',
            "label 9{20} is larger than",
        ),
        (f'index\tname\n1\t"{HUGE * 30}\n', "line 2: field larger than field limit"),
        ("index\tname\themisphere\n1\ta\tup\n", "hemisphere: line 2: 'up'"),
        ("index\tname\n0\tbackground\n", "contains no label"),
        ("", "contains no label"),
        ("10 Left-Thalamus 0 0 0 0\nwhat is this\n", "line 2"),
    ],
)
def test_a_bad_table_is_refused_with_file_and_line(tmp_path: Path, text, what):
    path = tmp_path / "bad.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=what) as caught:
        load_label_table(path)
    assert "bad.txt" in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path):
    path = tmp_path / "image.nii.gz"
    path.write_bytes(b"\x1f\x8b\x08\x00\xff\xfe")
    with pytest.raises(InputError, match="not a text file"):
        load_label_table(path)


def test_an_unknown_name_is_refused_with_the_nearest_one():
    with pytest.raises(UsageError, match="did you mean 'synthseg'"):
        load_label_table("synthsegg")
    with pytest.raises(UsageError, match="cit168, thalamus-hcp"):
        atlas_image("aal")


def test_selecting_an_unknown_group_names_the_groups():
    assert len(load_label_table("fsl-first").select("dgm").labels) == 14
    with pytest.raises(UsageError, match="brainstem, dgm"):
        load_label_table("fsl-first").select("DGM")


PUTAMEN = (Label(11, "Putamen", "left"), Label(12, "Putamen", "right"))
FORMS = {
    "itk-snap": '#ITK-SnAP Label\n 0 0 0 0 0 0 0 "Clear Label"\n11 255 0 0 1 1 1 "Left Putamen"\n'
    '12 0 255 0 0.5 0 1 "Right Putamen"\n',
    "freesurfer": "#No. Label R G B A\n11 Left-Putamen 236 13 176 0\n12 Right-Putamen 236 13 176 0\n",
    "freesurfer with blanks": "11 Left Putamen 236 13 176 0\n12 Right Putamen 236 13 176 0\n4 Left X 1 2 3 0\n",
    "slicer": "# Color table file x.ctbl\n# 3 values\n0 Background 0 0 0 0\n11 left_Putamen 1 2 3 255\n"
    "12 right_Putamen 1 2 3 255\n",
    "slicer csv": "LabelValue,Name,Color_R,Color_G,Color_B,Color_A\n11,Left Putamen,1,2,3,255\n"
    "12,Right Putamen,1,2,3,255\n",
    "mrtrix": "# MRtrix\n0 Unknown Unknown 0 0 0 0\n11 L.PU Left-Putamen 236 13 176 255\n"
    '12 R.PU "Right Putamen" 236 13 176 255\n',
    "plain": "11 Left-Putamen\n12\tRight-Putamen\n",
    "fsl label": '<?xml version="1.0"?>\n<atlas><header><name>x</name><type>Label</type></header><data>'
    '<label index="11" x="1" y="2" z="3">Left Putamen</label>'
    '<label index="12">Right Putamen</label></data></atlas>',
    "fsl probabilistic": "<atlas><header><type>Probabilistic</type></header><data>"
    '<label index="10">Left Putamen</label><label index="11">Right Putamen</label></data></atlas>',
}


@pytest.mark.parametrize("form", FORMS)
def test_the_tables_of_every_program_are_read(tmp_path: Path, form):
    path = tmp_path / "lut.txt"
    path.write_text(FORMS[form])
    labels = load_label_table(path).labels
    assert tuple(label for label in labels if label.index in {11, 12}) == PUTAMEN


@pytest.mark.parametrize(
    "text",
    [
        "11 255 0 0 Left-Putamen\n",
        "1 2 3 4\n",
        "Left-Putamen 11\n",
        '11 255 0 0 1 1 1 "Left Putamen"\n12 Right-Putamen 1 2 3 0\n',
        "<html><body>11 Left-Putamen</body></html>",
        '<!DOCTYPE a [<!ENTITY x "y">]><atlas><data/></atlas>',
        '<atlas><header><type>Statistic</type></header><data><label index="1">a</label></data></atlas>',
        "<atlas",
    ],
)
def test_an_unknown_form_is_refused_and_never_guessed(tmp_path: Path, text):
    path = tmp_path / "lut.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=r"lut\.txt: "):
        load_label_table(path)


@pytest.mark.parametrize(
    "line", ["1 a" + " " * 200_000 + "!", "1 a" + " 1" * 100_000 + " x", "1 " + "a " * 100_000]
)
def test_a_line_of_any_length_is_refused_at_once(tmp_path, line):
    path = tmp_path / "labels.txt"
    path.write_text(f"{line}\n")
    with pytest.raises(InputError, match="line 1 has more than 1000 characters after"):
        load_label_table(path)

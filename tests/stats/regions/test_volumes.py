import numpy as np
import pytest

from qsmengine.cli.main import main
from qsmengine.errors import InputError
from qsmengine.grid import Grid
from qsmengine.io.nifti import write_image
from qsmengine.stats.derivatives.collect import collect_tables
from qsmengine.stats.regions.volumes import add_sienax, read_aseg, read_first, read_sienax, read_synthseg

ASEG = """# Title Segmentation Statistics
# Measure BrainSeg, BrainSegVol, Brain Segmentation Volume, 1100000.0, mm^3
# Measure EstimatedTotalIntraCranialVol, eTIV, Estimated Total Intracranial Volume, 1523456.5, mm^3
# ColHeaders  Index SegId NVoxels Volume_mm3 StructName normMean normStdDev normMin normMax normRange
  1   4      6563     6614.4  Left-Lateral-Ventricle            36.2    13.0     8.0    90.0    82.0
  2  10      7500     7612.5  Left-Thalamus                     93.1     8.7    34.0   127.0    93.0
  3  49      7300     7405.0  Right-Thalamus                    92.1     8.7    34.0   127.0    93.0
  4  16     20100    20210.0  Brain-Stem                        70.1     8.7    34.0   127.0    93.0
  5  77      1200     1300.0  WM-hypointensities                70.1     8.7    34.0   127.0    93.0
"""
REST = " 70 8 34 127 93\n"
"""Further columns of a line of ASEG."""
SYNTHSEG = """,total intracranial,left thalamus,right thalamus,3rd ventricle,brain-stem,left accumbens area
sub-01_T1w.nii.gz,1500000.5,7600.25,7400.5,900.0,20000.0,450.0
sub-02_T1w.nii.gz,1400000.5,7000.0,7100.0,800.0,19000.0,400.0
"""
SIENAX = """-------------------------------------------------------------
 SIENAX - Structural Image Evaluation, using Normalisation, of Atrophy
VSCALING 1.2500000000

tissue             volume    unnormalised-volume
pgrey              600000.00 480000.00 (peripheral grey)
vcsf               30000.00 24000.00 (ventricular CSF)
GREY               750000.00 600000.00
WHITE              700000.00 560000.00
BRAIN              1450000.00 1160000.00
"""


def write(path, text):
    path.write_text(text)
    return path


def cell(table, region, hemisphere, column="volume_mm3"):
    rows = table[(table["region"] == region) & (table["hemisphere"] == hemisphere)]
    assert len(rows) == 1
    return rows[column].iloc[0]


def test_freesurfers_structures_are_found_by_number_and_pairs_are_added(tmp_path):
    table = read_aseg(write(tmp_path / "aseg.stats", ASEG))
    assert cell(table, "thalamus", "left") == 7612.5
    assert cell(table, "thalamus", "bilateral") == 7612.5 + 7405.0
    assert cell(table, "thalamus", "bilateral", "n_voxels") == 14800
    assert cell(table, "thalamus", "right", "index") == 49
    assert cell(table, "brainstem", "midline") == 20210.0
    assert cell(table, "intracranial", "midline") == 1523456.5
    ventricle = table[table["region"] == "lateral_ventricle"]
    assert ventricle["hemisphere"].tolist() == ["left"]


def test_synthseg_gives_the_scan_that_is_named(tmp_path):
    path = write(tmp_path / "volumes.csv", SYNTHSEG)
    table = read_synthseg(path, scan="sub-02_T1w.nii.gz")
    assert cell(table, "thalamus", "bilateral") == 14100.0
    assert cell(table, "third_ventricle", "midline") == 800.0
    assert cell(table, "brainstem", "midline") == 19000.0
    assert cell(table, "accumbens", "left") == 400.0
    assert cell(table, "intracranial", "midline") == 1400000.5
    assert table["n_voxels"].isna().all()
    with pytest.raises(InputError, match="has 2 scans, choose one"):
        read_synthseg(path)
    with pytest.raises(InputError, match="has no scan 'sub-03'"):
        read_synthseg(path, scan="sub-03")


def test_a_row_of_label_numbers_below_the_names_is_not_a_scan(tmp_path):
    lines = SYNTHSEG.splitlines()
    text = "\n".join([lines[0], ",,10,49,14,16,26", lines[1]])
    assert cell(read_synthseg(write(tmp_path / "v.csv", text)), "thalamus", "left") == 7600.25


def test_first_is_measured_on_its_label_image(tmp_path):
    labels = np.zeros((20, 20, 20), np.int16)
    labels[2:6, 2:6, 2:6], labels[12:15, 2:6, 2:6] = 10, 49
    write_image(tmp_path / "first.nii.gz", labels, Grid(labels.shape, np.diag([1.0, 1, 1.5, 1])))
    table = read_first(tmp_path / "first.nii.gz")
    assert cell(table, "thalamus", "left") == pytest.approx(64 * 1.5)
    assert cell(table, "thalamus", "bilateral") == pytest.approx((64 + 48) * 1.5)


def test_uncorrected_boundary_of_first_is_refused(tmp_path):
    labels = np.zeros((20, 20, 20), np.int16)
    labels[2:6, 2:6, 2:6], labels[2, 2:6, 2:6] = 10, 110
    write_image(tmp_path / "first.nii.gz", labels, Grid(labels.shape, np.eye(4)))
    with pytest.raises(InputError, match="16 voxels are boundary voxels of FIRST"):
        read_first(tmp_path / "first.nii.gz")


def test_sienax_scales_every_volume_and_adds_the_tissues(tmp_path):
    report = read_sienax(write(tmp_path / "report.sienax", SIENAX))
    assert report.scaling == 1.25
    assert report.volumes == {"grey_matter": 600000.0, "white_matter": 560000.0, "brain": 1160000.0}
    table = add_sienax(read_aseg(write(tmp_path / "aseg.stats", ASEG)), report)
    assert cell(table, "thalamus", "left", "normalised_volume_mm3") == 7612.5 * 1.25
    assert cell(table, "brain", "midline", "normalised_volume_mm3") == 1450000.0


@pytest.mark.parametrize(
    ("reader", "text", "message"),
    [
        (read_aseg, "nothing\n", "not an aseg.stats"),
        (
            read_aseg,
            ASEG + "  6  11  x  1.0  Left-Caudate" + REST,
            "line 10: NVoxels: 'x' is not a finite number",
        ),
        (read_aseg, ASEG + "  6  1.5  1  1.0  Left-Caudate\n", "line 10: not a structure"),
        (read_aseg, ASEG + "  6  11\n", "line 10: not a structure"),
        (
            read_aseg,
            ASEG + "  6  10  1  1.0  Left-Thalamus" + REST,
            "line 10: structure 10 appears twice",
        ),
        (
            read_aseg,
            ASEG + f"  6  {'9' * 5000}  1  1.0  x" + REST,
            "label 9+ is larger than 2147483647",
        ),
        (read_aseg, ASEG.replace("7500 ", "nan "), "line 6: NVoxels: 'nan' is not a finite number"),
        (read_aseg, ASEG.replace("7500 ", "1e999 "), "line 6: NVoxels: '1e999' is not a finite number"),
        (read_aseg, ASEG.replace("7612.5", "-1"), "line 6: Volume_mm3: '-1' is not a finite number >= 0"),
        (read_aseg, ASEG.replace("1523456.5", "inf"), "EstimatedTotalIntraCranialVol: 'inf' is not"),
        (
            read_aseg,
            "# Measure EstimatedTotalIntraCranialVol\n" + ASEG.rsplit("mm^3\n", maxsplit=1)[-1],
            "'' is not a finite",
        ),
        (read_synthseg, SYNTHSEG.replace("7600.25", "nan").rsplit("sub-02", 1)[0], "'nan' is not a finite"),
        (read_synthseg, SYNTHSEG + '"' + "x" * 200_000 + "\n", "field larger than field limit"),
        (read_synthseg, "a,b\n1,2\n", "not a SynthSeg volume table"),
        (
            read_synthseg,
            SYNTHSEG.replace("7600.25", "many").rsplit("sub-02", 1)[0],
            "'many' is not a finite number >= 0",
        ),
        (read_aseg, ASEG.rstrip().rsplit("70.1", 1)[0], "line 9: not a structure"),
        (read_aseg, ASEG.replace("1523456.5", "999999.0"), "999999 mm.3 is less than the brain's 1100000"),
        (
            read_aseg,
            "".join(line for line in ASEG.splitlines(keepends=True) if not line.startswith("  "))
            + "  1  3001  1200  1300.0  wm-lh-bankssts 70.1 8.7 34.0 127.0 93.0\n",
            "none of its structures",
        ),
        (read_synthseg, SYNTHSEG.rsplit("\n", 2)[0].rsplit(",", 2)[0], "has 5 cells, the header 7"),
        (read_synthseg, SYNTHSEG.replace("sub-02", "sub-01"), "scan 'sub-01_T1w.nii.gz' appears twice"),
        (read_synthseg, SYNTHSEG.replace("right thal", "left thal"), "column 'left thalamus' appears twice"),
        (read_sienax, SIENAX.replace("VSCALING", "SCALING"), "VSCALING: missing from the report"),
        (read_sienax, SIENAX.replace("WHITE", "W"), "WHITE: missing from the report"),
        (read_sienax, SIENAX.replace("1.2500000000", "0"), "VSCALING: 0 is not positive"),
    ],
)
def test_files_of_another_kind_are_refused(tmp_path, reader, text, message):
    with pytest.raises(InputError, match=message):
        reader(write(tmp_path / "file", text))
    with pytest.raises(InputError, match="no such file"):
        reader(tmp_path / "absent")


def test_the_command_writes_a_table_that_the_cohort_reads(tmp_path, capsys):
    aseg, sienax = write(tmp_path / "aseg.stats", ASEG), write(tmp_path / "report.sienax", SIENAX)
    out = tmp_path / "d" / "sub-01" / "anat" / "sub-01_desc-dgm_stats.tsv"
    argv = ["volumes", str(aseg), "--from", "aseg", "--sienax", str(sienax), "--out", str(out)]
    assert main(argv) == 0
    assert capsys.readouterr().out.strip() == str(out)
    write(tmp_path / "d" / "participants.tsv", "participant_id\tage\nsub-01\t40\n")
    cohort = collect_tables(tmp_path / "d")
    rows = cohort[(cohort["region"] == "thalamus") & (cohort["hemisphere"] == "bilateral")]
    values = dict(zip(rows["statistic"], rows["value"], strict=True))
    assert values["normalised_volume_mm3"] == pytest.approx(15017.5 * 1.25)
    assert main(argv) == 2
    assert main([*argv, "--force", "--scan", "x"]) == 2

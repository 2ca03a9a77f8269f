"""A virtual head from the scanner's DICOM to DICOM maps, by the commands."""

import numpy as np
import pytest

pytest.importorskip("highdicom")
pytest.importorskip("dcm2niix")

import pydicom

from qsmengine.cli.main import main
from qsmengine.io.dicom_objects.planes import image_planes
from qsmengine.io.nifti import read_image
from qsmengine.phantom.head import virtual_head
from tests.cohort.dicom_export.acquired import complaints
from tests.cohort.dicom_making import Study

TIMES = (0.008, 0.020)


def scan(folder):
    """Write an oblique head as magnitude and phase series of a scanner."""
    head = virtual_head(voxel_size=(4.0, 4.0, 4.0), echo_times=TIMES, b0_direction=(0.1, -0.2, 0.97), snr=100.0)
    planes = image_planes(head.grid)
    count, _rows, _columns = planes.frames(head.gre.magnitude[..., 0]).shape

    def place(dataset, _):
        dataset.ImageOrientationPatient = [f"{value:.12g}" for value in planes.orientation]
        position = planes.position((int(dataset.InstanceNumber) - 1) % count)
        dataset.ImagePositionPatient = [f"{value:.10g}" for value in position]
        dataset.PixelSpacing, dataset.SliceThickness = [4, 4], 4

    def volumes(array, scale, offset):
        stored = np.clip(np.rint((array + offset) * scale), 0, 4095).astype(np.uint16)
        return [planes.frames(stored[..., echo]).transpose(2, 1, 0) for echo in range(len(TIMES))]

    study, times = Study(folder), tuple(1000 * time for time in TIMES)
    magnitude, phase = head.gre.magnitude, head.gre.phase
    study.write(
        description="gre", echo_times=times, volumes=volumes(magnitude, 4095 / magnitude.max(), 0), edit=place
    )
    study.write(
        description="gre", echo_times=times, volumes=volumes(phase, 4095 / (2 * np.pi), np.pi), edit=place,
        image_type=("ORIGINAL", "PRIMARY", "P", "ND"), RescaleSlope=2, RescaleIntercept=-4096, RescaleType="US",
    )  # fmt: skip
    return study


def test_from_scanner_to_archive(tmp_path, capsys):
    study = scan(tmp_path / "dicom")
    assert main(["import", str(study.folder), str(tmp_path / "bids"), "--subject", "01", "-q"]) == 0
    anat = tmp_path / "bids" / "sub-01" / "anat"
    files = {
        part: [str(path) for path in sorted(anat.glob(f"*part-{part}*.nii.gz"))] for part in ("mag", "phase")
    }
    out = tmp_path / "maps"
    command = [
        "qsm",
        "--magnitude",
        *files["mag"],
        "--phase",
        *files["phase"],
        "--out",
        str(out),
        "--preset",
        "fast",
    ]
    assert main([*command, "-q"]) == 0
    derived = out / "sub-01" / "anat"
    maps = sorted(derived.glob("*_Chimap.nii.gz")) + sorted(derived.glob("*_R2starmap.nii.gz"))
    maps += sorted(derived.glob("*desc-brain_mask.nii.gz"))
    assert len(maps) == 3
    capsys.readouterr()
    target = tmp_path / "export"
    code = main(
        ["export", *map(str, maps), "--source", str(study.folder), "--out", str(target), "--as", "both"]
    )
    assert code == 0
    printed = capsys.readouterr().out.split()
    assert printed == [str(target / name) for name in (
        "sub-01_Chimap_pm.dcm", "sub-01_Chimap_mr", "sub-01_R2starmap_pm.dcm", "sub-01_R2starmap_mr",
        "sub-01_desc-brain_mask_seg.dcm",
    )]  # fmt: skip

    chi, grid, _ = read_image(maps[0])
    objects = [pydicom.dcmread(path) for path in sorted((target / "sub-01_Chimap_mr").glob("*.dcm"))]
    sources = [pydicom.dcmread(study.folder / f"s001_i{n:04d}.dcm") for n in range(1, len(objects) + 1)]
    for made, source in zip(objects, sources, strict=True):
        np.testing.assert_allclose(made.ImagePositionPatient, source.ImagePositionPatient, atol=1e-3)
        assert made.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert (objects[0].PatientID, objects[0].RescaleType) == ("MRN4711", "ppb")
    middle = objects[len(objects) // 2]
    shown = middle.pixel_array * float(middle.RescaleSlope) + float(middle.RescaleIntercept)
    planes = image_planes(grid, image_planes(grid).grid.axes)
    wanted = planes.frames(chi)[len(objects) // 2] * 1000.0
    assert np.abs(shown - wanted).max() <= float(middle.RescaleSlope) * 0.501
    assert np.abs(wanted).max() > 10
    checked = [path for path in target.iterdir() if path.suffix == ".dcm"]
    checked += [target / "sub-01_Chimap_mr" / "0001.dcm", target / "sub-01_R2starmap_mr" / "0020.dcm"]
    assert [text for path in checked for text in complaints(path)] == []

"""Synthetic enhanced (multi-frame) MR DICOM files, as vendors write series of several dimensions."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

ENHANCED = "1.2.840.10008.5.1.4.1.1.4.1"
SHAPE = (12, 10, 8)


def item(**values: Any) -> Dataset:
    dataset = Dataset()
    for name, value in values.items():
        setattr(dataset, name, value)
    return dataset


@dataclass
class EnhancedStudy:
    """A visit whose series are written as enhanced files of a vendor."""

    folder: Path
    maker: str
    study: str = field(default_factory=generate_uid)
    frame: str = field(default_factory=generate_uid)
    series: int = 2

    def write(self, volumes: dict[tuple[int, str, float], np.ndarray], drop: int = 0) -> Path:
        """One file of (repetition, part, echo time [ms]) -> stored values, without its last `drop` frames."""
        self.series += 1
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(ENHANCED), generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        slices = [(key, z) for key in volumes for z in range(SHAPE[2])]
        slices = slices[: len(slices) - drop]
        values = {
            "SOPClassUID": ENHANCED, "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
            "StudyInstanceUID": self.study, "SeriesInstanceUID": generate_uid(),
            "FrameOfReferenceUID": self.frame, "Modality": "MR", "Manufacturer": self.maker,
            "MagneticFieldStrength": 3.0, "SeriesNumber": self.series, "InstanceNumber": 1,
            "SeriesDescription": "gre_qsm", "ProtocolName": "gre_qsm", "PatientID": "P1", "PatientName": "A^B",
            "StudyDate": "20240305", "StudyTime": "101112", "AcquisitionDateTime": "20240305101112",
            "ImageType": ["ORIGINAL", "PRIMARY", "MIXED", "NONE"], "PatientPosition": "HFS",
            "MRAcquisitionType": "3D", "EchoPulseSequence": "GRADIENT", "Rows": SHAPE[1], "Columns": SHAPE[0],
            "NumberOfFrames": len(slices), "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2",
            "BitsAllocated": 16, "BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0,
        }  # fmt: skip
        for name, value in values.items():
            setattr(dataset, name, value)
        dataset.SharedFunctionalGroupsSequence = [
            item(
                MRTimingAndRelatedParametersSequence=[item(RepetitionTime=30.0, FlipAngle=15.0)],
                PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
                PixelMeasuresSequence=[
                    item(PixelSpacing=[1.5, 1.0], SliceThickness=2.0, SpacingBetweenSlices=2.0)
                ],
            )
        ]
        dataset.PerFrameFunctionalGroupsSequence = [self._frame(*key, z) for key, z in slices]
        pixels = [volumes[key][:, :, z].T for key, z in slices]
        dataset.PixelData = np.ascontiguousarray(np.stack(pixels).astype("<u2")).tobytes()
        path = self.folder / f"s{self.series}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(path, enforce_file_format=True)
        return path

    @staticmethod
    def _frame(repetition: int, part: str, echo_time: float, z: int) -> Dataset:
        slope, intercept = (2, -4096) if part == "PHASE" else (1, 0)
        return item(
            FrameContentSequence=[item(InStackPositionNumber=z + 1, TemporalPositionIndex=repetition + 1)],
            PlanePositionSequence=[item(ImagePositionPatient=[-6.0, -7.5, -4 + 2.0 * z])],
            MREchoSequence=[item(EffectiveEchoTime=echo_time)],
            MRImageFrameTypeSequence=[
                item(FrameType=["ORIGINAL", "PRIMARY", part[0], "NONE"], ComplexImageComponent=part)
            ],
            PixelValueTransformationSequence=[
                item(RescaleSlope=slope, RescaleIntercept=intercept, RescaleType="US")
            ],
        )  # fmt: skip

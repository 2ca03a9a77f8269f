"""Synthetic DICOM series, as a Siemens scanner's export has them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

MR = "1.2.840.10008.5.1.4.1.1.4"
SPACING = (1.0, 1.5, 2.0)
IDENTITY = {
    "PatientName": "Doe^Jane", "PatientID": "MRN4711", "PatientBirthDate": "19700203", "PatientSex": "F",
    "AccessionNumber": "ACC99", "ReferringPhysicianName": "House^Gregory",
    "InstitutionName": "General Hospital", "ImageComments": "Jane Doe was here",
}  # fmt: skip


class Study:
    """A patient's visit; every call writes one series into `folder`."""

    def __init__(self, folder: Path, seed: int = 0, **identity: str) -> None:
        self.folder = folder
        self.rng = np.random.default_rng(seed)
        self.identity = {**IDENTITY, **identity}
        self.uid, self.frame = generate_uid(), generate_uid()
        self.series = 0

    def write(
        self,
        *,
        description: str,
        image_type: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "M", "ND"),
        echo_times: tuple[float, ...] = (6.0,),
        shape: tuple[int, int, int] = (12, 10, 4),
        volumes: list[np.ndarray] | None = None,
        edit: Callable[[Dataset, int], None] | None = None,
        **tags: Any,
    ) -> list[np.ndarray]:
        """A series of slices: stored values (x, y, z) per echo, random unless given; echo times [ms]."""
        self.series += 1
        series_uid = generate_uid()
        volumes = volumes or [self.rng.integers(0, 4096, shape).astype(np.uint16) for _ in echo_times]
        instance = 0
        for echo, (time, volume) in enumerate(zip(echo_times, volumes, strict=True), start=1):
            for z in range(volume.shape[2]):
                instance += 1
                dataset = self._slice(volume[:, :, z], z, instance)
                dataset.SeriesInstanceUID, dataset.SeriesNumber = series_uid, self.series
                dataset.SeriesDescription = dataset.ProtocolName = description
                dataset.ImageType = list(image_type)
                dataset.EchoTime, dataset.EchoNumbers = time, echo
                for name, value in tags.items():
                    setattr(dataset, name, value)
                if edit is not None:
                    edit(dataset, echo - 1)
                dataset.save_as(self._file(instance), enforce_file_format=True)
        return volumes

    def gre(self, echo_times: tuple[float, ...] = (6.0, 14.0), description: str = "gre_qsm") -> tuple[Any, Any]:
        """Magnitude and phase as two series."""
        magnitude = self.write(description=description, echo_times=echo_times)
        phase = self.write(
            description=description, echo_times=echo_times, image_type=("ORIGINAL", "PRIMARY", "P", "ND"),
            RescaleSlope=2, RescaleIntercept=-4096, RescaleType="US",
        )  # fmt: skip
        return magnitude, phase

    def ge(self, echo_times: tuple[float, ...] = (5.0, 10.0)) -> list[np.ndarray]:
        """Magnitude, real and imaginary of each echo in one series, told apart by a private tag of GE."""
        times = tuple(time for time in echo_times for _ in range(3))
        volumes = [self.rng.integers(-900, 900, (12, 10, 4)).astype(np.int16) for _ in times]
        for index in range(0, len(volumes), 3):
            volumes[index] = np.abs(volumes[index])

        def tags(dataset: Dataset, volume: int) -> None:
            block = dataset.private_block(0x0043, "GEMS_PARM_01", create=True)
            block.add_new(0x2F, "SS", (0, 2, 3)[volume % 3])
            dataset.EchoNumbers = 1 + volume // 3

        return self.write(
            description="SWAN", image_type=("ORIGINAL", "PRIMARY", "OTHER"), echo_times=times, volumes=volumes,
            Manufacturer="GE MEDICAL SYSTEMS", PixelRepresentation=1, BitsStored=16, HighBit=15, edit=tags,
        )  # fmt: skip

    def philips(self, echo_times: tuple[float, ...] = (5.0, 10.0)) -> list[np.ndarray]:
        """Magnitude and phase of all echoes in one series, the phase in milliradians."""

        def tags(dataset: Dataset, volume: int) -> None:
            dataset.EchoNumbers = 1 + volume % len(echo_times)
            if volume >= len(echo_times):
                dataset.ImageType = ["ORIGINAL", "PRIMARY", "PHASE MAP", "P", "FFE"]
                dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1.53480172, -3142, "mrad"

        return self.write(
            description="QSM", image_type=("ORIGINAL", "PRIMARY", "M_FFE", "M", "FFE"),
            echo_times=2 * echo_times,
            Manufacturer="Philips", edit=tags,
        )  # fmt: skip

    def dwi(
        self, b_values: np.ndarray, b_vectors: np.ndarray, shape: tuple[int, int, int] = (12, 10, 4)
    ) -> None:
        """A diffusion series as Siemens' private tags describe it, one volume after the other."""
        self.series += 1
        series_uid, instance = generate_uid(), 0
        for volume, (b, direction) in enumerate(zip(b_values, b_vectors, strict=True), start=1):
            pixels = self.rng.integers(0, 4096, shape).astype(np.uint16)
            for z in range(shape[2]):
                instance += 1
                dataset = self._slice(pixels[:, :, z], z, instance)
                dataset.SeriesInstanceUID, dataset.SeriesNumber = series_uid, self.series
                dataset.SeriesDescription = dataset.ProtocolName = "ep2d_diff"
                dataset.ImageType = ["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE", "ND"]
                dataset.ScanningSequence, dataset.SequenceName = "EP", f"ep_b{int(b)}"
                dataset.MRAcquisitionType, dataset.EchoTime = "2D", 80.0
                dataset.AcquisitionNumber = volume
                block = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
                block.add_new(0x0C, "IS", int(b))
                if b > 0:
                    block.add_new(0x0E, "FD", [float(v) for v in direction])
                dataset.save_as(self._file(instance), enforce_file_format=True)

    def _file(self, instance: int) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"s{self.series:03d}_i{instance:04d}.dcm"

    def _slice(self, pixels: np.ndarray, z: int, instance: int) -> Dataset:
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(MR), generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        now = datetime(2024, 3, 5, 10, 11, 12, tzinfo=UTC)
        values = {
            "SOPClassUID": MR, "SOPInstanceUID": meta.MediaStorageSOPInstanceUID, "StudyInstanceUID": self.uid,
            "FrameOfReferenceUID": self.frame, "Modality": "MR", "Manufacturer": "SIEMENS",
            "ManufacturerModelName": "Prisma", "MagneticFieldStrength": 3, "StudyDate": now.strftime("%Y%m%d"),
            "AcquisitionDate": now.strftime("%Y%m%d"), "AcquisitionTime": now.strftime("%H%M%S.000"),
            "StudyTime": "101112", "ScanningSequence": "GR", "SequenceVariant": "SP", "ScanOptions": "",
            "MRAcquisitionType": "3D", "SequenceName": "*fl3d2", "RepetitionTime": 30, "FlipAngle": 15,
            "PixelBandwidth": 200, "ImagingFrequency": 123.2, "ImagedNucleus": "1H", "PatientPosition": "HFS",
            "InPlanePhaseEncodingDirection": "ROW", "StudyID": "1", "AcquisitionNumber": 1,
            "InstanceNumber": instance, "SliceThickness": SPACING[2], "PixelSpacing": [SPACING[1], SPACING[0]],
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "ImagePositionPatient": [-6.0, -7.5, -4.0 + z * SPACING[2]], "SliceLocation": -4.0 + z * SPACING[2],
            "Rows": pixels.shape[1], "Columns": pixels.shape[0], "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2", "BitsAllocated": 16, "BitsStored": 12, "HighBit": 11,
            "PixelRepresentation": 0, **self.identity,
        }  # fmt: skip
        for name, value in values.items():
            setattr(dataset, name, value)
        stored = "<i2" if pixels.dtype.kind == "i" else "<u2"
        dataset.PixelData = np.ascontiguousarray(pixels.T.astype(stored)).tobytes()
        return dataset

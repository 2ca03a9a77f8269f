"""Headers of NIfTI-1 (348 bytes) and NIfTI-2 (540 bytes) as NumPy records, and their affines.

nibabel offers the same, but importing it takes longer than a whole-brain tensor fit.

Reference: Cox et al. 2004, https://nifti.nimh.nih.gov/nifti-1 (quaternion, sform); NIfTI-2: nifti2.h.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Matrix: TypeAlias = npt.NDArray[np.float64]

INTENTS = {
    0: "none", 2: "correlation", 3: "t test", 4: "f test", 5: "z score", 6: "chi2", 7: "beta", 8: "binomial",
    9: "gamma", 10: "poisson", 11: "normal", 12: "non central f test", 13: "non central chi2", 14: "logistic",
    15: "laplace", 16: "uniform", 17: "non central t test", 18: "weibull", 19: "chi", 20: "inverse gaussian",
    21: "extreme value 1", 22: "p value", 23: "log p value", 24: "log10 p value", 1001: "estimate",
    1002: "label", 1003: "neuroname", 1004: "general matrix", 1005: "symmetric matrix",
    1006: "displacement vector", 1007: "vector", 1008: "pointset", 1009: "triangle", 1010: "quaternion",
    1011: "dimensionless", 2001: "time series", 2002: "node index", 2003: "rgb vector", 2004: "rgba vector",
    2005: "shape",
}  # fmt: skip
"""Intent code -> name of the intent, the meaning of an image's values."""
_DATA_TYPES = {"u1": 2, "i2": 4, "i4": 8, "f4": 16}
"""Data type that can be written -> code."""
_MILLIMETRE, _SECOND = 2, 8

_AFFINE_1: list[Any] = [
    ("qform_code", "i2"), ("sform_code", "i2"), ("quatern_b", "f4"), ("quatern_c", "f4"), ("quatern_d", "f4"),
    ("qoffset_x", "f4"), ("qoffset_y", "f4"), ("qoffset_z", "f4"), ("srow", "f4", (3, 4)),
]  # fmt: skip
_AFFINE_2: list[Any] = [
    ("qform_code", "i4"), ("sform_code", "i4"), ("quatern_b", "f8"), ("quatern_c", "f8"), ("quatern_d", "f8"),
    ("qoffset_x", "f8"), ("qoffset_y", "f8"), ("qoffset_z", "f8"), ("srow", "f8", (3, 4)),
]  # fmt: skip
_LAYOUTS: dict[int, list[Any]] = {
    1: [
        ("sizeof_hdr", "i4"), ("unused", "S35"), ("dim_info", "u1"), ("dim", "i2", (8,)),
        ("intent_p", "f4", (3,)), ("intent_code", "i2"), ("datatype", "i2"), ("bitpix", "i2"),
        ("slice_start", "i2"), ("pixdim", "f4", (8,)), ("vox_offset", "f4"), ("scl_slope", "f4"),
        ("scl_inter", "f4"), ("slice_end", "i2"), ("slice_code", "u1"), ("xyzt_units", "u1"),
        ("cal_max", "f4"), ("cal_min", "f4"), ("slice_duration", "f4"), ("toffset", "f4"),
        ("glmax", "i4"), ("glmin", "i4"), ("descrip", "S80"), ("aux_file", "S24"), *_AFFINE_1,
        ("intent_name", "S16"), ("magic", "S4"),
    ],
    2: [
        ("sizeof_hdr", "i4"), ("magic", "S4"), ("line_ends", "S4"), ("datatype", "i2"),
        ("bitpix", "i2"), ("dim", "i8", (8,)),
        ("intent_p", "f8", (3,)), ("pixdim", "f8", (8,)), ("vox_offset", "i8"), ("scl_slope", "f8"),
        ("scl_inter", "f8"), ("cal_max", "f8"), ("cal_min", "f8"), ("slice_duration", "f8"),
        ("toffset", "f8"), ("slice_start", "i8"), ("slice_end", "i8"), ("descrip", "S80"),
        ("aux_file", "S24"), *_AFFINE_2, ("slice_code", "i4"), ("xyzt_units", "i4"), ("intent_code", "i4"),
        ("intent_name", "S16"), ("dim_info", "u1"), ("unused", "S15"),
    ],
}  # fmt: skip


class NiftiHeader:
    """Header fields under their standard names; the rows of the sform form one field `srow` (3, 4).

    Parameters
    ----------
    block
        Bytes of the header.
    version
        1 or 2.
    endianness
        "<" or ">".
    """

    def __init__(self, block: bytes, version: int, endianness: Literal["<", ">"]) -> None:
        self.endianness = endianness
        dtype = np.dtype(_LAYOUTS[version]).newbyteorder(endianness)
        self._fields = np.frombuffer(bytearray(block), dtype, count=1)

    @classmethod
    def empty(cls) -> NiftiHeader:
        """Return a little-endian single-file NIfTI-1 header: no scaling, mm and s, no affine."""
        header = cls(bytes(348), 1, "<")
        header["sizeof_hdr"], header["magic"], header["vox_offset"] = 348, b"n+1", 352
        header["scl_slope"], header["scl_inter"] = 1.0, 0.0
        header["xyzt_units"] = _MILLIMETRE + _SECOND
        header["dim"], header["pixdim"] = [0] + [1] * 7, 1.0
        return header

    def __getitem__(self, name: str) -> Any:
        return self._fields[name][0]

    def __setitem__(self, name: str, value: Any) -> None:
        self._fields[name] = value

    @property
    def block(self) -> bytes:
        """Header as bytes."""
        return self._fields.tobytes()

    @property
    def intent(self) -> str:
        """Name of the intent."""
        code = int(self["intent_code"])
        return INTENTS.get(code, f"unknown code {code}")

    def set_image(self, shape: tuple[int, ...], dtype: np.dtype[Any], intent: str | None) -> None:
        """Set shape, data type and intent.

        Raises
        ------
        KeyError
            For a data type that cannot be written or an unknown intent.
        """
        self["dim"] = [len(shape), *shape] + [1] * (7 - len(shape))
        self["datatype"], self["bitpix"] = _DATA_TYPES[dtype.str[1:]], 8 * dtype.itemsize
        self["intent_code"] = {name: code for code, name in INTENTS.items()}[intent or "none"]

    def sform(self) -> Matrix:
        """Affine (4, 4) of the sform."""
        return np.vstack([np.array(self["srow"], dtype=np.float64), [0.0, 0.0, 0.0, 1.0]])

    def qform(self) -> Matrix:
        """Affine (4, 4) of the quaternion, the voxel sizes and the offsets.

        Raises
        ------
        ValueError
            For a quaternion longer than 1, negative voxel sizes, or a handedness other than 1 and -1.
        """
        matrix = _rotation(np.array([self[f"quatern_{part}"] for part in "bcd"]))
        sizes = np.array(self["pixdim"][1:4])
        handedness = self["pixdim"][0]
        if (sizes < 0).any():
            raise ValueError("negative voxel sizes")
        if handedness not in (-1, 1):
            raise ValueError(f"pixdim[0] is {handedness:g}, not 1 or -1")
        sizes[2] *= handedness
        affine = np.eye(4)
        affine[:3, :3] = matrix @ np.diag(sizes)
        affine[:3, 3] = [self[f"qoffset_{axis}"] for axis in "xyz"]
        return affine

    def set_affines(self, affine: Matrix, code: int) -> None:
        """Set the sform to `affine` (4, 4), and the qform to the nearest affine without shears."""
        self["srow"], self["sform_code"], self["qform_code"] = affine[:3], code, code
        sizes = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
        axes = affine[:3, :3] / sizes
        handedness = 1 if np.linalg.det(axes) > 0 else -1
        axes[:, 2] *= handedness
        left, _, right = np.linalg.svd(axes)
        quaternion = _quaternion(left @ right)
        self["pixdim"][:4] = [handedness, *sizes]
        for part, value in zip("bcd", quaternion[1:], strict=True):
            self[f"quatern_{part}"] = value
        for axis, value in zip("xyz", affine[:3, 3], strict=True):
            self[f"qoffset_{axis}"] = value


def _rotation(bcd: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.longdouble]:
    """Return the rotation (3, 3) of the unit quaternion with these last components, first one positive."""
    exact = bcd.astype(np.longdouble)
    square = np.longdouble(1) - np.longdouble(exact @ exact)
    if abs(square) < 3 * np.finfo(np.float32).eps:
        square = np.longdouble(0)
    elif square < 0:
        raise ValueError(f"the squares of its components exceed 1 by {-float(square):.3g}")
    w, (x, y, z) = np.sqrt(square), exact
    twice = 2.0 / (w * w + x * x + y * y + z * z) * exact
    (wx, wy, wz), (xx, xy, xz) = w * twice, x * twice
    (_, yy, yz), (_, _, zz) = y * twice, z * twice
    return np.array(
        [
            [1.0 - (yy + zz), xy - wz, xz + wy],
            [xy + wz, 1.0 - (xx + zz), yz - wx],
            [xz - wy, yz + wx, 1.0 - (xx + yy)],
        ]
    )


def _quaternion(rotation: Matrix) -> Matrix:
    """Return the unit quaternion (w, x, y, z), w >= 0, of a rotation (Bar-Itzhack 2000, 10.2514/2.4654)."""
    (xx, yx, zx), (xy, yy, zy), (xz, yz, zz) = rotation.tolist()
    lower = [
        [xx - yy - zz, 0.0, 0.0, 0.0],
        [yx + xy, yy - xx - zz, 0.0, 0.0],
        [zx + xz, zy + yz, zz - xx - yy, 0.0],
        [yz - zy, zx - xz, xy - yx, xx + yy + zz],
    ]
    values, vectors = np.linalg.eigh(np.array(lower) / 3.0)
    quaternion: Matrix = vectors[[3, 0, 1, 2], np.argmax(values)]
    return -quaternion if quaternion[0] < 0 else quaternion

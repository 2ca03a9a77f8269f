"""Maps that are written, under the names of their files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qsmengine.stages.diffusion.fitting import STATUS
from qsmengine.stages.diffusion.kurtosis import COMPONENTS


@dataclass(frozen=True)
class Product:
    """A file of a run: the map it holds and its name's `suffix` and entities; fields are written in Hz."""

    map: str
    suffix: str
    entities: Mapping[str, str]
    description: str

    @property
    def is_field(self) -> bool:
        """Whether it is written in [Hz] instead of [ppm]."""
        return self.suffix == "fieldmap"


QSM_PRODUCTS = (
    Product("chi", "Chimap", {}, "magnetic susceptibility"),
    Product("reliable_chi", "Chimap", {"desc": "pass1"}, "susceptibility without voxels of poor phase"),
    Product("filled_chi", "Chimap", {"desc": "pass2"}, "susceptibility with holes of the mask filled"),
    Product(
        "chi_sd", "Chimap", {"desc": "sd"}, "standard deviation of the susceptibility from the field's noise"
    ),
    Product("chi_positive", "Chimap", {"desc": "paramagnetic"}, "susceptibility of paramagnetic sources"),
    Product("chi_negative", "Chimap", {"desc": "diamagnetic"}, "susceptibility of diamagnetic sources"),
    Product("chi_total", "Chimap", {"desc": "separated"}, "sum of the para- and diamagnetic susceptibility"),
    Product("swi", "swi", {}, "susceptibility-weighted image"),
    Product("minip", "minIP", {}, "minimum of the susceptibility-weighted image over a slab"),
    Product("r2star", "R2starmap", {}, "effective transverse relaxation rate"),
    Product("r2star_sd", "R2starmap", {"desc": "sd"}, "standard deviation of the effective relaxation rate"),
    Product("t2star", "T2starmap", {}, "effective transverse relaxation time"),
    Product("s0", "S0map", {}, "signal at echo time 0"),
    Product("total_field", "fieldmap", {"desc": "total"}, "field offset from all sources"),
    Product("local_field", "fieldmap", {"desc": "local"}, "field offset from sources inside the mask"),
    Product("noise", "fieldmap", {"desc": "noise"}, "standard deviation of the total field"),
    Product("brain_mask", "mask", {"desc": "brain"}, "mask of the field fit"),
    Product("local_mask", "mask", {"desc": "reliable"}, "voxels where the local field and chi are defined"),
    Product("reliable_mask", "mask", {"desc": "pass1"}, "voxels of the first of two passes"),
    Product("csf_mask", "mask", {"desc": "csf"}, "cerebrospinal fluid that chi is relative to"),
)

DTI_PRODUCTS = {
    "fa": ("FA", "fractional anisotropy"),
    "md": ("MD", "mean diffusivity"),
    "ad": ("AD", "axial diffusivity"),
    "rd": ("RD", "radial diffusivity"),
    "mo": ("MO", "mode of anisotropy"),
    "s0": ("S0", "signal without diffusion weighting"),
    "l1": ("L1", "largest eigenvalue"),
    "l2": ("L2", "middle eigenvalue"),
    "l3": ("L3", "smallest eigenvalue"),
    "v1": ("V1", "direction of the largest eigenvalue, FSL frame"),
    "v2": ("V2", "direction of the middle eigenvalue, FSL frame"),
    "v3": ("V3", "direction of the smallest eigenvalue, FSL frame"),
    "tensor": ("tensor", "diffusion tensor"),
    "colour_fa": ("RGB", "colour FA: |V1| times FA"),
    "mk": ("MK", "mean kurtosis"),
    "ak": ("AK", "axial kurtosis"),
    "rk": ("RK", "radial kurtosis"),
    "kfa": ("KFA", "kurtosis fractional anisotropy"),
    "mkt": ("MKT", "mean of the kurtosis tensor"),
    "kurtosis_tensor": ("DKT", f"kurtosis tensor: {' '.join(COMPONENTS)}, FSL frame"),
    "free_water": ("FW", "fraction of free water"),
    "sse": ("sse", "sum of squared residuals of the log signal"),
    "sigma": ("sigma", "standard deviation of the signal around the model"),
    "noise_map": ("noise", "standard deviation of the noise that denoising took off"),
    "status": ("status", "; ".join(f"{code}: {meaning}" for code, meaning in STATUS.items())),
    "outliers": ("outliers", "1: measurement left out"),
}
"""Map -> (ending of the file's name as FSL's dtifit has it, description)."""

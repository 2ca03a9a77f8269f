"""Maps of a diffusion fit and their files."""

from __future__ import annotations

from dataclasses import dataclass

from qsmengine.io.dicom_objects import codes
from qsmengine.io.dicom_objects.codes import Coded
from qsmengine.pipeline.outputs.products import Product, Support
from qsmengine.stages.diffusion.fitting import STATUS
from qsmengine.stages.diffusion.orders import KURTOSIS_ORDER

UNFITTED = (0, 3, 4)
"""Status values where the other maps are zero; tissue maps are also zero where the status is 6."""
TISSUE_SUPPORT = Support("status", (*UNFITTED, 6))
FLUID_SUPPORT = Support("status", UNFITTED)


@dataclass(frozen=True)
class DiffusionProduct(Product):
    """Map of a fit; `ending` is the file ending used by FSL's dtifit."""

    ending: str = ""


def _product(
    name: str, ending: str, description: str, region: Support | None = None, quantity: Coded | None = None
) -> DiffusionProduct:
    param = {"param": name.replace("_", "")}
    return DiffusionProduct(name, "dwimap", param, description, region, ending, quantity=quantity)


PRODUCTS = (
    _product("fa", "FA", "fractional anisotropy", TISSUE_SUPPORT, codes.FRACTIONAL_ANISOTROPY),
    _product("md", "MD", "mean diffusivity", TISSUE_SUPPORT, codes.MEAN_DIFFUSIVITY),
    _product("ad", "AD", "axial diffusivity", TISSUE_SUPPORT, codes.AXIAL_DIFFUSIVITY),
    _product("rd", "RD", "radial diffusivity", TISSUE_SUPPORT, codes.RADIAL_DIFFUSIVITY),
    _product("mo", "MO", "mode of anisotropy"),
    _product("s0", "S0", "signal without diffusion weighting"),
    _product("l1", "L1", "largest eigenvalue"),
    _product("l2", "L2", "middle eigenvalue"),
    _product("l3", "L3", "smallest eigenvalue"),
    _product("v1", "V1", "direction of the largest eigenvalue, FSL frame"),
    _product("v2", "V2", "direction of the middle eigenvalue, FSL frame"),
    _product("v3", "V3", "direction of the smallest eigenvalue, FSL frame"),
    _product("tensor", "tensor", "diffusion tensor"),
    _product("colour_fa", "RGB", "colour FA: |V1| times FA"),
    _product("mk", "MK", "mean kurtosis", TISSUE_SUPPORT, codes.MEAN_KURTOSIS),
    _product("ak", "AK", "axial kurtosis", quantity=codes.AXIAL_KURTOSIS),
    _product("rk", "RK", "radial kurtosis", quantity=codes.RADIAL_KURTOSIS),
    _product("kfa", "KFA", "kurtosis fractional anisotropy"),
    _product("mkt", "MKT", "mean of the kurtosis tensor"),
    _product("kurtosis_tensor", "DKT", f"kurtosis tensor: {' '.join(KURTOSIS_ORDER)}, FSL frame"),
    _product("free_water", "FW", "fraction of free water", FLUID_SUPPORT),
    _product("sse", "sse", "sum of squared residuals of the log signal"),
    _product("sigma", "sigma", "standard deviation of the signal around the model"),
    _product("noise_map", "noise", "standard deviation of the noise removed by denoising"),
    _product("status", "status", "; ".join(f"{code}: {meaning}" for code, meaning in STATUS.items())),
    _product("outliers", "outliers", "1: measurement left out"),
    DiffusionProduct("brain_mask", "mask", {"desc": "brain"}, "voxels that were fitted", None, "mask"),
)

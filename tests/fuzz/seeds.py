"""Valid texts that the targets start from, and words that go into them."""
# ruff: noqa: E501, ISC004

from __future__ import annotations

from typing import Any

YAML_WORDS = (
    "2026-11-29", "2026-11-29T10:00:00Z", "!!python/object:os.system", "!x", "&a", "*a", "&a [*a, *a]", "<<: *a", "~", ".nan",
    ".inf", "-.inf", "1e999", "0b1" + "0" * 5000, "1:" * 900 + "1", "0o777", "[", "{", "? ", "- ", "|\n  ", "%YAML 9.9\n", "---\n",
    "...\n", "yes", "1_000", "[[[[[[[[[[", "{a: {b: {c: ", "none", "true", "null", "tkd", "ndi",
)  # fmt: skip
CONFIG: dict[str, Any] = {
    "schema_version": 1,
    "background": {"method": "vsharp"},
    "inversion": {"method": "tkd", "threshold": 0.2},
    "unwrap": {"method": "romeo"},
    "input": {"phase_sign": 1},
}
ANALYSIS: dict[str, Any] = {
    "variables": {"thalamus": {"region": "Thalamus", "hemisphere": "left", "map": "chi", "statistic": "mean"}},
    "log": {"log_age": {"of": "age", "offset": 1.0}},
    "categorical": ["sex"],
    "correction": "fdr_bh",
    "models": [
        {
            "name": "a",
            "kind": "ancova",
            "outcome": ["thalamus"],
            "groups": {"column": "group", "reference": "HC"},
        },
        {"name": "power", "kind": "power", "test": "t", "effect": 0.5, "n": 20},
    ],
}
DESIGN: dict[str, Any] = {
    "outcome": [{"region": "Thalamus", "map": ["chi"], "statistic": "mean"}],
    "groups": {"column": "group", "reference": "HC"},
    "covariates": ["age"],
    "correction": "holm",
}
SETTINGS = (
    "inversion.lambda=2e-4", "inversion=tkd", "inversion.threshold=0.2", "background.radius=8", "swi=homodyne",
    "diffusion.b0_threshold=100", "diffusion=dki", "input.phase_sign=-1", "mask=none", "unwrap.template=1", "field_fit=none",
)  # fmt: skip
OPTIONS = ("3,40-42", "48GB", "512MiB", "0.004,0.008", "8000MB", "name=value")
LABEL_TABLES = (
    "index\tname\themisphere\tabbreviation\tgroup\n0\tbackground\tn/a\tBG\t\n10\tThalamus\tleft\tTh\tdgm\n49\tThalamus\tright\tTh\tdgm\n",
    "Region_Index,Region_Name\n1,Left-Putamen\n2,Pu_RH\n",
    '# ITK-SNAP\n    0     0    0    0        0  0  0    "Clear Label"\n    1   255    0    0        1  1  1    "Left Putamen"\n',
    "# FreeSurfer\n0 Unknown 0 0 0 0\n10 Left-Thalamus 0 118 14 0\n49 Right-Thalamus 0 118 14 0\n",
    "<atlas><header><type>Label</type></header><data><label index='0' x='1' y='2' z='3'>Left Thalamus</label>"
    "<label index='1' x='1' y='2' z='3'>Right Thalamus</label></data></atlas>",
    '1 L.Th "Left Thalamus" 255 0 0 255\n2 R.Th "Right Thalamus" 0 255 0 255\n',
    "1 Left-Thalamus\n2 Right-Thalamus\n",
)
LABEL_WORDS = (
    "index",
    "name",
    "10",
    "-1",
    "1.0",
    "ctx-lh-",
    "<!DOCTYPE a [<!ENTITY b 'c'>]>",
    "&b;",
    "<label>",
    "right",
    "255 0 0 ",
)
FILTER: dict[str, Any] = {
    "megre": {"acquisition": "fine", "run": [1, None]},
    "dwi": {"direction": ["AP", None]},
}
FILTER_KEYS = (
    "megre",
    "gre",
    "dwi",
    "suffix",
    "datatype",
    "extension",
    "subject",
    "acquisition",
    "run",
    "echo",
    "part",
)
ASEG = (
    "# Title Segmentation Statistics\n# Measure EstimatedTotalIntraCranialVol, eTIV, Estimated Total, 1500000.0, mm^3\n"
    "# ColHeaders  Index SegId NVoxels Volume_mm3 StructName normMean\n"
    "  1  10  7000  7000.5  Left-Thalamus  90.1\n  2  49  7100  7100.5  Right-Thalamus  90.2\n"
)
SYNTHSEG = (
    "subject,total intracranial,left thalamus,right thalamus,3rd ventricle\nscan,1500000,7000.1,7100.2,900.3\n"
)
SIENAX = (
    "VSCALING 1.2\ntissue   volume  unnormalised-volume\npgrey 600000 500000\nvcsf 30000 25000\nGREY 700000 600000\n"
    "WHITE 700000 600000\nBRAIN 1400000 1200000\n"
)
STATS = (
    "index\tregion\themisphere\tn_voxels\tvolume_mm3\tchi_mean\tchi_median\n10\tThalamus\tleft\t70\t560.5\t0.01\t0.02\n"
    "49\tThalamus\tright\t71\t568\t-0.01\tn/a\n"
)
PEOPLE = "participant_id\tage\tsex\tgroup\nsub-1\t30\tF\tHC\nsub-2\t89+\tM\tMS\nsub-3\t41.5\tn/a\tMS\nsub-4\t50\tF\tHC\n"
PARAMS: dict[str, Any] = {
    "voxel_size": [1.0, 1.0, 1.0], "B0_dir": [0, 0, 1], "B0": 3.0, "TE": [0.004, 0.008, 0.012],
}  # fmt: skip
RECORD: dict[str, Any] = {
    "session": "sub-1", "steps": {"gre": {"state": "done", "outputs": {"a.nii.gz": "00"}, "seconds": 1.5}}, "problems": [],
}  # fmt: skip

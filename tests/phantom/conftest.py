import numpy as np
import pytest

from qsmengine.phantom import virtual_head


@pytest.fixture(scope="session")
def head():
    """A noise-free 4 mm head with both modalities."""
    return virtual_head(voxel_size=(4.0, 4.0, 4.0), modalities=("gre", "dwi"))


@pytest.fixture
def rng():
    return np.random.default_rng(20240611)

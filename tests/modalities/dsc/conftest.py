import numpy as np
import pytest

from tests.modalities.dsc.making import brain


@pytest.fixture
def rng():
    return np.random.default_rng(20250301)


@pytest.fixture(scope="session")
def made():
    """A brain with one echo at an SNR of 200."""
    return brain(np.random.default_rng(7))

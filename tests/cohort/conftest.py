import shutil

import pytest

from qsmengine.cohort.plan.build import plan_cohort
from qsmengine.pipeline.configuration.config import load_config
from tests.cohort.making import Dataset
from tests.cohort.small import write_cohort


@pytest.fixture
def dataset(tmp_path):
    return Dataset(tmp_path / "bids")


@pytest.fixture(scope="session")
def config():
    return load_config(preset="fast")


@pytest.fixture
def plan(dataset, tmp_path, config):
    """The plan of the dataset, and of one session its steps by name."""

    def made(**options):
        return plan_cohort(dataset.root, tmp_path / "out", options.pop("config", config), **options)

    return made


@pytest.fixture
def steps(plan):
    def made(**options):
        (session,) = plan(**options).sessions
        return {step.name: step for step in session.steps}

    return made


@pytest.fixture(scope="session")
def small_cohort(tmp_path_factory):
    """One small session with echoes and diffusion; only read."""
    return write_cohort(tmp_path_factory.mktemp("small") / "bids", 1, dwi=True)


@pytest.fixture
def bids(small_cohort, tmp_path):
    """A copy of it."""
    return shutil.copytree(small_cohort, tmp_path / "bids")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"

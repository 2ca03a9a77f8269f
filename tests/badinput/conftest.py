import pytest

from tests.made_sessions import make_ball, write_ball, write_dwi


@pytest.fixture
def files(tmp_path):
    return write_ball(tmp_path / "in", make_ball(20))


@pytest.fixture
def dwi(tmp_path):
    return write_dwi(tmp_path / "in")[0]

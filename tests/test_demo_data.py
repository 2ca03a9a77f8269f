import pytest

from qsmengine.demo_data import demo_path


def test_bundled_sets_come_with_licence_and_origin():
    for name in ("philips-gre-2echo-brain", "siemens-dwi-brain-with-vendor-maps"):
        folder = demo_path(name)
        assert "BSD" in (folder / "LICENSE").read_text()
        assert "Origin" in (folder / "README.md").read_text()


@pytest.mark.parametrize("name", ["nothing", "..", "../io", ""])
def test_an_unknown_set_names_the_known_ones(name):
    with pytest.raises(FileNotFoundError, match="philips-gre-2echo-brain"):
        demo_path(name)

"""Filling the kernel cache, seen through a stand-in for CuPy."""

from types import SimpleNamespace

import pytest

from qsmengine.backend import cuda
from qsmengine.backend.signatures import all_kernels
from qsmengine.cli.main import main
from qsmengine.errors import DeviceError
from tests.backend.fake_cuda import CompileError, Context


@pytest.fixture
def device(monkeypatch):
    """A device whose CuPy notes what is compiled."""
    compiled = []

    compiler = SimpleNamespace(CompileException=CompileError)
    xp = SimpleNamespace(cuda=SimpleNamespace(Device=Context, compiler=compiler))
    monkeypatch.setattr(cuda, "_function", lambda kernel, index, cupy: compiled.append(kernel.name))
    return SimpleNamespace(xp=xp, index=0, compiled=compiled)


def test_every_kernel_of_the_gpu_is_compiled_once(device):
    names = [kernel.name for kernel in all_kernels() if kernel.source.endswith(".cu")]
    assert cuda.compile_all(device) == len(names)
    assert device.compiled == names


def test_kernel_that_does_not_compile_is_named(device, monkeypatch):
    def fail(kernel, index, cupy):
        raise CompileError("no")

    monkeypatch.setattr(cuda, "_function", fail)
    with pytest.raises(DeviceError, match="does not compile"):
        cuda.compile_all(device)


def test_command_without_a_gpu_says_so(monkeypatch, capsys):
    monkeypatch.setattr("qsmengine.backend.device._found_gpus", lambda: (0, "none here"))
    assert main(["doctor", "--compile"]) == 4
    assert "none here" in capsys.readouterr().err

"""CUDA's parts beside the driver: what is missing is named, and how it is come by; the CPU asks for none."""

import json
import sys
import tomllib
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from qsmengine.api.calls import device_for
from qsmengine.backend import device as devices
from qsmengine.backend import toolkit
from qsmengine.backend.device import cuda_devices, resolve_device
from qsmengine.cli.main import main
from qsmengine.errors import DeviceError
from qsmengine.pipeline.outputs.provenance import machine
from tests.backend.fake_cuda import CompileError, Context

ROOT = Path(__file__).resolve().parents[2]
NO_NVRTC = 'Failure finding "libnvrtc.so.12": No such file: libnvrtc.so.12\nsearched in ...'


class RuntimeApiError(RuntimeError):
    pass


class FakeCupy(ModuleType):
    """As much of CuPy as the checks touch; what a test changes breaks."""

    __version__ = "14.2.0"
    ndarray = type("ndarray", (), {})

    def __init__(self):
        super().__init__("cupy")
        self.launches = 0
        self.cuda = SimpleNamespace(
            Device=Context,
            nvrtc=SimpleNamespace(getVersion=lambda: (12, 9)),
            cufft=object(), cublas=object(), cusolver=object(),
            compiler=SimpleNamespace(CompileException=CompileError),
            runtime=SimpleNamespace(
                getDeviceCount=lambda: 2, CUDARuntimeError=RuntimeApiError,
                runtimeGetVersion=lambda: 12090, driverGetVersion=lambda: 13000,
            ),
        )  # fmt: skip
        self.problem = None

    def empty(self, shape, dtype):
        self.launches += 1
        if self.problem is not None:
            raise self.problem
        return SimpleNamespace(fill=lambda value: None, get=lambda: np.ones(shape, dtype))

    def RawModule(self, **source):  # noqa: N802  (CuPy's name)
        if self.problem is not None:
            raise self.problem
        return SimpleNamespace(compile=lambda: source)


@pytest.fixture
def cupy(monkeypatch):
    fake = FakeCupy()
    monkeypatch.setitem(sys.modules, "cupy", fake)
    for check in (toolkit.toolkit_problem, toolkit.launch_problem):
        check.cache_clear()
    yield fake
    for check in (toolkit.toolkit_problem, toolkit.launch_problem):
        check.cache_clear()


def missing(text, kind=RuntimeError):
    def fail():
        raise kind(text)

    return fail


def without_nvrtc(cupy):
    cupy.cuda.nvrtc.getVersion = missing(NO_NVRTC)


def without_cufft(cupy, monkeypatch):
    monkeypatch.setattr(toolkit, "_load", lambda name: missing("libcufft.so.11: cannot open", ImportError)())


def test_a_whole_installation_is_used_and_tried_once(cupy):
    assert str(resolve_device("auto")) == "cuda:0"
    assert str(resolve_device("cuda:1")) == "cuda:1"
    assert str(resolve_device("cuda")) == "cuda:0"
    assert cuda_devices() == (2, "")
    assert cupy.launches == 2


def test_the_cpu_asks_for_nothing(cupy, monkeypatch):
    monkeypatch.setattr(devices, "import_cupy", missing("not to be imported", AssertionError))
    assert resolve_device("cpu").note == ""


def test_a_process_that_leaves_the_work_to_others_launches_nothing(cupy):
    assert str(resolve_device("auto", launch=False)) == "cuda:0"
    assert cuda_devices() == (2, "")
    assert cupy.launches == 0


def test_without_nvrtc_auto_takes_the_cpu_and_says_why(cupy):
    without_nvrtc(cupy)
    device = resolve_device("auto", 3)
    assert (device.kind, device.threads) == ("cpu", 3)
    assert device == devices.cpu(3)
    assert "NVRTC is missing" in device.note
    assert "libnvrtc.so.12" in device.note
    assert "searched in" not in device.note
    assert cupy.launches == 0


def test_without_nvrtc_a_gpu_asked_for_is_an_error_that_says_what_to_install(cupy):
    without_nvrtc(cupy)
    with pytest.raises(DeviceError, match=r'NVRTC is missing.*pip install "qsmengine\[cuda12\]"'):
        resolve_device("cuda")
    assert cuda_devices()[0] == 0


def test_the_extra_is_that_of_the_cuda_that_cupy_is_built_for(cupy):
    without_nvrtc(cupy)
    cupy.cuda.runtime.runtimeGetVersion = lambda: 13000
    with pytest.raises(DeviceError, match=r"qsmengine\[cuda13\]"):
        resolve_device("cuda:1")


def test_a_missing_library_is_named(cupy, monkeypatch):
    without_cufft(cupy, monkeypatch)
    with pytest.raises(DeviceError, match=r"cuFFT is missing \(libcufft\.so\.11"):
        resolve_device("cuda")
    assert "cuFFT is missing" in resolve_device("auto").note


def test_nvrtc_that_compiles_nothing_is_met_by_the_cpu(cupy):
    cupy.problem = CompileError("\ncatastrophic error: cannot open source file cuda_fp16.h\n1 error")
    note = resolve_device("auto").note
    assert "NVRTC cannot compile" in note
    assert "cannot open source file cuda_fp16.h" in note
    with pytest.raises(DeviceError, match=r"cuda_fp16\.h.*qsmengine\[cuda12\]"):
        resolve_device("cuda")


def test_a_gpu_that_cannot_run_a_kernel_is_not_used(cupy):
    cupy.problem = RuntimeApiError("cudaErrorDevicesUnavailable: all CUDA-capable devices are busy")
    assert "devices are busy" in resolve_device("auto").note
    with pytest.raises(DeviceError, match=r"cuda:1 is not usable.*devices are busy"):
        resolve_device("cuda:1")


def test_a_machine_without_a_gpu_is_no_reason_for_a_note(cupy):
    cupy.cuda.runtime.getDeviceCount = lambda: 0
    assert resolve_device("auto").note == ""
    with pytest.raises(DeviceError, match="CUDA finds no GPU"):
        resolve_device("cuda")


def test_the_reason_goes_into_the_provenance_and_to_callers_of_python(cupy):
    without_nvrtc(cupy)
    device = resolve_device("auto")
    assert "NVRTC" in machine(device)["DeviceNote"]
    assert "DeviceNote" not in machine(device, timings=False)
    with pytest.warns(RuntimeWarning, match="NVRTC is missing"):
        assert device_for("auto", np.zeros(3)).kind == "cpu"


def test_commands_say_why_they_use_the_cpu(cupy, tmp_path, capsys):
    without_nvrtc(cupy)
    assert main(["denoise", str(tmp_path / "none.nii"), "--out", str(tmp_path)]) != 0
    assert "note: cuda:0 is not used: CUDA's compiler NVRTC is missing" in capsys.readouterr().err


def test_the_extras_bring_cuda_s_parts():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert all(f"cupy-{name}x[ctk]>=14" in extras[name] for name in ("cuda12", "cuda13"))


def test_doctor_shows_what_is_there(cupy, capsys, monkeypatch):
    monkeypatch.setattr("qsmengine.backend.memory.available_memory", lambda device: 1 << 30)
    assert main(["doctor", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["CUDA"] == {
        "CuPy": "14.2.0", "runtime": "12.9", "NVRTC": "12.9", "cuFFT": "found", "cuBLAS": "found",
        "cuSOLVER": "found", "driver": "for CUDA 13.0", "headers": "found",
        "compile": "a kernel compiles and runs",
    }  # fmt: skip


def test_doctor_shows_what_is_missing(cupy, capsys, monkeypatch):
    without_nvrtc(cupy)
    without_cufft(cupy, monkeypatch)
    cupy.problem = CompileError("cannot open source file cuda_fp16.h")
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    for line in (
        "NVRTC is missing",
        "cuFFT        missing: libcufft",
        "headers      missing: cannot open",
    ):
        assert line in shown
    assert "compile      NVRTC cannot compile" in shown


def test_this_machine_s_gpu_compiles_and_runs_a_kernel(gpu):
    assert toolkit.toolkit_problem() == ""
    assert toolkit.launch_problem(gpu.index) == ""
    assert toolkit.headers_problem(gpu.index) == ""

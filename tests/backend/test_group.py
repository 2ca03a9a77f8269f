"""Parts of a job shared out to several devices."""

from __future__ import annotations

import threading
import time

import pytest

from qsmengine.backend.device import Device, cpu, cuda_devices
from qsmengine.backend.group import device_group, share_out, workers
from qsmengine.errors import DeviceError


@pytest.mark.parametrize("count", [0, 1, 5, 40])
@pytest.mark.parametrize("devices", [1, 3])
def test_every_item_is_done_once(count, devices):
    done, lock = [], threading.Lock()

    def work(_device, item):
        with lock:
            done.append(item)

    share_out(work, list(range(count)), [cpu(1)] * devices)
    assert sorted(done) == list(range(count))


def test_devices_work_side_by_side():
    meeting = threading.Barrier(2, timeout=20)  # passed only by two at a time

    def meet(_device: Device, _item: int) -> None:
        meeting.wait()

    share_out(meet, [0, 1], [cpu(1), cpu(1)])


def test_an_error_ends_the_job():
    done, failed = [], threading.Event()

    def work(_device, item):
        if item == 3:
            failed.set()
            raise ValueError("broken part")
        if item > 3:
            failed.wait(20)
            time.sleep(1e-3)
        done.append(item)

    with pytest.raises(ValueError, match="broken part"):
        share_out(work, list(range(2000)), [cpu(1), cpu(1)])
    assert {0, 1, 2} <= set(done)
    assert len(done) < 1000


def test_a_gpu_has_two_parts_under_way_and_a_cpu_one():
    gpu = Device("cuda", 1)
    assert workers([cpu(1), gpu]) == [cpu(1), gpu, gpu]


def test_gpus_that_are_not_there_are_named():
    found, _ = cuda_devices()
    with pytest.raises(DeviceError, match=f"this machine has {found}"):
        device_group(Device("cuda", 0), found + 2)
    assert device_group(cpu(1), 4) == (cpu(1),)

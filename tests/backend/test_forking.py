import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import multiprocessing, sys
import numpy as np
from qsmengine.backend.device import cpu
from qsmengine.backend.fft import RealFFT
from qsmengine.ops.components import largest_component

SHAPE = (64, 64, 64)
image = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
transform = RealFFT(SHAPE, cpu(2))

def work(queue=None):
    spectrum = transform.forward(image)
    fresh = RealFFT(SHAPE, cpu(2)).inverse(spectrum.copy())
    part = largest_component(image > 0, cpu(2))
    result = (spectrum.tobytes(), np.allclose(fresh, image, atol=1e-4), part.tobytes())
    return result if queue is None else queue.put(result)

if __name__ == "__main__":
    here = work()
    context = multiprocessing.get_context(sys.argv[1])
    queue = context.Queue()
    child = context.Process(target=work, args=(queue,))
    child.start()
    print("same" if queue.get(timeout=60) == here and here[1] else "different")
    child.join()
"""


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_kernels_and_transforms_work_in_processes_started_after_they_were_used(tmp_path, method):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script, method],
        env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.stdout == "same\n", done.stderr

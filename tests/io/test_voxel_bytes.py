from __future__ import annotations

import gzip

import pytest

from qsmengine.io.voxel_bytes import BLOCK, START, compressed


@pytest.mark.parametrize("size", [0, 1, START - 1, START, START + 1, BLOCK, BLOCK + 5, 2 * BLOCK + START])
def test_bytes_come_back_and_do_not_depend_on_their_chunks(rng, size):
    content = rng.integers(0, 4, size).astype("u1").tobytes()
    whole = b"".join(compressed(iter([content])))
    ends = sorted(rng.integers(0, size + 1, 5))
    parts = [content[a:b] for a, b in zip([0, *ends], [*ends, size], strict=True)]
    assert gzip.decompress(whole) == content
    assert b"".join(compressed(iter(parts))) == whole

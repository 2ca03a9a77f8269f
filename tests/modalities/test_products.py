"""Files of all modalities of one session."""

from __future__ import annotations

from itertools import combinations

import pytest

from qsmengine.modalities.registry import all_modalities

PAIRS = [(a, b) for a, b in combinations(all_modalities(), 2) if a.datatype == b.datatype]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair[0].name} and {pair[1].name}")
def test_modalities_with_one_folder_write_different_files_and_columns(pair):
    for used in (
        [{(p.suffix, *sorted(p.entities.items())) for p in one.products} for one in pair],
        [{p.region_name for p in one.products if p.region is not None} for one in pair],
    ):
        assert used[0] & used[1] == set()


def test_some_modalities_share_a_folder():
    assert PAIRS

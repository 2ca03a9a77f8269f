"""The triangulated sphere is closed, outward, and nested."""

from __future__ import annotations

import numpy as np
import pytest

from qsmengine.ops.mesh import unit_sphere


@pytest.mark.parametrize("level", [0, 1, 3])
def test_sphere_has_the_vertices_and_triangles_of_euler_s_formula(level: int) -> None:
    mesh = unit_sphere(level)
    assert len(mesh.vertices) == 10 * 4**level + 2
    assert len(mesh.triangles) == 20 * 4**level
    np.testing.assert_allclose(np.linalg.norm(mesh.vertices, axis=1), 1.0)
    assert (mesh.ring[:, 5] < 0).sum() == 12


def test_triangles_enclose_the_ball_s_volume_outwards() -> None:
    mesh = unit_sphere(4)
    volume = np.linalg.det(mesh.vertices[mesh.triangles]).sum() / 6
    assert volume == pytest.approx(4 / 3 * np.pi, rel=5e-3)


def test_rings_run_anticlockwise_around_their_vertex_over_its_edges() -> None:
    mesh = unit_sphere(2)
    edges = {tuple(sorted(e)) for t in mesh.triangles.tolist() for e in (t[:2], t[1:], t[::2])}
    for v, ring in enumerate(mesh.ring):
        around = ring[ring >= 0]
        assert {tuple(sorted((v, int(n)))) for n in around} <= edges
        following = np.roll(around, -1)
        turns = np.cross(mesh.vertices[around] - mesh.vertices[v], mesh.vertices[following] - mesh.vertices[v])
        assert (turns @ mesh.vertices[v] > 0).all()
    assert sum((mesh.ring >= 0).sum(axis=1)) == 2 * len(edges)


def test_coarser_surface_is_refined_by_the_middles_of_its_edges() -> None:
    coarse, fine = unit_sphere(2), unit_sphere(3)
    refined = fine.from_coarser(coarse.vertices)
    np.testing.assert_array_equal(refined[: len(coarse.vertices)], coarse.vertices)
    directions = refined / np.linalg.norm(refined, axis=1, keepdims=True)
    np.testing.assert_allclose(directions, fine.vertices, atol=1e-12)

import numpy as np

from qsmengine.phantom.scheme import default_scheme, repulsion_directions


def energy(points):
    both = np.concatenate([points, -points])
    distance = np.linalg.norm(both[:, None] - both[None], axis=2)
    return (1 / distance[np.triu_indices(len(both), 1)]).sum()


def test_directions_spread_better_than_any_random_set(rng):
    points = np.array(repulsion_directions(32))
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1.0)
    best = np.inf
    for _ in range(100):
        random = rng.normal(size=(32, 3))
        best = min(best, energy(random / np.linalg.norm(random, axis=1, keepdims=True)))
    assert energy(points) < 0.98 * best
    cosines = np.abs(points @ points.T) - np.eye(32)
    assert np.degrees(np.arccos(cosines.max())) > 20


def test_six_directions_are_those_of_the_icosahedron():
    points = np.array(repulsion_directions(6))
    cosines = np.abs(points @ points.T)[~np.eye(6, dtype=bool)]
    np.testing.assert_allclose(cosines, 1 / np.sqrt(5), atol=2e-3)


def test_default_scheme_has_b0_volumes_and_one_shell():
    b_values, b_vectors = default_scheme()
    assert b_values.tolist() == [0.0, 0.0] + [1000.0] * 32
    np.testing.assert_allclose(np.linalg.norm(b_vectors, axis=1), [0.0, 0.0] + [1.0] * 32)

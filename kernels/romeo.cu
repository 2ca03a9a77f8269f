// ROMEO (10.1002/mrm.28563): weights of the edges between neighbouring voxels, their mean per voxel, and
// unwrapping along the echoes. The growth over the edges is in romeo.cpp.
#include "vmath.h"

// A triplet of voxels (a, b, c) in line: 1 where the phase is linear; 0.9 where one of them is missing.
FN float linearity(float a, float b, float c, int known) {
  float bend = 0.5f * fabs1(wrap(a - 2.0f * b + c));
  return known ? fmax2(0.0f, 1.0f - bend) : 0.9f;
}

// Cost 1 (best) .. 255 of the edge between p1 and p2, whose outer neighbours in line are p0 and p3; q is
// another echo, whose phase is `ratio` times slower (TE / TE of q), m the magnitude. 0 stands for no edge.
FN u8 edge_cost(float p0, float p1, float p2, float p3, int known0, int known3, float q1, float q2, float ratio,
                int second, float m1, float m2, int exists) {
  float step = wrap(p2 - p1);
  float coherence = 1.0f - fabs1(step) * (1.0f / PI_F);
  float mismatch = fabs1(step - wrap(q2 - q1) * ratio);
  float gradient = second ? fmax2(0.0f, 1.0f - mismatch) : 1.0f;
  float linear = linearity(p0, p1, p2, known0) * linearity(p1, p2, p3, known3);
  float low = fmin2(m1, m2), high = fmax2(m1, m2);
  float relative = high > 0.0f ? low / high : 0.0f;
  float weight = (0.1f + 0.9f * coherence) * (0.1f + 0.9f * gradient) * (0.1f + 0.9f * linear) *
                 (0.1f + 0.9f * relative * relative);
  int cost = (int)clampf(fround(255.0f * (1.0f - weight)), 1.0f, 255.0f);
  return (u8)(exists ? cost : 0);
}

// One axis: rows of nz voxels; the step to the next voxel on the axis is `stride` rows (x, y) or 0 (z).
FN u8 row_edge(const float* p, const float* q, const float* m, const u8* mask, Index row, Index stride, Index at,
               Index size, Index nz, int k, float ratio, int second) {
  int has_next = at + 1 < size, has_before = at > 0, has_after = at + 2 < size;
  Index i = row * nz + k;
  Index next = has_next ? i + stride : i, before = has_before ? i - stride : i,
        after = has_after ? i + 2 * stride : i;
  int exists = has_next && mask[i] && mask[next];
  return edge_cost(p[before], p[i], p[next], p[after], has_before && mask[before], has_after && mask[after], q[i],
                   q[next], ratio, second, m[i], m[next], exists);
}

// cost[axis, x, y, z]: the edge from (x, y, z) to its next voxel on the axis. ratio = TE(phase) / TE(other);
// second = 0 leaves the term of the other echo out.
KERNEL(romeo_weights,
       (const float* RESTRICT phase, const float* RESTRICT other, const float* RESTRICT magnitude,
        const u8* RESTRICT mask, u8* RESTRICT cost, float ratio, int second, Index nx, Index ny, Index nz),
       (phase, other, magnitude, mask, cost, ratio, second, nx, ny, nz)) {
  Index n = nx * ny * nz;
  FOR_TILES(row, nx * ny) {
    Index x = row / ny, y = row % ny;
    u8* out = cost + row * nz;
    TILE_FOR(k, (int)nz) {
      out[k] = row_edge(phase, other, magnitude, mask, row, ny * nz, x, nx, nz, k, ratio, second);
    }
    TILE_FOR(k, (int)nz) {
      out[n + k] = row_edge(phase, other, magnitude, mask, row, nz, y, ny, nz, k, ratio, second);
    }
    TILE_FOR(k, (int)nz) {
      out[2 * n + k] = row_edge(phase, other, magnitude, mask, row, 1, k, nz, nz, k, ratio, second);
    }
  }
}

FN void add_edge(const u8* cost, Index i, int inside, float* sum, float* count) {
  float c = (float)cost[inside ? i : 0];
  int exists = inside && c > 0.0f;
  *sum += exists ? (255.0f - c) * (1.0f / 254.0f) : 0.0f;
  *count += exists ? 1.0f : 0.0f;
}

// Mean weight, 0 (worst) .. 1, of the up to six edges of a voxel; 0 for a voxel without edges.
KERNEL(romeo_quality, (const u8* RESTRICT cost, float* RESTRICT quality, Index nx, Index ny, Index nz),
       (cost, quality, nx, ny, nz)) {
  Index n = nx * ny * nz;
  FOR_TILES(row, nx * ny) {
    Index x = row / ny, y = row % ny;
    TILE_FOR(k, (int)nz) {
      Index i = row * nz + k;
      float sum = 0.0f, count = 0.0f;
      add_edge(cost, i, 1, &sum, &count);
      add_edge(cost, i - ny * nz, x > 0, &sum, &count);
      add_edge(cost, n + i, 1, &sum, &count);
      add_edge(cost, n + i - nz, y > 0, &sum, &count);
      add_edge(cost, 2 * n + i, 1, &sum, &count);
      add_edge(cost, 2 * n + i - 1, k > 0, &sum, &count);
      quality[i] = count > 0.0f ? sum / count : 0.0f;
    }
  }
}

// Phase of an echo brought to within pi of `ratio` times the unwrapped reference, ratio = TE / TE(reference).
// state: 2 = settled; 1 = further than `limit` [rad] from the prediction, to be grown again; 0 = outside.
KERNEL(romeo_temporal,
       (const float* RESTRICT phase, const float* RESTRICT reference, const u8* RESTRICT mask,
        float* RESTRICT unwrapped, u8* RESTRICT state, float ratio, float limit, Index n),
       (phase, reference, mask, unwrapped, state, ratio, limit, n)) {
  FOR_VOXELS(i, n) {
    float prediction = reference[i] * ratio;
    float turns = fround((prediction - phase[i]) * INV_TWO_PI_F);
    float value = phase[i] + TWO_PI_F * turns;
    int good = fabs1(value - prediction) <= limit;
    unwrapped[i] = mask[i] ? value : 0.0f;
    state[i] = (u8)(mask[i] ? (good ? 2 : 1) : 0);
  }
}

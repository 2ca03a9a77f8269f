// ROMEO (10.1002/mrm.28563): weights of the edges between adjacent voxels, their mean per voxel, and unwrapping along
// the echoes. The growth over the edges is in romeo.cpp and romeo_forest.cu.
#include "vmath.h"

// Parameters of the edge weights of an image. A lowest value of 1 disables the gradient's term: selecting it by a
// condition that is equal for all voxels would prevent vectorisation of the loops.
struct EdgeTerms {
  float ratio, lowest_gradient, bright;
  int magnitude_weights;  // known at compile time
};

// Distance from the nearest whole turn, -1/2 .. 1/2.
FN float rest(float turns) { return turns - fround(turns); }

// Linearity of three voxels in line, given their two steps [turns]: 1 if the phase is linear, 0.9 if unknown.
FN float linearity(float step1, float step2, int known) {
  float bend = PI_F * fabs1(rest(step2 - step1));
  return known ? fmax2(0.0f, 1.0f - bend) : 0.9f;
}

FN float term(float quality) { return 0.1f + 0.9f * quality; }

// Weight of magnitudes: reduced if low, or as high as in flowing blood; `bright` is half the 95th percentile.
FN float magnitude_term(float low, float high, float bright) {
  float dark = 0.5f + 0.5f * fmin2(1.0f, low / bright);
  float flow = 0.5f + 0.5f * fmin2(1.0f, bright / fmax2(high, bright));
  return term(dark) * term(flow);
}

// Cost 1 (best) .. 255 of the edge from voxel k to k + next, with outer neighbours k + before and k + after; 0 if the
// edge does not exist. Offsets of missing neighbours are 0.
FN u8 edge_cost(const float* p, const float* q, const float* m, const u8* mask, Index before, Index next,
                Index after, int has_before, int has_next, int has_after, int k, EdgeTerms terms) {
  const float *p0 = p + before, *p2 = p + next, *p3 = p + after, *q2 = q + next, *m2 = m + next;
  const u8 *mask0 = mask + before, *mask2 = mask + next, *mask3 = mask + after;
  float turns = (p2[k] - p[k]) * INV_TWO_PI_F, step = rest(turns);
  float mismatch = TWO_PI_F * fabs1(step - rest((q2[k] - q[k]) * INV_TWO_PI_F) * terms.ratio);
  float gradient = fmax2(terms.lowest_gradient, 1.0f - mismatch);
  float linear = linearity((p[k] - p0[k]) * INV_TWO_PI_F, turns, has_before & mask0[k]) *
                 linearity(turns, (p3[k] - p2[k]) * INV_TWO_PI_F, has_after & mask3[k]);
  float low = fmin2(m[k], m2[k]), high = fmax2(m[k], m2[k]);
  float relative = high > 0.0f ? low / high : 0.0f;
  float weight = term(1.0f - 2.0f * fabs1(step)) * term(gradient) * term(linear) * term(relative * relative);
  if (terms.magnitude_weights) weight *= magnitude_term(low, high, terms.bright);
  int cost = (int)clampf(fround(255.0f * (1.0f - weight)), 1.0f, 255.0f);
  return (u8)((has_next & mask[k] & mask2[k]) != 0 ? cost : 0);
}

// Edges of a row of nz voxels on all three axes.
FN void row_costs(const float* p, const float* q, const float* m, const u8* mask, u8* cost, Index row, Index nx,
                  Index ny, Index nz, EdgeTerms terms) {
  for (int axis = 0; axis < 2; ++axis) {
    Index at = axis == 0 ? row / ny : row % ny, size = axis == 0 ? nx : ny;
    Index stride = axis == 0 ? ny * nz : nz;
    int has_before = at > 0, has_next = at + 1 < size, has_after = at + 2 < size;
    Index before = has_before ? -stride : 0, next = has_next ? stride : 0, after = has_after ? 2 * stride : 0;
    u8* out = cost + axis * nx * ny * nz;
    ROW_FOR(k, (int)nz) {
      out[k] = edge_cost(p, q, m, mask, before, next, after, has_before, has_next, has_after, k, terms);
    }
  }
  u8* out = cost + 2 * nx * ny * nz;
  ROW_FOR(k, (int)nz - 3) { out[k + 1] = edge_cost(p, q, m, mask, -1, 1, 2, 1, 1, 1, k + 1, terms); }
  ROW_FOR(end, 3) {  // ends of the row: its first voxel and its last two
    int k = end == 0 ? 0 : (int)nz - 3 + end, taken = end > 0 && k <= 0;
    int has_before = k > 0, has_next = k + 1 < (int)nz, has_after = k + 2 < (int)nz;
    if (!taken)
      out[k] = edge_cost(p, q, m, mask, -has_before, has_next, 2 * has_after, has_before, has_next, has_after,
                         k, terms);
  }
}

// cost[axis, x, y, z]: cost of the edge from (x, y, z) to the next voxel along the axis.
// ratio = TE(phase) / TE(other); second = 0 omits the term of the other echo, magnitude_weights = 0 those of low and
// high magnitude.
KERNEL(romeo_weights,
       (const float* RESTRICT phase, const float* RESTRICT other, const float* RESTRICT magnitude,
        const u8* RESTRICT mask, u8* RESTRICT cost, float ratio, float bright, int second,
        int magnitude_weights, Index nx, Index ny, Index nz),
       (phase, other, magnitude, mask, cost, ratio, bright, second, magnitude_weights, nx, ny, nz)) {
  float lowest = second ? 0.0f : 1.0f;
  EdgeTerms plain = {ratio, lowest, bright, 0}, all = {ratio, lowest, bright, 1};
  FOR_ROWS(row, nx * ny) {
    Index i = row * nz;
    if (magnitude_weights)
      row_costs(phase + i, other + i, magnitude + i, mask + i, cost + i, row, nx, ny, nz, all);
    else
      row_costs(phase + i, other + i, magnitude + i, mask + i, cost + i, row, nx, ny, nz, plain);
  }
}

// Weight of an edge in 1/254, plus the edge count in the upper half: both in one sum.
FN int edge_weight(int cost, int inside) { return inside & (cost > 0) ? 255 - cost + 0x10000 : 0; }

// Mean weight, 0 (worst) .. 1, of the up to six edges of a voxel; 0 for a voxel without edges.
KERNEL(romeo_quality, (const u8* RESTRICT cost, float* RESTRICT quality, Index nx, Index ny, Index nz),
       (cost, quality, nx, ny, nz)) {
  Index n = nx * ny * nz;
  FOR_ROWS(row, nx * ny) {
    int has_x = row >= ny, has_y = row % ny > 0;
    const u8 *on_x = cost + row * nz, *on_y = on_x + n, *on_z = on_y + n;
    const u8 *before_x = on_x - (has_x ? ny * nz : 0), *before_y = on_y - (has_y ? nz : 0);
    const u8* before_z = on_z - 1;  // for the row's first voxel an unrelated value, which is masked out
    float* out = quality + row * nz;
    ROW_FOR(k, (int)nz) {
      int sum = edge_weight(on_x[k], 1) + edge_weight(on_y[k], 1) + edge_weight(on_z[k], 1) +
                edge_weight(before_x[k], has_x) + edge_weight(before_y[k], has_y) +
                edge_weight(before_z[k], k > 0);
      float count = (float)(sum >> 16), weight = (float)(sum & 0xffff) * (1.0f / 254.0f);
      out[k] = weight / fmax2(count, 1.0f);
    }
  }
}

// Phase of an echo, shifted to within pi of `ratio` times the unwrapped reference, ratio = TE / TE(reference). state:
// 2 = settled; 1 = further than `limit` [rad] from the prediction, to be grown again; 0 = outside.
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

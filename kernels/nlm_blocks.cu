// Blockwise non-local means with preselection by mean and variance (Coupe et al. 2008, 10.1109/TMI.2007.906087).
//
//   e_b(p) = (w_0 v(b+p) + sum_j w(b, j) v(j+p)) / (w_0 + sum_j w(b, j))     p over the patch: block b
//   out(i) = mean of e_b(i - b) over the blocks b that contain i
//
// Centres b lie on a lattice. w is that of nlm.cu, and 0 unless the patches' means m (vectors of components) and
// variances s (sums over components) agree:
//
//   |m_b - m_j| <= (1 - mean_ratio) max(|m_b|, |m_j|),   variance_ratio <= s_b / s_j <= 1 / variance_ratio
#include "nlm.h"

struct Box {
  int x, y, z;
};

// Loop over the positions p of a box around a voxel; `at` is the voxel.
#define FOR_BOX(at, p, box, v)                                                                      \
  for (int at##_x = -(box).x, p = 0; at##_x <= (box).x; ++at##_x)                                   \
    for (int at##_y = -(box).y; at##_y <= (box).y; ++at##_y)                                        \
      for (Index at = at##_x * (v).x + at##_y * (v).y - (box).z, at##_z = 0; at##_z <= 2 * (box).z; \
           ++at, ++at##_z, ++p)

// Statistics of the patch around each voxel: means of the components, their sum of squares, and the variance summed
// over components; 0 where the patch extends beyond the padded array.
KERNEL(nlm_statistics,
       (const float* RESTRICT guide, float* RESTRICT statistics, int patch_x, int patch_y, int patch_z,
        Index components, Index px, Index py, Index pz, Index numbers),
       (guide, statistics, patch_x, patch_y, patch_z, components, px, py, pz, numbers)) {
  Volume v = {pz, py * pz, px * py * pz};
  Box patch = {patch_x, patch_y, patch_z};
  int voxels = (2 * patch_x + 1) * (2 * patch_y + 1) * (2 * patch_z + 1);
  FOR_VOXELS(i, v.next) {
    Index x = i / v.x, y = i / v.y % py, z = i % v.y;
    int inside = x >= patch_x && x < px - patch_x && y >= patch_y && y < py - patch_y && z >= patch_z &&
                 z < pz - patch_z;
    float power = 0.0f, variance = 0.0f;
    for (Index c = 0; c < components; ++c) {
      const float* own = guide + c * v.next + i;
      float sum = 0.0f, squares = 0.0f;
      if (inside)
        FOR_BOX(at, p, patch, v) sum += own[at];
      float mean = sum / (float)voxels;
      if (inside)
        FOR_BOX(at, p, patch, v) squares += (own[at] - mean) * (own[at] - mean);
      statistics[c * v.next + i] = mean;
      power += mean * mean;
      variance += squares / (float)voxels;
    }
    statistics[(numbers - 2) * v.next + i] = power;
    statistics[(numbers - 1) * v.next + i] = variance;
  }
}

// 1 if the statistics of patches i and j agree.
FN int agree(const float* statistics, Index i, Index j, Index components, Index next, float mean_part,
             float variance_ratio) {
  const float *power = statistics + components * next, *variance = power + next;
  float difference = 0.0f;
  for (Index c = 0; c < components; ++c) {
    float step = statistics[c * next + i] - statistics[c * next + j];
    difference += step * step;
  }
  return difference <= mean_part * mean_part * fmax2(power[i], power[j]) &&
         variance[i] >= variance_ratio * variance[j] && variance[j] >= variance_ratio * variance[i];
}

// Padded arrays, scale, offset, most and self_peak as in nlm.cu, with the margin search + 2 patch radius. Block
// (0, 0, 0) is centred at `first` relative to voxel (0, 0, 0), and the blocks are `stride` apart; centres lie in the
// image. mean_part: 1 - mean_ratio.
// estimates: result of the blocks that contain a candidate; 0 for the others.
KERNEL(nlm_blocks,
       (const float* RESTRICT guide, const float* RESTRICT values, const float* RESTRICT precision,
        const float* RESTRICT candidate, const float* RESTRICT statistics, float* RESTRICT estimates,
        float scale, float offset, float most, float mean_part, float variance_ratio, int search_x,
        int search_y, int search_z, int patch_x, int patch_y, int patch_z, int self_peak, int first_x,
        int first_y, int first_z, int stride_x, int stride_y, int stride_z, Index components, Index px,
        Index py, Index pz, Index maps, Index numbers, Index voxels, Index bx, Index by, Index bz),
       (guide, values, precision, candidate, statistics, estimates, scale, offset, most, mean_part,
        variance_ratio, search_x, search_y, search_z, patch_x, patch_y, patch_z, self_peak, first_x, first_y,
        first_z, stride_x, stride_y, stride_z, components, px, py, pz, maps, numbers, voxels, bx, by, bz)) {
  (void)numbers;
  Volume v = {pz, py * pz, px * py * pz};
  Box patch = {patch_x, patch_y, patch_z}, search = {search_x, search_y, search_z};
  Rule rule = {scale, offset, most};
  Index blocks = bx * by * bz, row = voxels * blocks;
  int shifts = (2 * search_x + 1) * (2 * search_y + 1) * (2 * search_z + 1);
  FOR_VOXELS(b, blocks) {
    Index x = first_x + b / (by * bz) * stride_x + search_x + 2 * patch_x;
    Index y = first_y + b / bz % by * stride_y + search_y + 2 * patch_y;
    Index i = x * v.x + y * v.y + first_z + b % bz * stride_z + search_z + 2 * patch_z;
    float *estimate = estimates + b, total = 0.0f, peak = 0.0f;
    int wanted = 0;
    FOR_BOX(at, p, patch, v) wanted |= candidate[i + at] > 0.0f;
    for (Index k = 0; k < components * voxels; ++k) estimate[k * blocks] = 0.0f;
    if (!wanted) continue;
    FOR_BOX(shift, s, search, v) {
      Index j = i + shift;
      if (2 * s + 1 == shifts || !(candidate[j] > 0.0f)) continue;
      if (!agree(statistics, i, j, components, v.next, mean_part, variance_ratio)) continue;
      float sum = 0.0f;
      for (Index c = 0; c < components; ++c) {
        const float *g = guide + c * v.next, *q = precision + (maps > 1 ? c : 0) * v.next;
        FOR_BOX(at, p, patch, v) {
          float step = g[i + at] - g[j + at];
          sum += maps > 0 ? q[i + at] * (step * step) : step * step;
        }
      }
      float weight = bits_float(weight_bits(sum, rule)) * candidate[j];
      if (!(weight > 0.0f)) continue;
      total += weight;
      peak = fmax2(peak, weight);
      for (Index c = 0; c < components; ++c)
        FOR_BOX(at, p, patch, v) estimate[c * row + p * blocks] += weight * values[c * v.next + j + at];
    }
    float self = self_peak && peak > 0.0f ? peak : 1.0f, inverse = 1.0f / (total + self);
    for (Index c = 0; c < components; ++c)
      FOR_BOX(at, p, patch, v) {
        float own = self * values[c * v.next + i + at];
        estimate[c * row + p * blocks] = (estimate[c * row + p * blocks] + own) * inverse;
      }
  }
}

// First block of a row of blocks whose upper end reaches voxel i.
FN Index first_block(Index i, int first, int stride, int radius) {
  Index low = i - radius - first;
  return low <= 0 ? 0 : (low + stride - 1) / stride;
}

// Mean of the blocks that contain a voxel, 0 outside the mask.
KERNEL(nlm_block_means,
       (const float* RESTRICT estimates, const u8* RESTRICT mask, float* RESTRICT filtered, int patch_x,
        int patch_y, int patch_z, int first_x, int first_y, int first_z, int stride_x, int stride_y,
        int stride_z, Index components, Index voxels, Index bx, Index by, Index bz, Index nx, Index ny,
        Index nz),
       (estimates, mask, filtered, patch_x, patch_y, patch_z, first_x, first_y, first_z, stride_x, stride_y,
        stride_z, components, voxels, bx, by, bz, nx, ny, nz)) {
  Index n = nx * ny * nz, blocks = bx * by * bz;
  FOR_VOXELS(i, components * n) {
    Index voxel = i % n, x = voxel / (ny * nz), y = voxel / nz % ny, z = voxel % nz;
    const float* own = estimates + i / n * voxels * blocks;
    float sum = 0.0f, count = 0.0f;
    for (Index a = first_block(x, first_x, stride_x, patch_x); mask[voxel] && a < bx; ++a) {
      Index dx = x - first_x - a * stride_x + patch_x;
      if (dx < 0) break;
      for (Index b = first_block(y, first_y, stride_y, patch_y); b < by; ++b) {
        Index dy = y - first_y - b * stride_y + patch_y;
        if (dy < 0) break;
        for (Index c = first_block(z, first_z, stride_z, patch_z); c < bz; ++c) {
          Index dz = z - first_z - c * stride_z + patch_z;
          if (dz < 0) break;
          Index p = (dx * (2 * patch_y + 1) + dy) * (2 * patch_z + 1) + dz;
          sum += own[p * blocks + (a * by + b) * bz + c];
          count += 1.0f;
        }
      }
    }
    filtered[i] = count > 0.0f ? sum / count : 0.0f;
  }
}

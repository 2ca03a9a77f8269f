// The split z = x in a region, with a penalty of the deviation of z from its mean, for ADMM; see solvers/uniform.py.
// `place` holds the region's voxels. Sums are in double precision, with one partial sum per segment of the region.
#include "tile.h"

#define LANES 256

// total += scale x.
KERNEL(uniform_add, (float* RESTRICT total, const float* RESTRICT x, float scale, Index n),
       (total, x, scale, n)) {
  FOR_VOXELS(i, n) { total[i] += scale * x[i]; }
}

// v = x + multiplier, over-relaxed: + relax (x - z), with z = target + multiplier;  partial[t] = sum of v over the
// t-th of `blocks` segments.
KERNEL(uniform_sums,
       (const Index* RESTRICT place, const float* RESTRICT x, const float* RESTRICT multiplier,
        const float* RESTRICT target, float* RESTRICT v, double* RESTRICT partial, float relax, Index m,
        Index n, Index blocks),
       (place, x, multiplier, target, v, partial, relax, m, n, blocks)) {
  Index length = (m + blocks - 1) / blocks;
  TILE_SHARED(double, sums, LANES);
  FOR_TILES(t, blocks) {
    Index start = t * length, stop = start + length < m ? start + length : m;
    TILE_FOR(i, LANES) { sums[i] = 0.0f; }
    for (Index base = start; base < stop; base += LANES) {
      int count = (int)(stop - base < LANES ? stop - base : LANES);
      TILE_FOR(i, count) {
        Index k = base + i;
        float own = x[place[k]];
        float value = own + multiplier[k] + relax * (own - target[k] - multiplier[k]);
        v[k] = value;
        sums[i] += (double)value;
      }
    }
    for (int half = LANES / 2; half > 0; half /= 2) {
      TILE_SYNC();
      TILE_FOR(i, half) { sums[i] += sums[i + half]; }
    }
    TILE_FOR(i, 1) { partial[t] = sums[i]; }
    TILE_SYNC();
  }
}

// mean = sum of the partial sums over `size`, the number of voxels; `one` is 1.
KERNEL(uniform_mean,
       (const double* RESTRICT partial, double* RESTRICT mean, float size, Index blocks, Index one),
       (partial, mean, size, blocks, one)) {
  FOR_VOXELS(i, one) {
    double sum = 0.0f;
    for (Index t = 0; t < blocks; ++t) sum += partial[t];
    mean[i] = sum / (double)size;
  }
}

// multiplier = share (v - mean), target = z - multiplier with z = v - multiplier;  total += scale (target - x).
KERNEL(uniform_step,
       (const Index* RESTRICT place, const float* RESTRICT x, const float* RESTRICT v,
        const double* RESTRICT mean, float* RESTRICT multiplier, float* RESTRICT target, float* RESTRICT total,
        float share, float scale, Index m, Index n, Index one),
       (place, x, v, mean, multiplier, target, total, share, scale, m, n, one)) {
  float middle = (float)mean[0];
  FOR_VOXELS(k, m) {
    float own = share * (v[k] - middle);
    float aim = v[k] - 2.0f * own;
    multiplier[k] = own;
    target[k] = aim;
    total[place[k]] += scale * (aim - x[place[k]]);
  }
}

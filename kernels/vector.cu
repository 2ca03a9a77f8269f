// Vector operations of Krylov solvers. Sums are in double precision, with one partial sum per block of elements, so
// the order of summation does not depend on the machine. Step lengths are read from memory, so the host does not wait
// for the GPU.
#include "tile.h"

#define LANES 256

// partial[t] = sum of a b over the t-th of `blocks` segments of elements.
KERNEL(vec_dot,
       (const float* RESTRICT a, const float* RESTRICT b, double* RESTRICT partial, Index n, Index blocks),
       (a, b, partial, n, blocks)) {
  Index length = (n + blocks - 1) / blocks;
  TILE_SHARED(double, sums, LANES);
  FOR_TILES(t, blocks) {
    Index start = t * length, stop = start + length < n ? start + length : n;
    TILE_FOR(i, LANES) { sums[i] = 0.0f; }
    for (Index base = start; base < stop; base += LANES) {
      int count = (int)(stop - base < LANES ? stop - base : LANES);
      TILE_FOR(i, count) { sums[i] += (double)a[base + i] * (double)b[base + i]; }
    }
    for (int half = LANES / 2; half > 0; half /= 2) {
      TILE_SYNC();
      TILE_FOR(i, half) { sums[i] += sums[i + half]; }
    }
    TILE_FOR(i, 1) { partial[t] = sums[i]; }
    TILE_SYNC();
  }
}

// y += sign step x;  partial[t] = sum of the new y^2 over the t-th of `blocks` segments.
KERNEL(vec_step,
       (float* RESTRICT y, const float* RESTRICT x, const double* RESTRICT step, float sign,
        double* RESTRICT partial, Index n, Index blocks),
       (y, x, step, sign, partial, n, blocks)) {
  Index length = (n + blocks - 1) / blocks;
  float factor = sign * (float)step[0];
  TILE_SHARED(double, sums, LANES);
  FOR_TILES(t, blocks) {
    Index start = t * length, stop = start + length < n ? start + length : n;
    TILE_FOR(i, LANES) { sums[i] = 0.0f; }
    for (Index base = start; base < stop; base += LANES) {
      int count = (int)(stop - base < LANES ? stop - base : LANES);
      TILE_FOR(i, count) {
        float value = y[base + i] + factor * x[base + i];
        y[base + i] = value;
        sums[i] += (double)value * (double)value;
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

// x += alpha p;  p = s + beta p.
KERNEL(vec_advance,
       (float* RESTRICT x, float* RESTRICT p, const float* RESTRICT s, const double* RESTRICT alpha,
        const double* RESTRICT beta, Index n),
       (x, p, s, alpha, beta, n)) {
  float a = (float)alpha[0], b = (float)beta[0];
  FOR_VOXELS(i, n) {
    float direction = p[i];
    x[i] += a * direction;
    p[i] = s[i] + b * direction;
  }
}

// s -= damping (x + alpha p).
KERNEL(vec_damp,
       (float* RESTRICT s, const float* RESTRICT x, const float* RESTRICT p, const double* RESTRICT alpha,
        float damping, Index n),
       (s, x, p, alpha, damping, n)) {
  float a = (float)alpha[0];
  FOR_VOXELS(i, n) { s[i] -= damping * (x[i] + a * p[i]); }
}

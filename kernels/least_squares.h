// Small least-squares problems, one per lane: normal matrices with unit diagonal, their factors, steps and variances.
// A matrix of k unknowns is stored by rows of its lower triangle.
#pragma once
#include "vmath.h"

#define LOWER(i, j) ((i) * ((i) + 1) / 2 + (j))

// factor = Cholesky factor of the normal matrix scaled to unit diagonal, with a lane's `damping` added to it; scale_i is the root
// of the inverse of element i of the diagonal. Directions that the data do not determine get a pivot of 1e-6.
FN void factor_normal(const float* normal, float* factor, float* scale, const float* damping, int k,
                      int count) {
  for (int i = 0; i < k; ++i)
    TILE_FOR(l, count) { AT(scale, i, l) = 1.0f / fsqrt(fmax2(AT(normal, LOWER(i, i), l), 1e-30f)); }
  for (int j = 0; j < k; ++j)
    for (int i = j; i < k; ++i)
      TILE_FOR(l, count) {
        float sum = AT(normal, LOWER(i, j), l) * AT(scale, i, l) * AT(scale, j, l) +
                    (i == j ? AT(damping, 0, l) : 0.0f);
        for (int m = 0; m < j; ++m) sum -= AT(factor, LOWER(i, m), l) * AT(factor, LOWER(j, m), l);
        AT(factor, LOWER(i, j), l) = i == j ? fsqrt(fmax2(sum, 1e-6f)) : sum / AT(factor, LOWER(j, j), l);
      }
}

// step = solution of the factored normal equations for a gradient.
FN void solve_normal(const float* factor, const float* scale, const float* gradient, float* step, int k,
                     int count) {
  for (int i = 0; i < k; ++i)
    TILE_FOR(l, count) {
      float sum = AT(gradient, i, l) * AT(scale, i, l);
      for (int m = 0; m < i; ++m) sum -= AT(factor, LOWER(i, m), l) * AT(step, m, l);
      AT(step, i, l) = sum / AT(factor, LOWER(i, i), l);
    }
  for (int i = k - 1; i >= 0; --i)
    TILE_FOR(l, count) {
      float sum = AT(step, i, l);
      for (int m = i + 1; m < k; ++m) sum -= AT(factor, LOWER(m, i), l) * AT(step, m, l);
      AT(step, i, l) = sum / AT(factor, LOWER(i, i), l);
    }
  for (int i = 0; i < k; ++i)
    TILE_FOR(l, count) { AT(step, i, l) *= AT(scale, i, l); }
}

// variance = element `which` of the diagonal of the inverse of a factored normal matrix; column is work space.
FN void inverse_diagonal(const float* factor, const float* scale, float* column, float* variance, int which,
                         int k, int count) {
  TILE_FOR(l, count) { AT(variance, 0, l) = 0.0f; }
  for (int i = which; i < k; ++i)
    TILE_FOR(l, count) {
      float sum = i == which ? 1.0f : 0.0f;
      for (int m = which; m < i; ++m) sum -= AT(factor, LOWER(i, m), l) * AT(column, m, l);
      AT(column, i, l) = sum / AT(factor, LOWER(i, i), l);
      AT(variance, 0, l) += AT(column, i, l) * AT(column, i, l) * AT(scale, which, l) * AT(scale, which, l);
    }
}

// Marquardt's rule after a trial of k unknowns with `sum` and its normal matrix and gradient: accepts it if the sum fell,
// with a tenth of the damping, else keeps the earlier point with ten times the damping.
FN void judge_trial(const float* normal, const float* gradient, float* known, float* pull, const float* trial,
                    float* sum, float* damping, float* accepted, int k, int count) {
  TILE_FOR(l, count) {
    int better = AT(trial, 0, l) < AT(sum, 0, l);
    AT(accepted, 0, l) = better ? 1.0f : 0.0f;
    AT(sum, 0, l) = better ? AT(trial, 0, l) : AT(sum, 0, l);
    AT(damping, 0, l) = clampf(AT(damping, 0, l) * (better ? 0.1f : 10.0f), 1e-5f, 1e5f);
  }
  for (int i = 0; i < k * (k + 1) / 2; ++i)
    TILE_FOR(l, count) { AT(known, i, l) = AT(accepted, 0, l) > 0.0f ? AT(normal, i, l) : AT(known, i, l); }
  for (int i = 0; i < k; ++i)
    TILE_FOR(l, count) { AT(pull, i, l) = AT(accepted, 0, l) > 0.0f ? AT(gradient, i, l) : AT(pull, i, l); }
}

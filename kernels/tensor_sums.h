// Shared by the tensor fits: predictions and the 7 x 7 system. Coefficients are in an orthonormal basis: with the
// design matrix A = Q R, log S_v = (Q c)_v, and beta = R^-1 c contains the tensor.
#pragma once
#include "blocks.h"
#include "tensor_maps.h"

#define UNKNOWNS 7
#define PRODUCTS 28  // entries of a symmetric 7 x 7 matrix, lower triangle row by row

// p = Q c for one volume of a block.
#define PREDICT(p, q, j, c, l)                                                                           \
  float p = (q)[j] * AT(c, 0, l) + (q)[BLOCK + (j)] * AT(c, 1, l) + (q)[2 * BLOCK + (j)] * AT(c, 2, l) + \
            (q)[3 * BLOCK + (j)] * AT(c, 3, l) + (q)[4 * BLOCK + (j)] * AT(c, 4, l) +                    \
            (q)[5 * BLOCK + (j)] * AT(c, 5, l) + (q)[6 * BLOCK + (j)] * AT(c, 6, l)

// c += x, M x = r, by Cholesky. Directions whose pivot is lost to rounding are left unchanged and set `lost` to 1.
// `doubt`: size of x over the smallest ratio of pivot to diagonal, to which the rounding error is proportional.
FN void correct(float* c, float* lost, float* doubt, const float* m, const float* r) {
  FOR_LANES(l) {
    float a[PRODUCTS], inverse[UNKNOWNS], x[UNKNOWNS];
    float missing = AT(lost, 0, l), weakest = 1.0f, longest = 0.0f;
#pragma GCC unroll 7
    for (int i = 0; i < UNKNOWNS; ++i) {
      float whole = AT(m, LOWER(i, i), l);
#pragma GCC unroll 7
      for (int j = 0; j <= i; ++j) {
        float sum = AT(m, LOWER(i, j), l);
#pragma GCC unroll 7
        for (int k = 0; k < j; ++k) sum -= a[LOWER(i, k)] * a[LOWER(j, k)];
        if (j < i) {
          a[LOWER(i, j)] = sum * inverse[j];
        } else {
          int sound = sum > SMALL_PIVOT * whole;
          inverse[i] = sound ? 1.0f / fsqrt(sum) : 0.0f;
          missing = sound ? missing : 1.0f;
          weakest = sound ? fmin2(weakest, sum / whole) : weakest;
        }
      }
    }
#pragma GCC unroll 7
    for (int i = 0; i < UNKNOWNS; ++i) {
      x[i] = AT(r, i, l);
#pragma GCC unroll 7
      for (int k = 0; k < i; ++k) x[i] -= a[LOWER(i, k)] * x[k];
      x[i] *= inverse[i];
    }
#pragma GCC unroll 7
    for (int i = UNKNOWNS - 1; i >= 0; --i) {
#pragma GCC unroll 7
      for (int k = i + 1; k < UNKNOWNS; ++k) x[i] -= a[LOWER(k, i)] * x[k];
      x[i] *= inverse[i];
      AT(c, i, l) += x[i];
      longest = fmax2(longest, fabs1(x[i]));
    }
    AT(lost, 0, l) = missing;
    AT(doubt, 0, l) = longest / weakest;
  }
}

// All maps of lane l from its c, except residuals: `up` = R^-1 row by row, `unit` = 1 / b_max; `top` = divisor of S,
// 0 if there is nothing to fit; `lost`: the rank was insufficient.
FN void describe(float* out, const float* c, const float* top, const float* lost, const float* up, float unit,
                 int l) {
  float beta[UNKNOWNS];
#pragma GCC unroll 7
  for (int i = 0; i < UNKNOWNS; ++i) {
    beta[i] = 0.0f;
#pragma GCC unroll 7
    for (int k = i; k < UNKNOWNS; ++k) beta[i] += up[i * UNKNOWNS + k] * AT(c, k, l);
  }
  float keep = AT(top, 0, l) > 0.0f && AT(lost, 0, l) == 0.0f ? 1.0f : 0.0f;
  describe_tensor(out, beta + 1, keep, unit, l);
  AT(out, OUT_S0, l) = keep > 0.0f ? fexp(beta[0]) * AT(top, 0, l) : 0.0f;
  float fitted = AT(out, OUT_VALUES + 2, l) < 0.0f ? FITTED_NEGATIVE : FITTED;
  AT(out, OUT_STATUS, l) = AT(top, 0, l) > 0.0f ? (AT(lost, 0, l) == 0.0f ? fitted : RANK_LOST) : NO_SIGNAL;
}

// Parts of the iterative tensor fits: signal model, losses, median of residuals, step of a tensor that is kept
// positive.
#pragma once
#include "tensor_sums.h"

#define PLAIN 0  // sum d^2
#define ROBUST 1  // sum d^2 C^2 / (d^2 + C^2) (Geman and McClure)
#define INLIERS 2  // sum d^2 over volumes whose residual at `reference` is at most `limit`

// Expected magnitude e of a signal s = exp(p) in Rician noise, and de/dp. e^2 = s^2 + sigma^2 g(s^2 / sigma^2) with a
// rational g that keeps e within 4e-5 sigma of the mean of the Rice distribution; e = s for sigma 0.
FN float expected(float p, float sigma, float* slope) {
  float s = fexp(p), power = s * s, noise = sigma * sigma;
  float t = noise > 0.0f ? fmin2(power / noise, 1e6f) : 1e6f;
  float a = 1.0f + t * (0.02352393f + t * 0.00906304f);
  float b = 1.0f + t * (0.40062236f + t * (0.0706689f + t * 0.00916457f));
  float slope_a = 0.02352393f + t * 0.01812608f, slope_b = 0.40062236f + t * (0.1413378f + t * 0.02749371f);
  float inverse = 1.0f / b, h = a * inverse;
  float e = fsqrt(power + noise * (1.0f + 0.570796327f * h));
  float slope_h = (slope_a - h * slope_b) * inverse;
  *slope = noise > 0.0f ? power * (1.0f + 0.570796327f * slope_h) / fmax2(e, 1e-30f) : s;
  return noise > 0.0f ? e : s;
}

// d = x - model at c, and `slope` = its derivative, for one block.
FN void misfit_block(float* d, float* slope, const float* x, const float* c, const float* q,
                     const float* floor_) {
  for (int j = 0; j < BLOCK; ++j)
    FOR_LANES(l) {
      PREDICT(p, q, j, c, l);
      float rate;
      AT(d, j, l) = AT(x, j, l) - expected(p, AT(floor_, 0, l), &rate);
      AT(slope, j, l) = rate;
    }
}

// Weights and right-hand side of the normal equations, and the loss, from residuals d and slopes of one block.
FN void weigh_misfit(float* w, float* r, float* loss, const float* reference, const float* limit, int kind,
                     int count) {
  for (int j = 0; j < BLOCK; ++j) {
    float real = j < count ? 1.0f : 0.0f;
    FOR_LANES(l) {
      float d = AT(r, j, l), slope = AT(w, j, l), c2 = AT(limit, 0, l) * AT(limit, 0, l);
      float part = kind == ROBUST ? c2 / (c2 + d * d) : 1.0f;
      float weight = kind == ROBUST ? part * part : 1.0f;
      int far = kind == INLIERS && fabs1(AT(reference, j, l)) > AT(limit, 0, l);
      weight = far ? 0.0f : weight * real;
      AT(loss, 0, l) += (far ? 0.0f : part * real) * d * d;
      AT(w, j, l) = weight * slope * slope;
      AT(r, j, l) = weight * slope * d;
    }
  }
}

// c = R beta, beta = (log S0, S S) for theta = (log S0, S), S symmetric: xx xy xz yy yz zz; `down` = R.
FN void from_root(float* c, const float* theta, const float* down, int l) {
  float a = AT(theta, 1, l), b = AT(theta, 2, l), d = AT(theta, 3, l), e = AT(theta, 4, l), f = AT(theta, 5, l);
  float g = AT(theta, 6, l);
  float beta[UNKNOWNS];
  beta[0] = AT(theta, 0, l);
  beta[1] = a * a + b * b + d * d, beta[2] = a * b + b * e + d * f, beta[3] = a * d + b * f + d * g;
  beta[4] = b * b + e * e + f * f, beta[5] = b * d + e * f + f * g, beta[6] = d * d + f * f + g * g;
#pragma GCC unroll 7
  for (int i = 0; i < UNKNOWNS; ++i) {
    float sum = 0.0f;
#pragma GCC unroll 7
    for (int k = i; k < UNKNOWNS; ++k) sum += down[i * UNKNOWNS + k] * beta[k];
    AT(c, i, l) = sum;
  }
}

// theta of the tensor of c, with eigenvalues raised to a fraction of the mean diffusivity. `out`: scratch for maps.
FN void to_root(float* theta, float* out, const float* c, const float* up, int l) {
  float beta[UNKNOWNS], root[6];
#pragma GCC unroll 7
  for (int i = 0; i < UNKNOWNS; ++i) {
    beta[i] = 0.0f;
#pragma GCC unroll 7
    for (int k = i; k < UNKNOWNS; ++k) beta[i] += up[i * UNKNOWNS + k] * AT(c, k, l);
  }
  describe_tensor(out, beta + 1, 1.0f, 1.0f, l);
  float least = fmax2(0.05f * AT(out, OUT_MD, l), 1e-3f);
#pragma GCC unroll 6
  for (int k = 0; k < 6; ++k) root[k] = 0.0f;
#pragma GCC unroll 3
  for (int k = 0; k < 3; ++k) {
    const int v = OUT_VECTORS + 3 * k;
    float value = fsqrt(fmax2(AT(out, OUT_VALUES + k, l), least));
    float x = AT(out, v, l), y = AT(out, v + 1, l), z = AT(out, v + 2, l);
    root[0] += value * x * x, root[1] += value * x * y, root[2] += value * x * z;
    root[3] += value * y * y, root[4] += value * y * z, root[5] += value * z * z;
  }
  AT(theta, 0, l) = beta[0];
#pragma GCC unroll 6
  for (int k = 0; k < 6; ++k) AT(theta, 1 + k, l) = root[k];
}

// Newton step x for theta from the sums m, r in the basis of c. H = T'mT minus the curvature of S S times the
// gradient; a pivot that is not positive is replaced, so that the step is a descent direction. Returns the decrease
// of the sum of losses predicted by its second derivatives: near the boundary a long step may change little.
FN float root_step(float* x_out, const float* m, const float* r, const float* theta, const float* down, int l) {
  float a = AT(theta, 1, l), b = AT(theta, 2, l), d = AT(theta, 3, l), e = AT(theta, 4, l), f = AT(theta, 5, l);
  float g = AT(theta, 6, l);
  float t[UNKNOWNS][UNKNOWNS], push[UNKNOWNS];
#pragma GCC unroll 7
  for (int i = 0; i < UNKNOWNS; ++i) {
    const float* row = down + i * UNKNOWNS;
    t[i][0] = row[0];
    t[i][1] = 2.0f * a * row[1] + b * row[2] + d * row[3];
    t[i][2] = 2.0f * b * (row[1] + row[4]) + (a + e) * row[2] + f * row[3] + d * row[5];
    t[i][3] = 2.0f * d * (row[1] + row[6]) + f * row[2] + (a + g) * row[3] + b * row[5];
    t[i][4] = b * row[2] + 2.0f * e * row[4] + f * row[5];
    t[i][5] = d * row[2] + b * row[3] + 2.0f * f * (row[4] + row[6]) + (e + g) * row[5];
    t[i][6] = d * row[3] + f * row[5] + 2.0f * g * row[6];
    push[i] = 0.0f;
#pragma GCC unroll 7
    for (int k = 0; k <= i; ++k) push[i] += down[k * UNKNOWNS + i] * AT(r, k, l);
  }
  float h[PRODUCTS], x[UNKNOWNS];
#pragma GCC unroll 7
  for (int j = 0; j < UNKNOWNS; ++j) {
    float column[UNKNOWNS];
    x[j] = 0.0f;
#pragma GCC unroll 7
    for (int i = 0; i < UNKNOWNS; ++i) {
      column[i] = 0.0f;
#pragma GCC unroll 7
      for (int k = 0; k < UNKNOWNS; ++k) column[i] += AT(m, i > k ? LOWER(i, k) : LOWER(k, i), l) * t[k][j];
      x[j] += t[i][j] * AT(r, i, l);
    }
#pragma GCC unroll 7
    for (int i = j; i < UNKNOWNS; ++i) {
      float sum = 0.0f;
#pragma GCC unroll 7
      for (int k = 0; k < UNKNOWNS; ++k) sum += t[k][i] * column[k];
      h[LOWER(i, j)] = sum;
    }
  }
  float whole[UNKNOWNS], bend = 2.0f * (fabs1(push[1]) + fabs1(push[4]) + fabs1(push[6]));
#pragma GCC unroll 7
  for (int i = 0; i < UNKNOWNS; ++i) whole[i] = h[LOWER(i, i)] + (i > 0 ? bend : 0.0f);
  h[LOWER(1, 1)] -= 2.0f * push[1], h[LOWER(2, 2)] -= 2.0f * (push[1] + push[4]);
  h[LOWER(3, 3)] -= 2.0f * (push[1] + push[6]), h[LOWER(4, 4)] -= 2.0f * push[4];
  h[LOWER(5, 5)] -= 2.0f * (push[4] + push[6]), h[LOWER(6, 6)] -= 2.0f * push[6];
  h[LOWER(2, 1)] -= push[2], h[LOWER(4, 2)] -= push[2], h[LOWER(5, 3)] -= push[2];
  h[LOWER(3, 1)] -= push[3], h[LOWER(5, 2)] -= push[3], h[LOWER(6, 3)] -= push[3];
  h[LOWER(3, 2)] -= push[5], h[LOWER(5, 4)] -= push[5], h[LOWER(6, 5)] -= push[5];
  float inverse[UNKNOWNS];
#pragma GCC unroll 7
  for (int i = 0; i < UNKNOWNS; ++i) {
#pragma GCC unroll 7
    for (int j = 0; j <= i; ++j) {
      float sum = h[LOWER(i, j)];
#pragma GCC unroll 7
      for (int k = 0; k < j; ++k) sum -= h[LOWER(i, k)] * h[LOWER(j, k)];
      if (j < i) {
        h[LOWER(i, j)] = sum * inverse[j];
      } else {
        float pivot = sum > 1e-6f * whole[i] ? sum : fmax2(whole[i], 1e-20f);
        inverse[i] = 1.0f / fsqrt(pivot);
      }
    }
  }
#pragma GCC unroll 7
  for (int i = 0; i < UNKNOWNS; ++i) {
#pragma GCC unroll 7
    for (int k = 0; k < i; ++k) x[i] -= h[LOWER(i, k)] * x[k];
    x[i] *= inverse[i];
  }
  float gain = 0.0f;
#pragma GCC unroll 7
  for (int i = 0; i < UNKNOWNS; ++i) gain += x[i] * x[i];
#pragma GCC unroll 7
  for (int i = UNKNOWNS - 1; i >= 0; --i) {
#pragma GCC unroll 7
    for (int k = i + 1; k < UNKNOWNS; ++k) x[i] -= h[LOWER(k, i)] * x[k];
    x[i] *= inverse[i];
    AT(x_out, i, l) = x[i];
  }
  return gain;
}

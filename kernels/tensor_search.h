// Steps of the tensor fits that search: the signal model, losses, the median of residuals, the step of a tensor
// that is kept positive.
#pragma once
#include "tensor_sums.h"

#define PLAIN 0    // sum d^2
#define ROBUST 1   // sum d^2 C^2 / (d^2 + C^2) (Geman and McClure)
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
FN void misfit_block(float* d, float* slope, const float* x, const float* c, const float* q, const float* floor_) {
  for (int j = 0; j < BLOCK; ++j)
    FOR_LANES(l) {
      PREDICT(p, q, j, c, l);
      float rate;
      AT(d, j, l) = AT(x, j, l) - expected(p, AT(floor_, 0, l), &rate);
      AT(slope, j, l) = rate;
    }
}

// From residuals d and slopes of one block: weights of the normal equations, their right side, and the loss.
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

// c = R beta, beta = (log S0, L L') for theta = (log S0, l1 .. l6), L = [l1 0 0; l2 l3 0; l4 l5 l6]; `down` = R.
FN void from_factor(float* c, const float* theta, const float* down, int l) {
  float a = AT(theta, 1, l), b = AT(theta, 2, l), d = AT(theta, 3, l), e = AT(theta, 4, l), f = AT(theta, 5, l);
  float g = AT(theta, 6, l);
  float beta[UNKNOWNS] = {AT(theta, 0, l), a * a, a * b, a * e, b * b + d * d, b * e + d * f, e * e + f * f + g * g};
#pragma GCC unroll 7
  for (int i = 0; i < UNKNOWNS; ++i) {
    float sum = 0.0f;
#pragma GCC unroll 7
    for (int k = i; k < UNKNOWNS; ++k) sum += down[i * UNKNOWNS + k] * beta[k];
    AT(c, i, l) = sum;
  }
}

// theta near the tensor of c: Cholesky's factor with pivots kept above a part of the mean diffusivity.
FN void to_factor(float* theta, const float* c, const float* up, int l) {
  float beta[UNKNOWNS];
#pragma GCC unroll 7
  for (int i = 0; i < UNKNOWNS; ++i) {
    beta[i] = 0.0f;
#pragma GCC unroll 7
    for (int k = i; k < UNKNOWNS; ++k) beta[i] += up[i * UNKNOWNS + k] * AT(c, k, l);
  }
  float least = fmax2(0.1f * (beta[1] + beta[4] + beta[6]) * (1.0f / 3.0f), 1e-3f);
  float a = fsqrt(fmax2(beta[1], least)), b = beta[2] / a, e = beta[3] / a;
  float d = fsqrt(fmax2(beta[4] - b * b, least)), f = (beta[5] - b * e) / d;
  float g = fsqrt(fmax2(beta[6] - e * e - f * f, least));
  AT(theta, 0, l) = beta[0], AT(theta, 1, l) = a, AT(theta, 2, l) = b, AT(theta, 3, l) = d;
  AT(theta, 4, l) = e, AT(theta, 5, l) = f, AT(theta, 6, l) = g;
}

// Newton's step x for theta from the sums m, r in the basis of c. H = T'mT less the curvature of L L' times the
// gradient; a pivot that is not positive is replaced, so that the step goes downhill.
FN void factor_step(float* x_out, const float* m, const float* r, const float* theta, const float* down, int l) {
  float a = AT(theta, 1, l), b = AT(theta, 2, l), d = AT(theta, 3, l), e = AT(theta, 4, l), f = AT(theta, 5, l);
  float g = AT(theta, 6, l);
  float t[UNKNOWNS][UNKNOWNS], push[UNKNOWNS];
#pragma GCC unroll 7
  for (int i = 0; i < UNKNOWNS; ++i) {
    const float* row = down + i * UNKNOWNS;
    t[i][0] = row[0];
    t[i][1] = 2.0f * a * row[1] + b * row[2] + e * row[3];
    t[i][2] = a * row[2] + 2.0f * b * row[4] + e * row[5];
    t[i][3] = 2.0f * d * row[4] + f * row[5];
    t[i][4] = a * row[3] + b * row[5] + 2.0f * e * row[6];
    t[i][5] = d * row[5] + 2.0f * f * row[6];
    t[i][6] = 2.0f * g * row[6];
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
      for (int k = 0; k < UNKNOWNS; ++k)
        column[i] += AT(m, i > k ? LOWER(i, k) : LOWER(k, i), l) * t[k][j];
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
  float whole[UNKNOWNS];
#pragma GCC unroll 7
  for (int i = 0; i < UNKNOWNS; ++i) whole[i] = h[LOWER(i, i)] + 2.0f * fabs1(push[i < 3 ? 1 : (i < 5 ? 4 : 6)]);
  h[LOWER(1, 1)] -= 2.0f * push[1], h[LOWER(2, 1)] -= push[2], h[LOWER(4, 1)] -= push[3];
  h[LOWER(2, 2)] -= 2.0f * push[4], h[LOWER(3, 3)] -= 2.0f * push[4];
  h[LOWER(4, 2)] -= push[5], h[LOWER(5, 3)] -= push[5];
  h[LOWER(4, 4)] -= 2.0f * push[6], h[LOWER(5, 5)] -= 2.0f * push[6], h[LOWER(6, 6)] -= 2.0f * push[6];
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
#pragma GCC unroll 7
  for (int i = UNKNOWNS - 1; i >= 0; --i) {
#pragma GCC unroll 7
    for (int k = i + 1; k < UNKNOWNS; ++k) x[i] -= h[LOWER(k, i)] * x[k];
    x[i] *= inverse[i];
    AT(x_out, i, l) = x[i];
  }
}

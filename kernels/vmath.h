// Elementary functions with one source for both machines, composed of operations that every compiler vectorises.
// Accuracy was measured against double precision; see tests/kernels/test_vmath.py.
#pragma once
#include "tile.h"

#define PI_F 3.14159265358979323846f
#define TWO_PI_F 6.28318530717958647692f
#define INV_TWO_PI_F 0.15915494309189533577f

FN float fmin2(float a, float b) { return a < b ? a : b; }
FN float fmax2(float a, float b) { return a > b ? a : b; }
FN float clampf(float x, float lo, float hi) { return fmin2(fmax2(x, lo), hi); }

// The polynomials are minimax fits of the relative error (Remez points by Lawson's weights), rounded to float.

// Natural logarithm of a normal x > 0, error <= 1.2 ulp: x = 2^e m with m in [sqrt(1/2), sqrt(2)),
// log m = 2 atanh(s), s = (m - 1) / (m + 1), by an odd polynomial.
FN float flog(float x) {
  int bits = float_bits(x);
  int e = (bits - 0x3f3504f3) >> 23;
  float m = bits_float(bits - e * 0x800000);
  float f = m - 1.0f;
  float s = f / (2.0f + f);
  float z = s * s;
  float series = 0.285373211f + z * 0.235819817f;
  series = z * (0.666666627f + z * (0.400003344f + z * series));
  float half_square = 0.5f * f * f;
  float fe = (float)e;
  return fe * 0.693145752f + (fe * 1.42860677e-6f + (f - (half_square - s * (half_square + series))));
}

// Exponential, error <= 1.2 ulp for -87 <= x <= 88; 0 below, exp(88) above.
FN float fexp(float x) {
  float t = clampf(x, -87.0f, 88.0f);
  float n = fround(t * 1.44269504f);
  float r = (t - n * 0.693145752f) - n * 1.42860677e-6f;
  float p = 0.041668389f + r * (0.0083687352f + r * 0.00138145022f);
  p = 1.0f + (r + r * r * (0.49999994f + r * (0.166665211f + r * p)));
  float scaled = p * bits_float(((int)n + 127) << 23);
  return x < -87.0f ? 0.0f : scaled;
}

// x - n pi for |n| <= 4096, n a multiple of 1/2: pi in three parts; the products of n with the first two are exact.
FN float reduce_pi(float x, float n) {
  return ((x - n * 3.140625f) - n * 0.0009670257568359375f) - n * 6.27832957e-7f;
}

// Phase [rad] wrapped to [-pi, pi], error <= 3e-7 for |x| <= 1e4; x itself if already in that range.
FN float wrap(float x) { return reduce_pi(x, 2.0f * fround(x * INV_TWO_PI_F)); }

// Sine of |r| <= pi/2.
FN float sin_half(float r) {
  float z = r * r;
  float p = -0.000198095193f + z * 2.60558409e-06f;
  return r + r * z * (-0.166666597f + z * (0.00833306555f + z * p));
}

// Sine of x [rad], error <= 1.5e-7 for |x| <= 1e4.
FN float fsin(float x) {
  float n = fround(x * 0.31830988618f);
  float s = sin_half(reduce_pi(x, n));
  return (int)n & 1 ? -s : s;
}

// Cosine of x [rad], error <= 1.5e-7 for |x| <= 1e4: x = (m + 1/2) pi + r gives cos x = -(-1)^m sin r.
FN float fcos(float x) {
  float m = fround(x * 0.31830988618f - 0.5f);
  float s = sin_half(reduce_pi(x, m + 0.5f));
  return (int)m & 1 ? s : -s;
}

// Four-quadrant arctangent [rad], error <= 3e-7; 0 for (0, 0).
FN float fatan2(float y, float x) {
  float ax = fabs1(x), ay = fabs1(y);
  float big = fmax2(ax, ay), small = fmin2(ax, ay);
  float q = big > 0.0f ? small / big : 0.0f;
  // atan on [0, 1]: above tan(pi/8) reduce by atan(q) = pi/4 + atan((q - 1) / (q + 1))
  int reduce = q > 0.41421356f;
  float t = reduce ? (q - 1.0f) / (q + 1.0f) : q;
  float z = t * t;
  float p = -0.142434761f + z * (0.105933674f + z * -0.0607703365f);
  float a = t + t * z * (-0.333333164f + z * (0.199984685f + z * p));
  a = reduce ? a + 0.78539816f : a;
  a = ay > ax ? 1.57079633f - a : a;
  a = x < 0.0f ? PI_F - a : a;
  return y < 0.0f ? -a : a;
}

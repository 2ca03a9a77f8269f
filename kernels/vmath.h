// Elementary functions with one text for both machines, made of operations that every compiler
// vectorises. Accuracy was measured against double precision; see tests/kernels/test_vmath.py.
#pragma once
#include "tile.h"

#define PI_F 3.14159265358979323846f
#define TWO_PI_F 6.28318530717958647692f
#define INV_TWO_PI_F 0.15915494309189533577f

FN float fmin2(float a, float b) { return a < b ? a : b; }
FN float fmax2(float a, float b) { return a > b ? a : b; }
FN float clampf(float x, float lo, float hi) { return fmin2(fmax2(x, lo), hi); }

// Natural logarithm of x > 0 (normal floats), error <= 2 ulp: x = 2^e m with m in [sqrt(1/2), sqrt(2)),
// log m = 2 atanh(s), s = (m - 1) / (m + 1), by its odd series.
FN float flog(float x) {
  int bits = float_bits(x);
  int e = (bits - 0x3f3504f3) >> 23;
  float m = bits_float(bits - (e << 23));
  float f = m - 1.0f;
  float s = f / (2.0f + f);
  float z = s * s;
  float series =
      z * (0.66666667f + z * (0.40000000f + z * (0.28571429f + z * (0.22222222f + z * 0.18181818f))));
  float half_square = 0.5f * f * f;
  float fe = (float)e;
  return fe * 0.693145752f + (fe * 1.42860677e-6f + (f - (half_square - s * (half_square + series))));
}

// Exponential, error <= 2 ulp for |x| <= 87; 0 below, large finite above.
FN float fexp(float x) {
  float t = clampf(x, -87.0f, 88.0f);
  float n = fround(t * 1.44269504f);
  float r = (t - n * 0.693145752f) - n * 1.42860677e-6f;
  float p = 1.0f + r * (1.0f + r * (0.5f + r * (0.16666667f +
                                                r * (0.041666667f + r * (0.0083333333f + r * 0.0013888889f)))));
  float scaled = p * bits_float(((int)n + 127) << 23);
  return x < -87.0f ? 0.0f : scaled;
}

// Phase [rad] wrapped to [-pi, pi].
FN float wrap(float x) { return x - TWO_PI_F * fround(x * INV_TWO_PI_F); }

// Sine of x [rad], error <= 2e-7 for |x| <= 1e3.
FN float fsin(float x) {
  float n = fround(x * 0.31830988618f);
  float r = ((x - n * 3.140625f) - n * 0.0009670257568359375f) - n * 6.277114152908325e-7f;
  float z = r * r;
  float s = r + r * z * (-0.16666667f + z * (0.0083333333f + z * (-0.00019841270f + z * 2.7557319e-6f)));
  int odd = (int)n & 1;
  return odd ? -s : s;
}

FN float fcos(float x) { return fsin(x + 1.57079632679f); }

// Four-quadrant arctangent [rad], error <= 4e-7; 0 for (0, 0).
FN float fatan2(float y, float x) {
  float ax = fabs1(x), ay = fabs1(y);
  float big = fmax2(ax, ay), small = fmin2(ax, ay);
  float q = big > 0.0f ? small / big : 0.0f;
  // atan on [0, 1]: above tan(pi/8) reduce by atan(q) = pi/4 + atan((q - 1) / (q + 1))
  int reduce = q > 0.41421356f;
  float t = reduce ? (q - 1.0f) / (q + 1.0f) : q;
  float z = t * t;
  float a =
      t + t * z *
              (-0.33333333f +
               z * (0.19999994f + z * (-0.14284089f + z * (0.11090861f + z * (-0.0879286f + z * 0.0562f)))));
  a = reduce ? a + 0.78539816f : a;
  a = ay > ax ? 1.57079633f - a : a;
  a = x < 0.0f ? PI_F - a : a;
  return y < 0.0f ? -a : a;
}

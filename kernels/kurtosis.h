// Kurtosis of a voxel: its fourth-order tensor along the principal axes, and the scalar maps derived from it.
//
// V = MD^2 W in the order xxxx yyyy zzzz xxxy xxxz xyyy yyyz xzzz yzzz xxyy xxzz yyzz xxyz xyyz xyzz; the apparent
// kurtosis along n is V(n) / D(n)^2. Means over directions are Gaussian integrals: with 1 / q^2 = int t exp(-t q) dt,
//
//   < n_i^2 n_j^2 / D(n)^2 > = (1 + 2 d_ij) / (2 s^2) int_0^1 z^2 (1 - z^2) / (a_i a_j sqrt(a_1 a_2 a_3)) dz,
//   a_k = z^2 + (1 - z^2) L_k / s,
//
// for any s > 0. The integrand is smooth even if eigenvalues L are equal, so Gauss-Legendre nodes suffice (s^2 = L_1
// L_3).
#pragma once
#include "tensor_maps.h"

#define QUARTIC 15
#define OUT_KURTOSIS 26  // W, 15 planes
#define OUT_MK 41
#define OUT_AK 42
#define OUT_RK 43
#define OUT_KFA 44
#define OUT_MKT 45
#define KURTOSIS_MAPS 46
#define FLATTEST 1e-3f  // lower bound of an eigenvalue, relative to the largest, for apparent kurtosis

// sum_kl V_ijkl n_k n_l as xx xy xz yy yz zz.
FN void contract(float* t, const float* v, float x, float y, float z) {
  float xx = x * x, yy = y * y, zz = z * z, xy = 2.0f * x * y, xz = 2.0f * x * z, yz = 2.0f * y * z;
  t[0] = v[0] * xx + v[9] * yy + v[10] * zz + v[3] * xy + v[4] * xz + v[12] * yz;
  t[1] = v[3] * xx + v[5] * yy + v[14] * zz + v[9] * xy + v[12] * xz + v[13] * yz;
  t[2] = v[4] * xx + v[13] * yy + v[7] * zz + v[12] * xy + v[10] * xz + v[14] * yz;
  t[3] = v[9] * xx + v[1] * yy + v[11] * zz + v[5] * xy + v[13] * xz + v[6] * yz;
  t[4] = v[12] * xx + v[6] * yy + v[8] * zz + v[13] * xy + v[14] * xz + v[11] * yz;
  t[5] = v[10] * xx + v[11] * yy + v[2] * zz + v[14] * xy + v[7] * xz + v[8] * yz;
}
FN float along(const float* t, float x, float y, float z) {
  return t[0] * x * x + t[3] * y * y + t[5] * z * z + 2.0f * (t[1] * x * y + t[2] * x * z + t[4] * y * z);
}

// |V|^2 and |V - mean I|^2 over all 81 entries, with I the isotropic tensor of mean 1; KFA is the root of their
// ratio.
FN float fourth_order_anisotropy(const float* v, float mean) {
  float all = 0.0f, deviation = 0.0f;
#pragma GCC unroll 15
  for (int k = 0; k < QUARTIC; ++k) {
    float times = k < 3 ? 1.0f : (k < 9 ? 4.0f : (k < 12 ? 6.0f : 12.0f));
    float away = v[k] - (k < 3 ? mean : (k >= 9 && k < 12 ? mean * (1.0f / 3.0f) : 0.0f));
    all += times * v[k] * v[k];
    deviation += times * away * away;
  }
  return all > 0.0f ? fsqrt(deviation / all) : 0.0f;
}

// Maps of lane l from V (times b_max^2) and the eigenpairs of the tensor in `out`; zeros where keep is 0. `unit`:
// 1 / b_max; `nodes`: z^2 and weight z^2 (1 - z^2) of each node; apparent kurtosis is clamped to lowest..highest.
FN void describe_kurtosis(float* out, const float* quartic, float keep, float unit, const float* nodes,
                          int count, float lowest, float highest, int l) {
  float v[QUARTIC], t[6], main[3], mixed[3];
#pragma GCC unroll 15
  for (int k = 0; k < QUARTIC; ++k) v[k] = keep > 0.0f ? AT(quartic, k, l) : 0.0f;
  float scale = keep > 0.0f ? 1.0f / unit : 1.0f;
#pragma GCC unroll 3
  for (int k = 0; k < 3; ++k) {
    const int axis = OUT_VECTORS + 3 * k, next = OUT_VECTORS + 3 * ((k + 1) % 3);
    contract(t, v, AT(out, axis, l), AT(out, axis + 1, l), AT(out, axis + 2, l));
    main[k] = along(t, AT(out, axis, l), AT(out, axis + 1, l), AT(out, axis + 2, l));
    mixed[k] = 6.0f * along(t, AT(out, next, l), AT(out, next + 1, l), AT(out, next + 2, l));
  }
  float l1 = AT(out, OUT_VALUES, l) * scale, md = AT(out, OUT_MD, l) * scale;
  int real = keep > 0.0f && l1 > 0.0f && md > 0.0f;
  l1 = real ? l1 : 1.0f;
  float l2 = fmax2(AT(out, OUT_VALUES + 1, l) * scale, FLATTEST * l1);
  float l3 = fmax2(AT(out, OUT_VALUES + 2, l) * scale, FLATTEST * l1);
  float s = fsqrt(l1 * l3), inverse = 1.0f / s, r1 = l1 * inverse, r2 = l2 * inverse, r3 = l3 * inverse;
  float mean = 0.0f;
  for (int k = 0; k < count; ++k) {
    float z2 = nodes[2 * k], other = 1.0f - z2;
    float a1 = z2 + other * r1, a2 = z2 + other * r2, a3 = z2 + other * r3;
    float whole = 1.0f / (a1 * a2 * a3), b1 = a2 * a3 * whole, b2 = a1 * a3 * whole, b3 = a1 * a2 * whole;
    float terms = 3.0f * (main[0] * b1 * b1 + main[1] * b2 * b2 + main[2] * b3 * b3) + mixed[0] * b1 * b2 +
                  mixed[1] * b2 * b3 + mixed[2] * b1 * b3;
    mean += nodes[2 * k + 1] * fsqrt(whole) * terms;
  }
  mean *= 0.5f * inverse * inverse;
  // The mean over the circle perpendicular to v1 has a closed form in the square roots of its eigenvalues.
  float a = fsqrt(l2), b = fsqrt(l3), both = 1.0f / ((a + b) * (a + b));
  float radial =
      (main[1] * (2.0f * a + b) / (a * a * a) + main[2] * (2.0f * b + a) / (b * b * b) + mixed[1] / (a * b)) *
      0.5f * both;
  float axial = main[0] / (l1 * l1);
  float trace = (v[0] + v[1] + v[2] + 2.0f * (v[9] + v[10] + v[11])) * 0.2f;
  float per_md2 = real ? 1.0f / (md * md) : 0.0f;
#pragma GCC unroll 15
  for (int k = 0; k < QUARTIC; ++k) AT(out, OUT_KURTOSIS + k, l) = v[k] * per_md2;
  AT(out, OUT_MK, l) = real ? clampf(mean, lowest, highest) : 0.0f;
  AT(out, OUT_AK, l) = real ? clampf(axial, lowest, highest) : 0.0f;
  AT(out, OUT_RK, l) = real ? clampf(radial, lowest, highest) : 0.0f;
  AT(out, OUT_KFA, l) = real ? fourth_order_anisotropy(v, trace) : 0.0f;
  AT(out, OUT_MKT, l) = real ? clampf(trace * per_md2, lowest, highest) : 0.0f;
}

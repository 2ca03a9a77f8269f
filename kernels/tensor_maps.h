// Maps of a diffusion tensor: eigenpairs and scalars, shared by all kernels that produce one.
#pragma once
#include "vmath.h"

// Output planes: tensor xx xy xz yy yz zz, eigenvalues, eigenvectors, scalars.
#define MAPS 26
#define OUT_VALUES 6
#define OUT_VECTORS 9
#define OUT_FA 18
#define OUT_MD 19
#define OUT_RD 20
#define OUT_MODE 21
#define OUT_S0 22
#define OUT_STATUS 23
#define OUT_SSE 24  // sum of squared residuals of the logarithms
#define OUT_SIGMA 25  // standard deviation of the signal around the model

// Values of the status map; 0 marks voxels that are not fitted.
#define FITTED 1.0f
#define FITTED_NEGATIVE 2.0f  // fitted; the smallest eigenvalue is negative
#define NO_SIGNAL 3.0f  // no positive finite signal
#define RANK_LOST 4.0f  // the remaining measurements do not determine a tensor
#define NOT_CONVERGED 5.0f  // iteration limit reached; the last estimate is given

struct Vector {
  float x, y, z;
};

FN Vector cross(Vector a, Vector b) {
  Vector c = {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
  return c;
}
FN float dot(Vector a, Vector b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
FN Vector mix(float s, Vector a, float t, Vector b) {
  Vector c = {s * a.x + t * b.x, s * a.y + t * b.y, s * a.z + t * b.z};
  return c;
}
FN Vector pick(int first, Vector a, Vector b) {
  Vector c = {first ? a.x : b.x, first ? a.y : b.y, first ? a.z : b.z};
  return c;
}

struct Eigen {
  float value1, value2, value3;
  Vector v1, v2, v3;
};

// Eigenpairs, descending, of C = [xx xy xz; xy yy yz; xz yz zz] with trace 0, |C|^2 = 6 and determinant 2 r (or
// C = 0, r = 0). The eigenvalues solve x^3 - 3 x = 2 r. For r >= 0 the largest lies in [sqrt 3, 2], at least sqrt 3
// from the others: eigenvalue and eigenvector are well conditioned however close the other two are. These follow from
// the 2 x 2 problem in the perpendicular plane. For r < 0 the same is done with -C.
FN Eigen eigenpairs(float xx, float xy, float xz, float yy, float yz, float zz, float r) {
  int flip = r < 0.0f;
  float sign = flip ? -1.0f : 1.0f, q = fabs1(r);
  float x = 1.73205081f + q * (0.32141f - 0.05346f * q);
  x -= (x * (x * x - 3.0f) - 2.0f * q) / (3.0f * x * x - 3.0f);
  x -= (x * (x * x - 3.0f) - 2.0f * q) / (3.0f * x * x - 3.0f);
  // Every row of C - x is perpendicular to the eigenvector: take the longest of their cross products.
  Vector row1 = {sign * xx - x, sign * xy, sign * xz}, row2 = {sign * xy, sign * yy - x, sign * yz};
  Vector row3 = {sign * xz, sign * yz, sign * zz - x};
  Vector a = cross(row1, row2), b = cross(row1, row3), c = cross(row2, row3);
  float aa = dot(a, a), bb = dot(b, b), cc = dot(c, c);
  int ab = aa > bb;
  float best = ab ? aa : bb;
  Vector v = pick(best > cc, pick(ab, a, b), c);
  float inverse = 1.0f / fsqrt(fmax2(best, cc));
  v = mix(inverse, v, 0.0f, v);
  // u, w span the plane perpendicular to v.
  int wide = fabs1(v.x) > fabs1(v.y);
  float across = 1.0f / fsqrt(v.z * v.z + (wide ? v.x * v.x : v.y * v.y));
  Vector u = {wide ? -v.z * across : 0.0f, wide ? 0.0f : v.z * across, (wide ? v.x : -v.y) * across};
  Vector w = cross(v, u);
  Vector cu = {xx * u.x + xy * u.y + xz * u.z, xy * u.x + yy * u.y + yz * u.z, xz * u.x + yz * u.y + zz * u.z};
  Vector cw = {xx * w.x + xy * w.y + xz * w.z, xy * w.x + yy * w.y + yz * w.z, xz * w.x + yz * w.y + zz * w.z};
  float half = 0.5f * (dot(u, cu) - dot(w, cw)), off = dot(u, cw);
  float radius = fsqrt(half * half + off * off);
  // Twice the angle of the first eigenvector in the plane has cosine half / radius and sine off / radius.
  float along = half < 0.0f ? off : radius + half, beside = half < 0.0f ? radius - half : off;
  float length = along * along + beside * beside;
  int turned = length > 0.0f;
  float shrink = turned ? 1.0f / fsqrt(length) : 1.0f;
  along = turned ? along * shrink : 1.0f;
  beside *= shrink;
  Vector larger = mix(along, u, beside, w), smaller = mix(-beside, u, along, w);
  float lone = sign * x, centre = -0.5f * lone;
  Eigen e;
  e.value1 = flip ? centre + radius : lone;
  e.value2 = flip ? centre - radius : centre + radius;
  e.value3 = flip ? lone : centre - radius;
  e.v1 = pick(flip, larger, v);
  e.v2 = pick(flip, smaller, larger);
  e.v3 = pick(flip, v, smaller);
  return e;
}

FN float determinant(float xx, float xy, float xz, float yy, float yz, float zz) {
  return xx * (yy * zz - yz * yz) - xy * (xy * zz - yz * xz) + xz * (xy * yz - yy * xz);
}

FN void put_vector(float* out, int plane, Vector v, float keep, int l) {
  AT(out, plane, l) = v.x * keep;
  AT(out, plane + 1, l) = v.y * keep;
  AT(out, plane + 2, l) = v.z * keep;
}

// Tensor, eigenpairs and scalars of lane l from d = D / unit (xx xy xz yy yz zz); zeros where keep is 0.
FN void describe_tensor(float* out, const float* d, float keep, float unit, int l) {
  float t[6];
#pragma GCC unroll 6
  for (int i = 0; i < 6; ++i) t[i] = keep > 0.0f ? d[i] : 0.0f;
  float xx = t[0], xy = t[1], xz = t[2], yy = t[3], yz = t[4], zz = t[5];
  float mean = (xx + yy + zz) * (1.0f / 3.0f);
  float off = 2.0f * (xy * xy + xz * xz + yz * yz);
  float dx = xx - mean, dy = yy - mean, dz = zz - mean;
  float deviation2 = dx * dx + dy * dy + dz * dz + off, all2 = xx * xx + yy * yy + zz * zz + off;
  // p: the deviator's norm / sqrt 6; C = deviator / p has determinant 2 mode.
  float p = fsqrt(deviation2 * (1.0f / 6.0f));
  float shrink = p > 0.0f ? 1.0f / p : 0.0f;
  dx *= shrink, dy *= shrink, dz *= shrink;
  float ox = xy * shrink, oy = xz * shrink, oz = yz * shrink;
  float mode = clampf(0.5f * determinant(dx, ox, oy, dy, oz, dz), -1.0f, 1.0f);
  Eigen e = eigenpairs(dx, ox, oy, dy, oz, dz, mode);
  float scaled = keep * unit;
#pragma GCC unroll 6
  for (int i = 0; i < 6; ++i) AT(out, i, l) = t[i] * scaled;
  AT(out, OUT_VALUES, l) = (mean + p * e.value1) * scaled;
  AT(out, OUT_VALUES + 1, l) = (mean + p * e.value2) * scaled;
  AT(out, OUT_VALUES + 2, l) = (mean + p * e.value3) * scaled;
  put_vector(out, OUT_VECTORS, e.v1, keep, l);
  put_vector(out, OUT_VECTORS + 3, e.v2, keep, l);
  put_vector(out, OUT_VECTORS + 6, e.v3, keep, l);
  AT(out, OUT_FA, l) = all2 > 0.0f ? fsqrt(1.5f * deviation2 / all2) * keep : 0.0f;
  AT(out, OUT_MD, l) = mean * scaled;
  AT(out, OUT_RD, l) = (mean + 0.5f * p * (e.value2 + e.value3)) * scaled;
  AT(out, OUT_MODE, l) = mode * keep;
}

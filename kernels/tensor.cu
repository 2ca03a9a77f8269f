// Diffusion tensor of a voxel from its signals: log-linear least squares, unweighted or weighted by the
// squared prediction, then eigen-decomposition and scalar maps, in one pass over the image.
//
//   y_v = log S_v = log S0 - b_v g_v' D g_v = (A beta)_v,   A = Q R  (Q with orthonormal columns)
//   OLS: c = Q'y;   WLS: c += (Q'WQ)^-1 Q'W (y - Qc), W = exp(2 Qc);   beta = R^-1 c
//
// Solving for the correction to c in the orthonormal basis keeps float32 normal equations accurate.
#include "vmath.h"

#define BLOCK 8  // volumes handled together; the host pads to whole blocks with zeros in Q
#define KEPT TILE_PICK(32, 0)  // blocks whose logarithms are kept for the second pass, later ones are redone
#define UNKNOWNS 7
#define PRODUCTS 28  // entries of a symmetric 7 x 7 matrix, lower triangle row by row
#define LOWER(i, j) ((i) * ((i) + 1) / 2 + (j))
#define MAPS 23
#define SMALL_PIVOT 1e-6f  // a pivot that lost this much of its diagonal is rounding error

// Plane numbers of the output: tensor xx xy xz yy yz zz, eigenvalues, eigenvectors, scalars.
#define OUT_VALUES 6
#define OUT_VECTORS 9
#define OUT_FA 18
#define OUT_MD 19
#define OUT_RD 20
#define OUT_MODE 21
#define OUT_S0 22

FN int slot_of(int block) { return block < KEPT ? block : KEPT; }

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

// Eigenpairs, descending, of C = [xx xy xz; xy yy yz; xz yz zz] with trace 0, |C|^2 = 6 and determinant 2 r
// (or C = 0, r = 0). The values solve x^3 - 3 x = 2 r. For r >= 0 the largest lies in [sqrt 3, 2], at least
// sqrt 3 from the others: root and vector are well conditioned however close the other two are. These
// follow from the 2 x 2 problem in the plane across. For r < 0 the same is done with -C.
FN Eigen eigenpairs(float xx, float xy, float xz, float yy, float yz, float zz, float r) {
  int flip = r < 0.0f;
  float sign = flip ? -1.0f : 1.0f, q = fabs1(r);
  float x = 1.73205081f + q * (0.32141f - 0.05346f * q);
  x -= (x * (x * x - 3.0f) - 2.0f * q) / (3.0f * x * x - 3.0f);
  x -= (x * (x * x - 3.0f) - 2.0f * q) / (3.0f * x * x - 3.0f);
  // Every row of C - x is perpendicular to the vector: take the longest of their cross products.
  Vector row1 = {sign * xx - x, sign * xy, sign * xz}, row2 = {sign * xy, sign * yy - x, sign * yz};
  Vector row3 = {sign * xz, sign * yz, sign * zz - x};
  Vector a = cross(row1, row2), b = cross(row1, row3), c = cross(row2, row3);
  float aa = dot(a, a), bb = dot(b, b), cc = dot(c, c);
  int ab = aa > bb;
  float best = ab ? aa : bb;
  Vector v = pick(best > cc, pick(ab, a, b), c);
  float inverse = 1.0f / fsqrt(fmax2(best, cc));
  v = mix(inverse, v, 0.0f, v);
  // u, w: the plane across v.
  int wide = fabs1(v.x) > fabs1(v.y);
  float across = 1.0f / fsqrt(v.z * v.z + (wide ? v.x * v.x : v.y * v.y));
  Vector u = {wide ? -v.z * across : 0.0f, wide ? 0.0f : v.z * across, (wide ? v.x : -v.y) * across};
  Vector w = cross(v, u);
  Vector cu = {xx * u.x + xy * u.y + xz * u.z, xy * u.x + yy * u.y + yz * u.z, xz * u.x + yz * u.y + zz * u.z};
  Vector cw = {xx * w.x + xy * w.y + xz * w.z, xy * w.x + yy * w.y + yz * w.z, xz * w.x + yz * w.y + zz * w.z};
  float half = 0.5f * (dot(u, cu) - dot(w, cw)), off = dot(u, cw);
  float radius = fsqrt(half * half + off * off);
  // Twice the angle of the larger vector of the plane has cosine half / radius and sine off / radius.
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

// Signals of one block of volumes into s; `peak` keeps the largest seen. `index`: the voxels of this tile,
// ascending; `run`: consecutive.
FN void load_block(float* s, float* peak, const float* signal, const int* index, int run, int block,
                   int volumes, Index n) {
  for (int j = 0; j < BLOCK; ++j) {
    int v = block * BLOCK + j;
    const float* volume = signal + (Index)(v < volumes ? v : volumes - 1) * n;
    if (run) {
      const float* start = volume + index[0];
      FOR_LANES(l) { AT(peak, 0, l) = fmax2(AT(s, j, l) = start[l], AT(peak, 0, l)); }
    } else {
      FOR_LANES(l) { AT(peak, 0, l) = fmax2(AT(s, j, l) = volume[index[l]], AT(peak, 0, l)); }
    }
  }
}

// Ask for one block of volumes of the next tile (voxels `next`) while this one is worked on: more streams than a
// CPU's prefetcher follows. A GPU hides the latency by itself.
FN void fetch_block(const float* signal, const int* next, int block, int volumes, Index n) {
  for (int j = 0; j < TILE_PICK(BLOCK, 0); ++j) {
    int v = block * BLOCK + j;
    const float* volume = signal + (Index)(v < volumes ? v : volumes - 1) * n;
    for (int i = 0; i < TILE_LANES; i += 16)
      TILE_PICK(__builtin_prefetch(volume + next[i], 0, 3), (void)volume);
  }
}

FN void log_block(float* s, const float* scale, const float* least) {
  for (int j = 0; j < BLOCK; ++j)
    FOR_LANES(l) { AT(s, j, l) = flog(fmax2(AT(s, j, l) * AT(scale, 0, l), AT(least, 0, l))); }
}

// total_k += sum_j coefficients_kj x_j for k < rows: the inner kernel of every sum over volumes.
#define ADD_BLOCK(total, rows, coefficients, x)                                                   \
  for (int k = 0; k < (rows); ++k) {                                                              \
    const float* f = (coefficients) + k * BLOCK;                                                  \
    float f0 = f[0], f1 = f[1], f2 = f[2], f3 = f[3], f4 = f[4], f5 = f[5], f6 = f[6], f7 = f[7]; \
    FOR_LANES(l) {                                                                                \
      float even = f0 * AT(x, 0, l) + f2 * AT(x, 2, l) + f4 * AT(x, 4, l) + f6 * AT(x, 6, l);     \
      float odd = f1 * AT(x, 1, l) + f3 * AT(x, 3, l) + f5 * AT(x, 5, l) + f7 * AT(x, 7, l);      \
      AT(total, k, l) += even + odd;                                                              \
    }                                                                                             \
  }

// Weights w = exp(2 Qc) of one block; r becomes w (y - Qc), with y in `logs`.
FN void weigh_block(float* w, float* r, const float* logs, const float* c, const float* q) {
  for (int j = 0; j < BLOCK; ++j) {
    float q0 = q[j], q1 = q[BLOCK + j], q2 = q[2 * BLOCK + j], q3 = q[3 * BLOCK + j], q4 = q[4 * BLOCK + j];
    float q5 = q[5 * BLOCK + j], q6 = q[6 * BLOCK + j];
    FOR_LANES(l) {
      float p = q0 * AT(c, 0, l) + q1 * AT(c, 1, l) + q2 * AT(c, 2, l) + q3 * AT(c, 3, l) + q4 * AT(c, 4, l) +
                q5 * AT(c, 5, l) + q6 * AT(c, 6, l);
      float weight = fexp(2.0f * p);
      AT(w, j, l) = weight;
      AT(r, j, l) = weight * (AT(logs, j, l) - p);
    }
  }
}

// c += M^-1 r by Cholesky; directions whose pivot drowned in rounding are left as they are.
FN void correct(float* c, const float* m, const float* r) {
  FOR_LANES(l) {
    float a[PRODUCTS], inverse[UNKNOWNS], x[UNKNOWNS];
#pragma GCC unroll 7
    for (int i = 0; i < UNKNOWNS; ++i) {
#pragma GCC unroll 7
      for (int j = 0; j <= i; ++j) {
        float sum = AT(m, LOWER(i, j), l);
#pragma GCC unroll 7
        for (int k = 0; k < j; ++k) sum -= a[LOWER(i, k)] * a[LOWER(j, k)];
        if (j < i) {
          a[LOWER(i, j)] = sum * inverse[j];
        } else {
          inverse[i] = sum > SMALL_PIVOT * AT(m, LOWER(i, i), l) ? 1.0f / fsqrt(sum) : 0.0f;
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
    }
  }
}

FN void put_vector(float* out, int plane, Vector v, float keep, int l) {
  AT(out, plane, l) = v.x * keep;
  AT(out, plane + 1, l) = v.y * keep;
  AT(out, plane + 2, l) = v.z * keep;
}

// All maps of lane l from its c: `up` = R^-1 row by row, `unit` = 1 / b_max; `top` = what S was divided by, 0
// where there is nothing to fit.
FN void describe(float* out, const float* c, const float* top, const float* up, float unit, int l) {
  float beta[UNKNOWNS];
#pragma GCC unroll 7
  for (int i = 0; i < UNKNOWNS; ++i) {
    beta[i] = 0.0f;
#pragma GCC unroll 7
    for (int k = i; k < UNKNOWNS; ++k) beta[i] += up[i * UNKNOWNS + k] * AT(c, k, l);
  }
  float xx = beta[1], xy = beta[2], xz = beta[3], yy = beta[4], yz = beta[5], zz = beta[6];
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
  float keep = AT(top, 0, l) > 0.0f ? 1.0f : 0.0f;
  float scaled = keep * unit;
#pragma GCC unroll 6
  for (int i = 0; i < 6; ++i) AT(out, i, l) = beta[1 + i] * scaled;
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
  AT(out, OUT_S0, l) = fexp(beta[0]) * AT(top, 0, l);
}

// maps[:, voxel_index] of the tensor fitted to signal[:, voxel_index]; other voxels are not touched.
// voxel_index ascends and is padded to whole tiles by repeating its last entry. reweightings: 0 OLS, 1 WLS.
// Signals below min_signal times the voxel's largest (and NaN) are raised to that; voxels without a positive
// finite largest signal give 0.
KERNEL(tensor_fit,
       (const float* RESTRICT signal, const int* RESTRICT voxel_index, const float* RESTRICT basis,
        const float* RESTRICT products, const float* RESTRICT up, float* RESTRICT maps, float min_signal,
        float b_max, int reweightings, Index volumes, Index n, Index fitted, Index blocks),
       (signal, voxel_index, basis, products, up, maps, min_signal, b_max, reweightings, volumes, n, fitted,
        blocks)) {
  PRIVATE(float, logs, (KEPT + 1) * BLOCK);
  PRIVATE(float, scale, 1);
  PRIVATE(float, least, 1);
  PRIVATE(float, peak, 1);
  PRIVATE(float, top, 1);
  PRIVATE(float, c, UNKNOWNS);
  PRIVATE(float, w, BLOCK);
  PRIVATE(float, r, BLOCK);
  PRIVATE(float, m, PRODUCTS);
  PRIVATE(float, rhs, UNKNOWNS);
  PRIVATE(float, out, MAPS);
  FOR_TILES(tile, fitted / TILE_LANES) {
    const int* index = voxel_index + tile * TILE_LANES;
    const int* next = tile + 1 < fitted / TILE_LANES ? index + TILE_LANES : index;
    int run = TILE_PICK(index[TILE_LANES - 1] - index[0] == TILE_LANES - 1, 0);
    FOR_LANES(l) { AT(peak, 0, l) = 0.0f; }
    for (int b = 0; b < (int)blocks; ++b) {
      float* s = &AT(logs, slot_of(b) * BLOCK, 0);
      load_block(s, peak, signal, index, run, b, (int)volumes, n);
    }
    // S is divided by the power of two at or below its largest value: exact, and the logarithms stay small.
    FOR_LANES(l) {
      float largest = AT(peak, 0, l);
      int usable = largest > 1e-30f && largest < 1e30f;
      int exponent = float_bits(usable ? largest : 1.0f) & 0x7f800000;
      AT(scale, 0, l) = bits_float(0x7f000000 - exponent);
      AT(least, 0, l) = usable ? largest * AT(scale, 0, l) * min_signal : 1.0f;
      AT(top, 0, l) = usable ? bits_float(exponent) : 0.0f;
    }
    for (int k = 0; k < UNKNOWNS; ++k)
      FOR_LANES(l) { AT(c, k, l) = 0.0f; }
    for (int b = 0; b < (int)blocks; ++b) {
      float* s = &AT(logs, slot_of(b) * BLOCK, 0);
      if (b >= KEPT) load_block(s, peak, signal, index, run, b, (int)volumes, n);
      fetch_block(signal, next, b, (int)volumes, n);
      log_block(s, scale, least);
      ADD_BLOCK(c, UNKNOWNS, basis + b * UNKNOWNS * BLOCK, s)
    }
    for (int step = 0; step < reweightings; ++step) {
      for (int k = 0; k < PRODUCTS; ++k)
        FOR_LANES(l) { AT(m, k, l) = 0.0f; }
      for (int k = 0; k < UNKNOWNS; ++k)
        FOR_LANES(l) { AT(rhs, k, l) = 0.0f; }
      for (int b = 0; b < (int)blocks; ++b) {
        float* s = &AT(logs, slot_of(b) * BLOCK, 0);
        if (b >= KEPT) {
          load_block(s, peak, signal, index, run, b, (int)volumes, n);
          log_block(s, scale, least);
        }
        const float* q = basis + b * UNKNOWNS * BLOCK;
        weigh_block(w, r, s, c, q);
        ADD_BLOCK(rhs, UNKNOWNS, q, r)
        ADD_BLOCK(m, PRODUCTS, products + b * PRODUCTS * BLOCK, w)
      }
      correct(c, m, rhs);
    }
    FOR_LANES(l) { describe(out, c, top, up, 1.0f / b_max, l); }
    for (int k = 0; k < MAPS; ++k) {
      float* plane = maps + k * n;
      if (run) {
        FOR_LANES(l) { plane[index[0] + l] = AT(out, k, l); }
      } else {
        FOR_LANES(l) { plane[index[l]] = AT(out, k, l); }
      }
    }
  }
}

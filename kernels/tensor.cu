// Diffusion tensor of a voxel from its signals: log-linear least squares, unweighted or weighted by the
// squared prediction, then eigen-decomposition and scalar maps, in one pass over the image.
//
//   y_v = log S_v = log S0 - b_v g_v' D g_v = (A beta)_v,   A = Q R  (Q with orthonormal columns)
//   OLS: c = Q'y;   WLS: c += (Q'WQ)^-1 Q'W (y - Qc), W = exp(2 Qc);   beta = R^-1 c
//
// Solving for the correction to c in the orthonormal basis keeps float32 normal equations accurate.
#include "vmath.h"

#define BLOCK 8                 // volumes handled together; the host pads to whole blocks with zeros in Q
#define KEPT TILE_PICK(32, 0)   // blocks whose logarithms are kept for the second pass, later ones are redone
#define UNKNOWNS 7
#define PRODUCTS 28             // entries of a symmetric 7 x 7 matrix, lower triangle row by row
#define LOWER(i, j) ((i) * ((i) + 1) / 2 + (j))
#define MAPS 23
#define SMALL_PIVOT 1e-6f       // a pivot that lost this much of its diagonal is rounding error

// Plane numbers of the output: tensor xx xy xz yy yz zz, eigenvalues, eigenvectors, scalars.
#define OUT_VALUES 6
#define OUT_VECTORS 9
#define OUT_FA 18
#define OUT_MD 19
#define OUT_RD 20
#define OUT_MODE 21
#define OUT_S0 22

FN int slot_of(int block) { return block < KEPT ? block : KEPT; }

// One Jacobi rotation that zeroes a_pq of a symmetric 3 x 3 matrix (r: the remaining index); v gathers the
// rotations as columns p and q.
FN void rotate(float& app, float& aqq, float& apq, float& arp, float& arq, float& v0p, float& v0q, float& v1p,
               float& v1q, float& v2p, float& v2q) {
  float h = aqq - app, twice = 2.0f * apq;
  float denominator = fabs1(h) + fsqrt(h * h + twice * twice);
  float t = denominator > 0.0f ? (h < 0.0f ? -twice : twice) / denominator : 0.0f;
  float c = 1.0f / fsqrt(1.0f + t * t), s = t * c;
  app -= t * apq;
  aqq += t * apq;
  apq = 0.0f;
  float rp = c * arp - s * arq, rq = s * arp + c * arq;
  arp = rp, arq = rq;
  float x0 = c * v0p - s * v0q, y0 = s * v0p + c * v0q;
  float x1 = c * v1p - s * v1q, y1 = s * v1p + c * v1q;
  float x2 = c * v2p - s * v2q, y2 = s * v2p + c * v2q;
  v0p = x0, v1p = x1, v2p = x2;
  v0q = y0, v1q = y1, v2q = y2;
}

FN void exchange(int wanted, float& a, float& b) {
  float first = wanted ? b : a, second = wanted ? a : b;
  a = first;
  b = second;
}

// Sort the pairs (value, vector) a and b so that a's value is the larger.
FN void order(float* a, float* b) {
  int wanted = a[0] < b[0];
  exchange(wanted, a[0], b[0]);
  exchange(wanted, a[1], b[1]);
  exchange(wanted, a[2], b[2]);
  exchange(wanted, a[3], b[3]);
}

// Eigenpairs (value, x, y, z) in descending order of a symmetric matrix xx xy xz yy yz zz. Four cyclic sweeps
// leave nothing beside the diagonal in float32, near degeneracy too.
FN void eigenpairs(const float* d, float* first, float* second, float* third) {
  float xx = d[0], xy = d[1], xz = d[2], yy = d[3], yz = d[4], zz = d[5];
  float v00 = 1.0f, v01 = 0.0f, v02 = 0.0f, v10 = 0.0f, v11 = 1.0f, v12 = 0.0f, v20 = 0.0f, v21 = 0.0f, v22 = 1.0f;
#pragma GCC unroll 4
  for (int sweep = 0; sweep < 4; ++sweep) {
    rotate(xx, yy, xy, xz, yz, v00, v01, v10, v11, v20, v21);
    rotate(xx, zz, xz, xy, yz, v00, v02, v10, v12, v20, v22);
    rotate(yy, zz, yz, xy, xz, v01, v02, v11, v12, v21, v22);
  }
  first[0] = xx, first[1] = v00, first[2] = v10, first[3] = v20;
  second[0] = yy, second[1] = v01, second[2] = v11, second[3] = v21;
  third[0] = zz, third[1] = v02, third[2] = v12, third[3] = v22;
  order(first, second);
  order(second, third);
  order(first, second);
}

// Signals of one block of volumes into s. `index`: the voxels of this tile, ascending; `run`: consecutive.
FN void load_block(float* s, const float* signal, const int* index, int run, int block, int volumes, Index n) {
  for (int j = 0; j < BLOCK; ++j) {
    int v = block * BLOCK + j;
    const float* volume = signal + (Index)(v < volumes ? v : volumes - 1) * n;
    if (run) {
      const float* start = volume + index[0];
      FOR_LANES(l) { AT(s, j, l) = start[l]; }
    } else {
      FOR_LANES(l) { AT(s, j, l) = volume[index[l]]; }
    }
  }
}

FN void log_block(float* s, const float* scale, const float* least) {
  for (int j = 0; j < BLOCK; ++j)
    FOR_LANES(l) { AT(s, j, l) = flog(fmax2(AT(s, j, l) * AT(scale, 0, l), AT(least, 0, l))); }
}

// total_k += sum_j coefficients_kj x_j for k < rows: the inner kernel of every sum over volumes.
#define ADD_BLOCK(total, rows, coefficients, x)                                                  \
  for (int k = 0; k < (rows); ++k) {                                                             \
    const float* f = (coefficients) + k * BLOCK;                                                 \
    float f0 = f[0], f1 = f[1], f2 = f[2], f3 = f[3], f4 = f[4], f5 = f[5], f6 = f[6], f7 = f[7]; \
    FOR_LANES(l) {                                                                               \
      float even = f0 * AT(x, 0, l) + f2 * AT(x, 2, l) + f4 * AT(x, 4, l) + f6 * AT(x, 6, l);    \
      float odd = f1 * AT(x, 1, l) + f3 * AT(x, 3, l) + f5 * AT(x, 5, l) + f7 * AT(x, 7, l);     \
      AT(total, k, l) += even + odd;                                                             \
    }                                                                                            \
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
  const float* d = beta + 1;
  float mean = (d[0] + d[3] + d[5]) * (1.0f / 3.0f);
  float dev[6] = {d[0] - mean, d[1], d[2], d[3] - mean, d[4], d[5] - mean};
  float off = d[1] * d[1] + d[2] * d[2] + d[4] * d[4];
  float dev2 = dev[0] * dev[0] + dev[3] * dev[3] + dev[5] * dev[5] + 2.0f * off;
  float all2 = d[0] * d[0] + d[3] * d[3] + d[5] * d[5] + 2.0f * off;
  float e1[4], e2[4], e3[4];
  eigenpairs(dev, e1, e2, e3);
  float norm = fsqrt(dev2);
  float shrink = norm > 0.0f ? 1.0f / norm : 0.0f;
  float mode = 7.34846923f * (e1[0] * shrink) * (e2[0] * shrink) * (e3[0] * shrink);
  float keep = AT(top, 0, l) > 0.0f ? 1.0f : 0.0f;
  float scaled = keep * unit;
#pragma GCC unroll 6
  for (int i = 0; i < 6; ++i) AT(out, i, l) = d[i] * scaled;
  AT(out, OUT_VALUES, l) = (mean + e1[0]) * scaled;
  AT(out, OUT_VALUES + 1, l) = (mean + e2[0]) * scaled;
  AT(out, OUT_VALUES + 2, l) = (mean + e3[0]) * scaled;
#pragma GCC unroll 3
  for (int i = 0; i < 3; ++i) {
    AT(out, OUT_VECTORS + i, l) = e1[1 + i] * keep;
    AT(out, OUT_VECTORS + 3 + i, l) = e2[1 + i] * keep;
    AT(out, OUT_VECTORS + 6 + i, l) = e3[1 + i] * keep;
  }
  AT(out, OUT_FA, l) = all2 > 0.0f ? 1.22474487f * norm / fsqrt(all2) * keep : 0.0f;
  AT(out, OUT_MD, l) = mean * scaled;
  AT(out, OUT_RD, l) = (mean + 0.5f * (e2[0] + e3[0])) * scaled;
  AT(out, OUT_MODE, l) = clampf(mode, -1.0f, 1.0f) * keep;
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
  PRIVATE(float, top, 1);
  PRIVATE(float, c, UNKNOWNS);
  PRIVATE(float, w, BLOCK);
  PRIVATE(float, r, BLOCK);
  PRIVATE(float, m, PRODUCTS);
  PRIVATE(float, rhs, UNKNOWNS);
  PRIVATE(float, out, MAPS);
  FOR_TILES(tile, fitted / TILE_LANES) {
    const int* index = voxel_index + tile * TILE_LANES;
    int run = index[TILE_LANES - 1] - index[0] == TILE_LANES - 1;
    FOR_LANES(l) { AT(top, 0, l) = 0.0f; }
    for (int b = 0; b < (int)blocks; ++b) {
      float* s = &AT(logs, slot_of(b) * BLOCK, 0);
      load_block(s, signal, index, run, b, (int)volumes, n);
      for (int j = 0; j < BLOCK; ++j) FOR_LANES(l) { AT(top, 0, l) = fmax2(AT(s, j, l), AT(top, 0, l)); }
    }
    // S is divided by the power of two at or below its largest value: exact, and the logarithms stay small.
    FOR_LANES(l) {
      float largest = AT(top, 0, l);
      int usable = largest > 1e-30f && largest < 1e30f;
      int exponent = float_bits(usable ? largest : 1.0f) & 0x7f800000;
      AT(scale, 0, l) = bits_float(0x7f000000 - exponent);
      AT(least, 0, l) = usable ? largest * AT(scale, 0, l) * min_signal : 1.0f;
      AT(top, 0, l) = usable ? bits_float(exponent) : 0.0f;
    }
    for (int k = 0; k < UNKNOWNS; ++k) FOR_LANES(l) { AT(c, k, l) = 0.0f; }
    for (int b = 0; b < (int)blocks; ++b) {
      float* s = &AT(logs, slot_of(b) * BLOCK, 0);
      if (b >= KEPT) load_block(s, signal, index, run, b, (int)volumes, n);
      log_block(s, scale, least);
      ADD_BLOCK(c, UNKNOWNS, basis + b * UNKNOWNS * BLOCK, s)
    }
    for (int step = 0; step < reweightings; ++step) {
      for (int k = 0; k < PRODUCTS; ++k) FOR_LANES(l) { AT(m, k, l) = 0.0f; }
      for (int k = 0; k < UNKNOWNS; ++k) FOR_LANES(l) { AT(rhs, k, l) = 0.0f; }
      for (int b = 0; b < (int)blocks; ++b) {
        float* s = &AT(logs, slot_of(b) * BLOCK, 0);
        if (b >= KEPT) {
          load_block(s, signal, index, run, b, (int)volumes, n);
          log_block(s, scale, least);
        }
        const float* q = basis + b * UNKNOWNS * BLOCK;
        weigh_block(w, r, s, c, q);
        ADD_BLOCK(m, PRODUCTS, products + b * PRODUCTS * BLOCK, w)
        ADD_BLOCK(rhs, UNKNOWNS, q, r)
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

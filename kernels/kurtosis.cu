// Diffusion kurtosis of a voxel: 22 unknowns by log-linear least squares, unweighted or weighted by the squared
// predicted signals, unconstrained or within linear constraints, and all maps, in one pass over the image.
//
//   y_v = log S_v = log S0 - b D(g) + b^2 V(g) / 6 = (A beta)_v,   A = Q R,   beta = R^-1 c
//
// As in tensor.cu, the fit solves for a correction to c in the orthonormal basis; a second correction with the same
// factors removes rounding errors.
#define TILE_THREADS 128
#define TILE_LIMITS TILE_THREADS, 3
#define TERMS 22  // log S0, 6 tensor elements, 15 elements of V
#include "cone.h"
#include "kurtosis.h"

#define PAIRS 253  // entries of a symmetric 22 x 22 matrix
#define CORRECTIONS 2

struct Volumes {
  const float* signal;
  const int* index;
  float *scale, *least, *peak;
  int run, volumes, blocks;
  Index n;
};

// Signals of one block divided by `scale`, at least `least`.
FN void scaled_block(float* x, const Volumes t, int block) {
  load_block(x, t.peak, t.signal, t.index, t.run, block, t.volumes, t.n);
  for (int j = 0; j < BLOCK; ++j)
    FOR_LANES(l) { AT(x, j, l) = fmax2(AT(x, j, l) * AT(t.scale, 0, l), AT(t.least, 0, l)); }
}

FN const float* logs_of(float* logs, float* x, const Volumes t, int block, int again) {
  float* y = &AT(logs, slot_of(block) * BLOCK, 0);
  if (!again || block >= KEPT) {
    scaled_block(x, t, block);
    log_block(y, x);
  }
  return y;
}

// p = Q c for one block.
FN void predict_block(float* p, const float* c, const float* q) {
  for (int j = 0; j < BLOCK; ++j)
    FOR_LANES(l) {
      float sum = 0.0f;
#pragma GCC unroll 22
      for (int k = 0; k < TERMS; ++k) sum += q[k * BLOCK + j] * AT(c, k, l);
      AT(p, j, l) = sum;
    }
}

// Weights of one block predicted from `base`, and r = w (y - Qc).
FN void weigh_block(float* w, float* r, const float* y, const float* base, const float* c, const float* q,
                    int weighted) {
  predict_block(w, base, q);
  predict_block(r, c, q);
  float power = weighted ? 2.0f : 0.0f;
  for (int j = 0; j < BLOCK; ++j)
    FOR_LANES(l) {
      float weight = fexp(power * AT(w, j, l));
      AT(w, j, l) = weight;
      AT(r, j, l) = weight * (AT(y, j, l) - AT(r, j, l));
    }
}

// Sums of squared residuals of the logarithms and of the signals: rows 0 and 1 of `sums`.
FN void residuals(float* sums, float* logs, float* x, float* p, const float* c, const float* basis,
                  const Volumes t) {
  clear(sums, 2);
  for (int b = 0; b < t.blocks; ++b) {
    const float* y = logs_of(logs, x, t, b, 1);
    scaled_block(x, t, b);
    predict_block(p, c, basis + b * TERMS * BLOCK);
    for (int j = 0; j < volumes_of(b, t.volumes); ++j)
      FOR_LANES(l) {
        float of_log = AT(y, j, l) - AT(p, j, l), of_signal = AT(x, j, l) - fexp(AT(p, j, l));
        AT(sums, 0, l) += of_log * of_log;
        AT(sums, 1, l) += of_signal * of_signal;
      }
  }
}

// maps[:, voxel_index] of the kurtosis fitted to signal[:, voxel_index]; voxel_index and signals as in tensor_fit.
// reweightings: 0 for OLS, else the number of weighted fits that follow. cone: rows of length 1; cone c >= 0 holds in
// the last fit. nodes: as in describe_kurtosis.
KERNEL(kurtosis_fit,
       (const float* RESTRICT signal, const int* RESTRICT voxel_index, const float* RESTRICT basis,
        const float* RESTRICT products, const float* RESTRICT up, const float* RESTRICT cone,
        const float* RESTRICT nodes, float* RESTRICT maps, float min_signal, float b_max, float lowest,
        float highest, int reweightings, Index volumes, Index n, Index fitted, Index blocks, Index constraints,
        Index quadrature),
       (signal, voxel_index, basis, products, up, cone, nodes, maps, min_signal, b_max, lowest, highest,
        reweightings, volumes, n, fitted, blocks, constraints, quadrature)) {
  PRIVATE(float, logs, (KEPT + 1) * BLOCK);
  PRIVATE(float, lanes, 8);
  PRIVATE(int, numbers, MOST_ACTIVE + 2);
  PRIVATE(float, normals, MOST_ACTIVE* TERMS);
  PRIVATE(float, ortho, MOST_ACTIVE* TERMS);
  PRIVATE(float, triangle, MOST_ACTIVE*(MOST_ACTIVE + 1) / 2);
  PRIVATE(float, multipliers, 2 * MOST_ACTIVE);
  PRIVATE(float, origin, TERMS);
  PRIVATE(float, base, TERMS);
  PRIVATE(float, c, TERMS);
  PRIVATE(float, w, BLOCK);
  PRIVATE(float, r, BLOCK);
  PRIVATE(float, m, PAIRS);
  PRIVATE(float, rhs, TERMS);
  PRIVATE(float, out, KURTOSIS_MAPS);
  float *peak = &AT(lanes, 0, 0), *top = &AT(lanes, 1, 0), *lost = &AT(lanes, 2, 0), *open = &AT(lanes, 3, 0);
  float *scale = &AT(lanes, 4, 0), *least = &AT(lanes, 5, 0), *worst = &AT(lanes, 6, 0);
  const Search search = {normals,
                         ortho,
                         triangle,
                         multipliers,
                         &AT(multipliers, MOST_ACTIVE, 0),
                         origin,
                         numbers,
                         &AT(numbers, MOST_ACTIVE, 0)};
  FOR_TILES(tile, fitted / TILE_LANES) {
    const int* index = voxel_index + tile * TILE_LANES;
    int run = TILE_PICK(index[TILE_LANES - 1] - index[0] == TILE_LANES - 1, 0);
    const Volumes t = {signal, index, scale, least, peak, run, (int)volumes, (int)blocks, n};
    clear(peak, 1);
    clear(lost, 1);
    clear(open, 1);
    clear(c, TERMS);
    for (int b = 0; b < t.blocks; ++b) load_block(w, peak, signal, index, run, b, t.volumes, n);
    scale_tile(scale, top, peak);
    FOR_LANES(l) {
      AT(least, 0, l) = AT(top, 0, l) > 0.0f ? AT(peak, 0, l) * min_signal * AT(scale, 0, l) : 1.0f;
    }
    for (int b = 0; b < t.blocks; ++b) {
      const float* y = logs_of(logs, w, t, b, 0);
      ADD_BLOCK(c, TERMS, basis + b * TERMS * BLOCK, y)
    }
    for (int step = 0; step < (reweightings > 0 ? reweightings : 1); ++step) {
      for (int k = 0; k < TERMS; ++k)
        FOR_LANES(l) { AT(base, k, l) = AT(c, k, l); }
      clear(m, PAIRS);
      for (int pass = 0; pass < CORRECTIONS; ++pass) {
        clear(rhs, TERMS);
        for (int b = 0; b < t.blocks; ++b) {
          const float* q = basis + b * TERMS * BLOCK;
          const float* y = logs_of(logs, w, t, b, 1);
          weigh_block(w, r, y, base, c, q, reweightings > 0);
          ADD_BLOCK(rhs, TERMS, q, r)
          if (pass == 0) { ADD_BLOCK(m, PAIRS, products + b * PAIRS * BLOCK, w) }
        }
        if (pass == 0) factorise(m, out, lost);
        forward(rhs, m);
        backward(rhs, m);
        for (int k = 0; k < TERMS; ++k)
          FOR_LANES(l) { AT(c, k, l) += AT(rhs, k, l); }
      }
    }
    if (constraints > 0)
      nearest(c, rhs, worst, &AT(numbers, MOST_ACTIVE + 1, 0), open, lost, search, m, cone, (int)constraints);
    residuals(rhs, logs, w, r, c, basis, t);
    float degrees = t.volumes > TERMS ? 1.0f / (float)(t.volumes - TERMS) : 0.0f;
    clear(base, TERMS);
    for (int i = 0; i < TERMS; ++i)
      for (int k = i; k < TERMS; ++k)
        FOR_LANES(l) { AT(base, i, l) += up[i * TERMS + k] * AT(c, k, l); }
    FOR_LANES(l) {
      float d[6];
#pragma GCC unroll 6
      for (int k = 0; k < 6; ++k) d[k] = AT(base, 1 + k, l);
      int usable = AT(top, 0, l) > 0.0f, good = usable && AT(lost, 0, l) == 0.0f;
      float keep = good ? 1.0f : 0.0f;
      describe_tensor(out, d, keep, 1.0f / b_max, l);
      describe_kurtosis(out, &AT(base, 7, 0), keep, 1.0f / b_max, nodes, (int)quadrature, lowest, highest, l);
      AT(out, OUT_S0, l) = good ? fexp(AT(base, 0, l)) * AT(top, 0, l) : 0.0f;
      AT(out, OUT_SSE, l) = good ? AT(rhs, 0, l) : 0.0f;
      AT(out, OUT_SIGMA, l) = good ? fsqrt(AT(rhs, 1, l) * degrees) * AT(top, 0, l) : 0.0f;
      float code = AT(out, OUT_VALUES + 2, l) < 0.0f ? FITTED_NEGATIVE : FITTED;
      code = AT(open, 0, l) > 0.0f ? NOT_CONVERGED : code;
      AT(out, OUT_STATUS, l) = good ? code : (usable ? RANK_LOST : NO_SIGNAL);
    }
    put_maps(maps, out, KURTOSIS_MAPS, index, run, n);
  }
}

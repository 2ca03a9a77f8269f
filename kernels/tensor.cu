// Diffusion tensor of a voxel from its signals: log-linear least squares, unweighted or weighted by squared signals,
// followed by eigen-decomposition and scalar maps, in one pass over the image.
//
//   y_v = log S_v = log S0 - b_v g_v' D g_v = (A beta)_v,   A = Q R  (Q with orthonormal columns)
//   OLS: c = Q'y;   weighted: c += (Q'WQ)^-1 Q'W (y - Qc);   beta = R^-1 c
//   W = S^2 as measured, or exp(2 Qc) as predicted by the previous fit
//
// Solving for the correction to c in the orthonormal basis keeps float32 normal equations accurate.
#define TILE_THREADS 128
#define TILE_LIMITS TILE_THREADS, 3
#include "tensor_sums.h"

#define FSL_FLOOR 0.01f  // fraction of S0 below which FSL raises signals
#define FSL_LARGEST 23.0f  // logarithm of the largest S0 that FSL accepts
#define NOTHING 1e-30f  // smallest number whose logarithm is taken
#define DOUBT 20.0f  // above this a solution is refined: its error exceeds about 1e-6
#define REFINEMENTS 3

// A tile of voxels: location of its signals and how they become logarithms.
struct Tile {
  const float* signal;
  const int* index;
  int run, volumes, blocks;
  Index n;
};

// Limits of a tile's signals: scale, replacement of values <= 0, and lower bound; the same for measured weights.
struct Limits {
  float *scale, *lift, *least, *weight_lift, *weight_least;
};

// x of one block: the signals as a fit uses them (weights: 0), or as weights (1).
FN void signals_of(float* x, float* peak, const Tile t, const Limits e, int block, int weights) {
  load_block(x, peak, t.signal, t.index, t.run, block, t.volumes, t.n);
  raise_block(x, e.scale, weights ? e.weight_lift : e.lift, weights ? e.weight_least : e.least);
}

// Logarithms of one block, at their position in `logs`; kept from the previous pass if `again` is 1.
FN const float* logs_of(float* logs, float* x, float* peak, const Tile t, const Limits e, int block,
                        int again) {
  float* y = &AT(logs, slot_of(block) * BLOCK, 0);
  if (!again || block >= KEPT) {
    signals_of(x, peak, t, e, block, 0);
    log_block(y, x);
  }
  return y;
}

// p = Qc of one block; s receives the signals predicted by the fit unless `measured`.
FN void predict_block(float* p, float* s, const float* c, const float* q, int measured) {
  for (int j = 0; j < BLOCK; ++j) {
    FOR_LANES(l) {
      PREDICT(fit, q, j, c, l);
      AT(p, j, l) = fit;
    }
    if (!measured)
      FOR_LANES(l) { AT(s, j, l) = fexp(AT(p, j, l)); }
  }
}

// Weights of one block (w holds the measured signals, or they are predicted) and r = w (y - Qc).
FN void weigh_block(float* w, float* r, const float* y, const float* c, const float* q, int measured) {
  predict_block(r, w, c, q, measured);
  for (int j = 0; j < BLOCK; ++j)
    FOR_LANES(l) {
      float weight = AT(w, j, l) * AT(w, j, l);
      AT(w, j, l) = weight;
      AT(r, j, l) = weight * (AT(y, j, l) - AT(r, j, l));
    }
}

// r = w (y - Qc) of one block with the weights of the step that began at `base`.
FN void weigh_again(float* r, float* w, const float* y, const float* base, const float* c, const float* q,
                    int measured) {
  predict_block(r, w, base, q, measured);
  for (int j = 0; j < BLOCK; ++j)
    FOR_LANES(l) {
      PREDICT(p, q, j, c, l);
      AT(r, j, l) = AT(w, j, l) * AT(w, j, l) * (AT(y, j, l) - p);
    }
}

// FSL's second pass over the signals: limits from the S0 of the first fit. `facts`: mean and largest absolute signal.
FN void fsl_limits(const Limits e, float* facts, float* x, float* peak, const float* c, const float* up,
                   const Tile t) {
  clear(facts, 2);
  for (int b = 0; b < t.blocks; ++b) {
    load_block(x, peak, t.signal, t.index, t.run, b, t.volumes, t.n);
    for (int j = 0; j < volumes_of(b, t.volumes); ++j)
      FOR_LANES(l) {
        float s = AT(x, j, l) == AT(x, j, l) ? AT(x, j, l) * AT(e.scale, 0, l) : 0.0f;
        AT(facts, 0, l) += s;
        AT(facts, 1, l) = fmax2(fabs1(s), AT(facts, 1, l));
      }
  }
  float part = 1.0f / (float)t.volumes;
  FOR_LANES(l) {
    float log_s0 = 0.0f;
    for (int k = 0; k < UNKNOWNS; ++k) log_s0 += up[k] * AT(c, k, l);
    float mean = AT(facts, 0, l) * part;
    float s0 = log_s0 - flog(AT(e.scale, 0, l)) < FSL_LARGEST ? fexp(log_s0) : AT(facts, 1, l);
    s0 = s0 < mean ? AT(facts, 1, l) : s0;
    AT(facts, 0, l) = mean;
    AT(e.lift, 0, l) = 0.0f;
    AT(e.least, 0, l) = fmax2(FSL_FLOOR * s0, NOTHING);
  }
}

// Sums of squared residuals of the logarithms and of the signals: rows 0 and 1 of `sums`.
FN void residuals(float* sums, float* logs, float* x, float* peak, const float* c, const float* basis,
                  const Tile t, const Limits e) {
  clear(sums, 2);
  for (int b = 0; b < t.blocks; ++b) {
    const float* q = basis + b * UNKNOWNS * BLOCK;
    signals_of(x, peak, t, e, b, 0);
    const float* y = &AT(logs, slot_of(b) * BLOCK, 0);
    if (b >= KEPT) log_block(&AT(logs, slot_of(b) * BLOCK, 0), x);
    for (int j = 0; j < volumes_of(b, t.volumes); ++j)
      FOR_LANES(l) {
        PREDICT(p, q, j, c, l);
        float of_log = AT(y, j, l) - p, of_signal = AT(x, j, l) - fexp(p);
        AT(sums, 0, l) += of_log * of_log;
        AT(sums, 1, l) += of_signal * of_signal;
      }
  }
}

// maps[:, voxel_index] of the tensor fitted to signal[:, voxel_index]; other voxels are unchanged.
// voxel_index ascends and is padded to whole tiles by repeating its last entry. reweightings: 0 for OLS, else the
// number of weighted fits that follow; measured: the first of them uses the measured signals as weights. Signals
// below min_signal times the voxel's largest, below lowest, zero, negative, or NaN are raised to the larger of the
// two bounds; fsl: FSL's rule instead. Voxels without a positive finite largest signal give 0 and status 3.
KERNEL(tensor_fit,
       (const float* RESTRICT signal, const int* RESTRICT voxel_index, const float* RESTRICT basis,
        const float* RESTRICT products, const float* RESTRICT up, float* RESTRICT maps, float min_signal,
        float lowest, int fsl, float b_max, int reweightings, int measured, Index volumes, Index n,
        Index fitted, Index blocks),
       (signal, voxel_index, basis, products, up, maps, min_signal, lowest, fsl, b_max, reweightings, measured,
        volumes, n, fitted, blocks)) {
  PRIVATE(float, logs, (KEPT + 1) * BLOCK);
  PRIVATE(float, limits, 5);
  PRIVATE(float, peak, 1);
  PRIVATE(float, top, 1);
  PRIVATE(float, lost, 1);
  PRIVATE(float, doubt, 1);
  PRIVATE(float, facts, 2);
  PRIVATE(float, base, UNKNOWNS);
  PRIVATE(float, c, UNKNOWNS);
  PRIVATE(float, w, BLOCK);
  PRIVATE(float, r, BLOCK);
  PRIVATE(float, m, PRODUCTS);
  PRIVATE(float, rhs, UNKNOWNS);
  PRIVATE(float, out, MAPS);
  const Limits e = {&AT(limits, 0, 0), &AT(limits, 1, 0), &AT(limits, 2, 0), &AT(limits, 3, 0),
                    &AT(limits, 4, 0)};
  FOR_TILES(tile, fitted / TILE_LANES) {
    const int* index = voxel_index + tile * TILE_LANES;
    const int* next = tile + 1 < fitted / TILE_LANES ? index + TILE_LANES : index;
    int run = TILE_PICK(index[TILE_LANES - 1] - index[0] == TILE_LANES - 1, 0);
    const Tile t = {signal, index, run, (int)volumes, (int)blocks, n};
    clear(peak, 1);
    clear(lost, 1);
    for (int b = 0; b < t.blocks; ++b) load_block(w, peak, signal, index, run, b, t.volumes, n);
    scale_tile(e.scale, top, peak);
    FOR_LANES(l) {
      float scale = AT(e.scale, 0, l), least = fmax2(AT(peak, 0, l) * min_signal, lowest) * scale;
      // FSL sets log S = 0 for S <= 0, that is, S = 1.
      AT(e.lift, 0, l) = AT(e.weight_lift, 0, l) = fsl ? scale : 0.0f;
      AT(e.least, 0, l) = AT(e.weight_least, 0, l) = AT(top, 0, l) > 0.0f ? (fsl ? NOTHING : least) : 1.0f;
    }
    for (int look = 0; look <= fsl; ++look) {
      clear(c, UNKNOWNS);
      for (int b = 0; b < t.blocks; ++b) {
        if (look == 0) fetch_block(signal, next, b, t.volumes, n);
        const float* y = logs_of(logs, w, peak, t, e, b, 0);
        ADD_BLOCK(c, UNKNOWNS, basis + b * UNKNOWNS * BLOCK, y)
      }
      int steps = look < fsl ? (measured ? 1 : 0) : reweightings;
      for (int step = 0; step < steps; ++step) {
        int with_measured = measured && step == 0;
        clear(m, PRODUCTS);
        clear(rhs, UNKNOWNS);
        for (int b = 0; b < t.blocks; ++b) {
          const float* q = basis + b * UNKNOWNS * BLOCK;
          const float* y = logs_of(logs, w, peak, t, e, b, 1);
          if (with_measured) signals_of(w, peak, t, e, b, 1);
          weigh_block(w, r, y, c, q, with_measured);
          ADD_BLOCK(rhs, UNKNOWNS, q, r)
          ADD_BLOCK(m, PRODUCTS, products + b * PRODUCTS * BLOCK, w)
        }
        for (int k = 0; k < UNKNOWNS; ++k)
          FOR_LANES(l) { AT(base, k, l) = AT(c, k, l); }
        correct(c, lost, doubt, m, rhs);
        for (int pass = 0; pass < REFINEMENTS; ++pass) {
          int more = 0;
          ANY_LANE(more, l, AT(doubt, 0, l) > DOUBT);
          if (!more) break;
          clear(rhs, UNKNOWNS);
          for (int b = 0; b < t.blocks; ++b) {
            const float* q = basis + b * UNKNOWNS * BLOCK;
            const float* y = logs_of(logs, w, peak, t, e, b, 1);
            if (with_measured) signals_of(w, peak, t, e, b, 1);
            weigh_again(r, w, y, base, c, q, with_measured);
            ADD_BLOCK(rhs, UNKNOWNS, q, r)
          }
          for (int k = 0; k < UNKNOWNS; ++k)
            FOR_LANES(l) { AT(rhs, k, l) = AT(doubt, 0, l) > DOUBT ? AT(rhs, k, l) : 0.0f; }
          correct(c, lost, doubt, m, rhs);
        }
      }
      if (look < fsl) fsl_limits(e, facts, w, peak, c, up, t);
    }
    residuals(rhs, logs, w, peak, c, basis, t, e);
    float degrees = t.volumes > UNKNOWNS ? 1.0f / (float)(t.volumes - UNKNOWNS) : 0.0f;
    FOR_LANES(l) {
      describe(out, c, top, lost, up, 1.0f / b_max, l);
      int kept = AT(out, OUT_S0, l) > 0.0f;
      AT(out, OUT_SSE, l) = kept ? AT(rhs, 0, l) : 0.0f;
      AT(out, OUT_SIGMA, l) = kept ? fsqrt(AT(rhs, 1, l) * degrees) * AT(top, 0, l) : 0.0f;
      float least_s0 = kept && fsl ? AT(facts, 0, l) * AT(top, 0, l) : 0.0f;
      AT(out, OUT_S0, l) = fmax2(AT(out, OUT_S0, l), least_s0);
    }
    put_maps(maps, out, MAPS, index, run, n);
  }
}

// Maps of D = K' D_apparent K, K = (I + L)^-1, in place of those of D_apparent, whose tensor is given: with the
// actual gradients of a voxel, (I + L) g, the signal equals that of D_apparent = (I + L)' D (I + L) for the nominal
// table. deviation: L column by column; if I + L cannot be inverted, the status is RANK_LOST.
KERNEL(tensor_deviation,
       (const int* RESTRICT voxel_index, const float* RESTRICT deviation, const float* RESTRICT tensor,
        float* RESTRICT maps, Index fitted, Index n),
       (voxel_index, deviation, tensor, maps, fitted, n)) {
  PRIVATE(float, out, MAPS);
  FOR_TILES(tile, fitted / TILE_LANES) {
    const int* index = voxel_index + tile * TILE_LANES;
    FOR_LANES(l) {
      Index i = index[l];
      float a[9], k[9], t[6];
#pragma GCC unroll 9
      for (int j = 0; j < 9; ++j) a[j] = deviation[j * n + i] + (j % 4 == 0 ? 1.0f : 0.0f);
      // a and k are stored by columns; k = a^-1.
      k[0] = a[4] * a[8] - a[7] * a[5], k[1] = a[7] * a[2] - a[1] * a[8], k[2] = a[1] * a[5] - a[4] * a[2];
      k[3] = a[6] * a[5] - a[3] * a[8], k[4] = a[0] * a[8] - a[6] * a[2], k[5] = a[3] * a[2] - a[0] * a[5];
      k[6] = a[3] * a[7] - a[6] * a[4], k[7] = a[6] * a[1] - a[0] * a[7], k[8] = a[0] * a[4] - a[3] * a[1];
      float whole = a[0] * k[0] + a[3] * k[1] + a[6] * k[2];
      int sound = fabs1(whole) > 1e-6f;
      float inverse = sound ? 1.0f / whole : 0.0f;
#pragma GCC unroll 9
      for (int j = 0; j < 9; ++j) k[j] *= inverse;
      float xx = tensor[i] * 1e3f, xy = tensor[n + i] * 1e3f, xz = tensor[2 * n + i] * 1e3f;
      float yy = tensor[3 * n + i] * 1e3f, yz = tensor[4 * n + i] * 1e3f, zz = tensor[5 * n + i] * 1e3f;
      int place = 0;
#pragma GCC unroll 3
      for (int row = 0; row < 3; ++row) {
        float u = k[3 * row], v = k[3 * row + 1], w = k[3 * row + 2];
        float du = xx * u + xy * v + xz * w, dv = xy * u + yy * v + yz * w, dw = xz * u + yz * v + zz * w;
#pragma GCC unroll 3
        for (int column = row; column < 3; ++column)
          t[place++] = du * k[3 * column] + dv * k[3 * column + 1] + dw * k[3 * column + 2];
      }
      describe_tensor(out, t, sound ? 1.0f : 0.0f, 1e-3f, l);
      float status = maps[OUT_STATUS * n + i];
      int good = status == FITTED || status == FITTED_NEGATIVE;
      float fitted_as = AT(out, OUT_VALUES + 2, l) < 0.0f ? FITTED_NEGATIVE : FITTED;
      maps[OUT_STATUS * n + i] = sound ? (good ? fitted_as : status) : RANK_LOST;
#pragma GCC unroll 22
      for (int j = 0; j < OUT_S0; ++j) maps[j * n + i] = AT(out, j, l);
    }
  }
}

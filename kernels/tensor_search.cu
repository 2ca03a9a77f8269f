// Diffusion tensor of a voxel from its signals themselves, not their logarithms: nonlinear least squares, robust or
// not, with the tensor free or kept positive semidefinite.
//
//   minimise sum_v loss(S_v - e_v),  e_v = exp((Qc)_v), or the mean of the Rice distribution around that
//
// Gauss-Newton (Newton where the tensor is kept positive) from the weighted linear fit; a step that does not lower
// the sum is shortened. The normal equations are those of the linear fits with other weights.
#include "tensor_search.h"

#define SMALL_STEP 1e-5f  // the search ends after a step as small as this in every unknown
#define SMALL_GAIN 2e-7f  // or when the next one would lower the sum by less than this part
#define LONGEST_STEP 10.0f
#define WILD 1e4f  // a start that moved so far over so weak a pivot is not taken
#define SHORTER 0.3f
#define ROBUST_STEPS 5  // of each robust fit, which only has to tell outliers from the rest
#define SLACK 1.000002f  // rounding of the sum of losses
#define ROUNDS 2  // robust fits before outliers are left out
#define HALVINGS 22  // of the bracket around the median, in units of the last place

struct Series {
  const float *signal, *scale;
  const int* index;
  float* peak;
  int run, volumes, blocks;
  Index n;
};

// Scaled signals of one block, kept from the first time on where there is room; NaN becomes 0.
FN float* block_of(float* kept, const Series t, int block, int again) {
  float* x = &AT(kept, slot_of(block) * BLOCK, 0);
  if (!again || block >= KEPT) {
    load_block(x, t.peak, t.signal, t.index, t.run, block, t.volumes, t.n);
    for (int j = 0; j < BLOCK; ++j)
      FOR_LANES(l) {
        float s = AT(x, j, l) * AT(t.scale, 0, l);
        AT(x, j, l) = s == s ? s : 0.0f;
      }
  }
  return x;
}

// spread = 1.4826 median |d| sqrt(N / (N - 7)) at c, by halving a bracket of float representations.
FN void spread_of(float* spread, float* absolute, float* kept, float* slope, int* bracket, const float* c,
                  const float* floor_, const float* basis, const Series t) {
  FOR_LANES(l) { AT(bracket, 0, l) = 0x2edbe6ff, AT(bracket, 1, l) = 0x7f000000; }
  for (int half = 0; half < HALVINGS; ++half) {
    FOR_LANES(l) { AT(bracket, 2, l) = 0; }
    for (int b = 0; b < t.blocks; ++b) {
      float* d = &AT(absolute, slot_of(b) * BLOCK, 0);
      if (half == 0 || b >= KEPT)
        misfit_block(d, slope, block_of(kept, t, b, 1), c, basis + b * UNKNOWNS * BLOCK, floor_);
      for (int j = 0; j < volumes_of(b, t.volumes); ++j)
        FOR_LANES(l) {
          int middle = AT(bracket, 0, l) + (AT(bracket, 1, l) - AT(bracket, 0, l)) / 2;
          AT(bracket, 2, l) += fabs1(AT(d, j, l)) <= bits_float(middle) ? 1 : 0;
        }
    }
    FOR_LANES(l) {
      int middle = AT(bracket, 0, l) + (AT(bracket, 1, l) - AT(bracket, 0, l)) / 2;
      int enough = 2 * AT(bracket, 2, l) >= t.volumes;
      AT(bracket, 0, l) = enough ? AT(bracket, 0, l) : middle;
      AT(bracket, 1, l) = enough ? middle : AT(bracket, 1, l);
    }
  }
  float more = t.volumes > UNKNOWNS ? (float)t.volumes / (float)(t.volumes - UNKNOWNS) : 1.0f;
  FOR_LANES(l) { AT(spread, 0, l) = fmax2(1.4826f * fsqrt(more) * bits_float(AT(bracket, 1, l)), 1e-5f); }
}

// maps[:, voxel_index] of the tensor fitted to signal[:, voxel_index]; other voxels are not touched. sigma: noise of
// the signal, one number or one a voxel, 0 unknown. rician: the model is the mean of the Rice distribution.
// robust: losses by Geman and McClure, then volumes further than `threshold` sigma from the model are left out and
// marked 1 in `outliers`. positive: D = S S, S symmetric. min_signal: see tensor_fit, for the start only.
KERNEL(tensor_search,
       (const float* RESTRICT signal, const int* RESTRICT voxel_index, const float* RESTRICT basis,
        const float* RESTRICT products, const float* RESTRICT up, const float* RESTRICT down,
        const float* RESTRICT sigma, float* RESTRICT maps, u8* RESTRICT outliers, float min_signal, float b_max,
        float threshold, int rician, int robust, int positive, int iterations, Index volumes, Index n,
        Index fitted, Index blocks, Index sigmas, Index marked),
       (signal, voxel_index, basis, products, up, down, sigma, maps, outliers, min_signal, b_max, threshold,
        rician, robust, positive, iterations, volumes, n, fitted, blocks, sigmas, marked)) {
  PRIVATE(float, kept, (KEPT + 1) * BLOCK);
  PRIVATE(float, absolute, (KEPT + 1) * BLOCK);
  PRIVATE(float, lanes, 14);
  PRIVATE(int, bracket, 3);
  PRIVATE(float, c, UNKNOWNS);
  PRIVATE(float, best, UNKNOWNS);
  PRIVATE(float, trial, UNKNOWNS);
  PRIVATE(float, step, UNKNOWNS);
  PRIVATE(float, reference, UNKNOWNS);
  PRIVATE(float, away, BLOCK);
  PRIVATE(float, w, BLOCK);
  PRIVATE(float, r, BLOCK);
  PRIVATE(float, m, PRODUCTS);
  PRIVATE(float, rhs, UNKNOWNS);
  PRIVATE(float, out, MAPS);
  float *peak = &AT(lanes, 0, 0), *top = &AT(lanes, 1, 0), *scale = &AT(lanes, 2, 0), *noise = &AT(lanes, 3, 0);
  float *floor_ = &AT(lanes, 4, 0), *limit = &AT(lanes, 5, 0), *loss = &AT(lanes, 6, 0),
        *cost = &AT(lanes, 7, 0);
  float *active = &AT(lanes, 8, 0), *lost = &AT(lanes, 9, 0), *now = &AT(lanes, 10, 0),
        *doubt = &AT(lanes, 11, 0);
  float *length = &AT(lanes, 12, 0), *least = &AT(lanes, 13, 0);
  FOR_TILES(tile, fitted / TILE_LANES) {
    const int* index = voxel_index + tile * TILE_LANES;
    int run = TILE_PICK(index[TILE_LANES - 1] - index[0] == TILE_LANES - 1, 0);
    const Series t = {signal, scale, index, peak, run, (int)volumes, (int)blocks, n};
    clear(peak, 1);
    for (int b = 0; b < t.blocks; ++b) load_block(w, peak, signal, index, run, b, t.volumes, n);
    scale_tile(scale, top, peak);
    FOR_LANES(l) {
      float given = sigma[sigmas > 1 ? index[l] : 0] * AT(scale, 0, l);
      AT(noise, 0, l) = given > 0.0f ? given : 0.0f;
      AT(floor_, 0, l) = rician ? AT(noise, 0, l) : 0.0f;
      AT(least, 0, l) = AT(top, 0, l) > 0.0f ? AT(peak, 0, l) * AT(scale, 0, l) * min_signal : 1.0f;
      AT(limit, 0, l) = 1.0f;
    }
    // The start: OLS, then weights that it predicts.
    clear(c, UNKNOWNS);
    clear(m, PRODUCTS);
    clear(rhs, UNKNOWNS);
    clear(lost, 1);
    for (int pass = 0; pass < 2; ++pass) {
      for (int b = 0; b < t.blocks; ++b) {
        const float* x = block_of(kept, t, b, pass);
        const float* q = basis + b * UNKNOWNS * BLOCK;
        for (int j = 0; j < BLOCK; ++j)
          FOR_LANES(l) {
            float y = flog(fmax2(AT(x, j, l), AT(least, 0, l)));
            PREDICT(p, q, j, c, l);
            float weight = pass ? fexp(2.0f * p) : 1.0f;
            AT(w, j, l) = weight;
            AT(r, j, l) = weight * (pass ? y - p : y);
          }
        if (pass == 0) {
          ADD_BLOCK(rhs, UNKNOWNS, q, r)
        } else {
          ADD_BLOCK(rhs, UNKNOWNS, q, r)
          ADD_BLOCK(m, PRODUCTS, products + b * PRODUCTS * BLOCK, w)
        }
      }
      if (pass == 0) {
        for (int k = 0; k < UNKNOWNS; ++k)
          FOR_LANES(l) { AT(c, k, l) = AT(rhs, k, l); }
        clear(rhs, UNKNOWNS);
      } else {
        for (int k = 0; k < UNKNOWNS; ++k)
          FOR_LANES(l) { AT(reference, k, l) = AT(c, k, l); }
        correct(c, lost, doubt, m, rhs);
        for (int k = 0; k < UNKNOWNS; ++k)
          FOR_LANES(l) { AT(c, k, l) = AT(doubt, 0, l) < WILD ? AT(c, k, l) : AT(reference, k, l); }
      }
    }
    FOR_LANES(l) {
      if (positive) to_root(best, out, c, up, l);
      for (int k = 0; k < UNKNOWNS; ++k) AT(best, k, l) = positive ? AT(best, k, l) : AT(c, k, l);
    }
    int stages = robust ? ROUNDS + 2 : 1;
    for (int stage = 0; stage < stages; ++stage) {
      int kind = stage == 0 ? PLAIN : (stage < stages - 1 ? ROBUST : INLIERS);
      if (stage > 0) {
        spread_of(limit, absolute, kept, w, bracket, c, floor_, basis, t);
        FOR_LANES(l) {
          float told = AT(noise, 0, l), found = AT(limit, 0, l);
          AT(limit, 0, l) = kind == ROBUST ? fmax2(found, told) : threshold * (told > 0.0f ? told : found);
        }
      }
      for (int k = 0; k < UNKNOWNS; ++k)
        FOR_LANES(l) { AT(reference, k, l) = AT(c, k, l), AT(trial, k, l) = AT(best, k, l); }
      FOR_LANES(l) { AT(cost, 0, l) = 1e30f, AT(active, 0, l) = AT(top, 0, l) > 0.0f ? 1.0f : 0.0f; }
      clear(lost, 1);
      clear(step, UNKNOWNS);
      for (int iteration = 0; iteration < (kind == ROBUST ? ROBUST_STEPS : iterations); ++iteration) {
        int busy = 0;
        ANY_LANE(busy, l, AT(active, 0, l) > 0.0f);
        if (!busy) break;
        FOR_LANES(l) {
          if (positive) from_root(c, trial, down, l);
          for (int k = 0; k < UNKNOWNS; ++k) AT(c, k, l) = positive ? AT(c, k, l) : AT(trial, k, l);
        }
        clear(m, PRODUCTS);
        clear(rhs, UNKNOWNS);
        clear(loss, 1);
        for (int b = 0; b < t.blocks; ++b) {
          const float* q = basis + b * UNKNOWNS * BLOCK;
          const float* x = block_of(kept, t, b, 1);
          if (kind == INLIERS) misfit_block(away, w, x, reference, q, floor_);
          misfit_block(r, w, x, c, q, floor_);
          weigh_misfit(w, r, loss, away, limit, kind, volumes_of(b, t.volumes));
          ADD_BLOCK(rhs, UNKNOWNS, q, r)
          ADD_BLOCK(m, PRODUCTS, products + b * PRODUCTS * BLOCK, w)
        }
        clear(now, 1);
        for (int k = 0; k < UNKNOWNS; ++k)
          FOR_LANES(l) { AT(out, k, l) = 0.0f; }
        correct(out, now, doubt, m, rhs);
        FOR_LANES(l) {
          float gain = positive ? root_step(out, m, rhs, trial, down, l) : 1e30f;
          int search = AT(active, 0, l) > 0.0f;
          int better = search && AT(loss, 0, l) <= AT(cost, 0, l) * SLACK;
          float longest = 0.0f, stride = 0.0f;
          for (int k = 0; k < UNKNOWNS; ++k) {
            AT(out, k, l) = AT(now, 0, l) == 0.0f ? AT(out, k, l) : 0.0f;
            stride = fmax2(stride, fabs1(AT(out, k, l)));
          }
          float shrink = stride > LONGEST_STEP ? LONGEST_STEP / stride : 1.0f;
          for (int k = 0; k < UNKNOWNS; ++k) {
            float from = better ? AT(trial, k, l) : AT(best, k, l);
            float along = better ? shrink * AT(out, k, l) : SHORTER * AT(step, k, l);
            AT(best, k, l) = from;
            AT(step, k, l) = along;
            AT(trial, k, l) = search ? from + along : AT(trial, k, l);
            longest = fmax2(longest, fabs1(along));
          }
          int small = longest < SMALL_STEP || (better && gain < SMALL_GAIN * AT(loss, 0, l));
          int done = search && small && (better || AT(cost, 0, l) < 1e29f);
          for (int k = 0; k < UNKNOWNS; ++k) AT(best, k, l) = done && better ? AT(trial, k, l) : AT(best, k, l);
          AT(cost, 0, l) = better ? AT(loss, 0, l) : AT(cost, 0, l);
          AT(lost, 0, l) = better ? AT(now, 0, l) : AT(lost, 0, l);
          AT(active, 0, l) = search && !done ? 1.0f : 0.0f;
        }
      }
      FOR_LANES(l) {
        if (positive) from_root(c, best, down, l);
        for (int k = 0; k < UNKNOWNS; ++k) AT(c, k, l) = positive ? AT(c, k, l) : AT(best, k, l);
      }
    }
    FOR_LANES(l) { AT(length, 0, l) = robust ? 0.0f : (float)t.volumes; }
    for (int b = 0; b < (robust ? t.blocks : 0); ++b) {
      misfit_block(away, w, block_of(kept, t, b, 1), reference, basis + b * UNKNOWNS * BLOCK, floor_);
      for (int j = 0; j < volumes_of(b, t.volumes); ++j)
        FOR_LANES(l) {
          int far = AT(top, 0, l) > 0.0f && fabs1(AT(away, j, l)) > AT(limit, 0, l);
          AT(length, 0, l) += far ? 0.0f : 1.0f;
          if (marked > 0) outliers[(Index)(b * BLOCK + j) * n + index[l]] = far ? 1 : 0;
        }
    }
    FOR_LANES(l) {
      describe(out, c, top, lost, up, 1.0f / b_max, l);
      int good = AT(out, OUT_STATUS, l) < NO_SIGNAL;
      float degrees = AT(length, 0, l) - (float)UNKNOWNS;
      AT(out, OUT_SSE, l) = 0.0f;
      AT(out, OUT_SIGMA, l) = good && degrees > 0.0f ? fsqrt(AT(cost, 0, l) / degrees) * AT(top, 0, l) : 0.0f;
      float value2 = AT(out, OUT_VALUES + 1, l), value3 = AT(out, OUT_VALUES + 2, l);
      AT(out, OUT_VALUES + 1, l) = positive ? fmax2(value2, 0.0f) : value2;
      AT(out, OUT_VALUES + 2, l) = positive ? fmax2(value3, 0.0f) : value3;
      float status = positive && good ? FITTED : AT(out, OUT_STATUS, l);
      AT(out, OUT_STATUS, l) = good && AT(active, 0, l) > 0.0f ? NOT_CONVERGED : status;
    }
    put_maps(maps, out, MAPS, index, run, n);
  }
}

// Diffusion tensor of a voxel from its signals instead of their logarithms: nonlinear least squares, robust or not,
// with the tensor free or kept positive semidefinite.
//
//   minimise sum_v loss(S_v - e_v),  e_v = exp((Qc)_v), or the mean of the Rice distribution around that
//
// Gauss-Newton (Newton if the tensor is kept positive) from the weighted linear fit; a step that does not decrease
// the sum is shortened. The normal equations are those of the linear fits with different weights.
#define TILE_THREADS 128
#define TILE_LIMITS TILE_THREADS, 3
#include "tensor_search.h"

#define SMALL_STEP 1e-5f  // the search ends after a step below this in every unknown
#define SMALL_GAIN 2e-7f  // or when the next step would decrease the sum by less than this fraction
#define LONGEST_STEP 10.0f
#define WILD 1e4f  // an initial step is rejected if its size over its weakest pivot exceeds this
#define SHORTER 0.3f
#define ROBUST_STEPS 5  // per robust fit, which only has to separate outliers from inliers
#define SLACK 1.000002f  // allows for rounding of the sum of losses
#define ROUNDS 2  // robust fits before outliers are excluded
#define HALVINGS 22  // bisections of the bracket around the median, in units in the last place

struct Model {
  const float *basis, *products, *up, *down;
  int positive, iterations;
};

// Values per voxel of a tile: kept signals; c, or theta if the tensor is kept positive, best and trial; sums; and
// single values, one row each.
struct Work {
  float *kept, *absolute, *c, *best, *trial, *step, *reference, *away, *w, *r, *m, *rhs, *out;
  float *peak, *top, *scale, *noise, *floor_, *limit, *loss, *cost, *active, *lost, *now, *doubt, *length,
      *least;
  int* bracket;
};

// Noise, limits, and lower bounds of the signals of a tile, from its largest signals.
FN void scale_work(const Work k, const Series t, const float* sigma, int sigmas, float min_signal, int rician) {
  clear(k.peak, 1);
  for (int b = 0; b < t.blocks; ++b) load_block(k.w, k.peak, t.signal, t.index, t.run, b, t.volumes, t.n);
  scale_tile(k.scale, k.top, k.peak);
  FOR_LANES(l) {
    float given = sigma[sigmas > 1 ? t.index[l] : 0] * AT(k.scale, 0, l);
    AT(k.noise, 0, l) = given > 0.0f ? given : 0.0f;
    AT(k.floor_, 0, l) = rician ? AT(k.noise, 0, l) : 0.0f;
    AT(k.least, 0, l) = AT(k.top, 0, l) > 0.0f ? AT(k.peak, 0, l) * AT(k.scale, 0, l) * min_signal : 1.0f;
    AT(k.limit, 0, l) = 1.0f;
  }
}

// Initial estimate in `best`: OLS, then weights predicted by it; OLS if the weighted step diverges.
FN void begin_search(const Work k, const Series t, const Model a) {
  clear(k.c, UNKNOWNS);
  clear(k.m, PRODUCTS);
  clear(k.rhs, UNKNOWNS);
  clear(k.lost, 1);
  for (int pass = 0; pass < 2; ++pass) {
    float weighted = (float)pass;
    for (int b = 0; b < t.blocks; ++b) {
      const float* x = block_of(k.kept, t, b, pass);
      const float* q = a.basis + b * UNKNOWNS * BLOCK;
      for (int j = 0; j < BLOCK; ++j)
        FOR_LANES(l) {
          float y = flog(fmax2(AT(x, j, l), AT(k.least, 0, l)));
          PREDICT(p, q, j, k.c, l);
          float weight = fexp(2.0f * weighted * p);
          AT(k.w, j, l) = weight;
          AT(k.r, j, l) = weight * (y - weighted * p);
        }
      ADD_BLOCK(k.rhs, UNKNOWNS, q, k.r)
      if (pass == 1) { ADD_BLOCK(k.m, PRODUCTS, a.products + b * PRODUCTS * BLOCK, k.w) }
    }
    for (int i = 0; i < UNKNOWNS; ++i)
      FOR_LANES(l) {
        AT(k.reference, i, l) = AT(k.c, i, l);
        AT(k.c, i, l) = pass == 0 ? AT(k.rhs, i, l) : AT(k.c, i, l);
      }
    if (pass == 0) {
      clear(k.rhs, UNKNOWNS);
    } else {
      correct(k.c, k.lost, k.doubt, k.m, k.rhs);
      for (int i = 0; i < UNKNOWNS; ++i)
        FOR_LANES(l) { AT(k.c, i, l) = AT(k.doubt, 0, l) < WILD ? AT(k.c, i, l) : AT(k.reference, i, l); }
    }
  }
  FOR_LANES(l) {
    if (a.positive) to_root(k.best, k.out, k.c, a.up, l);
    for (int i = 0; i < UNKNOWNS; ++i) AT(k.best, i, l) = a.positive ? AT(k.best, i, l) : AT(k.c, i, l);
  }
}

// Normal equations and loss at `trial`, and the Gauss-Newton step from there in `out`.
FN void linearise(const Work k, const Series t, const Model a, int kind) {
  FOR_LANES(l) {
    if (a.positive) from_root(k.c, k.trial, a.down, l);
    for (int i = 0; i < UNKNOWNS; ++i) AT(k.c, i, l) = a.positive ? AT(k.c, i, l) : AT(k.trial, i, l);
  }
  clear(k.m, PRODUCTS);
  clear(k.rhs, UNKNOWNS);
  clear(k.loss, 1);
  for (int b = 0; b < t.blocks; ++b) {
    const float* q = a.basis + b * UNKNOWNS * BLOCK;
    const float* x = block_of(k.kept, t, b, 1);
    if (kind == INLIERS) misfit_block(k.away, k.w, x, k.reference, q, k.floor_);
    misfit_block(k.r, k.w, x, k.c, q, k.floor_);
    weigh_misfit(k.w, k.r, k.loss, k.away, k.limit, kind, volumes_of(b, t.volumes));
    ADD_BLOCK(k.rhs, UNKNOWNS, q, k.r)
    ADD_BLOCK(k.m, PRODUCTS, a.products + b * PRODUCTS * BLOCK, k.w)
  }
  clear(k.now, 1);
  clear(k.out, UNKNOWNS);
  correct(k.out, k.now, k.doubt, k.m, k.rhs);
}

// Accept the trial of lane l if it is better, and prepare the next one: a full step from it, or a shorter step from
// the previous point. The search of a lane ends with a small step or gain.
FN void advance(const Work k, const Model a, int l) {
  float gain = a.positive ? root_step(k.out, k.m, k.rhs, k.trial, a.down, l) : 1e30f;
  int search = AT(k.active, 0, l) > 0.0f;
  int better = search && AT(k.loss, 0, l) <= AT(k.cost, 0, l) * SLACK;
  float longest = 0.0f, stride = 0.0f;
  for (int i = 0; i < UNKNOWNS; ++i) {
    AT(k.out, i, l) = AT(k.now, 0, l) == 0.0f ? AT(k.out, i, l) : 0.0f;
    stride = fmax2(stride, fabs1(AT(k.out, i, l)));
  }
  float shrink = stride > LONGEST_STEP ? LONGEST_STEP / stride : 1.0f;
  for (int i = 0; i < UNKNOWNS; ++i) {
    float from = better ? AT(k.trial, i, l) : AT(k.best, i, l);
    float along = better ? shrink * AT(k.out, i, l) : SHORTER * AT(k.step, i, l);
    AT(k.best, i, l) = from;
    AT(k.step, i, l) = along;
    AT(k.trial, i, l) = search ? from + along : AT(k.trial, i, l);
    longest = fmax2(longest, fabs1(along));
  }
  int small = longest < SMALL_STEP || (better && gain < SMALL_GAIN * AT(k.loss, 0, l));
  int done = search && small && (better || AT(k.cost, 0, l) < 1e29f);
  for (int i = 0; i < UNKNOWNS; ++i) AT(k.best, i, l) = done && better ? AT(k.trial, i, l) : AT(k.best, i, l);
  AT(k.cost, 0, l) = better ? AT(k.loss, 0, l) : AT(k.cost, 0, l);
  AT(k.lost, 0, l) = better ? AT(k.now, 0, l) : AT(k.lost, 0, l);
  AT(k.active, 0, l) = search && !done ? 1.0f : 0.0f;
}

// One search from `best` with the loss `kind`; c is that of the best point found.
FN void search_from_best(const Work k, const Series t, const Model a, int kind) {
  for (int i = 0; i < UNKNOWNS; ++i)
    FOR_LANES(l) { AT(k.reference, i, l) = AT(k.c, i, l), AT(k.trial, i, l) = AT(k.best, i, l); }
  FOR_LANES(l) { AT(k.cost, 0, l) = 1e30f, AT(k.active, 0, l) = AT(k.top, 0, l) > 0.0f ? 1.0f : 0.0f; }
  clear(k.lost, 1);
  clear(k.step, UNKNOWNS);
  for (int iteration = 0; iteration < (kind == ROBUST ? ROBUST_STEPS : a.iterations); ++iteration) {
    int busy = 0;
    ANY_LANE(busy, l, AT(k.active, 0, l) > 0.0f);
    if (!busy) break;
    linearise(k, t, a, kind);
    FOR_LANES(l) { advance(k, a, l); }
  }
  FOR_LANES(l) {
    if (a.positive) from_root(k.c, k.best, a.down, l);
    for (int i = 0; i < UNKNOWNS; ++i) AT(k.c, i, l) = a.positive ? AT(k.c, i, l) : AT(k.best, i, l);
  }
}

// Marks volumes further than `limit` from the reference with 1 in `outliers`; `length`: number of the others.
FN void mark_outliers(const Work k, const Series t, const Model a, u8* outliers) {
  clear(k.length, 1);
  for (int b = 0; b < t.blocks; ++b) {
    misfit_block(k.away, k.w, block_of(k.kept, t, b, 1), k.reference, a.basis + b * UNKNOWNS * BLOCK, k.floor_);
    for (int j = 0; j < volumes_of(b, t.volumes); ++j)
      FOR_LANES(l) {
        int far = AT(k.top, 0, l) > 0.0f && fabs1(AT(k.away, j, l)) > AT(k.limit, 0, l);
        AT(k.length, 0, l) += far ? 0.0f : 1.0f;
        outliers[(Index)(b * BLOCK + j) * t.n + t.index[l]] = far ? 1 : 0;
      }
  }
}

// All maps of lane l from c and the final loss.
FN void describe_search(const Work k, const Model a, float b_max, int l) {
  describe(k.out, k.c, k.top, k.lost, a.up, 1.0f / b_max, l);
  int good = AT(k.out, OUT_STATUS, l) < NO_SIGNAL;
  float degrees = AT(k.length, 0, l) - (float)UNKNOWNS;
  AT(k.out, OUT_SSE, l) = 0.0f;
  AT(k.out, OUT_SIGMA, l) = good && degrees > 0.0f ? fsqrt(AT(k.cost, 0, l) / degrees) * AT(k.top, 0, l) : 0.0f;
  float value2 = AT(k.out, OUT_VALUES + 1, l), value3 = AT(k.out, OUT_VALUES + 2, l);
  AT(k.out, OUT_VALUES + 1, l) = a.positive ? fmax2(value2, 0.0f) : value2;
  AT(k.out, OUT_VALUES + 2, l) = a.positive ? fmax2(value3, 0.0f) : value3;
  float status = a.positive && good ? FITTED : AT(k.out, OUT_STATUS, l);
  AT(k.out, OUT_STATUS, l) = good && AT(k.active, 0, l) > 0.0f ? NOT_CONVERGED : status;
}

// limit = 1.4826 median |d| sqrt(N / (N - 7)) at c, by bisection of the bit representation of floats.
FN void spread_of(const Work k, const Series t, const Model a) {
  int* bracket = k.bracket;
  FOR_LANES(l) { AT(bracket, 0, l) = 0x2edbe6ff, AT(bracket, 1, l) = 0x7f000000; }
  for (int half = 0; half < HALVINGS; ++half) {
    FOR_LANES(l) { AT(bracket, 2, l) = 0; }
    for (int b = 0; b < t.blocks; ++b) {
      float* d = &AT(k.absolute, slot_of(b) * BLOCK, 0);
      if (half == 0 || b >= KEPT)
        misfit_block(d, k.w, block_of(k.kept, t, b, 1), k.c, a.basis + b * UNKNOWNS * BLOCK, k.floor_);
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
  FOR_LANES(l) { AT(k.limit, 0, l) = fmax2(1.4826f * fsqrt(more) * bits_float(AT(bracket, 1, l)), 1e-5f); }
}

// maps[:, voxel_index] of the tensor fitted to signal[:, voxel_index]; other voxels are unchanged. sigma: noise of
// the signal, one number or one per voxel, 0 if unknown. rician: the model is the mean of the Rice distribution.
// robust: losses of Geman and McClure, then volumes further than `threshold` sigma from the model are excluded and
// marked 1 in `outliers`. positive: D = S S, S symmetric. min_signal: see tensor_fit, for the initial estimate only.
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
  const Model a = {basis, products, up, down, positive, iterations};
  const Work k = {kept,
                  absolute,
                  c,
                  best,
                  trial,
                  step,
                  reference,
                  away,
                  w,
                  r,
                  m,
                  rhs,
                  out,
                  &AT(lanes, 0, 0),
                  &AT(lanes, 1, 0),
                  &AT(lanes, 2, 0),
                  &AT(lanes, 3, 0),
                  &AT(lanes, 4, 0),
                  &AT(lanes, 5, 0),
                  &AT(lanes, 6, 0),
                  &AT(lanes, 7, 0),
                  &AT(lanes, 8, 0),
                  &AT(lanes, 9, 0),
                  &AT(lanes, 10, 0),
                  &AT(lanes, 11, 0),
                  &AT(lanes, 12, 0),
                  &AT(lanes, 13, 0),
                  bracket};
  FOR_TILES(tile, fitted / TILE_LANES) {
    const int* index = voxel_index + tile * TILE_LANES;
    int run = TILE_PICK(index[TILE_LANES - 1] - index[0] == TILE_LANES - 1, 0);
    const Series t = {signal, k.scale, index, k.peak, run, (int)volumes, (int)blocks, n};
    scale_work(k, t, sigma, (int)(sigmas > 1 ? 2 : 1), min_signal, rician);
    begin_search(k, t, a);
    int stages = robust ? ROUNDS + 2 : 1;
    for (int stage = 0; stage < stages; ++stage) {
      int kind = stage == 0 ? PLAIN : (stage < stages - 1 ? ROBUST : INLIERS);
      if (stage > 0) {
        spread_of(k, t, a);
        FOR_LANES(l) {
          float told = AT(k.noise, 0, l), found = AT(k.limit, 0, l);
          AT(k.limit, 0, l) = kind == ROBUST ? fmax2(found, told) : threshold * (told > 0.0f ? told : found);
        }
      }
      search_from_best(k, t, a, kind);
    }
    FOR_LANES(l) { AT(k.length, 0, l) = (float)t.volumes; }
    if (robust && marked > 0) mark_outliers(k, t, a, outliers);
    FOR_LANES(l) { describe_search(k, a, b_max, l); }
    put_maps(maps, out, MAPS, index, run, n);
  }
}

// Free-water model of a voxel, fitted to the signals: a tissue tensor and water of known diffusivity.
//
//   minimise sum_v (S_v - e_v)^2,   e_v = exp((Qc)_v) + a w_v,   w_v = exp(-b_v D_water),   a >= 0
//
// Gauss-Newton from the best of several water fractions, each with the log-linear fit to the remaining signal; a step
// that does not decrease the sum is shortened. In each step the amplitude a of water is eliminated first, so that its
// bound holds exactly. The fraction of water is a / (a + exp(log S0 of the tissue)).
#define TILE_THREADS 128
#define TILE_LIMITS TILE_THREADS, 3
#include "tensor_sums.h"

#define WATER_MAPS 27
#define OUT_WATER 26
#define WATER_ONLY 6.0f  // the tissue component is as fast as water, or too small to describe
#define MOST_WATER 0.95f  // a smaller fraction of tissue cannot be described
#define STARTS 10  // fractions 0, 0.1, ... 0.9
#define LEFT_OVER 1e-3f  // lower bound of the signal without water, relative to the largest signal
#define SMALL_STEP 3e-6f
#define SMALL_GAIN 1e-9f
#define LONGEST_STEP 3.0f
#define SHORTER 0.3f
#define SLACK 1.000002f  // allows for rounding of the sum

// c of the log-linear fit to the signal minus water of amplitude a.
FN void linear_fit(float* c, float* y, float* kept, const float* a, const float* least, const float* basis,
                   const float* water, const Series t) {
  clear(c, UNKNOWNS);
  for (int b = 0; b < t.blocks; ++b) {
    const float* x = block_of(kept, t, b, 1);
    for (int j = 0; j < BLOCK; ++j)
      FOR_LANES(l) {
        AT(y, j, l) = flog(fmax2(AT(x, j, l) - water[b * BLOCK + j] * AT(a, 0, l), AT(least, 0, l)));
      }
    ADD_BLOCK(c, UNKNOWNS, basis + b * UNKNOWNS * BLOCK, y)
  }
}

// Sum of squares at (c, a) and the sums over volumes for the next step: m, tissue times water, and the right-hand
// sides.
FN void sums_at(float* loss, float* m, float* cross, float* rhs, float* push, float* w, float* r, float* kept,
                const float* c, const float* a, const float* basis, const float* products, const float* water,
                const Series t, int all) {
  clear(loss, 1);
  clear(m, all ? PRODUCTS : 0);
  clear(cross, UNKNOWNS);
  clear(rhs, UNKNOWNS);
  clear(push, 1);
  for (int b = 0; b < t.blocks; ++b) {
    const float* q = basis + b * UNKNOWNS * BLOCK;
    const float* x = block_of(kept, t, b, 1);
    int real = volumes_of(b, t.volumes);
    for (int j = 0; j < BLOCK; ++j) {
      float share = j < real ? 1.0f : 0.0f, other = water[b * BLOCK + j];
      FOR_LANES(l) {
        PREDICT(p, q, j, c, l);
        float tissue = fexp(p), d = share * (AT(x, j, l) - tissue - other * AT(a, 0, l));
        AT(loss, 0, l) += d * d;
        AT(push, 0, l) += other * d;
        AT(w, j, l) = tissue;
        AT(r, j, l) = tissue * d;
      }
    }
    if (!all) continue;
    ADD_BLOCK(rhs, UNKNOWNS, q, r)
    for (int j = 0; j < BLOCK; ++j)
      FOR_LANES(l) { AT(r, j, l) = AT(w, j, l) * water[b * BLOCK + j], AT(w, j, l) *= AT(w, j, l); }
    ADD_BLOCK(cross, UNKNOWNS, q, r)
    ADD_BLOCK(m, PRODUCTS, products + b * PRODUCTS * BLOCK, w)
  }
}

// Best of the initial fractions: c and a. Row `log_s0` of R^-1 gives log S0 from c.
FN void best_start(float* c, float* a, float* cost, float* trial, float* amount, float* loss, float* m,
                   float* cross, float* rhs, float* push, float* w, float* r, float* kept, const float* least,
                   const float* whole, const float* basis, const float* water, const Series t) {
  FOR_LANES(l) { AT(cost, 0, l) = 1e30f, AT(a, 0, l) = 0.0f; }
  clear(c, UNKNOWNS);
  for (int start = 0; start < STARTS; ++start) {
    FOR_LANES(l) { AT(amount, 0, l) = 0.1f * (float)start * AT(whole, 0, l); }
    linear_fit(trial, w, kept, amount, least, basis, water, t);
    sums_at(loss, m, cross, rhs, push, w, r, kept, trial, amount, basis, basis, water, t, 0);
    FOR_LANES(l) {
      int better = AT(loss, 0, l) < AT(cost, 0, l);
      AT(cost, 0, l) = better ? AT(loss, 0, l) : AT(cost, 0, l);
      AT(a, 0, l) = better ? AT(amount, 0, l) : AT(a, 0, l);
      for (int k = 0; k < UNKNOWNS; ++k) AT(c, k, l) = better ? AT(trial, k, l) : AT(c, k, l);
    }
  }
}

// Step of (c, a) in `x` and `change` from the sums: water is eliminated and bounded by 0. Returns the predicted
// decrease of the sum.
FN float water_step(float* x, float* change, const float* with_water, const float* rhs, const float* cross,
                    const float* push, const float* a, float square, int l) {
  float across = AT(push, 0, l), left = square, gain = 0.0f;
  for (int k = 0; k < UNKNOWNS; ++k) {
    across -= AT(cross, k, l) * AT(x, k, l);
    left -= AT(cross, k, l) * AT(with_water, k, l);
  }
  float step = left > SMALL_PIVOT * square ? across / left : 0.0f;
  step = fmax2(step, -AT(a, 0, l));
  for (int k = 0; k < UNKNOWNS; ++k) {
    AT(x, k, l) -= step * AT(with_water, k, l);
    gain += AT(rhs, k, l) * AT(x, k, l);
  }
  AT(change, 0, l) = step;
  return gain + AT(push, 0, l) * step;
}

// Accept the trial if it is better, and prepare the next one: a full step from it, or a shorter step from the
// previous point. state: cost, a, trial a, its step, active, lost.
FN void advance(float* best, float* trial, float* step, float* state, const float* x, const float* change,
                const float* loss, const float* lost_now, float gain, int l) {
  int search = AT(state, 4, l) > 0.0f, better = search && AT(loss, 0, l) <= AT(state, 0, l) * SLACK;
  float stride = fabs1(AT(change, 0, l)), sound = AT(lost_now, 0, l) == 0.0f ? 1.0f : 0.0f;
  for (int k = 0; k < UNKNOWNS; ++k) stride = fmax2(stride, fabs1(AT(x, k, l)));
  float shrink = sound * (stride > LONGEST_STEP ? LONGEST_STEP / stride : 1.0f), longest = 0.0f;
  for (int k = 0; k <= UNKNOWNS; ++k) {
    float whole = k < UNKNOWNS ? AT(x, k < UNKNOWNS ? k : 0, l) : AT(change, 0, l);
    float* from = k < UNKNOWNS ? &AT(best, k, l) : &AT(state, 1, l);
    float* at = k < UNKNOWNS ? &AT(trial, k, l) : &AT(state, 2, l);
    float* by = k < UNKNOWNS ? &AT(step, k, l) : &AT(state, 3, l);
    *from = better ? *at : *from;
    *by = better ? shrink * whole : SHORTER * *by;
    *at = search ? *from + *by : *at;
    longest = fmax2(longest, fabs1(*by));
  }
  int done = search && (longest < SMALL_STEP || (better && gain < SMALL_GAIN * AT(loss, 0, l)));
  AT(state, 0, l) = better ? AT(loss, 0, l) : AT(state, 0, l);
  AT(state, 5, l) = better ? AT(lost_now, 0, l) : AT(state, 5, l);
  AT(state, 4, l) = search && !done ? 1.0f : 0.0f;
}

// maps[:, voxel_index] of the model fitted to signal[:, voxel_index]; voxel_index and coefficients as in tensor_fit.
// water: w, in blocks like the basis. free_md: mean diffusivity of the tissue [mm^2/s] above which a voxel is pure
// water.
KERNEL(free_water_fit,
       (const float* RESTRICT signal, const int* RESTRICT voxel_index, const float* RESTRICT basis,
        const float* RESTRICT products, const float* RESTRICT up, const float* RESTRICT water,
        float* RESTRICT maps, float b_max, float free_md, int iterations, Index volumes, Index n, Index fitted,
        Index blocks),
       (signal, voxel_index, basis, products, up, water, maps, b_max, free_md, iterations, volumes, n, fitted,
        blocks)) {
  PRIVATE(float, kept, (KEPT + 1) * BLOCK);
  PRIVATE(float, lanes, 15);
  PRIVATE(float, best, UNKNOWNS);
  PRIVATE(float, trial, UNKNOWNS);
  PRIVATE(float, step, UNKNOWNS);
  PRIVATE(float, cross, UNKNOWNS);
  PRIVATE(float, with_water, UNKNOWNS);
  PRIVATE(float, w, BLOCK);
  PRIVATE(float, r, BLOCK);
  PRIVATE(float, m, PRODUCTS);
  PRIVATE(float, rhs, UNKNOWNS);
  PRIVATE(float, out, WATER_MAPS);
  float *peak = &AT(lanes, 0, 0), *top = &AT(lanes, 1, 0), *scale = &AT(lanes, 2, 0), *least = &AT(lanes, 3, 0);
  float *lost = &AT(lanes, 4, 0), *doubt = &AT(lanes, 5, 0), *loss = &AT(lanes, 6, 0), *push = &AT(lanes, 7, 0);
  float *state = &AT(lanes, 8, 0), *change = &AT(lanes, 14, 0);
  float square = 0.0f;
  for (int v = 0; v < (int)volumes; ++v) square += water[v] * water[v];
  FOR_TILES(tile, fitted / TILE_LANES) {
    const int* index = voxel_index + tile * TILE_LANES;
    int run = TILE_PICK(index[TILE_LANES - 1] - index[0] == TILE_LANES - 1, 0);
    const Series t = {signal, scale, index, peak, run, (int)volumes, (int)blocks, n};
    clear(peak, 1);
    clear(state, 6);
    for (int b = 0; b < t.blocks; ++b) load_block(w, peak, signal, index, run, b, t.volumes, n);
    scale_tile(scale, top, peak);
    FOR_LANES(l) {
      AT(least, 0, l) = AT(top, 0, l) > 0.0f ? AT(peak, 0, l) * AT(scale, 0, l) * LEFT_OVER : 1.0f;
    }
    for (int b = 0; b < t.blocks; ++b) block_of(kept, t, b, 0);
    clear(change, 1);
    linear_fit(trial, w, kept, change, least, basis, water, t);
    FOR_LANES(l) {
      float log_s0 = 0.0f;
      for (int k = 0; k < UNKNOWNS; ++k) log_s0 += up[k] * AT(trial, k, l);
      AT(change, 0, l) = fexp(log_s0);
    }
    best_start(best, &AT(state, 1, 0), state, trial, &AT(state, 2, 0), loss, m, cross, rhs, push, w, r, kept,
               least, change, basis, water, t);
    FOR_LANES(l) {
      AT(state, 0, l) = 1e30f, AT(state, 2, l) = AT(state, 1, l);
      AT(state, 4, l) = AT(top, 0, l) > 0.0f ? 1.0f : 0.0f;
      for (int k = 0; k < UNKNOWNS; ++k) AT(trial, k, l) = AT(best, k, l), AT(step, k, l) = 0.0f;
    }
    for (int iteration = 0; iteration < iterations; ++iteration) {
      int busy = 0;
      ANY_LANE(busy, l, AT(state, 4, l) > 0.0f);
      if (!busy) break;
      sums_at(loss, m, cross, rhs, push, w, r, kept, trial, &AT(state, 2, 0), basis, products, water, t, 1);
      clear(lost, 1);
      clear(out, UNKNOWNS);
      clear(with_water, UNKNOWNS);
      correct(out, lost, doubt, m, rhs);
      correct(with_water, lost, doubt, m, cross);
      FOR_LANES(l) {
        float gain = water_step(out, change, with_water, rhs, cross, push, &AT(state, 2, 0), square, l);
        advance(best, trial, step, state, out, change, loss, lost, gain, l);
      }
    }
    float degrees = t.volumes > UNKNOWNS + 1 ? 1.0f / (float)(t.volumes - UNKNOWNS - 1) : 0.0f;
    FOR_LANES(l) {
      describe(out, best, top, &AT(state, 5, 0), up, 1.0f / b_max, l);
      float log_s0 = 0.0f;
      for (int k = 0; k < UNKNOWNS; ++k) log_s0 += up[k] * AT(best, k, l);
      float amount = AT(state, 1, l), tissue = fexp(log_s0), whole = amount + tissue, share = amount / whole;
      int usable = AT(top, 0, l) > 0.0f, fast = AT(out, OUT_MD, l) >= free_md;
      int only = usable && (share > MOST_WATER || fast), good = only || AT(out, OUT_STATUS, l) < NO_SIGNAL;
      for (int k = 0; k < OUT_S0; ++k) AT(out, k, l) = only ? 0.0f : AT(out, k, l);
      AT(out, OUT_S0, l) = good ? whole * AT(top, 0, l) : 0.0f;
      AT(out, OUT_WATER, l) = good ? (fast ? 1.0f : share) : 0.0f;
      AT(out, OUT_SSE, l) = 0.0f;
      AT(out, OUT_SIGMA, l) = good ? fsqrt(AT(state, 0, l) * degrees) * AT(top, 0, l) : 0.0f;
      float status = good && AT(state, 4, l) > 0.0f ? NOT_CONVERGED : AT(out, OUT_STATUS, l);
      AT(out, OUT_STATUS, l) = only ? WATER_ONLY : status;
    }
    put_maps(maps, out, WATER_MAPS, index, run, n);
  }
}

// Fit of gamma-distributed transit times to perfusion curves, in the frequency domain. Times are in frames.
#include "least_squares.h"

#define ROW(s, i, l) s[(i) * TILE_LANES + (l)]
#define SIGNALS 5

FN Complex times(Complex a, Complex b) {
  Complex p = {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
  return p;
}
FN Complex scaled(float f, Complex a) {
  Complex p = {f * a.re, f * a.im};
  return p;
}
// -i a / f, for an integral: 1 / (i f) = -i / f.
FN Complex integrated(Complex a, float f) {
  Complex p = {a.im / f, -a.re / f};
  return p;
}

struct Point {
  float flow, transit, delay, shape, dispersion;
};

// Spectra of the curve for unit flow and of its derivatives with respect to log transit, delay, log shape and log
// dispersion, at the angular frequency w > 0, for the AIF's spectrum `artery`. With b = transit / shape and
// D = (1 + i w b)^-shape the residue function has the spectrum (1 - D) / (i w); it is delayed by exp(-i w delay) and
// dispersed by 1 / (1 + i w dispersion).
FN void transit_spectra(Complex artery, float w, Point p, Complex out[SIGNALS]) {
  float x = w * p.transit / p.shape, below = 1.0f / (1.0f + x * x), e = w * p.dispersion;
  Complex log1 = {-0.5f * flog(below), fatan2(x, 1.0f)}, turn = {x * x * below, x * below};
  float size = fexp(-p.shape * log1.re), angle = p.shape * log1.im;
  Complex d = {size * fcos(angle), -size * fsin(angle)}, gone = {1.0f - d.re, -d.im};
  Complex residue = integrated(gone, w), slower = {below, -x * below};
  Complex rest = {log1.re - turn.re, log1.im - turn.im}, shift = {fcos(w * p.delay), -fsin(w * p.delay)};
  float spread = 1.0f / (1.0f + e * e);
  Complex mixing = {spread, -e * spread}, mixed = {-e * e * spread, -e * spread};
  Complex inflow = times(times(artery, shift), mixing), whole = times(inflow, residue);
  Complex moved = {w * whole.im, -w * whole.re};
  out[0] = whole;
  out[1] = scaled(p.flow * p.transit, times(times(inflow, d), slower));
  out[2] = scaled(p.flow, moved);
  out[3] = scaled(p.flow * p.shape, times(times(inflow, d), integrated(rest, w)));
  out[4] = scaled(p.flow, times(whole, mixed));
}

// The same at frequency 0, where the spectrum is the area, transit times that of the AIF.
FN void transit_areas(Complex artery, Point p, Complex out[SIGNALS]) {
  Complex none = {0.0f, 0.0f};
  out[0] = scaled(p.transit, artery);
  out[1] = scaled(p.flow * p.transit, artery);
  out[2] = out[3] = out[4] = none;
}

// Sums over one sample: d_0 is the curve for unit flow and its derivative, d_1 .. d_4 are the other derivatives.
FN void add_sample(float* normal, float* gradient, float* trial, const float* d, const float* flow,
                   const float* x, int count) {
  TILE_FOR(l, count) {
    float error = x[l] - AT(flow, 0, l) * AT(d, 0, l);
    AT(trial, 0, l) += error * error;
    for (int i = 0; i < SIGNALS; ++i) {
      AT(gradient, i, l) += AT(d, i, l) * error;
      for (int j = 0; j <= i; ++j) AT(normal, LOWER(i, j), l) += AT(d, i, l) * AT(d, j, l);
    }
  }
}

// Levenberg-Marquardt in flow, log transit, delay, log shape and log dispersion, from the given flow, transit and delay.
// re, im: spectrum of the AIF with the factor of the inverse transform; noise: variance of a sample. The logarithms
// of shape and dispersion have Gaussian priors with the given means and inverse variances; `dispersed` = 0 leaves
// dispersion out. misfit = the sum of squares of the curve; variances are those for unit noise, of the logarithm for
// the transit. Only the voxels begin .. end - 1 inside the mask whose flow is not 0 are written.
KERNEL(gamma_transit,
       (const float* RESTRICT change, const u8* RESTRICT mask, const float* RESTRICT cosine,
        const float* RESTRICT sine, const float* RESTRICT re, const float* RESTRICT im,
        const float* RESTRICT noise, float* RESTRICT scratch, float* RESTRICT flow, float* RESTRICT transit,
        float* RESTRICT delay, float* RESTRICT shape, float* RESTRICT dispersion, float* RESTRICT misfit,
        float* RESTRICT flow_variance, float* RESTRICT transit_variance, float* RESTRICT delay_variance,
        float shape_mean, float shape_weight, float dispersion_mean, float dispersion_weight, float dispersed,
        float shortest, float longest, float earliest, float latest, int iterations, Index begin, Index end,
        Index frame, Index n, Index period, Index bins, Index room),
       (change, mask, cosine, sine, re, im, noise, scratch, flow, transit, delay, shape, dispersion, misfit,
        flow_variance, transit_variance, delay_variance, shape_mean, shape_weight, dispersion_mean,
        dispersion_weight, dispersed, shortest, longest, earliest, latest, iterations, begin, end, frame, n,
        period, bins, room)) {
  enum { FLOW, TRANSIT, DELAY, SHAPE, DISPERSION, UNKNOWNS, MATRIX = UNKNOWNS * (UNKNOWNS + 1) / 2 };
  enum { EVEN_COS, EVEN_SIN, ODD_COS, ODD_SIN, PARTS };
  PRIVATE(float, at, UNKNOWNS);
  PRIVATE(float, step, UNKNOWNS);
  PRIVATE(float, next, UNKNOWNS);
  PRIVATE(float, scale, UNKNOWNS);
  PRIVATE(float, gradient, UNKNOWNS);
  PRIVATE(float, pull, UNKNOWNS);
  PRIVATE(float, normal, MATRIX);
  PRIVATE(float, known, MATRIX);
  PRIVATE(float, factor, MATRIX);
  PRIVATE(float, part, SIGNALS* PARTS);
  PRIVATE(float, sample, SIGNALS);
  PRIVATE(float, sum, 1);
  PRIVATE(float, trial, 1);
  PRIVATE(float, plain, 1);
  PRIVATE(float, fitted, 1);
  PRIVATE(float, damping, 1);
  PRIVATE(float, accepted, 1);
  float least = flog(shortest), most = flog(longest);
  FOR_TILES(t, (end - begin + TILE_LANES - 1) / TILE_LANES) {
    Index first = begin + t * TILE_LANES;
    int count = (int)(end - first < TILE_LANES ? end - first : TILE_LANES), any = 0;
    const float *x = change + first, *variance = noise + first;
    const u8* inside = mask + first;
    float *to_flow = flow + first, *to_transit = transit + first, *to_delay = delay + first;
    float *to_shape = shape + first, *to_dispersion = dispersion + first, *to_misfit = misfit + first;
    float *to_flow_variance = flow_variance + first, *to_transit_variance = transit_variance + first;
    float* to_delay_variance = delay_variance + first;
    float* s = scratch + t * 2 * SIGNALS * bins * TILE_LANES;
    ANY_LANE(any, l, l < count && inside[l] && to_flow[l] != 0.0f);
    if (!any) continue;
    TILE_FOR(l, count) {
      int given = inside[l] && to_flow[l] != 0.0f;
      AT(at, FLOW, l) = given ? to_flow[l] : 0.0f;
      AT(at, TRANSIT, l) = given ? flog(to_transit[l]) : 0.0f;
      AT(at, DELAY, l) = given ? to_delay[l] : 0.0f;
      AT(at, SHAPE, l) = shape_mean;
      AT(at, DISPERSION, l) = dispersion_mean;
      AT(sum, 0, l) = 1e30f;
      AT(fitted, 0, l) = 0.0f;
      AT(damping, 0, l) = 1e-1f;
    }
    for (int j = 0; j < UNKNOWNS; ++j)
      TILE_FOR(l, count) { AT(step, j, l) = AT(pull, j, l) = 0.0f; }
    for (int j = 0; j < MATRIX; ++j)
      TILE_FOR(l, count) { AT(known, j, l) = 0.0f; }
    for (int iteration = 0; iteration <= iterations; ++iteration) {
      TILE_FOR(l, count) {
        AT(next, FLOW, l) = AT(at, FLOW, l) + AT(step, FLOW, l);
        AT(next, TRANSIT, l) =
            clampf(AT(at, TRANSIT, l) + clampf(AT(step, TRANSIT, l), -1.0f, 1.0f), least, most);
        AT(next, DELAY, l) =
            clampf(AT(at, DELAY, l) + clampf(AT(step, DELAY, l), -2.0f, 2.0f), earliest, latest);
        AT(next, SHAPE, l) = clampf(AT(at, SHAPE, l) + clampf(AT(step, SHAPE, l), -1.0f, 1.0f), -2.0f, 3.0f);
        AT(next, DISPERSION, l) =
            clampf(AT(at, DISPERSION, l) + clampf(AT(step, DISPERSION, l), -1.0f, 1.0f), -5.0f, 3.0f);
        AT(trial, 0, l) = 0.0f;
      }
      for (int j = 0; j < MATRIX; ++j)
        TILE_FOR(l, count) { AT(normal, j, l) = 0.0f; }
      for (int j = 0; j < UNKNOWNS; ++j)
        TILE_FOR(l, count) { AT(gradient, j, l) = 0.0f; }
      for (Index b = 0; b < bins; ++b) {
        Complex artery = {re[b], im[b]};
        float w = PI_F * (float)b / (float)frame;
        TILE_FOR(l, count) {
          Point p = {AT(next, FLOW, l), fexp(AT(next, TRANSIT, l)), AT(next, DELAY, l),
                     fexp(AT(next, SHAPE, l)), dispersed * fexp(AT(next, DISPERSION, l))};
          Complex out[SIGNALS];
          if (b)
            transit_spectra(artery, w, p, out);
          else
            transit_areas(artery, p, out);
          for (int k = 0; k < SIGNALS; ++k) {
            ROW(s, 2 * k * bins + b, l) = out[k].re;
            ROW(s, (2 * k + 1) * bins + b, l) = out[k].im;
          }
        }
      }
      for (Index j = 0; 2 * j <= frame; ++j) {
        for (int k = 0; k < SIGNALS * PARTS; ++k)
          TILE_FOR(l, count) { AT(part, k, l) = 0.0f; }
        Index place = 0;
        for (Index b = 0; b < bins; b += 2) {
          Index after = place + j < period ? place + j : place + j - period, odd = b + 1 < bins ? b + 1 : b;
          float c0 = cosine[place], s0 = sine[place];
          float c1 = b + 1 < bins ? cosine[after] : 0.0f, s1 = b + 1 < bins ? sine[after] : 0.0f;
          for (int k = 0; k < SIGNALS; ++k) {
            const float *real = s + 2 * k * bins * TILE_LANES, *imaginary = real + bins * TILE_LANES;
            TILE_FOR(l, count) {
              AT(part, PARTS * k + EVEN_COS, l) += c0 * ROW(real, b, l);
              AT(part, PARTS * k + EVEN_SIN, l) += s0 * ROW(imaginary, b, l);
              AT(part, PARTS * k + ODD_COS, l) += c1 * ROW(real, odd, l);
              AT(part, PARTS * k + ODD_SIN, l) += s1 * ROW(imaginary, odd, l);
            }
          }
          place = after + j < period ? after + j : after + j - period;
        }
        for (int k = 0; k < SIGNALS; ++k)
          TILE_FOR(l, count) {
            AT(sample, k, l) = AT(part, PARTS * k + EVEN_COS, l) + AT(part, PARTS * k + ODD_COS, l) -
                               AT(part, PARTS * k + EVEN_SIN, l) - AT(part, PARTS * k + ODD_SIN, l);
          }
        add_sample(normal, gradient, trial, sample, next, x + j * n, count);
        if (j && 2 * j < frame) {
          for (int k = 0; k < SIGNALS; ++k)
            TILE_FOR(l, count) {
              AT(sample, k, l) = AT(part, PARTS * k + EVEN_COS, l) - AT(part, PARTS * k + ODD_COS, l) +
                                 AT(part, PARTS * k + EVEN_SIN, l) - AT(part, PARTS * k + ODD_SIN, l);
            }
          add_sample(normal, gradient, trial, sample, next, x + (frame - j) * n, count);
        }
      }
      TILE_FOR(l, count) {
        float far = AT(next, SHAPE, l) - shape_mean, wide = AT(next, DISPERSION, l) - dispersion_mean;
        float shaped = variance[l] * shape_weight, spread = variance[l] * dispersion_weight;
        AT(plain, 0, l) = AT(trial, 0, l);
        AT(trial, 0, l) += shaped * far * far + spread * wide * wide;
        AT(gradient, SHAPE, l) -= shaped * far;
        AT(gradient, DISPERSION, l) -= spread * wide;
        AT(normal, LOWER(SHAPE, SHAPE), l) += shaped;
        AT(normal, LOWER(DISPERSION, DISPERSION), l) += spread;
      }
      judge_trial(normal, gradient, known, pull, trial, sum, damping, accepted, UNKNOWNS, count);
      for (int j = 0; j < UNKNOWNS; ++j)
        TILE_FOR(l, count) { AT(at, j, l) = AT(accepted, 0, l) > 0.0f ? AT(next, j, l) : AT(at, j, l); }
      TILE_FOR(l, count) { AT(fitted, 0, l) = AT(accepted, 0, l) > 0.0f ? AT(plain, 0, l) : AT(fitted, 0, l); }
      factor_normal(known, factor, scale, damping, UNKNOWNS, count);
      solve_normal(factor, scale, pull, step, UNKNOWNS, count);
    }
    TILE_FOR(l, count) { AT(damping, 0, l) = 0.0f; }
    factor_normal(known, factor, scale, damping, UNKNOWNS, count);
    for (int j = 0; j < 3; ++j) {
      float* to = j == 0 ? to_flow_variance : j == 1 ? to_transit_variance : to_delay_variance;
      inverse_diagonal(factor, scale, step, trial, j, UNKNOWNS, count);
      TILE_FOR(l, count) { to[l] = inside[l] && to_flow[l] != 0.0f ? AT(trial, 0, l) : to[l]; }
    }
    TILE_FOR(l, count) {
      int given = inside[l] && to_flow[l] != 0.0f;
      to_transit[l] = given ? fexp(AT(at, TRANSIT, l)) : to_transit[l];
      to_delay[l] = given ? AT(at, DELAY, l) : to_delay[l];
      to_shape[l] = given ? fexp(AT(at, SHAPE, l)) : to_shape[l];
      to_dispersion[l] = given ? dispersed * fexp(AT(at, DISPERSION, l)) : to_dispersion[l];
      to_misfit[l] = given ? AT(fitted, 0, l) : to_misfit[l];
      to_flow[l] = given ? AT(at, FLOW, l) : to_flow[l];
    }
  }
}

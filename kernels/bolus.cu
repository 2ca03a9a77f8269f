// Dynamic series with a bolus: relaxation change from the signal, and features of each voxel's curve.
#include "vmath.h"

// Per voxel: s0 = mean of the frames `first` .. `last` - 1; noise = spread * median |s - s0| over them; a sample below
// 3 noise is saturated. change = log(s0 / max(s, noise, 1e-5 s0)) from frame `first` on, 0 before it; deviation =
// noise / s0; saturated = number of saturated samples. All 0 outside the mask and without signal.
KERNEL(log_contrast,
       (const float* RESTRICT series, const u8* RESTRICT mask, float* RESTRICT change, float* RESTRICT s0,
        float* RESTRICT deviation, float* RESTRICT saturated, float spread, float scale, int first, int last,
        Index frame, Index n),
       (series, mask, change, s0, deviation, saturated, spread, scale, first, last, frame, n)) {
  enum { MEAN, NOISE, COUNT, BELOW, EQUAL, NUMBERS };
  PRIVATE(float, s, NUMBERS);
  FOR_TILES(t, (n + TILE_LANES - 1) / TILE_LANES) {
    Index start = t * TILE_LANES;
    int count = (int)(n - start < TILE_LANES ? n - start : TILE_LANES), any = 0;
    const float* x = series + start;
    const u8* inside = mask + start;
    ANY_LANE(any, l, l < count && inside[l]);
    for (int j = 0; j < NUMBERS; ++j)
      FOR_LANES(l) AT(s, j, l) = 0.0f;
    int frames = last - first;
    for (Index i = first; i < last && any; ++i)
      TILE_FOR(l, count) { AT(s, MEAN, l) += x[i * n + l]; }
    TILE_FOR(l, count) { AT(s, MEAN, l) = inside[l] ? AT(s, MEAN, l) / (float)frames : 0.0f; }
    for (Index i = first; i < last && any; ++i) {
      TILE_FOR(l, count) {
        AT(s, BELOW, l) = 0.0f;
        AT(s, EQUAL, l) = 0.0f;
      }
      for (Index j = first; j < last; ++j)
        TILE_FOR(l, count) {
          float here = fabs1(x[i * n + l] - AT(s, MEAN, l)), other = fabs1(x[j * n + l] - AT(s, MEAN, l));
          AT(s, BELOW, l) += other < here ? 1.0f : 0.0f;
          AT(s, EQUAL, l) += other == here ? 1.0f : 0.0f;
        }
      float low = (float)((frames - 1) / 2), high = (float)(frames / 2);
      TILE_FOR(l, count) {
        // ranks BELOW .. BELOW + EQUAL - 1 have this value; each of the EQUAL samples adds its share of the median
        float below = AT(s, BELOW, l), above = below + AT(s, EQUAL, l);
        float share =
            (below <= low && low < above ? 1.0f : 0.0f) + (below <= high && high < above ? 1.0f : 0.0f);
        AT(s, NOISE, l) += 0.5f * share * fabs1(x[i * n + l] - AT(s, MEAN, l)) / AT(s, EQUAL, l);
      }
    }
    float *to_s0 = s0 + start, *to_deviation = deviation + start, *to_saturated = saturated + start;
    TILE_FOR(l, count) {
      int signal = inside[l] && AT(s, MEAN, l) > 0.0f;
      AT(s, MEAN, l) = signal ? AT(s, MEAN, l) : 0.0f;
      AT(s, NOISE, l) = signal ? spread * AT(s, NOISE, l) : 0.0f;
      to_s0[l] = AT(s, MEAN, l);
      to_deviation[l] = signal ? scale * AT(s, NOISE, l) / AT(s, MEAN, l) : 0.0f;
    }
    float per_frame = 1.0f / (float)frames;
    for (Index i = 0; i < frame; ++i) {
      float* to = change + i * n + start;
      float used = i < first ? 0.0f : 1.0f, factor = used * scale;
      if (!any) {
        TILE_FOR(l, count) { to[l] = 0.0f; }
        continue;
      }
      TILE_FOR(l, count) {
        int signal = AT(s, MEAN, l) > 0.0f;
        float value = signal ? x[i * n + l] : 1.0f, mean = signal ? AT(s, MEAN, l) : 1.0f;
        float noise = AT(s, NOISE, l), seen = noise / fmax2(value, fmax2(3.0f * noise, 1e-5f * mean));
        float relative = noise / mean, bias = 0.5f * (seen * seen - relative * relative * per_frame);
        AT(s, COUNT, l) += signal && value <= 3.0f * noise ? used : 0.0f;
        to[l] = signal ? factor * (flog(mean / fmax2(value, fmax2(noise, 1e-5f * mean))) - bias) : 0.0f;
      }
    }
    TILE_FOR(l, count) { to_saturated[l] = AT(s, COUNT, l); }
  }
}

// Features of each curve on the frames `first` .. `last` - 1: area = sum of samples; peak = largest sample; place =
// its frame, refined by a parabola; centre = first moment [frames from `first`], 0 without positive area; width =
// frames between the half-height crossings on either side of the peak; roughness = sum of squared second differences
// / area^2. All 0 outside the mask.
KERNEL(bolus_features,
       (const float* RESTRICT change, const u8* RESTRICT mask, float* RESTRICT area, float* RESTRICT peak,
        float* RESTRICT place, float* RESTRICT centre, float* RESTRICT width, float* RESTRICT roughness,
        int first, int last, Index frame, Index n),
       (change, mask, area, peak, place, centre, width, roughness, first, last, frame, n)) {
  enum { AREA, MOMENT, PEAK, PLACE, ROUGH, LEFT, RIGHT, NUMBERS };
  PRIVATE(float, s, NUMBERS);
  FOR_TILES(t, (n + TILE_LANES - 1) / TILE_LANES) {
    Index start = t * TILE_LANES;
    int count = (int)(n - start < TILE_LANES ? n - start : TILE_LANES), any = 0;
    const float* x = change + start;
    const u8* inside = mask + start;
    ANY_LANE(any, l, l < count && inside[l]);
    TILE_FOR(l, count) {
      AT(s, AREA, l) = AT(s, MOMENT, l) = AT(s, ROUGH, l) = 0.0f;
      AT(s, PEAK, l) = x[first * n + l];
      AT(s, PLACE, l) = AT(s, LEFT, l) = (float)first;
      AT(s, RIGHT, l) = (float)last;
    }
    for (Index i = first; i < last && any; ++i)
      TILE_FOR(l, count) {
        float value = x[i * n + l];
        AT(s, AREA, l) += value;
        AT(s, MOMENT, l) += value * (float)(i - first);
        AT(s, PLACE, l) = value > AT(s, PEAK, l) ? (float)i : AT(s, PLACE, l);
        AT(s, PEAK, l) = fmax2(value, AT(s, PEAK, l));
      }
    for (Index i = first; i + 1 < last && any; ++i) {
      const float *here = x + i * n, *next = here + n, *before = i > first ? here - n : here;
      float both = i > first ? 1.0f : 0.0f;
      TILE_FOR(l, count) {
        float half = 0.5f * AT(s, PEAK, l), a = here[l], b = next[l];
        float bend = both * (before[l] - 2.0f * a + b);
        AT(s, ROUGH, l) += bend * bend;
        float step = b - a, cross = (float)i + (half - a) / (step != 0.0f ? step : 1.0f);
        int up = a < half && b >= half && (float)i < AT(s, PLACE, l);
        int down = a >= half && b < half && (float)i >= AT(s, PLACE, l) && AT(s, RIGHT, l) == (float)last;
        AT(s, LEFT, l) = up ? cross : AT(s, LEFT, l);
        AT(s, RIGHT, l) = down ? cross : AT(s, RIGHT, l);
      }
    }
    float *to_area = area + start, *to_peak = peak + start, *to_place = place + start;
    float *to_centre = centre + start, *to_width = width + start, *to_roughness = roughness + start;
    TILE_FOR(l, count) {
      int i = (int)AT(s, PLACE, l);
      float middle = AT(s, PEAK, l);
      float before = i > first ? x[(i - 1) * n + l] : middle,
            after = i + 1 < last ? x[(i + 1) * n + l] : middle;
      float bend = before - 2.0f * middle + after;
      float shift = bend < 0.0f && i > first && i + 1 < last ? 0.5f * (before - after) / bend : 0.0f;
      float sum = AT(s, AREA, l), safe = sum > 0.0f ? sum : 1.0f;
      to_area[l] = inside[l] ? sum : 0.0f;
      to_peak[l] = inside[l] ? middle : 0.0f;
      to_place[l] = inside[l] ? AT(s, PLACE, l) + clampf(shift, -0.5f, 0.5f) : 0.0f;
      to_centre[l] = inside[l] && sum > 0.0f ? AT(s, MOMENT, l) / safe : 0.0f;
      to_width[l] = inside[l] ? AT(s, RIGHT, l) - AT(s, LEFT, l) : 0.0f;
      to_roughness[l] = inside[l] && sum > 0.0f ? AT(s, ROUGH, l) / (safe * safe) : 0.0f;
    }
  }
}

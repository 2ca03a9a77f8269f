// Residue functions of a bolus: f with curve = AIF * f, its maximum and the place of the maximum.
#include "deconvolution.h"

// Truncated inverse filter, with the threshold raised until f is smooth. f is the transform of re/im_b C_b (weights
// with the factor of the inverse transform; 0 for bins that are always dropped). Level v drops the bins order[0] ..
// order[dropped[v] - 1]; a voxel stops at the first level with
//   sum_j |f_j - 2 f_(j-1) + f_(j-2)| <= limit period max f,  j = 2 .. period - 1,
// and at the last level in any case. height and place = refined_maximum, level = its number, missed = root of the
// power share of the dropped bins; energy_b = multiplicity / |weight_b|^2, that of a bin for power 1 of its product. Only
// the voxels begin .. end - 1 inside the mask are written.
KERNEL(truncated_residue,
       (const float* RESTRICT change, const u8* RESTRICT mask, const float* RESTRICT cosine,
        const float* RESTRICT sine, const float* RESTRICT re, const float* RESTRICT im,
        const float* RESTRICT energy, const int* RESTRICT order, const int* RESTRICT dropped,
        float* RESTRICT scratch, float* RESTRICT height, float* RESTRICT place, float* RESTRICT level,
        float* RESTRICT missed, float limit, Index begin, Index end, Index frame, Index n, Index period,
        Index bins, Index levels, Index room),
       (change, mask, cosine, sine, re, im, energy, order, dropped, scratch, height, place, level, missed,
        limit, begin, end, frame, n, period, bins, levels, room)) {
  enum { TOTAL, LOST, ROUGH, LARGEST, BEST, DONE, HEIGHT, PLACE, LEVEL, MISSED, NUMBERS };
  PRIVATE(float, v, NUMBERS);
  FOR_TILES(t, (end - begin + TILE_LANES - 1) / TILE_LANES) {
    Index first = begin + t * TILE_LANES;
    int count = (int)(end - first < TILE_LANES ? end - first : TILE_LANES), any = 0;
    const u8* inside = mask + first;
    float* s = scratch + t * (2 * bins + period) * TILE_LANES;
    float* f = s + 2 * bins * TILE_LANES;
    for (int j = 0; j < NUMBERS; ++j)
      FOR_LANES(l) AT(v, j, l) = 0.0f;
    TILE_FOR(l, count) AT(v, DONE, l) = inside[l] ? 0.0f : 1.0f;
    ANY_LANE(any, l, l < count && AT(v, DONE, l) == 0.0f);
    if (!any) continue;
    curve_spectrum(change + first, cosine, sine, s, count, frame, n);
    for (Index b = 0; b < bins; ++b) {
      float wr = re[b], wi = im[b], times = b == 0 || b == frame ? 1.0f : 2.0f;
      float always = wr == 0.0f && wi == 0.0f ? 1.0f : 0.0f;
      TILE_FOR(l, count) {
        float cr = ROW(s, b, l), ci = ROW(s, bins + b, l), power = times * (cr * cr + ci * ci);
        AT(v, TOTAL, l) += power;
        AT(v, LOST, l) += always * power;
        ROW(s, b, l) = wr * cr - wi * ci;
        ROW(s, bins + b, l) = wr * ci + wi * cr;
      }
    }
    curve_samples(s, cosine, sine, f, count, frame);
    for (Index step = 0; step < levels && any; ++step) {
      for (Index d = step ? dropped[step - 1] : dropped[0]; d < dropped[step]; ++d) {
        Index b = order[d], at = 0;
        float weight = energy[b];
        TILE_FOR(l, count) {
          float gr = ROW(s, b, l), gi = ROW(s, bins + b, l);
          AT(v, LOST, l) += weight * (gr * gr + gi * gi);
        }
        for (Index j = 0; j <= frame; ++j) {
          float c = cosine[at], q = j && j < frame ? sine[at] : 0.0f;
          Index mirrored = period - j;
          at = at + b < period ? at + b : at + b - period;
          TILE_FOR(l, count) {
            float even = c * ROW(s, b, l), odd = q * ROW(s, bins + b, l);
            ROW(f, j, l) -= even - odd;
            if (j && j < frame) ROW(f, mirrored, l) -= even + odd;
          }
        }
      }
      TILE_FOR(l, count) {
        float a = ROW(f, 0, l), b = ROW(f, 1, l);
        AT(v, ROUGH, l) = 0.0f;
        AT(v, LARGEST, l) = fmax2(a, b);
        AT(v, BEST, l) = b > a ? 1.0f : 0.0f;
      }
      for (Index j = 2; j < period; ++j) {
        TILE_FOR(l, count) {
          float here = ROW(f, j, l);
          AT(v, ROUGH, l) += fabs1(here - 2.0f * ROW(f, j - 1, l) + ROW(f, j - 2, l));
          AT(v, BEST, l) = here > AT(v, LARGEST, l) ? (float)j : AT(v, BEST, l);
          AT(v, LARGEST, l) = fmax2(AT(v, LARGEST, l), here);
        }
      }
      float bound = limit * (float)period;
      int last = step + 1 == levels;
      TILE_FOR(l, count) {
        int smooth = AT(v, ROUGH, l) <= bound * AT(v, LARGEST, l);
        int stop = AT(v, DONE, l) == 0.0f && (smooth || last);
        Maximum found = refined_maximum(f, (int)AT(v, BEST, l), l, frame);
        AT(v, HEIGHT, l) = stop ? found.height : AT(v, HEIGHT, l);
        AT(v, PLACE, l) = stop ? found.place : AT(v, PLACE, l);
        AT(v, LEVEL, l) = stop ? (float)step : AT(v, LEVEL, l);
        AT(v, MISSED, l) = stop ? AT(v, LOST, l) : AT(v, MISSED, l);
        AT(v, DONE, l) = stop ? 1.0f : AT(v, DONE, l);
      }
      any = 0;
      ANY_LANE(any, l, l < count && AT(v, DONE, l) == 0.0f);
    }
    float *to_height = height + first, *to_place = place + first, *to_level = level + first;
    float* to_missed = missed + first;
    TILE_FOR(l, count) {
      float total = AT(v, TOTAL, l), share = total > 0.0f ? AT(v, MISSED, l) / total : 0.0f;
      to_height[l] = inside[l] ? AT(v, HEIGHT, l) : to_height[l];
      to_place[l] = inside[l] ? AT(v, PLACE, l) : to_place[l];
      to_level[l] = inside[l] ? AT(v, LEVEL, l) : to_level[l];
      to_missed[l] = inside[l] ? fsqrt(clampf(share, 0.0f, 1.0f)) : to_missed[l];
    }
  }
}

// Tikhonov filters: f is the transform of (re, im)_(s,b) C_b for one setting s per voxel, chosen by the powers P_b of the
// bins (both conjugates counted). With misfit M_s = sum_b away_(s,b) P_b and size E_s = sum_b grown_(s,b) P_b the setting
// is that of the smallest M_s * penalty_s, or, if `corner`, that of the largest curvature of (log M_s, log E_s) over s.
// height and place as truncated_residue; setting = its number; missed = root of M_s over the total power. Only the
// voxels begin .. end - 1 inside the mask are written.
KERNEL(tikhonov_residue,
       (const float* RESTRICT change, const u8* RESTRICT mask, const float* RESTRICT cosine,
        const float* RESTRICT sine, const float* RESTRICT re, const float* RESTRICT im,
        const float* RESTRICT away, const float* RESTRICT grown, const float* RESTRICT penalty,
        float* RESTRICT scratch, float* RESTRICT height, float* RESTRICT place, float* RESTRICT setting,
        float* RESTRICT missed, int corner, Index begin, Index end, Index frame, Index n, Index period,
        Index settings, Index bins, Index room),
       (change, mask, cosine, sine, re, im, away, grown, penalty, scratch, height, place, setting, missed,
        corner, begin, end, frame, n, period, settings, bins, room)) {
  enum { TOTAL, MISFIT, SIZE, BEST, MERIT, KEPT, M1, E1, M2, E2, LARGEST, NUMBERS };
  PRIVATE(float, v, NUMBERS);
  FOR_TILES(t, (end - begin + TILE_LANES - 1) / TILE_LANES) {
    Index first = begin + t * TILE_LANES;
    int count = (int)(end - first < TILE_LANES ? end - first : TILE_LANES), any = 0;
    const u8* inside = mask + first;
    float* s = scratch + t * (2 * bins + period) * TILE_LANES;
    float* f = s + 2 * bins * TILE_LANES;
    for (int j = 0; j < NUMBERS; ++j)
      FOR_LANES(l) AT(v, j, l) = 0.0f;
    ANY_LANE(any, l, l < count && inside[l]);
    if (!any) continue;
    curve_spectrum(change + first, cosine, sine, s, count, frame, n);
    for (Index b = 0; b < bins; ++b) {
      float times = b == 0 || b == frame ? 1.0f : 2.0f;
      TILE_FOR(l, count) {
        float cr = ROW(s, b, l), ci = ROW(s, bins + b, l);
        AT(v, TOTAL, l) += times * (cr * cr + ci * ci);
      }
    }
    for (Index k = 0; k < settings; ++k) {
      TILE_FOR(l, count) { AT(v, MISFIT, l) = AT(v, SIZE, l) = 0.0f; }
      for (Index b = 0; b < bins; ++b) {
        float misfit = away[k * bins + b], size = grown[k * bins + b];
        TILE_FOR(l, count) {
          float cr = ROW(s, b, l), ci = ROW(s, bins + b, l), power = cr * cr + ci * ci;
          AT(v, MISFIT, l) += misfit * power;
          AT(v, SIZE, l) += size * power;
        }
      }
      float weight = penalty[k];
      int inner = k > 1 ? 1 : 0, fresh = k == 0 ? 1 : 0;
      TILE_FOR(l, count) {
        float m = flog(fmax2(AT(v, MISFIT, l), 1e-30f)), e = flog(fmax2(AT(v, SIZE, l), 1e-30f));
        float m1 = AT(v, M1, l), e1 = AT(v, E1, l), dm0 = m1 - AT(v, M2, l), de0 = e1 - AT(v, E2, l);
        float dm1 = m - m1, de1 = e - e1, dm = dm0 + dm1, de = de0 + de1;
        float lengths = (dm0 * dm0 + de0 * de0) * (dm1 * dm1 + de1 * de1) * (dm * dm + de * de);
        float bend = 2.0f * (dm0 * de1 - dm1 * de0) / fsqrt(fmax2(lengths, 1e-20f));
        float merit = corner ? (inner ? -bend : 1e20f) : AT(v, MISFIT, l) * weight;
        int better = fresh || merit < AT(v, MERIT, l);
        AT(v, BEST, l) = better ? (float)(corner && inner ? k - 1 : k) : AT(v, BEST, l);
        AT(v, KEPT, l) = better ? AT(v, MISFIT, l) : AT(v, KEPT, l);
        AT(v, MERIT, l) = better ? merit : AT(v, MERIT, l);
        AT(v, M2, l) = m1;
        AT(v, E2, l) = e1;
        AT(v, M1, l) = m;
        AT(v, E1, l) = e;
      }
    }
    TILE_FOR(l, count) AT(v, KEPT, l) = 0.0f;
    for (Index b = 0; b < bins; ++b) {
      TILE_FOR(l, count) {
        Index k = (Index)AT(v, BEST, l) * bins + b;
        float cr = ROW(s, b, l), ci = ROW(s, bins + b, l), wr = re[k], wi = im[k];
        AT(v, KEPT, l) += away[k] * (cr * cr + ci * ci);
        ROW(s, b, l) = wr * cr - wi * ci;
        ROW(s, bins + b, l) = wr * ci + wi * cr;
      }
    }
    curve_samples(s, cosine, sine, f, count, frame);
    TILE_FOR(l, count) {
      AT(v, LARGEST, l) = ROW(f, 0, l);
      AT(v, MERIT, l) = 0.0f;
    }
    for (Index j = 1; j < period; ++j) {
      TILE_FOR(l, count) {
        float here = ROW(f, j, l);
        AT(v, MERIT, l) = here > AT(v, LARGEST, l) ? (float)j : AT(v, MERIT, l);
        AT(v, LARGEST, l) = fmax2(AT(v, LARGEST, l), here);
      }
    }
    float *to_height = height + first, *to_place = place + first, *to_setting = setting + first;
    float* to_missed = missed + first;
    TILE_FOR(l, count) {
      float total = AT(v, TOTAL, l), share = total > 0.0f ? AT(v, KEPT, l) / total : 0.0f;
      Maximum found = refined_maximum(f, (int)AT(v, MERIT, l), l, frame);
      to_height[l] = inside[l] ? found.height : to_height[l];
      to_place[l] = inside[l] ? found.place : to_place[l];
      to_setting[l] = inside[l] ? AT(v, BEST, l) : to_setting[l];
      to_missed[l] = inside[l] ? fsqrt(clampf(share, 0.0f, 1.0f)) : to_missed[l];
    }
  }
}

// Residue by a matrix: f = response curve, one row after the other; height = largest sample, place = its row refined by
// a parabola; missed = |away curve| / |curve|, `away` being the matrix of what f does not explain. All 0 outside the mask.
KERNEL(matrix_residue,
       (const float* RESTRICT change, const u8* RESTRICT mask, const float* RESTRICT response,
        const float* RESTRICT away, float* RESTRICT height, float* RESTRICT place, float* RESTRICT missed,
        Index frame, Index n),
       (change, mask, response, away, height, place, missed, frame, n)) {
  enum { VALUE, LAST, LARGEST, LEFT, RIGHT, BEST, LOST, MISS, TOTAL, NUMBERS };
  PRIVATE(float, v, NUMBERS);
  FOR_TILES(t, (n + TILE_LANES - 1) / TILE_LANES) {
    Index first = t * TILE_LANES;
    int count = (int)(n - first < TILE_LANES ? n - first : TILE_LANES), any = 0;
    const float* x = change + first;
    const u8* inside = mask + first;
    for (int j = 0; j < NUMBERS; ++j)
      FOR_LANES(l) AT(v, j, l) = 0.0f;
    ANY_LANE(any, l, l < count && inside[l]);
    for (Index j = 0; j < frame && any; ++j) {
      FOR_LANES(l) AT(v, VALUE, l) = AT(v, LOST, l) = 0.0f;
      for (Index i = 0; i < frame; ++i) {
        float weight = response[j * frame + i], rest = away[j * frame + i];
        TILE_FOR(l, count) {
          AT(v, VALUE, l) += weight * x[i * n + l];
          AT(v, LOST, l) += rest * x[i * n + l];
        }
      }
      int start = j == 0 ? 1 : 0;
      TILE_FOR(l, count) {
        float here = AT(v, VALUE, l), last = start ? here : AT(v, LAST, l);
        int larger = start || here > AT(v, LARGEST, l), beside = !start && AT(v, BEST, l) == (float)(j - 1);
        AT(v, RIGHT, l) = larger || beside ? here : AT(v, RIGHT, l);
        AT(v, LEFT, l) = larger ? last : AT(v, LEFT, l);
        AT(v, BEST, l) = larger ? (float)j : AT(v, BEST, l);
        AT(v, LARGEST, l) = larger ? here : AT(v, LARGEST, l);
        AT(v, LAST, l) = here;
        AT(v, MISS, l) += AT(v, LOST, l) * AT(v, LOST, l);
        AT(v, TOTAL, l) += x[j * n + l] * x[j * n + l];
      }
    }
    float *to_height = height + first, *to_place = place + first, *to_missed = missed + first;
    TILE_FOR(l, count) {
      float bend = AT(v, LEFT, l) - 2.0f * AT(v, LARGEST, l) + AT(v, RIGHT, l);
      int between = bend < 0.0f && AT(v, BEST, l) > 0.0f && AT(v, BEST, l) < (float)(frame - 1);
      float shift = between ? clampf(0.5f * (AT(v, LEFT, l) - AT(v, RIGHT, l)) / bend, -0.5f, 0.5f) : 0.0f;
      float total = AT(v, TOTAL, l), share = total > 0.0f ? AT(v, MISS, l) / total : 0.0f;
      to_height[l] = inside[l] ? AT(v, LARGEST, l) : 0.0f;
      to_place[l] = inside[l] ? AT(v, BEST, l) + shift : 0.0f;
      to_missed[l] = inside[l] ? fsqrt(clampf(share, 0.0f, 1.0f)) : 0.0f;
    }
  }
}

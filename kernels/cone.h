// Linear systems of TERMS unknowns, one voxel per lane, and projection onto a polyhedral cone.
//
// The including file defines TERMS.
#pragma once
#include "blocks.h"

#define MOST_ACTIVE (TERMS - 1)
#define CONE_STEPS (3 * TERMS)
#define CONE_SLACK 3e-6f  // tolerance of a constraint relative to the length of c

// M = L L' in place, with 1 / L_ii on the diagonal; `lost` = 1 if a pivot is lost to rounding.
FN void factorise(float* m, float* whole, float* lost) {
  for (int i = 0; i < TERMS; ++i)
    FOR_LANES(l) { AT(whole, i, l) = AT(m, LOWER(i, i), l); }
  for (int j = 0; j < TERMS; ++j) {
    FOR_LANES(l) {
      float pivot = AT(m, LOWER(j, j), l);
      int sound = pivot > SMALL_PIVOT * AT(whole, j, l);
      AT(m, LOWER(j, j), l) = sound ? 1.0f / fsqrt(pivot) : 0.0f;
      AT(lost, 0, l) = sound ? AT(lost, 0, l) : 1.0f;
    }
    for (int i = j + 1; i < TERMS; ++i)
      FOR_LANES(l) { AT(m, LOWER(i, j), l) *= AT(m, LOWER(j, j), l); }
    for (int i = j + 1; i < TERMS; ++i)
      for (int k = j + 1; k <= i; ++k)
        FOR_LANES(l) { AT(m, LOWER(i, k), l) -= AT(m, LOWER(i, j), l) * AT(m, LOWER(k, j), l); }
  }
}

// x = L^-1 x.
FN void forward(float* x, const float* m) {
  for (int i = 0; i < TERMS; ++i) {
    for (int k = 0; k < i; ++k)
      FOR_LANES(l) { AT(x, i, l) -= AT(m, LOWER(i, k), l) * AT(x, k, l); }
    FOR_LANES(l) { AT(x, i, l) *= AT(m, LOWER(i, i), l); }
  }
}

// x = L'^-1 x.
FN void backward(float* x, const float* m) {
  for (int i = TERMS - 1; i >= 0; --i) {
    for (int k = i + 1; k < TERMS; ++k)
      FOR_LANES(l) { AT(x, i, l) -= AT(m, LOWER(k, i), l) * AT(x, k, l); }
    FOR_LANES(l) { AT(x, i, l) *= AT(m, LOWER(i, i), l); }
  }
}

// State of the projection, per voxel: normals H of the active constraints and their orthonormal basis (H = U R),
// multipliers, the initial point z = L'c, and the numbers of the constraints.
struct Search {
  float *normals, *ortho, *triangle, *multiplier, *trial, *origin;
  int *active, *count;
};

FN void orthogonalise(const Search s, int first, int l) {
  for (int i = first; i < AT(s.count, 0, l); ++i) {
    for (int k = 0; k < TERMS; ++k) AT(s.ortho, i * TERMS + k, l) = AT(s.normals, i * TERMS + k, l);
    for (int j = 0; j <= i; ++j) {
      float sum = 0.0f;
      for (int k = 0; k < TERMS; ++k) sum += AT(s.ortho, i * TERMS + k, l) * AT(s.ortho, j * TERMS + k, l);
      float part = j < i ? sum : fsqrt(fmax2(sum, 1e-30f)), shrink = 1.0f / part;
      AT(s.triangle, LOWER(i, j), l) = part;
      for (int k = 0; k < TERMS; ++k) {
        float u = AT(s.ortho, i * TERMS + k, l);
        AT(s.ortho, i * TERMS + k, l) = j < i ? u - sum * AT(s.ortho, j * TERMS + k, l) : u * shrink;
      }
    }
  }
}

// Multipliers for which every active constraint holds with equality.
FN void equalise(const Search s, int l) {
  for (int i = AT(s.count, 0, l) - 1; i >= 0; --i) {
    float sum = 0.0f;
    for (int k = 0; k < TERMS; ++k) sum -= AT(s.ortho, i * TERMS + k, l) * AT(s.origin, k, l);
    for (int k = i + 1; k < AT(s.count, 0, l); ++k) sum -= AT(s.triangle, LOWER(k, i), l) * AT(s.trial, k, l);
    AT(s.trial, i, l) = sum / AT(s.triangle, LOWER(i, i), l);
  }
}

// Remove the constraints whose multiplier has become 0; return the position of the first.
FN int release(const Search s, int l) {
  int kept = 0, first = MOST_ACTIVE;
  for (int i = 0; i < AT(s.count, 0, l); ++i) {
    int keep = AT(s.multiplier, i, l) > 0.0f;
    first = keep || first < MOST_ACTIVE ? first : i;
    if (keep && kept < i) {
      AT(s.multiplier, kept, l) = AT(s.multiplier, i, l);
      AT(s.active, kept, l) = AT(s.active, i, l);
      for (int k = 0; k < TERMS; ++k) AT(s.normals, kept * TERMS + k, l) = AT(s.normals, i * TERMS + k, l);
    }
    kept += keep;
  }
  AT(s.count, 0, l) = kept;
  return first;
}

// Add the constraint whose normal is last in `normals`, and remove others until all multipliers are positive. Returns
// 1 if the new constraint stays.
FN int take_in(const Search s, int number, int l) {
  int newest = AT(s.count, 0, l), first = newest;
  AT(s.active, newest, l) = number;
  AT(s.multiplier, newest, l) = 0.0f;
  AT(s.count, 0, l) = newest + 1;
  for (int round = 0; round <= newest; ++round) {
    orthogonalise(s, first, l);
    equalise(s, l);
    float share = 1.0f;
    for (int i = 0; i < AT(s.count, 0, l); ++i) {
      float now = AT(s.multiplier, i, l), next = AT(s.trial, i, l);
      share = next <= 0.0f ? fmin2(share, now / fmax2(now - next, 1e-30f)) : share;
    }
    int whole = share >= 1.0f;
    for (int i = 0; i < AT(s.count, 0, l); ++i) {
      float now = AT(s.multiplier, i, l), next = AT(s.trial, i, l);
      int leaves = next <= 0.0f && now <= share * 1.000001f * fmax2(now - next, 1e-30f);
      AT(s.multiplier, i, l) = leaves ? 0.0f : now + share * (next - now);
    }
    if (whole) break;
    first = release(s, l);
  }
  int last = AT(s.count, 0, l) - 1;
  return last >= 0 && AT(s.active, last, l) == number;
}

// Number and value of the constraint that c violates most; rows of `cone` have length 1.
FN void worst_constraint(int* which, float* worst, const float* cone, int rows, const float* c) {
  FOR_LANES(l) { AT(which, 0, l) = -1, AT(worst, 0, l) = 0.0f; }
  for (int r = 0; r < rows; ++r) {
    const float* g = cone + r * TERMS;
    FOR_LANES(l) {
      float value = 0.0f;
#pragma GCC unroll 32
      for (int k = 0; k < TERMS; ++k) value += g[k] * AT(c, k, l);
      int lower = value < AT(worst, 0, l);
      AT(worst, 0, l) = lower ? value : AT(worst, 0, l);
      AT(which, 0, l) = lower ? r : AT(which, 0, l);
    }
  }
}

// Move c to the nearest point with cone c >= 0 in the metric of M = L L' (m as `factorise` leaves it), by an
// active-set method for the multipliers (Lawson and Hanson). `open` remains above 0 if the iteration limit was
// reached; voxels that are `lost` are unchanged. x: scratch.
FN void nearest(float* c, float* x, float* worst, int* which, float* open, const float* lost, const Search s,
                const float* m, const float* cone, int rows) {
  FOR_LANES(l) {
    float size = 0.0f;
    for (int k = 0; k < TERMS; ++k) {
      float sum = AT(c, k, l) / fmax2(AT(m, LOWER(k, k), l), 1e-30f);
      for (int i = k + 1; i < TERMS; ++i) sum += AT(m, LOWER(i, k), l) * AT(c, i, l);
      AT(s.origin, k, l) = sum;
      size += AT(c, k, l) * AT(c, k, l);
    }
    AT(open, 0, l) = AT(lost, 0, l) > 0.0f ? 0.0f : CONE_SLACK * fsqrt(size);
    AT(s.count, 0, l) = 0;
  }
  for (int step = 0; step < CONE_STEPS; ++step) {
    worst_constraint(which, worst, cone, rows, c);
    int busy = 0;
    FOR_LANES(l) {
      int search =
          AT(open, 0, l) > 0.0f && AT(worst, 0, l) < -AT(open, 0, l) && AT(s.count, 0, l) < MOST_ACTIVE;
      AT(open, 0, l) = search ? AT(open, 0, l) : 0.0f;
    }
    ANY_LANE(busy, l, AT(open, 0, l) > 0.0f);
    if (!busy) break;
    for (int k = 0; k < TERMS; ++k)
      FOR_LANES(l) { AT(x, k, l) = AT(which, 0, l) < 0 ? 0.0f : cone[AT(which, 0, l) * TERMS + k]; }
    forward(x, m);
    FOR_LANES(l) {
      if (AT(open, 0, l) > 0.0f) {
        for (int k = 0; k < TERMS; ++k) AT(s.normals, AT(s.count, 0, l) * TERMS + k, l) = AT(x, k, l);
        AT(open, 0, l) = take_in(s, AT(which, 0, l), l) ? AT(open, 0, l) : 0.0f;
      }
      for (int k = 0; k < TERMS; ++k) AT(x, k, l) = AT(s.origin, k, l);
      for (int i = 0; i < AT(s.count, 0, l); ++i) {
        float sum = 0.0f;
        for (int k = 0; k < TERMS; ++k) sum += AT(s.ortho, i * TERMS + k, l) * AT(x, k, l);
        for (int k = 0; k < TERMS; ++k) AT(x, k, l) -= sum * AT(s.ortho, i * TERMS + k, l);
      }
    }
    backward(x, m);
    for (int k = 0; k < TERMS; ++k)
      FOR_LANES(l) { AT(c, k, l) = AT(s.count, 0, l) > 0 ? AT(x, k, l) : AT(c, k, l); }
  }
}

// Planes and columns of three-dimensional Fourier transforms of real arrays (nx, ny, nz), nz even; the spectrum is
// complex (nx, ny, nz / 2 + 1). Along z the transform of a row of real numbers is that of nz / 2 complex ones, pairs of
// neighbours. A plane of fixed x is transformed along z and y while it is in the cache; columns along x follow, or
// precede for the inverse.
#pragma once

#include <omp.h>

#include <new>
#include <vector>

#include "fft_lines.h"

namespace {

struct Grid {
  Index nx, ny, nz, nh;
};

// Plans of the three axes, z for pairs, and exp(-2 pi i k / nz), k = 0 .. nz / 2.
struct Plans {
  Plan x, y, z;
  const Twiddle* halves;
};

struct Workspace {
  std::vector<Lines> a, spare;
  std::vector<float> rows;

  explicit Workspace(const Grid& grid) {
    Index longest = grid.nx > grid.ny ? grid.nx : grid.ny;
    longest = (longest > grid.nh ? longest : grid.nh) + kLanes;
    a.resize(longest);
    spare.resize(longest);
    rows.resize(kLanes * padded(grid));
  }
  static Index padded(const Grid& grid) { return (2 * grid.nh + 4 * kLanes - 1) / kLanes * kLanes; }
};

// `count` <= kLanes complex numbers at p, fewer filled up with zeros.
LINES_FN void load_some(const Complex* p, int count, Lines& v) {
  if (count == kLanes) {
    load_lanes(&p->re, v);
    return;
  }
  float some[2 * kLanes] = {};
  __builtin_memcpy(some, p, count * sizeof(Complex));
  load_lanes(some, v);
}
LINES_FN void store_some(Complex* p, int count, const Lines& v) {
  if (count == kLanes) {
    store_lanes(&p->re, v);
    return;
  }
  float some[2 * kLanes];
  store_lanes(some, v);
  __builtin_memcpy(p, some, count * sizeof(Complex));
}

LINES_FN void exchange_parts(Lines& v) {
  Vec re = v.re;
  v.re = v.im;
  v.im = re;
}

// Transforms lines of `plan.length` numbers, `step` apart, in place: `count` <= kLanes of them side by side at p.
template <bool kInverse>
void side_by_side(const Plan& plan, Complex* p, Index step, int count, Workspace& space) {
  Lines* a = space.a.data();
  for (Index i = 0; i < plan.length; ++i) {
    load_some(p + i * step, count, a[i]);
    if (kInverse) exchange_parts(a[i]);
    __builtin_prefetch(p + i * step + kLanes);
  }
  Lines* result = transform(plan, a, space.spare.data());
  for (Index i = 0; i < plan.length; ++i) {
    if (kInverse) exchange_parts(result[i]);
    store_some(p + i * step, count, result[i]);
  }
}

// All lines along an axis of a row of `width` numbers.
template <bool kInverse>
void lines(const Plan& plan, Complex* p, Index step, Index width, Workspace& space) {
  for (Index k = 0; k < width; k += kLanes)
    side_by_side<kInverse>(plan, p + k, step, (int)(width - k < kLanes ? width - k : kLanes), space);
}

// Spectrum of 2 m real numbers from the transform z of m pairs, k = 0 .. m.
void split_pairs(Lines* z, Lines* out, const Twiddle* w, Index m) {
  z[m] = z[0];
  for (Index k = 0; k <= m; ++k) {
    const Lines &p = z[k], &q = z[m - k];
    Lines even = {0.5f * (p.re + q.re), 0.5f * (p.im - q.im)};
    Lines odd = {0.5f * (p.im + q.im), 0.5f * (q.re - p.re)};
    rotate(odd, w[k]);
    add(even, odd, out[k]);
  }
}

// The opposite, times 2, with exchanged parts; imaginary parts of the first and of the last number are ignored.
void join_pairs(Lines* x, Lines* out, const Twiddle* w, Index m) {
  x[0].im = x[m].im = Vec{};
  for (Index k = 0; k < m; ++k) {
    const Lines &p = x[k], &q = x[m - k];
    Lines even = {p.re + q.re, p.im - q.im}, odd = {p.re - q.re, p.im + q.im};
    rotate(odd, Twiddle{w[k].re, -w[k].im});
    out[k].im = even.re - odd.im;
    out[k].re = even.im + odd.re;
  }
}

// Transforms `count` <= kLanes rows of real numbers.
void rows_forward(const Plans& plans, const Grid& grid, const float* x, Complex* out, int count,
                  Workspace& space) {
  Lines *a = space.a.data(), *spare = space.spare.data();
  const Index length = Workspace::padded(grid);
  float* rows = space.rows.data();
  for (int r = 0; r < kLanes; ++r)
    __builtin_memcpy(rows + r * length, x + (r < count ? r : 0) * grid.nz, grid.nz * sizeof(float));
  for (Index k = 0; k < grid.nz; k += kLanes) {
    Vec v[kLanes];
    for (int r = 0; r < kLanes; ++r) load(rows + r * length + k, v[r]);
    transpose(v);
    for (int j = 0; j < kLanes / 2; ++j) a[k / 2 + j] = Lines{v[2 * j], v[2 * j + 1]};
  }
  Lines* z = transform(plans.z, a, spare);
  Lines* spectrum = z == a ? spare : a;
  split_pairs(z, spectrum, plans.halves, grid.nz / 2);
  for (Index k = 0; k < grid.nh; k += kLanes) {
    Vec re[kLanes], im[kLanes];
    for (int j = 0; j < kLanes; ++j) {
      re[j] = spectrum[k + j].re;
      im[j] = spectrum[k + j].im;
    }
    transpose(re);
    transpose(im);
    for (int r = 0; r < kLanes; ++r) store_lanes(rows + r * length + 2 * k, Lines{re[r], im[r]});
  }
  for (int r = 0; r < count; ++r)
    __builtin_memcpy(out + r * grid.nh, rows + r * length, grid.nh * sizeof(Complex));
}

void rows_inverse(const Plans& plans, const Grid& grid, const Complex* spectrum, float* x, int count,
                  Workspace& space) {
  Lines *a = space.a.data(), *spare = space.spare.data();
  const Index length = Workspace::padded(grid);
  float* rows = space.rows.data();
  for (int r = 0; r < kLanes; ++r)
    __builtin_memcpy(rows + r * length, spectrum + (r < count ? r : 0) * grid.nh, grid.nh * sizeof(Complex));
  for (Index k = 0; k < grid.nh; k += kLanes) {
    Vec re[kLanes], im[kLanes];
    for (int r = 0; r < kLanes; ++r) {
      Lines v;
      load_lanes(rows + r * length + 2 * k, v);
      re[r] = v.re;
      im[r] = v.im;
    }
    transpose(re);
    transpose(im);
    for (int j = 0; j < kLanes; ++j) a[k + j] = Lines{re[j], im[j]};
  }
  join_pairs(a, spare, plans.halves, grid.nz / 2);
  Lines* z = transform(plans.z, spare, a);
  for (Index k = 0; k < grid.nz; k += kLanes) {
    Vec v[kLanes];
    for (int j = 0; j < kLanes / 2; ++j) {
      v[2 * j] = z[k / 2 + j].im;
      v[2 * j + 1] = z[k / 2 + j].re;
    }
    transpose(v);
    for (int r = 0; r < kLanes; ++r) store(rows + r * length + k, v[r]);
  }
  for (int r = 0; r < count; ++r) __builtin_memcpy(x + r * grid.nz, rows + r * length, grid.nz * sizeof(float));
}

void plane_forward(const Plans& plans, const Grid& grid, const float* x, Complex* out, Workspace& space) {
  for (Index y = 0; y < grid.ny; y += kLanes) {
    const int count = (int)(grid.ny - y < kLanes ? grid.ny - y : kLanes);
    rows_forward(plans, grid, x + y * grid.nz, out + y * grid.nh, count, space);
  }
  lines<false>(plans.y, out, grid.nh, grid.nh, space);
}

void plane_inverse(const Plans& plans, const Grid& grid, Complex* spectrum, float* x, Workspace& space) {
  lines<true>(plans.y, spectrum, grid.nh, grid.nh, space);
  for (Index y = 0; y < grid.ny; y += kLanes) {
    const int count = (int)(grid.ny - y < kLanes ? grid.ny - y : kLanes);
    rows_inverse(plans, grid, spectrum + y * grid.nh, x + y * grid.nz, count, space);
  }
}

// Plans from the radices of the three axes, each filled up with zeros, and their twiddles one after the other.
Plans plans_of(const Grid& grid, const int* radices, const Complex* twiddles, const Complex* halves,
               Index most) {
  Plan plan[3];
  const Twiddle* w = (const Twiddle*)twiddles;
  const Index lengths[3] = {grid.nx, grid.ny, grid.nz / 2};
  for (int axis = 0; axis < 3; ++axis) {
    plan[axis] = Plan{radices + axis * most, w, 0, lengths[axis]};
    for (Index left = lengths[axis]; left > 1; ++plan[axis].passes) {
      const int radix = plan[axis].radices[plan[axis].passes];
      left /= radix;
      w += (radix - 1) * (left - 1);
    }
  }
  return Plans{plan[0], plan[1], plan[2], (const Twiddle*)halves};
}

// Calls first(i, workspace) for every i below `n_first`, then second and third likewise, on several threads.
template <class First, class Second, class Third>
int in_steps(const Grid& grid, int threads, Index n_first, First first, Index n_second, Second second,
             Index n_third, Third third) {
  std::vector<Workspace> spaces;
  try {
    for (int t = 0; t < threads; ++t) spaces.emplace_back(grid);
  } catch (const std::bad_alloc&) { return 1; }
#pragma omp parallel num_threads(threads)
  {
    Workspace& space = spaces[omp_get_thread_num()];
#pragma omp for schedule(dynamic, 2)
    for (Index i = 0; i < n_first; ++i) first(i, space);
#pragma omp for schedule(dynamic, 2)
    for (Index i = 0; i < n_second; ++i) second(i, space);
#pragma omp for schedule(dynamic, 2)
    for (Index i = 0; i < n_third; ++i) third(i, space);
  }
  return 0;
}

// Plane x of an image, and what lies at the same place in its spectrum.
struct Transform {
  Plans plans;
  Grid grid;

  void forward_plane(const float* image, Complex* spectrum, Index x, Workspace& space) const {
    plane_forward(plans, grid, image + x * grid.ny * grid.nz, spectrum + x * grid.ny * grid.nh, space);
  }
  void inverse_plane(Complex* spectrum, float* image, Index x, Workspace& space) const {
    plane_inverse(plans, grid, spectrum + x * grid.ny * grid.nh, image + x * grid.ny * grid.nz, space);
  }
  template <bool kInverse>
  void columns(Complex* spectrum, Index y, Workspace& space) const {
    lines<kInverse>(plans.x, spectrum + y * grid.nh, grid.ny * grid.nh, grid.nh, space);
  }
};

const auto kNothing = [](Index, Workspace&) {};

}  // namespace

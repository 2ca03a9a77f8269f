// One ADMM iteration for   min_x  1/2 ||W (A x - f)||^2 + lambda ||grad x||_1,   A a convolution.
// Splits z1 = grad x and z2 = A x with scaled multipliers u1 and u2; periodic forward differences.
// Over-relaxation by 1 + `relax`: (1 + relax) A x - relax z takes the place of A x in the update of a multiplier,
// with the split z before its update (Eckstein & Bertsekas 1992, 10.1007/BF01581204). relax = 0: plain ADMM.
#include "tv_kspace.h"
#include "vmath.h"

#define ROWS 8
#define ONE_STEP 0.2f  // largest angle [rad] that one step of Newton's method finds to the last digit

FN Index wrapped(Index i, Index n) { return i + (i < 0) * n - (i >= n) * n; }

// Over-relaxed sum of the difference and the multiplier: g = (1 + relax) (difference + clamp(g)) - relax g, with g on
// the right-hand side from the last iteration; g clamped to +-t is the multiplier, and the rest is z1.
FN float relaxed(float difference, float g, float t, float relax) {
  return (1.0f + relax) * (difference + clampf(g, -t, t)) - relax * g;
}

// One axis at voxel k of a row. Stores the new g, returns grad^T of z1 minus the multiplier, g - 2 clamp(g). `before`
// and `after` are the distances to the neighbours; the step of the preceding voxel is recomputed, so that none waits
// for another. `t_other` is the t of the preceding voxel.
FN float axis_step(const float* x, const float* g, float* g_out, int k, Index before, Index after, float h,
                   float t, float t_other, float relax) {
  float own = relaxed((x[k + after] - x[k]) * h, g[k], t, relax);
  float other = relaxed((x[k] - x[k + before]) * h, g[k + before], t_other, relax);
  g_out[k] = own;
  return ((other - own) - 2.0f * (clampf(other, -t_other, t_other) - clampf(own, -t, t))) * h;
}

// The same, with t only for faces whose bit `axis` is set, and 0 for the others.
FN float face_step(const float* x, const float* g, float* g_out, const u8* faces, int axis, int k, Index before,
                   Index after, float h, float t, float relax) {
  float own = (float)(faces[k] >> axis & 1), other = (float)(faces[k + before] >> axis & 1);
  return axis_step(x, g, g_out, k, before, after, h, own * t, other * t, relax);
}

// g_out = grad x + u1, over-relaxed, with u1 = g clamped to +-t;  adjoint = grad^T (z1 - new u1).
// hx = 1 / voxel_x [1/mm] and so on.
KERNEL(tv_gradient_step,
       (const float* RESTRICT x, const float* RESTRICT g, float* RESTRICT g_out, float* RESTRICT adjoint,
        float t, float hx, float hy, float hz, float relax, Index nx, Index ny, Index nz),
       (x, g, g_out, adjoint, t, hx, hy, hz, relax, nx, ny, nz)) {
  Index n = nx * ny * nz, blocks = (ny + ROWS - 1) / ROWS;
  FOR_TILES(tile, nx * blocks) {
    Index ix = tile / blocks, y0 = tile % blocks * ROWS;
    Index x_before = (wrapped(ix - 1, nx) - ix) * ny * nz, x_after = (wrapped(ix + 1, nx) - ix) * ny * nz;
    int rows = (int)(ny - y0 < ROWS ? ny - y0 : ROWS);
    TILE_FOR2(j, k, rows, (int)nz - 2) {
      Index iy = y0 + j, row = (ix * ny + iy) * nz + 1;
      Index y_before = (wrapped(iy - 1, ny) - iy) * nz, y_after = (wrapped(iy + 1, ny) - iy) * nz;
      float a = axis_step(x + row, g + row, g_out + row, k, x_before, x_after, hx, t, t, relax);
      a += axis_step(x + row, g + n + row, g_out + n + row, k, y_before, y_after, hy, t, t, relax);
      a += axis_step(x + row, g + 2 * n + row, g_out + 2 * n + row, k, -1, 1, hz, t, t, relax);
      adjoint[row + k] = a;
    }
    int ends = nz > 1 ? 2 : 1;
    TILE_FOR2(j, end, rows, ends) {
      int k = end == 0 ? 0 : (int)nz - 1;
      Index iy = y0 + j, row = (ix * ny + iy) * nz;
      Index y_before = (wrapped(iy - 1, ny) - iy) * nz, y_after = (wrapped(iy + 1, ny) - iy) * nz;
      Index z_before = wrapped(k - 1, nz) - k, z_after = wrapped(k + 1, nz) - k;
      float a = axis_step(x + row, g + row, g_out + row, k, x_before, x_after, hx, t, t, relax);
      a += axis_step(x + row, g + n + row, g_out + n + row, k, y_before, y_after, hy, t, t, relax);
      a += axis_step(x + row, g + 2 * n + row, g_out + 2 * n + row, k, z_before, z_after, hz, t, t, relax);
      adjoint[row + k] = a;
    }
  }
}

// tv_gradient_step with a penalty for some faces only: bit a of `faces` is set if the difference to the next voxel
// along axis a is penalised; elsewhere the split follows the gradient and u1 = 0.
KERNEL(tv_gradient_step_faces,
       (const float* RESTRICT x, const float* RESTRICT g, const u8* RESTRICT faces, float* RESTRICT g_out,
        float* RESTRICT adjoint, float t, float hx, float hy, float hz, float relax, Index nx, Index ny,
        Index nz),
       (x, g, faces, g_out, adjoint, t, hx, hy, hz, relax, nx, ny, nz)) {
  Index n = nx * ny * nz, blocks = (ny + ROWS - 1) / ROWS;
  FOR_TILES(tile, nx * blocks) {
    Index ix = tile / blocks, y0 = tile % blocks * ROWS;
    Index x_before = (wrapped(ix - 1, nx) - ix) * ny * nz, x_after = (wrapped(ix + 1, nx) - ix) * ny * nz;
    int rows = (int)(ny - y0 < ROWS ? ny - y0 : ROWS);
    TILE_FOR2(j, k, rows, (int)nz - 2) {
      Index iy = y0 + j, row = (ix * ny + iy) * nz + 1;
      Index y_before = (wrapped(iy - 1, ny) - iy) * nz, y_after = (wrapped(iy + 1, ny) - iy) * nz;
      const u8* f = faces + row;
      float a = face_step(x + row, g + row, g_out + row, f, 0, k, x_before, x_after, hx, t, relax);
      a += face_step(x + row, g + n + row, g_out + n + row, f, 1, k, y_before, y_after, hy, t, relax);
      a += face_step(x + row, g + 2 * n + row, g_out + 2 * n + row, f, 2, k, -1, 1, hz, t, relax);
      adjoint[row + k] = a;
    }
    int ends = nz > 1 ? 2 : 1;
    TILE_FOR2(j, end, rows, ends) {
      int k = end == 0 ? 0 : (int)nz - 1;
      Index iy = y0 + j, row = (ix * ny + iy) * nz;
      Index y_before = (wrapped(iy - 1, ny) - iy) * nz, y_after = (wrapped(iy + 1, ny) - iy) * nz;
      Index z_before = wrapped(k - 1, nz) - k, z_after = wrapped(k + 1, nz) - k;
      const u8* f = faces + row;
      float a = face_step(x + row, g + row, g_out + row, f, 0, k, x_before, x_after, hx, t, relax);
      a += face_step(x + row, g + n + row, g_out + n + row, f, 1, k, y_before, y_after, hy, t, relax);
      a += face_step(x + row, g + 2 * n + row, g_out + 2 * n + row, f, 2, k, z_before, z_after, hz, t, relax);
      adjoint[row + k] = a;
    }
  }
}

FN int has_weight(float w2, float u) { return (w2 > 0.0f) | (u != 0.0f); }

// z2 = argmin 1/2 w2 (z - f)^2 + mu/2 (z - s)^2, s = ax + u;  u <- s - z2;  ax <- z2 - u (new). w2 = W^2. With
// over-relaxation, `ax` is (1 + relax) A x - relax (z2 - u); the missing term - relax u is added here. Where w2
// and u are 0, nothing changes.
KERNEL(tv_data_step,
       (float* RESTRICT ax, float* RESTRICT u, const float* RESTRICT f, const float* RESTRICT w2, float mu,
        float relax, Index nx, Index ny, Index nz),
       (ax, u, f, w2, mu, relax, nx, ny, nz)) {
  Index n = nx * ny * nz;
  FOR_TILES(tile, (n + TILE_LANES - 1) / TILE_LANES) {
    Index first = tile * TILE_LANES;
    int count = (int)(n - first < TILE_LANES ? n - first : TILE_LANES), changing = count < TILE_LANES;
    if (!changing) ANY_LANE(changing, l, has_weight(w2[first + l], u[first + l]));
    if (!changing) continue;
    TILE_FOR(l, count) {
      Index i = first + l;
      float s = ax[i] - relax * u[i] + u[i];
      float z = (w2[i] * f[i] + mu * s) / (w2[i] + mu);
      float multiplier = s - z;
      u[i] = multiplier;
      ax[i] = z - multiplier;
    }
  }
}

// One step of Newton's method for theta + kappa sin theta = target with 0 <= theta <= min(target, pi).
FN float newton_step(float theta, float kappa, float target) {
  float sine = sin_half(fmin2(theta, PI_F - theta));
  float cosine = sin_half(0.5f * PI_F - theta);
  float slope = fmax2(1.0f + kappa * cosine, 1e-3f);
  return clampf(theta + (target - theta - kappa * sine) / slope, 0.0f, fmin2(target, PI_F));
}

// The same for the loss w2 (1 - cos(r (z - f))) / r^2, r = `radians`. With theta = r (z - f), the stationary points
// satisfy theta + kappa sin theta = r (s - f), kappa = w2 / mu. The solution is the first one from the middle of the
// turn that contains ax: the multiplier then grows to the slope of the loss however large kappa is, whereas the turn
// of s would confine it to half a turn. The left-hand side is concave there, so Newton's method from the middle
// increases to the solution monotonically; its first step, in closed form, is that of tv_data_step. The turn of s is
// used instead where the right-hand side exceeds the range of the left-hand side (a bound of it for kappa > 1), and
// where ax is beyond a quarter of a turn, so that a wrong turn is left. The error after one further step is below
// theta^7 / 72, so small angles take one and others three.
KERNEL(tv_data_step_nonlinear,
       (float* RESTRICT ax, float* RESTRICT u, const float* RESTRICT f, const float* RESTRICT w2, float mu,
        float relax, float radians, Index nx, Index ny, Index nz),
       (ax, u, f, w2, mu, relax, radians, nx, ny, nz)) {
  float inverse_radians = 1.0f / radians, inverse_mu = 1.0f / mu;
  Index n = nx * ny * nz;
  FOR_TILES(tile, (n + TILE_LANES - 1) / TILE_LANES) {
    Index first = tile * TILE_LANES;
    int count = (int)(n - first < TILE_LANES ? n - first : TILE_LANES), changing = count < TILE_LANES;
    if (!changing) ANY_LANE(changing, l, has_weight(w2[first + l], u[first + l]));
    if (!changing) continue;
    int steep = 0;
    PRIVATE(float, rest, 1);
    PRIVATE(float, theta, 1);
    TILE_FOR(l, count) {
      Index i = first + l;
      float value = ax[i] - relax * u[i];
      float kappa = w2[i] * inverse_mu;
      float error = wrap(radians * (value - f[i]));
      float sum = error + radians * u[i];
      float reach = fmax2(PI_F, 0.5f * PI_F + fsqrt(fmax2(kappa * kappa - 1.0f, 0.0f)));
      sum = fabs1(error) > 0.5f * PI_F || fabs1(sum) > reach ? wrap(sum) : sum;
      AT(rest, 0, l) = sum;
      AT(theta, 0, l) = newton_step(fabs1(sum) / (1.0f + kappa), kappa, fabs1(sum));
    }
    ANY_LANE(steep, l, (l < count) & (AT(theta, 0, l) > ONE_STEP));
    if (steep) {
      TILE_FOR(l, count) {
        float kappa = w2[first + l] * inverse_mu, target = fabs1(AT(rest, 0, l)), once = AT(theta, 0, l);
        float more = newton_step(newton_step(once, kappa, target), kappa, target);
        AT(theta, 0, l) = once > ONE_STEP ? more : once;
      }
    }
    TILE_FOR(l, count) {
      Index i = first + l;
      float value = ax[i] - relax * u[i];
      float size = (fabs1(AT(rest, 0, l)) - AT(theta, 0, l)) * inverse_radians;
      float multiplier = AT(rest, 0, l) < 0.0f ? -size : size;
      float s = value + u[i];
      u[i] = multiplier;
      ax[i] = s - 2.0f * multiplier;
    }
  }
}

// x = (mu1 grad^T(z1 - u1) + mu2 A^T(z2 - u2)) / (mu1 |E|^2 + mu2 A^2), in k-space, times `scale`.
// In: gradient = F grad^T(z1 - u1), data = F (z2 - u2).
// Out: gradient = x^, data = (1 + relax) A x^ - relax data.
// |E|^2 = ex[x] + ey[y] + ez[z], the spectrum of grad^T grad; 0 / 0 (the mean of x) becomes 0.
KERNEL(tv_kspace_step,
       (Complex* RESTRICT gradient, Complex* RESTRICT data, const float* RESTRICT response,
        const float* RESTRICT ex, const float* RESTRICT ey, const float* RESTRICT ez, float mu1, float mu2,
        float relax, float scale, Index nx, Index ny, Index nh),
       (gradient, data, response, ex, ey, ez, mu1, mu2, relax, scale, nx, ny, nh)) {
  float more = 1.0f + relax, less = relax * scale;
  FOR_ROWS(row, nx * ny) {
    float exy = ex[row / ny] + ey[row % ny];
    Complex* g = gradient + row * nh;
    Complex* d = data + row * nh;
    const float* a = response + row * nh;
    ROW_FOR(k, (int)nh) {
      float denominator = mu1 * (exy + ez[k]) + mu2 * a[k] * a[k];
      float inverse = denominator > 0.0f ? scale / denominator : 0.0f;
      float re = (mu1 * g[k].re + mu2 * a[k] * d[k].re) * inverse;
      float im = (mu1 * g[k].im + mu2 * a[k] * d[k].im) * inverse;
      g[k].re = re;
      g[k].im = im;
      d[k].re = more * a[k] * re - less * d[k].re;
      d[k].im = more * a[k] * im - less * d[k].im;
    }
  }
}

// The same with a second unknown h: splits z1 = grad x, z2 = A x + h, z3 = -grad^T grad h, multipliers u1..u3.
// Minimises mu1/2 |grad x - z1 + u1|^2 + mu2/2 |A x + h - z2 + u2|^2 + mu3/2 |grad^T grad h + z3 - u3|^2.
// In: gradient = F grad^T(z1 - u1), data = F (z2 - u2), harmonic = F (z3 - u3).
// With a split of x itself, of penalty mu1 `pull`, its target times `pull` is part of `gradient`.
// Out, times `scale`: gradient = x^, data = A x^ + h^, harmonic = -|E|^2 h^, the last two over-relaxed as in
// tv_kspace_step. For k = 0 without pull: x^ = 0, h^ = data.
KERNEL(tv_harmonic_kspace_step,
       (Complex* RESTRICT gradient, Complex* RESTRICT data, Complex* RESTRICT harmonic,
        const float* RESTRICT response, const float* RESTRICT ex, const float* RESTRICT ey,
        const float* RESTRICT ez, float mu1, float mu2, float mu3, float pull, float relax, float scale,
        Index nx, Index ny, Index nh),
       (gradient, data, harmonic, response, ex, ey, ez, mu1, mu2, mu3, pull, relax, scale, nx, ny, nh)) {
  HarmonicStep step = {mu1, mu2, mu3, pull, relax, scale};
  FOR_ROWS(row, nx * ny) {
    Index first = row * nh;
    tv_harmonic_row(gradient + first, data + first, harmonic + first, response + first,
                    ex[row / ny] + ey[row % ny], ez, step, (int)nh);
  }
}

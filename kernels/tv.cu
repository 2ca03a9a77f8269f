// One ADMM iteration for   min_x  1/2 ||W (A x - f)||^2 + lambda ||grad x||_1,   A a convolution.
// Splits z1 = grad x and z2 = A x with scaled multipliers p = u1 and u = u2; periodic forward differences.
#include "vmath.h"

#define ROWS 8

FN Index wrapped(Index i, Index n) { return i + (i < 0) * n - (i >= n) * n; }

// One axis at voxel k of a row. With g = difference + old multiplier the new multiplier is g cut off at
// +-t, and z1 minus it is g - 2 clamp(g). Stores the first, returns grad^T of the second. `before` and
// `after` are the distances to the neighbours; the step of the one before is done again, not waited for.
FN float axis_step(const float* x, const float* p, float* p_out, int k, Index before, Index after, float h,
                   float t) {
  float own = (x[k + after] - x[k]) * h + p[k];
  float other = (x[k] - x[k + before]) * h + p[k + before];
  float own_cut = clampf(own, -t, t);
  p_out[k] = own_cut;
  return ((other - own) - 2.0f * (clampf(other, -t, t) - own_cut)) * h;
}

// p_out = grad x + p cut off at +-t;  adjoint = grad^T (z1 - p_out). hx = 1 / voxel_x [1/mm] and so on.
KERNEL(tv_gradient_step,
       (const float* RESTRICT x, const float* RESTRICT p, float* RESTRICT p_out, float* RESTRICT adjoint,
        float t, float hx, float hy, float hz, Index nx, Index ny, Index nz),
       (x, p, p_out, adjoint, t, hx, hy, hz, nx, ny, nz)) {
  Index n = nx * ny * nz, blocks = (ny + ROWS - 1) / ROWS;
  FOR_TILES(tile, nx * blocks) {
    Index ix = tile / blocks, y0 = tile % blocks * ROWS;
    Index x_before = (wrapped(ix - 1, nx) - ix) * ny * nz, x_after = (wrapped(ix + 1, nx) - ix) * ny * nz;
    int rows = (int)(ny - y0 < ROWS ? ny - y0 : ROWS);
    TILE_FOR2(j, k, rows, (int)nz - 2) {
      Index iy = y0 + j, row = (ix * ny + iy) * nz + 1;
      Index y_before = (wrapped(iy - 1, ny) - iy) * nz, y_after = (wrapped(iy + 1, ny) - iy) * nz;
      float a = axis_step(x + row, p + row, p_out + row, k, x_before, x_after, hx, t);
      a += axis_step(x + row, p + n + row, p_out + n + row, k, y_before, y_after, hy, t);
      a += axis_step(x + row, p + 2 * n + row, p_out + 2 * n + row, k, -1, 1, hz, t);
      adjoint[row + k] = a;
    }
    int ends = nz > 1 ? 2 : 1;
    TILE_FOR2(j, end, rows, ends) {
      int k = end == 0 ? 0 : (int)nz - 1;
      Index iy = y0 + j, row = (ix * ny + iy) * nz;
      Index y_before = (wrapped(iy - 1, ny) - iy) * nz, y_after = (wrapped(iy + 1, ny) - iy) * nz;
      Index z_before = wrapped(k - 1, nz) - k, z_after = wrapped(k + 1, nz) - k;
      float a = axis_step(x + row, p + row, p_out + row, k, x_before, x_after, hx, t);
      a += axis_step(x + row, p + n + row, p_out + n + row, k, y_before, y_after, hy, t);
      a += axis_step(x + row, p + 2 * n + row, p_out + 2 * n + row, k, z_before, z_after, hz, t);
      adjoint[row + k] = a;
    }
  }
}

// z2 = argmin 1/2 w2 (z - f)^2 + mu/2 (z - ax - u)^2;  u <- u + ax - z2;  ax <- z2 - u (new). w2 = W^2.
KERNEL(tv_data_step,
       (float* RESTRICT ax, float* RESTRICT u, const float* RESTRICT f, const float* RESTRICT w2, float mu,
        Index nx, Index ny, Index nz),
       (ax, u, f, w2, mu, nx, ny, nz)) {
  FOR_VOXELS(i, nx * ny * nz) {
    float s = ax[i] + u[i];
    float z = (w2[i] * f[i] + mu * s) / (w2[i] + mu);
    float multiplier = s - z;
    u[i] = multiplier;
    ax[i] = z - multiplier;
  }
}

// x = (mu1 grad^T(z1 - u1) + mu2 A^T(z2 - u2)) / (mu1 |E|^2 + mu2 A^2), in k-space, times `scale`.
// In: gradient = F grad^T(z1 - u1), data = F (z2 - u2). Out: gradient = x^, data = A x^.
// |E|^2 = ex[x] + ey[y] + ez[z], the spectrum of grad^T grad; 0 / 0 (the mean of x) becomes 0.
KERNEL(tv_kspace_step,
       (Complex* RESTRICT gradient, Complex* RESTRICT data, const float* RESTRICT response,
        const float* RESTRICT ex, const float* RESTRICT ey, const float* RESTRICT ez, float mu1, float mu2,
        float scale, Index nx, Index ny, Index nh),
       (gradient, data, response, ex, ey, ez, mu1, mu2, scale, nx, ny, nh)) {
  FOR_TILES(row, nx * ny) {
    float exy = ex[row / ny] + ey[row % ny];
    Complex* g = gradient + row * nh;
    Complex* d = data + row * nh;
    const float* a = response + row * nh;
    TILE_FOR(k, (int)nh) {
      float denominator = mu1 * (exy + ez[k]) + mu2 * a[k] * a[k];
      float inverse = denominator > 0.0f ? scale / denominator : 0.0f;
      float re = (mu1 * g[k].re + mu2 * a[k] * d[k].re) * inverse;
      float im = (mu1 * g[k].im + mu2 * a[k] * d[k].im) * inverse;
      g[k].re = re;
      g[k].im = im;
      d[k].re = a[k] * re;
      d[k].im = a[k] * im;
    }
  }
}

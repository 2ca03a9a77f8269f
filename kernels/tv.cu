// One ADMM iteration for   min_x  1/2 ||W (A x - f)||^2 + lambda || |grad x| ||_1,   A a convolution.
// Splits z1 = grad x and z2 = A x with scaled multipliers p = u1 and u = u2; periodic forward differences.
#include "vmath.h"

// Tile of the gradient step: TX x TY rows of TZ voxels; the z extent is no power of two on the CPU.
#define TX 4
#define TY 8
#define TZ TILE_PICK(144, 32)
#define HX (TX + 1)
#define HY (TY + 1)
#define HZ (TZ + 1)
#define XS_ROW (TZ + 2)
#define XS(i, j, k) xs[((i) * (TY + 2) + (j)) * XS_ROW + (k)]
#define R(c, i, j, k) r[(((c) * HX + (i)) * HY + (j)) * HZ + (k)]

FN Index wrapped(Index i, Index n) { return i < 0 ? i + n : (i >= n ? i - n : i); }

struct Step {
  float px, py, pz;  // new multiplier: g = grad x + p projected on the ball of radius t
  float rx, ry, rz;  // z1 - p_new = g - 2 p_new, what the rest of the step needs
};

// x0, xi, xj: rows of x at a voxel's own place and one on along the first and the second axis.
FN Step gradient_point(const float* x0, const float* xi, const float* xj, const float* px, const float* py,
                       const float* pz, int k, Index z, float t, float hx, float hy, float hz) {
  float gx = (xi[k] - x0[k]) * hx + px[z];
  float gy = (xj[k] - x0[k]) * hy + py[z];
  float gz = (x0[k + 1] - x0[k]) * hz + pz[z];
  float norm = fsqrt(gx * gx + gy * gy + gz * gz);
  float scale = t / fmax2(norm, t);
  Step s;
  s.px = gx * scale;
  s.py = gy * scale;
  s.pz = gz * scale;
  s.rx = gx - 2.0f * s.px;
  s.ry = gy - 2.0f * s.py;
  s.rz = gz - 2.0f * s.pz;
  return s;
}

// p_out = projection of grad x + p on |.| <= t;  adjoint = grad^T (z1 - p_out). hx = 1 / voxel_x [1/mm] ...
KERNEL(tv_gradient_step,
       (const float* RESTRICT x, const float* RESTRICT p, float* RESTRICT p_out, float* RESTRICT adjoint,
        float t, float hx, float hy, float hz, Index nx, Index ny, Index nz),
       (x, p, p_out, adjoint, t, hx, hy, hz, nx, ny, nz)) {
  TILE_SHARED(float, xs, (TX + 2) * (TY + 2) * XS_ROW);
  TILE_SHARED(float, r, 3 * HX * HY * HZ);
  Index tiles_x = (nx + TX - 1) / TX, tiles_y = (ny + TY - 1) / TY, tiles_z = (nz + TZ - 1) / TZ;
  Index n = nx * ny * nz;
  FOR_TILES(tile, tiles_x * tiles_y * tiles_z) {
    Index x0 = tile / (tiles_y * tiles_z) * TX, y0 = tile / tiles_z % tiles_y * TY, z0 = tile % tiles_z * TZ;
    int mx = (int)(nx - x0 < TX ? nx - x0 : TX), my = (int)(ny - y0 < TY ? ny - y0 : TY);
    int mz = (int)(nz - z0 < TZ ? nz - z0 : TZ);
    Index z_before = wrapped(z0 - 1, nz), z_after = wrapped(z0 + mz, nz);
    for (int i = 0; i < mx + 2; ++i) {
      Index plane = wrapped(x0 + i - 1, nx) * ny;
      TILE_FOR2(j, k, my + 2, mz) { XS(i, j, k + 1) = x[(plane + wrapped(y0 + j - 1, ny)) * nz + z0 + k]; }
      TILE_FOR(j, my + 2) {
        const float* row = x + (plane + wrapped(y0 + j - 1, ny)) * nz;
        XS(i, j, 0) = row[z_before];
        XS(i, j, mz + 1) = row[z_after];
      }
    }
    TILE_SYNC();
    for (int i = 0; i < mx + 1; ++i) {
      Index plane = wrapped(x0 + i - 1, nx) * ny;
      // Row j = 0 and all of plane i = 0 belong to tiles before this one: needed, not written.
      int before = i > 0 ? 1 : my + 1;
      TILE_FOR2(j, k, before, mz) {
        Index base = (plane + wrapped(y0 + j - 1, ny)) * nz;
        Step s = gradient_point(&XS(i, j, 1), &XS(i + 1, j, 1), &XS(i, j + 1, 1), p + base, p + n + base,
                                p + 2 * n + base, k, z0 + k, t, hx, hy, hz);
        R(0, i, j, k + 1) = s.rx;
        R(1, i, j, k + 1) = s.ry;
        R(2, i, j, k + 1) = s.rz;
      }
      TILE_FOR2(row, k, my + 1 - before, mz) {
        int j = row + 1;
        Index base = (plane + y0 + row) * nz;
        Step s = gradient_point(&XS(i, j, 1), &XS(i + 1, j, 1), &XS(i, j + 1, 1), p + base, p + n + base,
                                p + 2 * n + base, k, z0 + k, t, hx, hy, hz);
        R(0, i, j, k + 1) = s.rx;
        R(1, i, j, k + 1) = s.ry;
        R(2, i, j, k + 1) = s.rz;
        p_out[base + z0 + k] = s.px;
        p_out[n + base + z0 + k] = s.py;
        p_out[2 * n + base + z0 + k] = s.pz;
      }
      TILE_FOR(j, my + 1) {
        Index base = (plane + wrapped(y0 + j - 1, ny)) * nz;
        Step s = gradient_point(&XS(i, j, 0), &XS(i + 1, j, 0), &XS(i, j + 1, 0), p + base, p + n + base,
                                p + 2 * n + base, 0, z_before, t, hx, hy, hz);
        R(2, i, j, 0) = s.rz;
      }
    }
    TILE_SYNC();
    for (int i = 1; i < mx + 1; ++i) {
      TILE_FOR2(j, k, my, mz) {
        float dx = (R(0, i - 1, j + 1, k + 1) - R(0, i, j + 1, k + 1)) * hx;
        float dy = (R(1, i, j, k + 1) - R(1, i, j + 1, k + 1)) * hy;
        float dz = (R(2, i, j + 1, k) - R(2, i, j + 1, k + 1)) * hz;
        adjoint[((x0 + i - 1) * ny + y0 + j) * nz + z0 + k] = dx + dy + dz;
      }
    }
    TILE_SYNC();
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

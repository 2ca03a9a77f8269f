// One ADMM iteration for second-order total generalised variation: min_{x, v} data(A x)
// + alpha1 ||grad x - v||_1 + alpha0 ||sym grad v||_1. Splits z1 = grad x - v and z0 = sym grad v with scaled
// multipliers p and q; periodic forward differences E_a along the axes a.
//
// sym grad v has six components: E_x v_x, E_y v_y, E_z v_z, and (E_a v_b + E_b v_a) / sqrt 2 for xy, xz, yz, so the
// sum of their squares equals that of all nine entries of the symmetric matrix, whereas the sum of absolute values of
// the nine counts a mixed one sqrt 2 times. Mixed components of a field v on grid edges lie on grid faces for every
// direction of an axis, so the result does not depend on how the axes are stored.
#include "vmath.h"

#define TGV_ROWS 4
#define SQRT_HALF_F 0.70710678118654752440f
#define SQRT_TWO_F 1.41421356237309504880f

// Clamps g to +-t, stores this as the new multiplier, and returns the split minus it.
FN float tgv_shrink(float* multiplier, float g, float t) {
  float cut = clampf(g, -t, t);
  *multiplier = cut;
  return g - 2.0f * cut;
}

// tgv_split_step at voxel i; dx, dy, dz are the distances to the next voxels.
FN void split_voxel(const float* x, const float* v, float* p, float* q, float* r, float* s, Index i, Index dx,
                    Index dy, Index dz, float t1, float t0, float hx, float hy, float hz, Index n) {
  const float* vx = v + i;
  const float* vy = v + n + i;
  const float* vz = v + 2 * n + i;
  r[i] = tgv_shrink(p + i, (x[i + dx] - x[i]) * hx - vx[0] + p[i], t1);
  r[n + i] = tgv_shrink(p + n + i, (x[i + dy] - x[i]) * hy - vy[0] + p[n + i], t1);
  r[2 * n + i] = tgv_shrink(p + 2 * n + i, (x[i + dz] - x[i]) * hz - vz[0] + p[2 * n + i], t1);
  float xy = ((vy[dx] - vy[0]) * hx + (vx[dy] - vx[0]) * hy) * SQRT_HALF_F;
  float xz = ((vz[dx] - vz[0]) * hx + (vx[dz] - vx[0]) * hz) * SQRT_HALF_F;
  float yz = ((vz[dy] - vz[0]) * hy + (vy[dz] - vy[0]) * hz) * SQRT_HALF_F;
  s[i] = tgv_shrink(q + i, (vx[dx] - vx[0]) * hx + q[i], t0);
  s[n + i] = tgv_shrink(q + n + i, (vy[dy] - vy[0]) * hy + q[n + i], t0);
  s[2 * n + i] = tgv_shrink(q + 2 * n + i, (vz[dz] - vz[0]) * hz + q[2 * n + i], t0);
  s[3 * n + i] = tgv_shrink(q + 3 * n + i, xy + q[3 * n + i], SQRT_TWO_F * t0);
  s[4 * n + i] = tgv_shrink(q + 4 * n + i, xz + q[4 * n + i], SQRT_TWO_F * t0);
  s[5 * n + i] = tgv_shrink(q + 5 * n + i, yz + q[5 * n + i], SQRT_TWO_F * t0);
}

// p, q <- multipliers of grad x - v and sym grad v; r <- z1 - p, s <- z0 - q. h = 1 / voxel [1/mm] per axis. t1, t0:
// thresholds of the shrinkage. Components are the leading axis.
KERNEL(tgv_split_step,
       (const float* RESTRICT x, const float* RESTRICT v, float* RESTRICT p, float* RESTRICT q,
        float* RESTRICT r, float* RESTRICT s, float t1, float t0, float hx, float hy, float hz, Index nx,
        Index ny, Index nz),
       (x, v, p, q, r, s, t1, t0, hx, hy, hz, nx, ny, nz)) {
  Index n = nx * ny * nz, blocks = (ny + TGV_ROWS - 1) / TGV_ROWS;
  FOR_TILES(tile, nx * blocks) {
    Index ix = tile / blocks, y0 = tile % blocks * TGV_ROWS;
    Index dx = (ix + 1 < nx ? 1 : 1 - nx) * ny * nz;
    int rows = (int)(ny - y0 < TGV_ROWS ? ny - y0 : TGV_ROWS);
    TILE_FOR2(j, k, rows, (int)nz - 1) {
      Index iy = y0 + j, dy = (iy + 1 < ny ? 1 : 1 - ny) * nz;
      split_voxel(x, v, p, q, r, s, (ix * ny + iy) * nz + k, dx, dy, 1, t1, t0, hx, hy, hz, n);
    }
    TILE_FOR(j, rows) {
      Index iy = y0 + j, dy = (iy + 1 < ny ? 1 : 1 - ny) * nz;
      split_voxel(x, v, p, q, r, s, (ix * ny + iy) * nz + nz - 1, dx, dy, 1 - nz, t1, t0, hx, hy, hz, n);
    }
  }
}

// tgv_adjoint at voxel i; dx, dy, dz are the distances to the preceding voxels.
FN void adjoint_voxel(const float* r, const float* s, float* x, float* v, Index i, Index dx, Index dy, Index dz,
                      float mu1, float mu0, float hx, float hy, float hz, Index n) {
  float gx = mu0 * hx, gy = mu0 * hy, gz = mu0 * hz;
  const float* rx = r + i;
  const float* ry = r + n + i;
  const float* rz = r + 2 * n + i;
  const float* xx = s + i;
  const float* yy = s + n + i;
  const float* zz = s + 2 * n + i;
  const float* xy = s + 3 * n + i;
  const float* xz = s + 4 * n + i;
  const float* yz = s + 5 * n + i;
  x[i] = (rx[dx] - rx[0]) * hx + (ry[dy] - ry[0]) * hy + (rz[dz] - rz[0]) * hz;
  v[i] = (xx[dx] - xx[0]) * gx + ((xy[dy] - xy[0]) * gy + (xz[dz] - xz[0]) * gz) * SQRT_HALF_F - mu1 * rx[0];
  v[n + i] =
      (yy[dy] - yy[0]) * gy + ((xy[dx] - xy[0]) * gx + (yz[dz] - yz[0]) * gz) * SQRT_HALF_F - mu1 * ry[0];
  v[2 * n + i] =
      (zz[dz] - zz[0]) * gz + ((xz[dx] - xz[0]) * gx + (yz[dy] - yz[0]) * gy) * SQRT_HALF_F - mu1 * rz[0];
}

// x <- grad^T r,  v <- mu0 (sym grad)^T s - mu1 r: the right-hand sides of the normal equations of x and v.
KERNEL(tgv_adjoint,
       (const float* RESTRICT r, const float* RESTRICT s, float* RESTRICT x, float* RESTRICT v, float mu1,
        float mu0, float hx, float hy, float hz, Index nx, Index ny, Index nz),
       (r, s, x, v, mu1, mu0, hx, hy, hz, nx, ny, nz)) {
  Index n = nx * ny * nz, blocks = (ny + TGV_ROWS - 1) / TGV_ROWS;
  FOR_TILES(tile, nx * blocks) {
    Index ix = tile / blocks, y0 = tile % blocks * TGV_ROWS;
    Index dx = (ix > 0 ? -1 : nx - 1) * ny * nz;
    int rows = (int)(ny - y0 < TGV_ROWS ? ny - y0 : TGV_ROWS);
    TILE_FOR2(j, k, rows, (int)nz - 1) {
      Index iy = y0 + j, dy = (iy > 0 ? -1 : ny - 1) * nz;
      adjoint_voxel(r, s, x, v, (ix * ny + iy) * nz + k + 1, dx, dy, -1, mu1, mu0, hx, hy, hz, n);
    }
    TILE_FOR(j, rows) {
      Index iy = y0 + j, dy = (iy > 0 ? -1 : ny - 1) * nz;
      adjoint_voxel(r, s, x, v, (ix * ny + iy) * nz, dx, dy, nz - 1, mu1, mu0, hx, hy, hz, n);
    }
  }
}

// x and v from their right-hand sides g = F grad^T r, v = F of tgv_adjoint's, and data = F (z2 - u2), times `scale`;
// data becomes A x^. (sym grad)^T sym grad is (|E|^2 + E E^H) / 2, so the part of v perpendicular to E decouples, and
// the parallel part, v = E w, is coupled with x:
//   (mu1 |E|^2 + mu2 A^2) x - mu1 |E|^2 w = mu1 g + mu2 A data
//   -mu1 x + (mu1 + mu0 |E|^2) w = E^H v / |E|^2
// ex, ey, ez are E_a of the axes. The mean of x becomes 0.
KERNEL(tgv_kspace_step,
       (Complex* RESTRICT gradient, Complex* RESTRICT data, Complex* RESTRICT v, const float* RESTRICT response,
        const Complex* RESTRICT ex, const Complex* RESTRICT ey, const Complex* RESTRICT ez, float mu1,
        float mu2, float mu0, float scale, Index nx, Index ny, Index nh),
       (gradient, data, v, response, ex, ey, ez, mu1, mu2, mu0, scale, nx, ny, nh)) {
  Index n = nx * ny * nh;
  FOR_ROWS(row, nx * ny) {
    Complex a = ex[row / ny], b = ey[row % ny];
    float exy = a.re * a.re + a.im * a.im + b.re * b.re + b.im * b.im;
    Complex* g = gradient + row * nh;
    Complex* d = data + row * nh;
    Complex* vx = v + row * nh;
    Complex* vy = v + n + row * nh;
    Complex* vz = v + 2 * n + row * nh;
    const float* response_row = response + row * nh;
    ROW_FOR(k, (int)nh) {
      Complex c = ez[k];
      float A = response_row[k], e = exy + c.re * c.re + c.im * c.im;
      float soft = mu1 + 0.5f * mu0 * e, safe_e = e > 0.0f ? e : 1.0f;
      float both = 1.0f / (soft * safe_e);
      float inverse_e = e > 0.0f ? soft * both : 0.0f, across = scale * safe_e * both;
      float stiff = mu1 + mu0 * e, own = mu1 * e + mu2 * A * A;
      float determinant = mu1 * mu0 * e * e + mu2 * A * A * stiff;
      float inverse = determinant > 0.0f ? scale / determinant : 0.0f;
      float b_re = mu1 * g[k].re + mu2 * A * d[k].re;
      float b_im = mu1 * g[k].im + mu2 * A * d[k].im;
      float along_re = a.re * vx[k].re + a.im * vx[k].im + b.re * vy[k].re + b.im * vy[k].im + c.re * vz[k].re +
                       c.im * vz[k].im;
      float along_im = a.re * vx[k].im - a.im * vx[k].re + b.re * vy[k].im - b.im * vy[k].re + c.re * vz[k].im -
                       c.im * vz[k].re;
      float x_re = (stiff * b_re + mu1 * along_re) * inverse;
      float x_im = (stiff * b_im + mu1 * along_im) * inverse;
      along_re *= inverse_e;
      along_im *= inverse_e;
      float w_re = (mu1 * b_re + own * along_re) * inverse - across * along_re;
      float w_im = (mu1 * b_im + own * along_im) * inverse - across * along_im;
      vx[k].re = a.re * w_re - a.im * w_im + across * vx[k].re;
      vx[k].im = a.re * w_im + a.im * w_re + across * vx[k].im;
      vy[k].re = b.re * w_re - b.im * w_im + across * vy[k].re;
      vy[k].im = b.re * w_im + b.im * w_re + across * vy[k].im;
      vz[k].re = c.re * w_re - c.im * w_im + across * vz[k].re;
      vz[k].im = c.re * w_im + c.im * w_re + across * vz[k].im;
      g[k].re = x_re;
      g[k].im = x_im;
      d[k].re = A * x_re;
      d[k].im = A * x_im;
    }
  }
}

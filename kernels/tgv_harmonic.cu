// One ADMM iteration for second-order total generalised variation,
//   min_{x, w}  data(x) + alpha1 ||grad x - w||_1 + alpha0 ||eps w||_1,   eps the symmetrised gradient,
// with the splits z1 = grad x - w and z0 = eps w, whose scaled multipliers are p. Periodic differences.
// Staggered: w_a lies on faces along a, eps_aa in the voxels (backward), eps_ab on edges (forward both ways), so
// nothing depends on the direction of the axes. Parts of p and q: 0 to 2 z1, 3 to 5 eps_aa, 6 to 8 eps_xy, eps_xz,
// eps_yz.
#include "tile.h"

FN float clamp_to(float v, float t) { return v < -t ? -t : v > t ? t : v; }

// p <- v cut off at +-t, q <- v - 2 cut = z - p, for v = split operator + old p.
FN void dual(float v, float t, float* p, float* q, Index i) {
  float cut = clamp_to(v, t);
  p[i] = cut;
  q[i] = v - 2.0f * cut;
}

KERNEL(tgv_harmonic_dual_step,
       (const float* RESTRICT x, const float* RESTRICT wx, const float* RESTRICT wy, const float* RESTRICT wz,
        float* RESTRICT p, float* RESTRICT q, float t1, float t0, float hx, float hy, float hz, Index nx,
        Index ny, Index nz),
       (x, wx, wy, wz, p, q, t1, t0, hx, hy, hz, nx, ny, nz)) {
  Index n = nx * ny * nz;
  FOR_TILES(row, nx * ny) {
    Index ix = row / ny, iy = row % ny, start = row * nz;
    Index xp = (ix + 1 == nx ? 1 - nx : 1) * ny * nz, xm = (ix == 0 ? nx - 1 : -1) * ny * nz;
    Index yp = (iy + 1 == ny ? 1 - ny : 1) * nz, ym = (iy == 0 ? ny - 1 : -1) * nz;
    TILE_FOR(k, (int)nz) {
      Index i = start + k, zp = k + 1 == (int)nz ? 1 - nz : 1, zm = k == 0 ? nz - 1 : -1;
      dual((x[i + xp] - x[i]) * hx - wx[i] + p[i], t1, p, q, i);
      dual((x[i + yp] - x[i]) * hy - wy[i] + p[n + i], t1, p, q, n + i);
      dual((x[i + zp] - x[i]) * hz - wz[i] + p[2 * n + i], t1, p, q, 2 * n + i);
      dual((wx[i] - wx[i + xm]) * hx + p[3 * n + i], t0, p, q, 3 * n + i);
      dual((wy[i] - wy[i + ym]) * hy + p[4 * n + i], t0, p, q, 4 * n + i);
      dual((wz[i] - wz[i + zm]) * hz + p[5 * n + i], t0, p, q, 5 * n + i);
      float xy = 0.5f * ((wy[i + xp] - wy[i]) * hx + (wx[i + yp] - wx[i]) * hy);
      float xz = 0.5f * ((wz[i + xp] - wz[i]) * hx + (wx[i + zp] - wx[i]) * hz);
      float yz = 0.5f * ((wz[i + yp] - wz[i]) * hy + (wy[i + zp] - wy[i]) * hz);
      dual(xy + p[6 * n + i], t0, p, q, 6 * n + i);
      dual(xz + p[7 * n + i], t0, p, q, 7 * n + i);
      dual(yz + p[8 * n + i], t0, p, q, 8 * n + i);
    }
  }
}

// gx = grad^T q1,  g1 to g3 = mu0 eps^T q0 - mu1 q1. Off-diagonal parts of eps count twice.
KERNEL(tgv_harmonic_adjoint,
       (const float* RESTRICT q, float* RESTRICT gx, float* RESTRICT g1, float* RESTRICT g2, float* RESTRICT g3,
        float mu1, float mu0, float hx, float hy, float hz, Index nx, Index ny, Index nz),
       (q, gx, g1, g2, g3, mu1, mu0, hx, hy, hz, nx, ny, nz)) {
  Index n = nx * ny * nz;
  FOR_TILES(row, nx * ny) {
    Index ix = row / ny, iy = row % ny, start = row * nz;
    Index xp = (ix + 1 == nx ? 1 - nx : 1) * ny * nz, xm = (ix == 0 ? nx - 1 : -1) * ny * nz;
    Index yp = (iy + 1 == ny ? 1 - ny : 1) * nz, ym = (iy == 0 ? ny - 1 : -1) * nz;
    TILE_FOR(k, (int)nz) {
      Index i = start + k, zp = k + 1 == (int)nz ? 1 - nz : 1, zm = k == 0 ? nz - 1 : -1;
      const float* a = q + i;
      gx[i] = (a[xm] - a[0]) * hx + (a[n + ym] - a[n]) * hy + (a[2 * n + zm] - a[2 * n]) * hz;
      const float* d = a + 3 * n;
      const float* c = a + 6 * n;
      float of_x = (d[0] - d[xp]) * hx + (c[ym] - c[0]) * hy + (c[n + zm] - c[n]) * hz;
      float of_y = (d[n] - d[n + yp]) * hy + (c[xm] - c[0]) * hx + (c[2 * n + zm] - c[2 * n]) * hz;
      float of_z = (d[2 * n] - d[2 * n + zp]) * hz + (c[n + xm] - c[n]) * hx + (c[2 * n + ym] - c[2 * n]) * hy;
      g1[i] = mu0 * of_x - mu1 * a[0];
      g2[i] = mu0 * of_y - mu1 * a[n];
      g3[i] = mu0 * of_z - mu1 * a[2 * n];
    }
  }
}

FN Complex times_conjugate(Complex a, Complex b) {
  return Complex{a.re * b.re + a.im * b.im, a.im * b.re - a.re * b.im};
}

// The quadratic problem of x, w and a harmonic field h, times `scale`: least mu1/2 |grad x - w - q1|^2 +
// mu0/2 |eps w - q0|^2 + mu2/2 |A x + h - d|^2 + mu3/2 |laplace h - c|^2. With e the symbol of grad,
// eps^H eps = (|e|^2 + e e^H) / 2, so w and h are eliminated in closed form.
// In: gx to g3 as tgv_harmonic_adjoint gives them, data = d, harmonic = c. Out: gx = x, g1 to g3 = w, data = A x + h,
// harmonic = laplace h.
KERNEL(tgv_harmonic_kspace_step,
       (Complex* RESTRICT gx, Complex* RESTRICT g1, Complex* RESTRICT g2, Complex* RESTRICT g3,
        Complex* RESTRICT data, Complex* RESTRICT harmonic, const float* RESTRICT response,
        const Complex* RESTRICT ex, const Complex* RESTRICT ey, const Complex* RESTRICT ez, float mu1,
        float mu0, float mu2, float mu3, float scale, Index nx, Index ny, Index nh),
       (gx, g1, g2, g3, data, harmonic, response, ex, ey, ez, mu1, mu0, mu2, mu3, scale, nx, ny, nh)) {
  FOR_TILES(row, nx * ny) {
    Complex sx = ex[row / ny], sy = ey[row % ny];
    float exy = sx.re * sx.re + sx.im * sx.im + sy.re * sy.re + sy.im * sy.im;
    TILE_FOR(k, (int)nh) {
      Index i = row * nh + k;
      Complex sz = ez[k], gw_x = g1[i], gw_y = g2[i], gw_z = g3[i];
      float e = exy + sz.re * sz.re + sz.im * sz.im, a = response[i];
      float own = mu1 + 0.5f * mu0 * e, inverse_own = 1.0f / own, inverse_tau = 1.0f / (mu1 + mu0 * e);
      float stiff = mu2 + mu3 * e * e, kappa = mu2 * mu3 * e / stiff;
      Complex px = times_conjugate(gw_x, sx), py = times_conjugate(gw_y, sy), pz = times_conjugate(gw_z, sz);
      float sigma_re = px.re + py.re + pz.re, sigma_im = px.im + py.im + pz.im;
      Complex d = data[i], c = harmonic[i];
      float right_re = mu1 * (gx[i].re + sigma_re * inverse_tau) + a * kappa * (e * d.re + c.re);
      float right_im = mu1 * (gx[i].im + sigma_im * inverse_tau) + a * kappa * (e * d.im + c.im);
      float left = mu1 * mu0 * e * e * inverse_tau + kappa * e * a * a;
      float inverse = left > 0.0f ? 1.0f / left : 0.0f;
      float x_re = right_re * inverse, x_im = right_im * inverse;
      float f_re = mu1 * x_re - 0.5f * mu0 * (sigma_re + mu1 * e * x_re) * inverse_tau;
      float f_im = mu1 * x_im - 0.5f * mu0 * (sigma_im + mu1 * e * x_im) * inverse_tau;
      float of_w = scale * inverse_own;
      gx[i] = Complex{x_re * scale, x_im * scale};
      g1[i].re = (gw_x.re + sx.re * f_re - sx.im * f_im) * of_w;
      g1[i].im = (gw_x.im + sx.re * f_im + sx.im * f_re) * of_w;
      g2[i].re = (gw_y.re + sy.re * f_re - sy.im * f_im) * of_w;
      g2[i].im = (gw_y.im + sy.re * f_im + sy.im * f_re) * of_w;
      g3[i].re = (gw_z.re + sz.re * f_re - sz.im * f_im) * of_w;
      g3[i].im = (gw_z.im + sz.re * f_im + sz.im * f_re) * of_w;
      float h_re = (mu2 * (d.re - a * x_re) - mu3 * e * c.re) / stiff;
      float h_im = (mu2 * (d.im - a * x_im) - mu3 * e * c.im) / stiff;
      data[i] = Complex{(a * x_re + h_re) * scale, (a * x_im + h_im) * scale};
      harmonic[i] = Complex{-e * h_re * scale, -e * h_im * scale};
    }
  }
}

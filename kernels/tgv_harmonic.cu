// The k-space step of total generalised variation with a nearly harmonic field in the data; the other steps are those
// of tgv.cu.
#include "tile.h"

// Solves the quadratic problem of x, w and a harmonic field h, times `scale`: minimise mu1/2 |grad x - w - q1|^2 +
// mu0/2 |eps w - q0|^2 + mu2/2 |A x + h - d|^2 + mu3/2 |laplace h - c|^2. With the symbol e of grad, eps^H
// eps = (|e|^2 + e e^H) / 2, so w and h are eliminated in closed form.
// In: gx to g3 as tgv_adjoint gives x and v, data = d, harmonic = c. Out: gx = x, g1 to g3 = w, data = A x + h,
// harmonic = laplace h.
KERNEL(tgv_harmonic_kspace_step,
       (Complex* RESTRICT gx, Complex* RESTRICT g1, Complex* RESTRICT g2, Complex* RESTRICT g3,
        Complex* RESTRICT data, Complex* RESTRICT harmonic, const float* RESTRICT response,
        const Complex* RESTRICT ex, const Complex* RESTRICT ey, const Complex* RESTRICT ez, float mu1,
        float mu0, float mu2, float mu3, float scale, Index nx, Index ny, Index nh),
       (gx, g1, g2, g3, data, harmonic, response, ex, ey, ez, mu1, mu0, mu2, mu3, scale, nx, ny, nh)) {
  FOR_ROWS(row, nx * ny) {
    Complex sx = ex[row / ny], sy = ey[row % ny];
    float exy = sx.re * sx.re + sx.im * sx.im + sy.re * sy.re + sy.im * sy.im;
    ROW_FOR(k, (int)nh) {
      Index i = row * nh + k;
      float sz_re = ez[k].re, sz_im = ez[k].im, d_re = data[i].re, d_im = data[i].im;
      float x1 = g1[i].re, y1 = g1[i].im, x2 = g2[i].re, y2 = g2[i].im, x3 = g3[i].re, y3 = g3[i].im;
      float c_re = harmonic[i].re, c_im = harmonic[i].im;
      float e = exy + sz_re * sz_re + sz_im * sz_im, a = response[i];
      float own = mu1 + 0.5f * mu0 * e, inverse_own = 1.0f / own, inverse_tau = 1.0f / (mu1 + mu0 * e);
      float stiff = mu2 + mu3 * e * e, kappa = mu2 * mu3 * e / stiff;
      float sigma_re = x1 * sx.re + y1 * sx.im + x2 * sy.re + y2 * sy.im + x3 * sz_re + y3 * sz_im;
      float sigma_im = y1 * sx.re - x1 * sx.im + y2 * sy.re - x2 * sy.im + y3 * sz_re - x3 * sz_im;
      float right_re = mu1 * (gx[i].re + sigma_re * inverse_tau) + a * kappa * (e * d_re + c_re);
      float right_im = mu1 * (gx[i].im + sigma_im * inverse_tau) + a * kappa * (e * d_im + c_im);
      float left = mu1 * mu0 * e * e * inverse_tau + kappa * e * a * a;
      float inverse = left > 0.0f ? 1.0f / left : 0.0f;
      float x_re = right_re * inverse, x_im = right_im * inverse;
      float f_re = mu1 * x_re - 0.5f * mu0 * (sigma_re + mu1 * e * x_re) * inverse_tau;
      float f_im = mu1 * x_im - 0.5f * mu0 * (sigma_im + mu1 * e * x_im) * inverse_tau;
      float of_w = scale * inverse_own;
      gx[i].re = x_re * scale;
      gx[i].im = x_im * scale;
      g1[i].re = (x1 + sx.re * f_re - sx.im * f_im) * of_w;
      g1[i].im = (y1 + sx.re * f_im + sx.im * f_re) * of_w;
      g2[i].re = (x2 + sy.re * f_re - sy.im * f_im) * of_w;
      g2[i].im = (y2 + sy.re * f_im + sy.im * f_re) * of_w;
      g3[i].re = (x3 + sz_re * f_re - sz_im * f_im) * of_w;
      g3[i].im = (y3 + sz_re * f_im + sz_im * f_re) * of_w;
      float h_re = (mu2 * (d_re - a * x_re) - mu3 * e * c_re) / stiff;
      float h_im = (mu2 * (d_im - a * x_im) - mu3 * e * c_im) / stiff;
      data[i].re = (a * x_re + h_re) * scale;
      data[i].im = (a * x_im + h_im) * scale;
      harmonic[i].re = -e * h_re * scale;
      harmonic[i].im = -e * h_im * scale;
    }
  }
}

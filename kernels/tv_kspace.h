// The k-space step of the ADMM with a harmonic field, for kernels/tv.cu and, between the passes of a transform on the
// CPU, kernels/fft.cpp.
#pragma once
#include "tile.h"

struct HarmonicStep {
  float mu1, mu2, mu3, pull, relax, scale;
};

// One row of the spectra; exy = ex + ey of this row. See tv_harmonic_kspace_step.
FN void tv_harmonic_row(Complex* RESTRICT g, Complex* RESTRICT d, Complex* RESTRICT c,
                        const float* RESTRICT response, float exy, const float* RESTRICT ez, HarmonicStep p,
                        int nh) {
  float more = 1.0f + p.relax, less = p.relax * p.scale;
  ROW_FOR(k, nh) {
    float a = response[k], e = exy + ez[k];
    float curvature = p.mu1 * (e + p.pull) + p.mu2 * a * a;
    float determinant = p.mu1 * p.mu2 * (e + p.pull) + p.mu3 * e * e * curvature;
    float inverse = determinant > 0.0f ? p.scale / determinant : 0.0f;
    float alone = determinant > 0.0f ? 0.0f : p.scale;
    float of_g = (p.mu1 * p.mu2 + p.mu3 * e * e * p.mu1) * inverse;
    float of_d = p.mu3 * e * e * p.mu2 * a * inverse;
    float of_c = p.mu3 * e * p.mu2 * a * inverse;
    float h_of_g = -p.mu1 * p.mu2 * a * inverse;
    float h_of_d = p.mu1 * p.mu2 * (e + p.pull) * inverse + alone;
    float h_of_c = -p.mu3 * e * curvature * inverse;
    float x_re = of_g * g[k].re + of_d * d[k].re + of_c * c[k].re;
    float x_im = of_g * g[k].im + of_d * d[k].im + of_c * c[k].im;
    float h_re = h_of_g * g[k].re + h_of_d * d[k].re + h_of_c * c[k].re;
    float h_im = h_of_g * g[k].im + h_of_d * d[k].im + h_of_c * c[k].im;
    g[k].re = x_re;
    g[k].im = x_im;
    d[k].re = more * (a * x_re + h_re) - less * d[k].re;
    d[k].im = more * (a * x_im + h_im) - less * d[k].im;
    c[k].re = -more * e * h_re - less * c[k].re;
    c[k].im = -more * e * h_im - less * c[k].im;
  }
}

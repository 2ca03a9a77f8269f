// One step of nonlinear dipole inversion: gradient descent on
// sum W^2 (1 - cos(r (A x - f))) / r^2 + alpha / 2 ||x||^2, with A a convolution and x stored as its spectrum.
#include "vmath.h"

// ax <- W^2 sin(r (ax - f)) / r, the gradient of the data term in A x. w2 = W^2, r = `radians`.
KERNEL(ndi_residual,
       (float* RESTRICT ax, const float* RESTRICT f, const float* RESTRICT w2, float radians, Index nx,
        Index ny, Index nz),
       (ax, f, w2, radians, nx, ny, nz)) {
  float inverse_radians = 1.0f / radians;
  FOR_VOXELS(i, nx * ny * nz) { ax[i] = w2[i] * fsin(wrap(radians * (ax[i] - f[i]))) * inverse_radians; }
}

// x^ <- x^ - step (A residual^ + alpha x^); residual^ <- A x^ `scale`, ready for the inverse transform.
KERNEL(ndi_update,
       (Complex* RESTRICT x, Complex* RESTRICT residual, const float* RESTRICT response, float step,
        float alpha, float scale, Index nx, Index ny, Index nh),
       (x, residual, response, step, alpha, scale, nx, ny, nh)) {
  FOR_VOXELS(i, nx * ny * nh) {
    float a = response[i];
    float re = x[i].re - step * (a * residual[i].re + alpha * x[i].re);
    float im = x[i].im - step * (a * residual[i].im + alpha * x[i].im);
    x[i].re = re;
    x[i].im = im;
    residual[i].re = a * re * scale;
    residual[i].im = a * im * scale;
  }
}

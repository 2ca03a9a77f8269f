// Three-dimensional Fourier transforms of real arrays on the CPU, alone and with a step in k-space between them. That step
// works on the columns of one y, while they are in the cache.
#include "fft_planes.h"
#include "tv_kspace.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT int fft_forward(const float* x, Complex* spectrum, const int* radices, const Complex* twiddles,
                       const Complex* halves, int threads, Index nx, Index ny, Index nz, Index nh, Index most,
                       Index total) {
  const Grid grid{nx, ny, nz, nh};
  const Transform transform{plans_of(grid, radices, twiddles, halves, most), grid};
  (void)total;
  return in_steps(
      grid, threads, nx, [=](Index i, Workspace& space) { transform.forward_plane(x, spectrum, i, space); }, ny,
      [=](Index i, Workspace& space) { transform.columns<false>(spectrum, i, space); }, 0, kNothing);
}

EXPORT int fft_inverse(Complex* spectrum, float* x, const int* radices, const Complex* twiddles,
                       const Complex* halves, int threads, Index nx, Index ny, Index nh, Index nz, Index most,
                       Index total) {
  const Grid grid{nx, ny, nz, nh};
  const Transform transform{plans_of(grid, radices, twiddles, halves, most), grid};
  (void)total;
  return in_steps(
      grid, threads, ny, [=](Index i, Workspace& space) { transform.columns<true>(spectrum, i, space); }, nx,
      [=](Index i, Workspace& space) { transform.inverse_plane(spectrum, x, i, space); }, 0, kNothing);
}

// out = scale F^-1 response F x: the response is applied to the columns of one y while they are in the cache.
EXPORT int fft_filter(const float* x, const float* response, Complex* spectrum, float* out, const int* radices,
                      const Complex* twiddles, const Complex* halves, float scale, int threads, Index nx,
                      Index ny, Index nz, Index nh, Index most, Index total) {
  const Grid grid{nx, ny, nz, nh};
  const Transform transform{plans_of(grid, radices, twiddles, halves, most), grid};
  (void)total;
  return in_steps(
      grid, threads, nx, [=](Index i, Workspace& space) { transform.forward_plane(x, spectrum, i, space); }, ny,
      [=](Index i, Workspace& space) {
        transform.columns<false>(spectrum, i, space);
        for (Index row = i; row < nx * ny; row += ny)
          for (Index k = row * nh; k < (row + 1) * nh; ++k) {
            spectrum[k].re *= scale * response[k];
            spectrum[k].im *= scale * response[k];
          }
        transform.columns<true>(spectrum, i, space);
      },
      nx, [=](Index i, Workspace& space) { transform.inverse_plane(spectrum, out, i, space); });
}

// tv_harmonic_kspace_step between transforms of the images and of the results, which may be the same arrays.
EXPORT int fft_tv_harmonic(const float* gradient_image, const float* data_image, const float* harmonic_image,
                           Complex* gradient, Complex* data, Complex* harmonic, float* gradient_result,
                           float* data_result, float* harmonic_result, const float* response, const float* ex,
                           const float* ey, const float* ez, float mu1, float mu2, float mu3, float pull,
                           float relax, float scale, const int* radices, const Complex* twiddles,
                           const Complex* halves, int threads, Index nx, Index ny, Index nz, Index nh,
                           Index most, Index total) {
  const Grid grid{nx, ny, nz, nh};
  const Transform transform{plans_of(grid, radices, twiddles, halves, most), grid};
  const HarmonicStep step = {mu1, mu2, mu3, pull, relax, scale};
  (void)total;
  return in_steps(
      grid, threads, nx,
      [=](Index i, Workspace& space) {
        transform.forward_plane(gradient_image, gradient, i, space);
        transform.forward_plane(data_image, data, i, space);
        transform.forward_plane(harmonic_image, harmonic, i, space);
      },
      ny,
      [=](Index i, Workspace& space) {
        for (Complex* spectrum : {gradient, data, harmonic}) transform.columns<false>(spectrum, i, space);
        for (Index j = 0; j < nx; ++j) {
          const Index row = (j * ny + i) * nh;
          tv_harmonic_row(gradient + row, data + row, harmonic + row, response + row, ex[j] + ey[i], ez, step,
                          (int)nh);
        }
        for (Complex* spectrum : {gradient, data, harmonic}) transform.columns<true>(spectrum, i, space);
      },
      nx,
      [=](Index i, Workspace& space) {
        transform.inverse_plane(gradient, gradient_result, i, space);
        transform.inverse_plane(data, data_result, i, space);
        transform.inverse_plane(harmonic, harmonic_result, i, space);
      });
}

// Spherical mean values: the passes of SHARP-type background removal between its FFTs.
#include "tile.h"

// mean_field = field * mean, mean_mask = mask * sphere, all of them spectra; those of the sphere and of the mean over
// it are real, since both are symmetric. `scale` is that of the inverse FFT.
KERNEL(smv_spectra,
       (const Complex* RESTRICT field, const Complex* RESTRICT mask, const float* RESTRICT mean,
        const float* RESTRICT sphere, Complex* RESTRICT mean_field, Complex* RESTRICT mean_mask, float scale,
        Index nx, Index ny, Index nh),
       (field, mask, mean, sphere, mean_field, mean_mask, scale, nx, ny, nh)) {
  FOR_VOXELS(i, nx * ny * nh) {
    float m = mean[i] * scale, s = sphere[i] * scale;
    mean_field[i].re = field[i].re * m;
    mean_field[i].im = field[i].im * m;
    mean_mask[i].re = mask[i].re * s;
    mean_mask[i].im = mask[i].im * s;
  }
}

// If the sphere lies entirely in the mask (mean_mask >= full) and no larger sphere did (inside == 0):
// filtered = field - mean_field, inside = 1.
KERNEL(smv_select,
       (const float* RESTRICT field, const float* RESTRICT mean_field, const float* RESTRICT mean_mask,
        float* RESTRICT filtered, float* RESTRICT inside, float full, Index nx, Index ny, Index nz),
       (field, mean_field, mean_mask, filtered, inside, full, nx, ny, nz)) {
  FOR_VOXELS(i, nx * ny * nz) {
    bool takes = inside[i] == 0.0f && mean_mask[i] >= full;
    filtered[i] = takes ? field[i] - mean_field[i] : filtered[i];
    inside[i] = takes ? 1.0f : inside[i];
  }
}

// Deconvolution by 1 - mean: spectrum / (1 - mean) where the divisor is at least `threshold`, else 0.
KERNEL(smv_deconvolve,
       (Complex* RESTRICT spectrum, const float* RESTRICT mean, float threshold, float scale, Index nx,
        Index ny, Index nh),
       (spectrum, mean, threshold, scale, nx, ny, nh)) {
  FOR_VOXELS(i, nx * ny * nh) {
    float high_pass = 1.0f - mean[i];
    float factor = high_pass >= threshold ? scale / high_pass : 0.0f;
    spectrum[i].re *= factor;
    spectrum[i].im *= factor;
  }
}

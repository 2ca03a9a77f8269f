// MERIT: reduces the weight of data that the model does not explain.
#include "vmath.h"

// ax <- W |exp(i r ax) - exp(i r f)| / r = 2 W |sin(r (ax - f) / 2)| / r. w2 = W^2, r = `radians`.
KERNEL(merit_residual,
       (float* RESTRICT ax, const float* RESTRICT f, const float* RESTRICT w2, float radians, Index nx,
        Index ny, Index nz),
       (ax, f, w2, radians, nx, ny, nz)) {
  float factor = 2.0f / radians;
  FOR_VOXELS(i, nx * ny * nz) {
    float half_turn = 0.5f * wrap(radians * (ax[i] - f[i]));
    ax[i] = fsqrt(w2[i]) * fabs1(fsin(half_turn)) * factor;
  }
}

// w2 <- w2 / max(residual `inverse_cut`, 1)^4: the standard deviation grows with the square of the excess.
KERNEL(merit_weight,
       (float* RESTRICT w2, const float* RESTRICT residual, float inverse_cut, Index nx, Index ny, Index nz),
       (w2, residual, inverse_cut, nx, ny, nz)) {
  FOR_VOXELS(i, nx * ny * nz) {
    float excess = fmax2(residual[i] * inverse_cut, 1.0f);
    float square = excess * excess;
    w2[i] = w2[i] / (square * square);
  }
}

// Proximal steps of absolute errors, for the data split z = A x of ADMM (see tv.cu): with s = ax + u and
// z = argmin w loss(z - f) + mu/2 (z - s)^2,  u <- s - z  and  ax <- z - u (new). w = W, the root of w2.
// `relax` as in tv_data_step.
#include "vmath.h"

// loss(e) = |e|: z - f is s - f shrunk by w / mu.
KERNEL(tv_data_step_absolute,
       (float* RESTRICT ax, float* RESTRICT u, const float* RESTRICT f, const float* RESTRICT w2, float mu,
        float relax, Index nx, Index ny, Index nz),
       (ax, u, f, w2, mu, relax, nx, ny, nz)) {
  float inverse_mu = 1.0f / mu;
  FOR_VOXELS(i, nx * ny * nz) {
    float s = ax[i] - relax * u[i] + u[i];
    float t = fsqrt(w2[i]) * inverse_mu;
    float multiplier = clampf(s - f[i], -t, t);
    u[i] = multiplier;
    ax[i] = s - 2.0f * multiplier;
  }
}

// One step of Newton's method for theta + kappa cos(theta / 2) = target with 0 <= theta <= target <= pi.
FN float absolute_newton_step(float theta, float kappa, float target) {
  float sine = sin_half(0.5f * theta);
  float cosine = sin_half(0.5f * (PI_F - theta));
  float slope = fmax2(1.0f - 0.5f * kappa * sine, 1e-3f);
  return clampf(theta + (target - theta - kappa * cosine) / slope, 0.0f, target);
}

// loss(e) = |exp(i r e) - 1| / r = 2 |sin(r e / 2)| / r, r = `radians`. With theta = r (z - f) >= 0 and target = r
// (s - f) in [0, pi] (the other turns and signs follow by symmetry) the derivative of the sum is theta + kappa
// cos(theta / 2) - target, kappa = r w / mu: concave, and not negative at theta = target. The minimum is therefore at
// 0 if target <= kappa, else at its only zero, which Newton's method approaches monotonically from 0; the first step
// from there, target - kappa, is that of tv_data_step_absolute.
KERNEL(tv_data_step_absolute_phase,
       (float* RESTRICT ax, float* RESTRICT u, const float* RESTRICT f, const float* RESTRICT w2, float mu,
        float relax, float radians, Index nx, Index ny, Index nz),
       (ax, u, f, w2, mu, relax, radians, nx, ny, nz)) {
  float inverse_radians = 1.0f / radians, kappa_unit = radians / mu;
  FOR_VOXELS(i, nx * ny * nz) {
    float s = ax[i] - relax * u[i] + u[i];
    float kappa = fsqrt(w2[i]) * kappa_unit;
    float rest = wrap(radians * (s - f[i]));
    float target = fmin2(fabs1(rest), PI_F);
    float theta = fmax2(target - kappa, 0.0f);
    theta = absolute_newton_step(theta, kappa, target);
    theta = absolute_newton_step(theta, kappa, target);
    float multiplier = (target - theta) * inverse_radians;
    multiplier = target <= kappa ? target * inverse_radians : multiplier;
    multiplier = rest < 0.0f ? -multiplier : multiplier;
    u[i] = multiplier;
    ax[i] = s - 2.0f * multiplier;
  }
}

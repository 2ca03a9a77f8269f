// Maps of a fit of s(t) = s0 exp(-R2* t).
#pragma once
#include "vmath.h"

struct Decay {
  float r2star, t2star, s0;
};

// The three maps of a voxel: t2star = min(1 / R2*, longest); all 0 outside the mask and without signal.
FN Decay bounded_decay(float rate, float s0, int inside, float longest) {
  float t2 = fmin2(1.0f / fmax2(rate, 1e-30f), longest);
  int signal = (inside != 0) & (s0 > 0.0f);
  Decay decay = {signal ? rate : 0.0f, signal ? t2 : 0.0f, signal ? s0 : 0.0f};
  return decay;
}

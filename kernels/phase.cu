// Phase arithmetic of MCPC-3D-S (10.1002/mrm.26963): the phase at echo time 0.
#include "vmath.h"

// Hermitian product of two echoes: its phase, and the square root of its modulus as a magnitude; 0 outside the mask.
KERNEL(hermitian_product,
       (const float* RESTRICT phase1, const float* RESTRICT phase2, const float* RESTRICT magnitude1,
        const float* RESTRICT magnitude2, const u8* RESTRICT mask, float* RESTRICT angle,
        float* RESTRICT magnitude, Index n),
       (phase1, phase2, magnitude1, magnitude2, mask, angle, magnitude, n)) {
  FOR_VOXELS(i, n) {
    float difference = wrap(phase2[i] - phase1[i]);
    float product = fsqrt(fmax2(magnitude1[i], 0.0f)) * fsqrt(fmax2(magnitude2[i], 0.0f));
    angle[i] = mask[i] ? difference : 0.0f;
    magnitude[i] = mask[i] ? product : 0.0f;
  }
}

// exp(i offset) with offset = phase1 - ratio * difference, ratio = TE1 / (TE2 - TE1); 0 outside the mask.
KERNEL(offset_phasor,
       (const float* RESTRICT phase1, const float* RESTRICT difference, const u8* RESTRICT mask,
        float* RESTRICT re, float* RESTRICT im, float ratio, Index n),
       (phase1, difference, mask, re, im, ratio, n)) {
  FOR_VOXELS(i, n) {
    float offset = wrap(phase1[i] - ratio * difference[i]);
    float c = fcos(offset), s = fsin(offset);
    re[i] = mask[i] ? c : 0.0f;
    im[i] = mask[i] ? s : 0.0f;
  }
}

// Phase minus the angle of (re, im), wrapped; 0 outside the mask.
KERNEL(subtract_offset,
       (const float* RESTRICT phase, const float* RESTRICT re, const float* RESTRICT im,
        const u8* RESTRICT mask, float* RESTRICT corrected, Index n),
       (phase, re, im, mask, corrected, n)) {
  FOR_VOXELS(i, n) {
    float value = wrap(phase[i] - fatan2(im[i], re[i]));
    corrected[i] = mask[i] ? value : 0.0f;
  }
}

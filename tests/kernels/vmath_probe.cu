// The functions of vmath.h on arrays, for the accuracy tests.
#include "vmath.h"

KERNEL(probe_vmath, (const float* x, const float* y, float* results, Index n), (x, y, results, n)) {
  FOR_VOXELS(i, n) {
    results[i] = flog(x[i]);
    results[n + i] = fexp(y[i]);
    results[2 * n + i] = fsin(y[i]);
    results[3 * n + i] = fcos(y[i]);
    results[4 * n + i] = fatan2(y[i], x[i]);
    results[5 * n + i] = wrap(y[i]);
  }
}

// Layers of a convolutional network over a volume: dilated convolutions with 3 x 3 x 3 taps, and the class of each
// voxel.
//
// Rows along z have PAD zeros at both ends and between them a multiple of 32 voxels, so that no tap along z leaves
// its row and both halves of a row consist of whole strips. Taps beyond the other faces count as 0. Channels are
// computed in groups of GROUP, whose sums stay in registers for a strip of each half.
#define TILE_THREADS 128
#define TILE_LIMITS TILE_THREADS
#include "vmath.h"

#define GROUP 6
#define PAD 16
#define SIDE 3
#define TAPS 27

// Adds to sum the product of a strip of each half with one weight per channel.
FN void add_products(Strip (&sum)[2][GROUP], const float* at, Index half, const float* weight) {
  Strip first = strip_at(at), second = strip_at(at + half);
  for (int c = 0; c < GROUP; ++c) {
    sum[0][c] += first * weight[c];
    sum[1][c] += second * weight[c];
  }
}

// result = elu(bias + sum over input channels and taps of weight times activation), elu(x) = x for x > 0, else
// exp(x) - 1; the taps are `dilation` <= PAD voxels apart. Output channel o is number o % GROUP of group o / GROUP.
KERNEL(dilated_layer,
       (const float* RESTRICT activation, const float* RESTRICT weights, const float* RESTRICT bias,
        float* RESTRICT result, int dilation, Index inputs, Index nx, Index ny, Index pitch, Index groups,
        Index outputs),
       (activation, weights, bias, result, dilation, inputs, nx, ny, pitch, groups, outputs)) {
  Index n = nx * ny * pitch, half = pitch / 2 - PAD;
  FOR_TILES(t, nx * ny * groups) {
    Index row = t / groups, group = t % groups, x = row / ny, y = row % ny;
    int first = (int)(group * GROUP), last = (int)pitch - PAD;
    float* out = result + first * n + row * pitch;
    TILE_STRIPS(i, PAD, PAD + (int)half) {
      Strip sum[2][GROUP];
      for (int c = 0; c < GROUP; ++c) sum[0][c] = sum[1][c] = strip_of(bias[first + c]);
      for (Index channel = 0; channel < inputs; ++channel) {
        const float* weight = weights + (group * inputs + channel) * TAPS * GROUP;
        for (int a = 0; a < SIDE * SIDE; ++a, weight += SIDE * GROUP) {
          Index u = x + (a / SIDE - 1) * dilation, v = y + (a % SIDE - 1) * dilation;
          if (u < 0 || u >= nx || v < 0 || v >= ny) continue;
          const float* at = activation + channel * n + (u * ny + v) * pitch + i;
          add_products(sum, at - dilation, half, weight);
          add_products(sum, at, half, weight + GROUP);
          add_products(sum, at + dilation, half, weight + 2 * GROUP);
        }
      }
      for (int c = 0; c < GROUP; ++c) {
        put_strip(out + c * n + i, sum[0][c]);
        put_strip(out + c * n + i + half, sum[1][c]);
      }
    }
    TILE_SYNC();
    for (int c = 0; c < GROUP; ++c)
      TILE_FOR(i, (int)pitch) {
        float value = i >= PAD && i < last ? out[c * n + i] : 0.0f;
        out[c * n + i] = value > 0.0f ? value : fexp(value) - 1.0f;
      }
  }
}

// Class with the largest score = bias + sum over channels of weight times activation; of equal ones the first.
KERNEL(dilated_classes,
       (const float* RESTRICT activation, const float* RESTRICT weights, const float* RESTRICT bias,
        u8* RESTRICT found, Index inputs, Index n, Index classes),
       (activation, weights, bias, found, inputs, n, classes)) {
  FOR_VOXELS(i, n) {
    float most = 0.0f;
    int best = 0;
    for (int k = 0; k < (int)classes; ++k) {
      float score = bias[k];
      for (Index c = 0; c < inputs; ++c) score += activation[c * n + i] * weights[c * classes + k];
      best = k == 0 || score > most ? k : best;
      most = k == 0 || score > most ? score : most;
    }
    found[i] = (u8)best;
  }
}

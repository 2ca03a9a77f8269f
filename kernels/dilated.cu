// Layers of a convolutional network over a volume: dilated convolutions with 3 x 3 x 3 taps, and the class of each
// voxel.
//
// Rows along z have PAD zeros at both ends and between them a multiple of 32 voxels, so that no tap along z leaves
// its row and a row consists of whole pairs of strips. Taps beyond the other faces count as 0. The rows of all
// channels at one place lie side by side: a tile reads nine such pieces of memory. Channels are computed in groups of
// GROUP, whose sums stay in registers for a pair of strips. On a CPU they do so for CHANNELS inputs: the rows of these
// and the sums of a tile fit into the smallest cache.
#define TILE_THREADS 128
#define TILE_LIMITS TILE_THREADS
#include "vmath.h"

#define GROUP 6
#define PAD 16
#define SIDE 3
#define TAPS 27
#define CHANNELS 3

// Adds to sum the product of a pair of strips, `apart` floats apart, with one weight per channel.
FN void add_products(Strip (&sum)[2][GROUP], const float* at, Index apart, const float* weight) {
  Strip first = strip_at(at), second = strip_at(at + apart);
  for (int c = 0; c < GROUP; ++c) {
    sum[0][c] += first * weight[c];
    sum[1][c] += second * weight[c];
  }
}

// result = elu(bias + sum over input channels and taps of weight times activation), elu(x) = x for x > 0, else
// exp(x) - 1; the taps are `dilation` <= PAD voxels apart. Output channel o is number o % GROUP of group o / GROUP.
KERNEL(dilated_layer,
       (const float* RESTRICT activation, const float* RESTRICT weights, const float* RESTRICT bias,
        float* RESTRICT result, int dilation, Index nx, Index ny, Index inputs, Index pitch, Index groups,
        Index outputs),
       (activation, weights, bias, result, dilation, nx, ny, inputs, pitch, groups, outputs)) {
  int half = (int)(pitch / 2) - PAD;
  Index apart = TILE_PICK(STRIP, half);  // neighbouring strips share lines of the cache
  Index block = TILE_PICK(CHANNELS, inputs);  // inputs summed before the sums are put away
  FOR_TILES(t, nx * ny * groups) {
    Index row = t / groups, group = t % groups, x = row / ny, y = row % ny;
    int first = (int)(group * GROUP), last = (int)pitch - PAD;
    int low_x = x < dilation ? 0 : -1, high_x = x + dilation < nx ? 1 : 0;
    int low_y = y < dilation ? 0 : -1, high_y = y + dilation < ny ? 1 : 0;
    Index step_y = dilation * inputs * pitch, step_x = ny * step_y;
    const float* centre = activation + row * inputs * pitch;
    float* out = result + (row * outputs + first) * pitch;
    for (Index from = 0; from < inputs; from += block) {
      Index to = from + block < inputs ? from + block : inputs;
      TILE_STRIPS(k, 0, half) {
        int i = PAD + TILE_PICK(2 * k, k);
        Strip sum[2][GROUP];
        for (int c = 0; c < GROUP; ++c) {
          sum[0][c] = from ? strip_at(out + c * pitch + i) : strip_of(bias[first + c]);
          sum[1][c] = from ? strip_at(out + c * pitch + i + apart) : strip_of(bias[first + c]);
        }
        for (Index channel = from; channel < to; ++channel) {
          const float* at = centre + channel * pitch + i;
          const float* weight = weights + (group * inputs + channel) * TAPS * GROUP;
          for (int p = low_x; p <= high_x; ++p)
            for (int q = low_y; q <= high_y; ++q) {
              const float* beside = at + p * step_x + q * step_y;
              const float* factor = weight + (p * SIDE + q + SIDE + 1) * SIDE * GROUP;
              add_products(sum, beside - dilation, apart, factor);
              add_products(sum, beside, apart, factor + GROUP);
              add_products(sum, beside + dilation, apart, factor + 2 * GROUP);
            }
        }
        for (int c = 0; c < GROUP; ++c) {
          put_strip(out + c * pitch + i, sum[0][c]);
          put_strip(out + c * pitch + i + apart, sum[1][c]);
        }
      }
    }
    TILE_SYNC();
    for (int c = 0; c < GROUP; ++c)
      TILE_FOR(i, (int)pitch) {
        float value = i >= PAD && i < last ? out[c * pitch + i] : 0.0f;
        out[c * pitch + i] = value > 0.0f ? value : fexp(value) - 1.0f;
      }
  }
}

// Class with the largest score = bias + sum over channels of weight times activation; of equal ones the first.
KERNEL(dilated_classes,
       (const float* RESTRICT activation, const float* RESTRICT weights, const float* RESTRICT bias,
        u8* RESTRICT found, Index rows, Index inputs, Index pitch, Index classes),
       (activation, weights, bias, found, rows, inputs, pitch, classes)) {
  FOR_TILES(row, rows) {
    const float* in = activation + row * inputs * pitch;
    TILE_STRIPS(i, 0, (int)pitch) {
      Strip most = strip_of(0.0f), best = most;
      for (int k = 0; k < (int)classes; ++k) {
        Strip score = strip_of(bias[k]);
        for (Index c = 0; c < inputs; ++c) score += strip_at(in + c * pitch + i) * weights[c * classes + k];
        best = k == 0 ? best : strip_where(score <= most, best) + strip_where(score > most, strip_of((float)k));
        most = k == 0 ? score : strip_where(score <= most, most) + strip_where(score > most, score);
      }
      float number[STRIP];
      put_strip(number, best);
      for (int j = 0; j < STRIP; ++j) found[row * pitch + i + j] = (u8)number[j];
    }
  }
}

// From pictures to a network's input on a GPU: scaled, in the top left corner, with padding right and below.
//
// Grid: (enough for the pixels of an input, pictures), a thread a pixel. However a picture is scaled, in whatever steps,
// every pixel of the result is a weighted sum over some neighbouring columns and rows; the host brings the weights of
// each (resize_weights.py), and so the geometry is written nowhere else. Nothing is rounded but the result.

#include "host_device.h"

namespace {

constexpr int kColours = 3;
constexpr int kWhite = 255;

// What the host brings lies in one block of memory, which begins with a Picture for each picture. preprocessor.py writes
// it by the same fields; places are bytes from the block's beginning.

/// How the columns, or the rows, of the content are made from a picture's. Of each, the first one it takes, as `length`
/// numbers of type int; and the weights of that one and those that follow: `taps` times `length` numbers of type float,
/// the first weight of each before the second of any.
struct Axis {
    long long firsts, weights;
    int length, taps;
};

/// A picture; `row_bytes` from a row to the next.
struct Picture {
    Axis across, down;
    long long pixels, row_bytes;
};

}  // namespace

/// Writes [pictures, height, width, 3] bytes.
extern "C" __global__ void resize_pictures(
    const unsigned char* block, int width, int height, int padding, unsigned char* inputs) {
    const int pixel = blockIdx.x * blockDim.x + threadIdx.x;
    if (pixel >= width * height) return;
    const int x = pixel % width, y = pixel / width;
    const Picture& picture = reinterpret_cast<const Picture*>(block)[blockIdx.y];
    const Axis across = picture.across, down = picture.down;
    unsigned char* target = inputs + kColours * (static_cast<long long>(blockIdx.y) * width * height + pixel);
    if (x >= across.length || y >= down.length) {
        for (int colour = 0; colour < kColours; ++colour) target[colour] = static_cast<unsigned char>(padding);
        return;
    }
    const int left = reinterpret_cast<const int*>(block + across.firsts)[x];
    const int top = reinterpret_cast<const int*>(block + down.firsts)[y];
    const float* column_weights = reinterpret_cast<const float*>(block + across.weights) + x;
    const float* row_weights = reinterpret_cast<const float*>(block + down.weights) + y;
    float sums[kColours] = {};
    for (int j = 0; j < down.taps; ++j) {
        const unsigned char* source = block + picture.pixels + (top + j) * picture.row_bytes + kColours * left;
        float row_sums[kColours] = {};
        for (int i = 0; i < across.taps; ++i) {
            const float weight = column_weights[i * across.length];
            for (int colour = 0; colour < kColours; ++colour) {
                row_sums[colour] += weight * static_cast<float>(source[kColours * i + colour]);
            }
        }
        const float weight = row_weights[j * down.length];
        for (int colour = 0; colour < kColours; ++colour) sums[colour] += weight * row_sums[colour];
    }
    for (int colour = 0; colour < kColours; ++colour) {
        // A cubic's weights are negative in parts, so that sums go beyond what a byte holds.
        const float level = ltsh::clamped(sums[colour] + 0.5f, 0.0f, static_cast<float>(kWhite));
        target[colour] = static_cast<unsigned char>(level);
    }
}

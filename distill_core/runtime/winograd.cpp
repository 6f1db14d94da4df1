// Winograd's transforms F(4x4, 3x3) between feature maps in channels-last order (N, H, W, C) and tiles (36, T, C), where
// T counts squares of 4 x 4 pixels. H and W are multiples of 4, C of 16. Matrices: Lavin and Gray, CVPR 2016.
#include <cstdint>
#include <cstring>

namespace {

constexpr int LANES = 16;

struct Window {  // B' d: six pixels, of which the outer two overlap with the neighbors'
  static constexpr int in = 6, out = 6;
  static inline void apply(const float* a, float* o, int64_t from, int64_t to) {
    const float a0 = a[0], a1 = a[from], a2 = a[2 * from], a3 = a[3 * from], a4 = a[4 * from], a5 = a[5 * from];
    const float even = a4 - 4 * a2, odd = a3 - 4 * a1, near = a4 - a2, far = 2 * (a3 - a1);
    o[0] = 4 * a0 - 5 * a2 + a4;
    o[to] = even + odd;
    o[2 * to] = even - odd;
    o[3 * to] = near + far;
    o[4 * to] = near - far;
    o[5 * to] = 4 * a1 - 5 * a3 + a5;
  }
};

struct Result {  // A' m: four pixels of the result
  static constexpr int in = 6, out = 4;
  static inline void apply(const float* a, float* o, int64_t from, int64_t to) {
    const float a0 = a[0], a1 = a[from], a2 = a[2 * from], a3 = a[3 * from], a4 = a[4 * from], a5 = a[5 * from];
    const float p = a1 + a2, q = a1 - a2, r = a3 + a4, s = a3 - a4;
    o[0] = a0 + p + r;
    o[to] = q + 2 * s;
    o[2 * to] = p + 4 * r;
    o[3 * to] = q + 8 * s + a5;
  }
};

struct Gradient {  // A g: back from the gradient of four pixels
  static constexpr int in = 4, out = 6;
  static inline void apply(const float* a, float* o, int64_t from, int64_t to) {
    const float a0 = a[0], a1 = a[from], a2 = a[2 * from], a3 = a[3 * from];
    const float even = a0 + a2, odd = a1 + a3, four = a0 + 4 * a2, eight = 2 * a1 + 8 * a3;
    o[0] = a0;
    o[to] = even + odd;
    o[2 * to] = even - odd;
    o[3 * to] = four + eight;
    o[4 * to] = four - eight;
    o[5 * to] = a3;
  }
};

// Transform along rows, then along columns: element (i, j) is at i * rows + j * columns.
template <class Along>
inline void both(const float* from, int64_t from_rows, int64_t from_columns, float* to, int64_t to_rows,
                 int64_t to_columns) {
  float half[Along::out][Along::in][LANES];
  for (int j = 0; j < Along::in; ++j) {
#pragma omp simd
    for (int lane = 0; lane < LANES; ++lane)
      Along::apply(from + j * from_columns + lane, &half[0][j][lane], from_rows, Along::in * LANES);
  }
  for (int i = 0; i < Along::out; ++i) {
#pragma omp simd
    for (int lane = 0; lane < LANES; ++lane)
      Along::apply(&half[i][0][lane], to + i * to_rows + lane, LANES, to_columns);
  }
}

// Call `work(tile, first row, first column of its 4 x 4 pixels, image)` for all tiles, on a number of threads.
template <class Work>
void each_tile(int64_t images, int64_t height, int64_t width, int threads, Work work) {
  const int64_t down = height / 4, across = width / 4;
#pragma omp parallel for schedule(static) num_threads(threads)
  for (int64_t tile = 0; tile < images * down * across; ++tile)
    work(tile, tile / across % down * 4, tile % across * 4, tile / (down * across));
}

}  // namespace

extern "C" void windows(const float* map, float* tiles, int64_t n, int64_t h, int64_t w, int64_t c,
                        int threads) {
  const int64_t step = n * h * w / 16 * c;
  each_tile(n, h, w, threads, [=](int64_t tile, int64_t top, int64_t left, int64_t image) {
    for (int64_t channel = 0; channel < c; channel += LANES) {
      float window[6][6][LANES];
      for (int i = 0; i < 6; ++i)
        for (int j = 0; j < 6; ++j) {
          const int64_t row = top + i - 1, column = left + j - 1;
          if (row < 0 || row >= h || column < 0 || column >= w)
            std::memset(window[i][j], 0, sizeof window[i][j]);
          else
            std::memcpy(window[i][j], map + ((image * h + row) * w + column) * c + channel, sizeof window[i][j]);
        }
      both<Window>(&window[0][0][0], 6 * LANES, LANES, tiles + tile * c + channel, 6 * step, step);
    }
  });
}

extern "C" void results(const float* tiles, float* map, int64_t n, int64_t h, int64_t w, int64_t c,
                        int threads) {
  const int64_t step = n * h * w / 16 * c;
  each_tile(n, h, w, threads, [=](int64_t tile, int64_t top, int64_t left, int64_t image) {
    for (int64_t channel = 0; channel < c; channel += LANES)
      both<Result>(tiles + tile * c + channel, 6 * step, step, map + ((image * h + top) * w + left) * c + channel,
                   w * c, c);
  });
}

extern "C" void gradients(const float* map, float* tiles, int64_t n, int64_t h, int64_t w, int64_t c,
                        int threads) {
  const int64_t step = n * h * w / 16 * c;
  each_tile(n, h, w, threads, [=](int64_t tile, int64_t top, int64_t left, int64_t image) {
    for (int64_t channel = 0; channel < c; channel += LANES)
      both<Gradient>(map + ((image * h + top) * w + left) * c + channel, w * c, c, tiles + tile * c + channel,
                     6 * step, step);
  });
}

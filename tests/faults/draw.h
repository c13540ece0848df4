/* draw.h - random numbers of a campaign, by its seed: splitmix64 (Steele, Lea, Flood). */
#ifndef HDW_DRAW_H
#define HDW_DRAW_H
#include <stdint.h>

static inline uint64_t draw_from(uint64_t *rng) {
  uint64_t z = (*rng += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

#endif

#include "engine/rng.h"

#include <math.h>
#include <string.h>
#include <xxhash.h>

void bp_rng_block(uint64_t key, uint64_t counter, uint32_t out[4])
{
    enum { ROUNDS = 10 };
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32), c2 = 0, c3 = 0;
    for (int r = 0; r < ROUNDS; r++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

uint64_t bp_rng_key(uint64_t seed, const char *name, const char *label, uint64_t iteration)
{
    /* Chained hashes: each part is the seed of the next, so no separator can be confused. */
    uint64_t h = XXH3_64bits_withSeed(name, strlen(name), seed);
    h = XXH3_64bits_withSeed(label, strlen(label), h);
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(iteration >> (8 * i));
    return XXH3_64bits_withSeed(bytes, sizeof bytes, h);
}

/* Midpoint of the 2^32 cells of (0, 1): never 0, never 1. */
static double unit_interval(uint32_t word)
{
    return ((double)word + 0.5) * 0x1p-32;
}

void bp_rng_uniform(uint64_t key, uint64_t first, size_t n, double *out)
{
    uint32_t words[4];
    uint64_t block = UINT64_MAX;
    for (size_t i = 0; i < n; i++) {
        uint64_t at = first + i;
        if (at / 4 != block) {
            block = at / 4;
            bp_rng_block(key, block, words);
        }
        out[i] = unit_interval(words[at % 4]);
    }
}

void bp_rng_normal(uint64_t key, uint64_t first, size_t n, float *out)
{
    float values[4];
    uint64_t block = UINT64_MAX;
    for (size_t i = 0; i < n; i++) {
        uint64_t at = first + i;
        if (at / 4 != block) {
            uint32_t words[4];
            block = at / 4;
            bp_rng_block(key, block, words);
            for (int pair = 0; pair < 4; pair += 2) {
                double radius = sqrt(-2.0 * log(unit_interval(words[pair])));
                double angle = 6.283185307179586 * unit_interval(words[pair + 1]);
                values[pair] = (float)(radius * cos(angle));
                values[pair + 1] = (float)(radius * sin(angle));
            }
        }
        out[i] = values[at % 4];
    }
}

#include "engine/pack.h"

#include <string.h>

enum { WORD = 32 };

uint64_t bp_pack_words(uint64_t n, unsigned bits)
{
    if (bits == 3)
        return (n / WORD + (n % WORD != 0)) * 3;
    uint64_t per_word = WORD / bits;
    return n / per_word + (n % per_word != 0);
}

void bp_pack(const uint8_t *codes, uint64_t n, unsigned bits, uint32_t *words)
{
    memset(words, 0, bp_pack_words(n, bits) * sizeof *words);
    for (uint64_t i = 0; i < n; i++) {
        if (bits == 3) {
            uint32_t *plane = words + i / WORD * 3;
            for (unsigned j = 0; j < 3; j++)
                plane[j] |= (uint32_t)(codes[i] >> j & 1u) << (i % WORD);
        } else {
            words[i * bits / WORD] |= (uint32_t)codes[i] << (i * bits % WORD);
        }
    }
}

void bp_unpack(const uint32_t *words, uint64_t n, unsigned bits, uint8_t *codes)
{
    for (uint64_t i = 0; i < n; i++) {
        if (bits == 3) {
            const uint32_t *plane = words + i / WORD * 3;
            unsigned code = 0;
            for (unsigned j = 0; j < 3; j++)
                code |= (plane[j] >> (i % WORD) & 1u) << j;
            codes[i] = (uint8_t)code;
        } else {
            codes[i] = (uint8_t)(words[i * bits / WORD] >> (i * bits % WORD) & ((1u << bits) - 1));
        }
    }
}

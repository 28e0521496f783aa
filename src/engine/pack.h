/*
 * Codes packed into 32-bit words, in the layout of the authors' containers ("V2"):
 * 2, 4 and 8 bits: little-endian fields, code i at bit (i bits) % 32 of word i bits / 32;
 * 3 bits: 32 codes to 3 words, bit i of word j is bit j of code i.
 * A count that does not fill a word (or three) is padded with zeros.
 */
#ifndef BP_ENGINE_PACK_H
#define BP_ENGINE_PACK_H

#include <stdint.h>

/* Words that n codes of `bits` (2, 3, 4 or 8) take. */
uint64_t bp_pack_words(uint64_t n, unsigned bits);

/* codes [n] to words [bp_pack_words(n, bits)]. */
void bp_pack(const uint8_t *codes, uint64_t n, unsigned bits, uint32_t *words);

/* The reverse. */
void bp_unpack(const uint32_t *words, uint64_t n, unsigned bits, uint8_t *codes);

#endif

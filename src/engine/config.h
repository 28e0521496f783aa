/*
 * A quantization configuration c = (b0, b1, b2, B0, B1) (LQ-LoRA section 3.1), its text form
 * "nf3:u8:fp32:64:256", and its storage (Eq. 3).
 *
 * b0 bits a code of the NormalFloat codebook, b1 bits a code of a block's scale, b2 the type of the
 * second-level scale, B0 elements a block, B1 blocks a group.
 */
#ifndef BP_ENGINE_CONFIG_H
#define BP_ENGINE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/err.h"

/* X(suffix, name, bits): the types of the second-level scale. The order is that of a table's
 * columns and of the golden values. */
#define BP_SCALE_TYPES(X) \
    X(BF16, "bf16", 16)   \
    X(FP16, "fp16", 16)   \
    X(FP32, "fp32", 32)

enum bp_scale_type {
#define BP_SCALE_ENUM(suffix, name, bits) BP_SCALE_##suffix,
    BP_SCALE_TYPES(BP_SCALE_ENUM)
#undef BP_SCALE_ENUM
        BP_N_SCALE_TYPES
};

const char *bp_scale_type_name(enum bp_scale_type type);
unsigned bp_scale_type_bits(enum bp_scale_type type);
bool bp_scale_type_parse(const char *name, enum bp_scale_type *out);

enum { BP_MAX_BLOCK = 65536 };      /* largest B0 and B1 */
enum { BP_MAX_CANDIDATES = 16384 }; /* columns of a table */

struct bp_config {
    uint8_t b0; /* 2, 3, 4 or 8 */
    uint8_t b1; /* 2, 3, 4 or 8 */
    uint8_t b2; /* enum bp_scale_type */
    uint32_t B0;
    uint32_t B1; /* 1 .. BP_MAX_BLOCK each */
};

/* True when every field is one that the quantizer knows. */
bool bp_config_valid(const struct bp_config *c);
bool bp_config_equal(const struct bp_config *a, const struct bp_config *b);
/* True when two differ in b2 at most: a family, which is iterated once. */
bool bp_config_same_family(const struct bp_config *a, const struct bp_config *b);

enum { BP_CONFIG_TEXT = 40 };

/* "nf3:u8:fp32:64:256" into text [BP_CONFIG_TEXT]; returns text. */
char *bp_config_format(const struct bp_config *c, char text[BP_CONFIG_TEXT]);

/* The reverse, strict. BP_ERR_USAGE says what is wrong with `text`. */
enum bp_status bp_config_parse(const char *text, struct bp_config *out, struct bp_err *err);

/* Storage in bits of n_elems elements (Eq. 3, in integers, short last block and group):
 * n_elems b0 + ceil(n_elems / B0) b1 + ceil(ceil(n_elems / B0) / B1) b2.
 * False when it does not fit 62 bits. */
bool bp_config_storage(const struct bp_config *c, uint64_t n_elems, uint64_t *bits);

/* QLoRA's configurations, the baselines of every plan: nf4:u8:fp32:64:256 and nf3:... */
extern const struct bp_config bp_config_nf4, bp_config_nf3;

/* A column of a table: a config and the rank of the low-rank part (0 = none), or a foreign
 * quantizer's label. */
struct bp_candidate {
    bool foreign; /* true: only `label` says what it is */
    struct bp_config config;
    uint32_t rank;
    char label[BP_CONFIG_TEXT];
};

bool bp_candidate_equal(const struct bp_candidate *a, const struct bp_candidate *b);

enum { BP_CANDIDATE_TEXT = BP_CONFIG_TEXT + 16 };

/* "nf3:u4:bf16:64:256 r64" or the label into text [BP_CANDIDATE_TEXT]; returns text. */
char *bp_candidate_format(const struct bp_candidate *c, char text[BP_CANDIDATE_TEXT]);

/* A grid: values of each field that are switched on. */
struct bp_grid {
    struct bp_config *configs; /* [n] b0 slowest, B1 fastest: the order of the reference's tables */
    size_t n;
};

/* Parses "paper" (243 configs), "reference" (432), "nf4" or
 * "b0=2,3,4:b1=2,3,4,8:b2=bf16,fp32:B0=16,32,64:B1=64,256" (a field that is left out takes the
 * paper's values). BP_ERR_USAGE names the part that is wrong; a grid is never empty. */
enum bp_status bp_grid_parse(const char *text, struct bp_grid *out, struct bp_err *err);

void bp_grid_done(struct bp_grid *grid);

bool bp_grid_has(const struct bp_grid *grid, const struct bp_config *c);

#endif

#include "engine/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/mem.h"

const struct bp_config bp_config_nf4 = {4, 8, BP_SCALE_FP32, 64, 256};
const struct bp_config bp_config_nf3 = {3, 8, BP_SCALE_FP32, 64, 256};

static const struct {
    const char *name;
    unsigned bits;
} scale_types[BP_N_SCALE_TYPES] = {
#define SCALE_ROW(suffix, name, bits) {name, bits},
    BP_SCALE_TYPES(SCALE_ROW)
#undef SCALE_ROW
};

const char *bp_scale_type_name(enum bp_scale_type type)
{
    return scale_types[type].name;
}

unsigned bp_scale_type_bits(enum bp_scale_type type)
{
    return scale_types[type].bits;
}

bool bp_scale_type_parse(const char *name, enum bp_scale_type *out)
{
    for (int i = 0; i < BP_N_SCALE_TYPES; i++)
        if (strcmp(name, scale_types[i].name) == 0) {
            *out = (enum bp_scale_type)i;
            return true;
        }
    return false;
}

static bool is_code_width(unsigned long bits)
{
    return bits == 2 || bits == 3 || bits == 4 || bits == 8;
}

bool bp_config_valid(const struct bp_config *c)
{
    return is_code_width(c->b0) && is_code_width(c->b1) && c->b2 < BP_N_SCALE_TYPES && c->B0 >= 1 &&
           c->B0 <= BP_MAX_BLOCK && c->B1 >= 1 && c->B1 <= BP_MAX_BLOCK;
}

bool bp_config_equal(const struct bp_config *a, const struct bp_config *b)
{
    return bp_config_same_family(a, b) && a->b2 == b->b2;
}

bool bp_config_same_family(const struct bp_config *a, const struct bp_config *b)
{
    return a->b0 == b->b0 && a->b1 == b->b1 && a->B0 == b->B0 && a->B1 == b->B1;
}

char *bp_config_format(const struct bp_config *c, char text[BP_CONFIG_TEXT])
{
    snprintf(text, BP_CONFIG_TEXT, "nf%u:u%u:%s:%u:%u", c->b0, c->b1, bp_scale_type_name(c->b2),
             (unsigned)c->B0, (unsigned)c->B1);
    return text;
}

/* A plain decimal number without sign or leading zero, at most `max`. */
static bool parse_number(const char *text, unsigned long max, unsigned long *out)
{
    if (!isdigit((unsigned char)text[0]) || (text[0] == '0' && text[1]))
        return false;
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno || *end || value > max)
        return false;
    *out = value;
    return true;
}

enum bp_status bp_config_parse(const char *text, struct bp_config *out, struct bp_err *err)
{
    char copy[BP_CONFIG_TEXT], *part[5], *rest = copy;
    unsigned long b0, b1, B0, B1;
    enum bp_scale_type b2;
    int n = 0;
    if (strlen(text) < sizeof copy) {
        strcpy(copy, text);
        for (char *p; n < 5 && (p = strsep(&rest, ":")); n++)
            part[n] = p;
    }
    if (n == 5 && !rest && strncmp(part[0], "nf", 2) == 0 && part[1][0] == 'u' &&
        parse_number(part[0] + 2, 8, &b0) && parse_number(part[1] + 1, 8, &b1) &&
        bp_scale_type_parse(part[2], &b2) && parse_number(part[3], BP_MAX_BLOCK, &B0) &&
        parse_number(part[4], BP_MAX_BLOCK, &B1)) {
        struct bp_config c = {(uint8_t)b0, (uint8_t)b1, (uint8_t)b2, (uint32_t)B0, (uint32_t)B1};
        if (bp_config_valid(&c)) {
            *out = c;
            return BP_OK;
        }
    }
    return bp_fail(
        err, BP_ERR_USAGE,
        "config '%s' is not of the form nf3:u8:fp32:64:256 (nf and u 2, 3, 4 or 8; bf16, "
        "fp16 or fp32; block sizes up to %d)",
        text, BP_MAX_BLOCK);
}

bool bp_config_storage(const struct bp_config *c, uint64_t n_elems, uint64_t *bits)
{
    uint64_t blocks = n_elems / c->B0 + (n_elems % c->B0 != 0);
    uint64_t groups = blocks / c->B1 + (blocks % c->B1 != 0);
    uint64_t codes, scales, seconds, sum;
    if (!bp_mul_u64(n_elems, c->b0, &codes) || !bp_mul_u64(blocks, c->b1, &scales) ||
        !bp_mul_u64(groups, bp_scale_type_bits(c->b2), &seconds) ||
        __builtin_add_overflow(codes, scales, &sum) || __builtin_add_overflow(sum, seconds, &sum) ||
        sum >> 62)
        return false;
    *bits = sum;
    return true;
}

bool bp_candidate_equal(const struct bp_candidate *a, const struct bp_candidate *b)
{
    if (a->foreign != b->foreign)
        return false;
    if (a->foreign)
        return strcmp(a->label, b->label) == 0;
    return a->rank == b->rank && bp_config_equal(&a->config, &b->config);
}

char *bp_candidate_format(const struct bp_candidate *c, char text[BP_CANDIDATE_TEXT])
{
    char config[BP_CONFIG_TEXT];
    if (c->foreign)
        snprintf(text, BP_CANDIDATE_TEXT, "%s", c->label);
    else
        snprintf(text, BP_CANDIDATE_TEXT, "%s r%u", bp_config_format(&c->config, config), c->rank);
    return text;
}

/* --- grids --- */

enum { MAX_VALUES = 32 };

/* The values of the five fields, in the order of the loops that make the columns. */
struct axes {
    unsigned long value[5][MAX_VALUES];
    size_t n[5];
};

static const char *const axis_names[5] = {"b0", "b1", "b2", "B0", "B1"};

static const struct axes axes_paper = {{{2, 3, 4},
                                        {2, 3, 4},
                                        {BP_SCALE_BF16, BP_SCALE_FP16, BP_SCALE_FP32},
                                        {16, 32, 64},
                                        {16, 64, 256}},
                                       {3, 3, 3, 3, 3}};
static const struct axes axes_reference = {{{2, 3, 4, 8},
                                            {2, 3, 4, 8},
                                            {BP_SCALE_BF16, BP_SCALE_FP16, BP_SCALE_FP32},
                                            {16, 32, 64},
                                            {16, 64, 256}},
                                           {4, 4, 3, 3, 3}};
static const struct axes axes_nf4 = {{{4}, {8}, {BP_SCALE_FP32}, {64}, {256}}, {1, 1, 1, 1, 1}};

static bool axis_value(int axis, const char *word, unsigned long *out)
{
    enum bp_scale_type type;
    if (axis < 2)
        return parse_number(word, 8, out) && is_code_width(*out);
    if (axis == 2) {
        if (!bp_scale_type_parse(word, &type))
            return false;
        *out = type;
        return true;
    }
    return parse_number(word, BP_MAX_BLOCK, out) && *out >= 1;
}

static int compare_values(const void *a, const void *b)
{
    unsigned long x = *(const unsigned long *)a, y = *(const unsigned long *)b;
    return (x > y) - (x < y);
}

/* Reads the comma-separated values of one axis; sorted, so that a grid does not depend on the order
 * in which its values were typed. */
static enum bp_status parse_axis(struct axes *axes, int axis, char *list, struct bp_err *err)
{
    size_t n = 0;
    for (char *word; (word = strsep(&list, ","));) {
        unsigned long value;
        if (n == MAX_VALUES)
            return bp_fail(err, BP_ERR_USAGE, "grid: %s has more than %d values", axis_names[axis],
                           MAX_VALUES);
        if (!axis_value(axis, word, &value))
            return bp_fail(
                err, BP_ERR_USAGE,
                "grid: '%s' is no value of %s (b0, b1: 2, 3, 4, 8; b2: bf16, fp16, fp32; "
                "B0, B1: block sizes)",
                word, axis_names[axis]);
        for (size_t i = 0; i < n; i++)
            if (axes->value[axis][i] == value)
                return bp_fail(err, BP_ERR_USAGE, "grid: %s=%s is given twice", axis_names[axis],
                               word);
        axes->value[axis][n++] = value;
    }
    qsort(axes->value[axis], n, sizeof axes->value[axis][0], compare_values);
    axes->n[axis] = n;
    return BP_OK;
}

static enum bp_status parse_axes(char *text, struct axes *axes, struct bp_err *err)
{
    bool seen[5] = {false};
    for (char *part; (part = strsep(&text, ":"));) {
        char *list = strchr(part, '=');
        int axis = 0;
        if (list)
            *list++ = '\0';
        while (axis < 5 && strcmp(part, axis_names[axis]) != 0)
            axis++;
        if (!list || axis == 5)
            return bp_fail(err, BP_ERR_USAGE,
                           "grid: '%s' is neither paper, reference, nf4 nor a part like b0=2,3,4",
                           part);
        if (seen[axis])
            return bp_fail(err, BP_ERR_USAGE, "grid: %s is given twice", axis_names[axis]);
        seen[axis] = true;
        BP_TRY(parse_axis(axes, axis, list, err));
    }
    return BP_OK;
}

/* Every combination, first axis slowest. */
static enum bp_status expand(const struct axes *axes, struct bp_grid *out, struct bp_err *err)
{
    size_t n = 1;
    for (int a = 0; a < 5; a++)
        n *= axes->n[a];
    if (n > BP_MAX_CANDIDATES)
        return bp_fail(err, BP_ERR_USAGE, "grid: %zu configs are more than %d", n,
                       BP_MAX_CANDIDATES);
    out->configs = bp_alloc(n, sizeof *out->configs);
    if (!out->configs)
        return bp_fail_nomem(err);
    out->n = n;
    for (size_t i = 0; i < n; i++) {
        unsigned long v[5];
        size_t rest = i;
        for (int a = 4; a >= 0; a--) {
            v[a] = axes->value[a][rest % axes->n[a]];
            rest /= axes->n[a];
        }
        out->configs[i] = (struct bp_config){(uint8_t)v[0], (uint8_t)v[1], (uint8_t)v[2],
                                             (uint32_t)v[3], (uint32_t)v[4]};
    }
    return BP_OK;
}

enum bp_status bp_grid_parse(const char *text, struct bp_grid *out, struct bp_err *err)
{
    *out = (struct bp_grid){0};
    struct axes axes = axes_paper;
    if (strcmp(text, "reference") == 0) {
        axes = axes_reference;
    } else if (strcmp(text, "nf4") == 0) {
        axes = axes_nf4;
    } else if (strcmp(text, "paper") != 0) {
        char *copy = bp_strdup(text);
        if (!copy)
            return bp_fail_nomem(err);
        enum bp_status status = parse_axes(copy, &axes, err);
        free(copy);
        if (status != BP_OK)
            return status;
    }
    return expand(&axes, out, err);
}

void bp_grid_done(struct bp_grid *grid)
{
    free(grid->configs);
    *grid = (struct bp_grid){0};
}

bool bp_grid_has(const struct bp_grid *grid, const struct bp_config *c)
{
    for (size_t i = 0; i < grid->n; i++)
        if (bp_config_equal(&grid->configs[i], c))
            return true;
    return false;
}

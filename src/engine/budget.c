#include "engine/budget.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/json_write.h"
#include "engine/low_rank.h"

__extension__ typedef unsigned __int128 u128;

int bp_decimal_parse(const char *text, struct bp_decimal *out, const char **end)
{
    enum { MAX_DIGITS = 18 };
    struct bp_decimal d = {0, 0};
    int n = 0, digits = 0, point = 0;
    for (;; text++) {
        if (*text == '.' && !point) {
            point = 1;
        } else if (isdigit((unsigned char)*text)) {
            digits++;
            n += n > 0 || *text != '0';
            if (n > MAX_DIGITS || d.scale == MAX_DIGITS)
                return 0;
            d.digits = d.digits * 10 + (uint64_t)(*text - '0');
            d.scale += (unsigned)point;
        } else {
            break;
        }
    }
    *out = d;
    *end = text;
    return digits > 0;
}

/* floor(value * factor); false when it does not fit 62 bits. */
static int times_floor(struct bp_decimal value, uint64_t factor, uint64_t *out)
{
    u128 product = (u128)value.digits * factor;
    for (unsigned i = 0; i < value.scale; i++)
        product /= 10;
    if (product >> 62)
        return 0;
    *out = (uint64_t)product;
    return 1;
}

unsigned bp_budget_precision(const struct bp_budget *budget)
{
    return budget->low_rank_bits ? budget->low_rank_bits : BP_LOW_RANK_STANDARD;
}

unsigned bp_budget_counted(const struct bp_budget *budget)
{
    return budget->counts_low_rank ? bp_budget_precision(budget) : 0;
}

uint64_t bp_budget_total_for(const struct bp_budget *budget, uint64_t bits)
{
    /* What runs beside is whole bytes, and so are the budget's bits. */
    return (uint64_t)budget->asked - budget->bits / 8 + (bits + 7) / 8;
}

const char *bp_budget_unit_name(enum bp_budget_unit unit)
{
    switch (unit) {
    case BP_BUDGET_BYTES:
        return "bytes";
    case BP_BUDGET_TOTAL_BYTES:
        return "total bytes";
    case BP_BUDGET_BITS_PER_PARAM:
        break;
    }
    return "bits/param";
}

/* A decimal of more digits than every double holds becomes the one that its double prints: a plan
 * records the double, and its budget must follow from that alone. */
static void keep_what_a_double_holds(const char *text, struct bp_decimal *value)
{
    char shortest[BP_DOUBLE_TEXT];
    const char *end;
    if (value->digits >= UINT64_C(1000000000000000))
        bp_decimal_parse(bp_double_format(strtod(text, NULL), shortest), value, &end);
}

enum bp_status bp_budget_parse_bits(const char *text, uint64_t params, struct bp_budget *out,
                                    struct bp_err *err)
{
    struct bp_decimal value;
    const char *end;
    bool good = bp_decimal_parse(text, &value, &end) && !*end && strtod(text, NULL) <= 64.0;
    if (good)
        keep_what_a_double_holds(text, &value);
    uint64_t bits;
    if (!good || value.digits == 0 || !times_floor(value, params, &bits))
        return bp_fail(err, BP_ERR_USAGE,
                       "'%s' is no budget in bits/param: a number like 2.75, above 0, at most 64",
                       text);
    *out = (struct bp_budget){
        .unit = BP_BUDGET_BITS_PER_PARAM, .asked = strtod(text, NULL), .bits = bits};
    return BP_OK;
}

enum bp_status bp_budget_parse_size(const char *text, struct bp_budget *out, struct bp_err *err)
{
    static const struct {
        const char *name;
        uint64_t bytes;
    } units[] = {{"", 1},
                 {"B", 1},
                 {"kB", 1000},
                 {"KB", 1000},
                 {"MB", 1000000},
                 {"GB", 1000000000},
                 {"TB", UINT64_C(1000000000000)},
                 {"KiB", UINT64_C(1) << 10},
                 {"MiB", UINT64_C(1) << 20},
                 {"GiB", UINT64_C(1) << 30},
                 {"TiB", UINT64_C(1) << 40}};
    struct bp_decimal value;
    const char *unit;
    uint64_t bytes;
    if (bp_decimal_parse(text, &value, &unit))
        for (size_t i = 0; i < sizeof units / sizeof *units; i++)
            if (strcmp(unit, units[i].name) == 0 && times_floor(value, units[i].bytes, &bytes) &&
                bytes > 0 && bytes < UINT64_C(1) << 59) {
                *out = (struct bp_budget){
                    .unit = BP_BUDGET_BYTES, .asked = (double)bytes, .bits = bytes * 8};
                return BP_OK;
            }
    return bp_fail(
        err, BP_ERR_USAGE,
        "'%s' is no size: a number with a unit, like 2.2GiB or 2200MB, at least one byte", text);
}

void bp_budget_default(uint64_t least_bits, uint64_t most_bits, uint64_t params,
                       struct bp_budget *out)
{
    /* Rounded up to what is read easily and is enough. */
    const double least = ceil((double)least_bits / (double)params * 1e3) / 1e3;
    const double most = ceil((double)most_bits / (double)params * 1e3) / 1e3;
    const double bits = least > 2.75 ? least : most < 2.75 ? most : 2.75;
    char text[32];
    snprintf(text, sizeof text, "%.3f", bits);
    /* A range that no decimal describes (a table of a few parameters): its upper end in bytes. */
    if (bp_budget_parse_bits(text, params, out, NULL) != BP_OK || out->bits < least_bits)
        *out = (struct bp_budget){.unit = BP_BUDGET_BYTES,
                                  .asked = (double)((most_bits + 7) / 8),
                                  .bits = (most_bits + 7) / 8 * 8};
}

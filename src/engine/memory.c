#include "engine/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/json_write.h"
#include "engine/low_rank.h"
#include "engine/mem.h"
#include "engine/printable.h"
#include "engine/quantizable.h"

/* Bytes of a parameter, or of an activation, by what it is kept in. */
enum { BYTES_16BIT = 2, BYTES_ADAM = 8, BYTES_MASTER = 4, BYTES_OFFSET = 4 };

/* What a person sets has no bound that keeps products small, so sums and products stop at the
 * largest number instead of wrapping: nothing that large fits any card. */
static uint64_t times(uint64_t a, uint64_t b)
{
    uint64_t product;
    return bp_mul_u64(a, b, &product) ? product : UINT64_MAX;
}

static uint64_t plus(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* --- settings --- */

void bp_memory_settings_default(struct bp_memory_settings *settings)
{
    *settings = (struct bp_memory_settings){
#define FIELD_DEFAULT(field, key, least, most, standard) .field = (standard),
        BP_MEMORY_SETTINGS(FIELD_DEFAULT)
#undef FIELD_DEFAULT
    };
}

/* Digits alone, at most 18 of them. */
static bool read_whole(const char *text, uint64_t *out)
{
    size_t n = strspn(text, "0123456789");
    if (n == 0 || n > 18 || text[n])
        return false;
    *out = strtoull(text, NULL, 10);
    return true;
}

/* A size; a number below 10,000 without a unit is GiB, as nobody has a card of that many bytes. */
static bool read_card(const char *text, uint64_t *out)
{
    struct bp_decimal value;
    struct bp_budget size;
    const char *end;
    char in_gib[40];
    if (bp_decimal_parse(text, &value, &end) && !*end && strtod(text, NULL) < 10000.0) {
        if ((size_t)snprintf(in_gib, sizeof in_gib, "%sGiB", text) >= sizeof in_gib)
            return false;
        text = in_gib;
    }
    if (bp_budget_parse_size(text, &size, NULL) != BP_OK)
        return false;
    *out = size.bits / 8;
    return true;
}

static const struct {
    const char *key;
    size_t offset;
    uint64_t least, most;
} fields[] = {
#define FIELD_ROW(field, key, least, most, standard) \
    {key, offsetof(struct bp_memory_settings, field), least, most},
    BP_MEMORY_SETTINGS(FIELD_ROW)
#undef FIELD_ROW
};
enum { N_FIELDS = sizeof fields / sizeof *fields };

static bool is_precision(size_t i)
{
    return fields[i].offset == offsetof(struct bp_memory_settings, low_rank_bits);
}

static bool allowed(size_t i, uint64_t number)
{
    return is_precision(i) ? bp_low_rank_precision_valid(number)
                           : number >= fields[i].least && number <= fields[i].most;
}

static enum bp_status refuse(size_t i, const char *value, struct bp_err *err)
{
    const char *key = fields[i].key;
    const struct bp_printable text = bp_printable(value);
    if (strcmp(key, "card") == 0)
        return bp_fail(err, BP_ERR_USAGE,
                       "card: '%s' is no size of a card: a number of GiB, or a size like 24GiB or "
                       "80GB, at most 1024TiB",
                       text.text);
    if (is_precision(i))
        return bp_fail(err, BP_ERR_USAGE,
                       "%s: '%s' is neither 8 (NF8) nor 16 nor 32, in which low-rank parts can be "
                       "kept",
                       key, text.text);
    return bp_fail(err, BP_ERR_USAGE, "%s: '%s' is no whole number from %s to %s", key, text.text,
                   bp_grouped(fields[i].least).text, bp_grouped(fields[i].most).text);
}

enum bp_status bp_memory_settings_set(struct bp_memory_settings *settings, const char *key,
                                      const char *value, struct bp_err *err)
{
#define FIELD_KEY(field, key, least, most, standard) " " key
    static const char keys[] = BP_MEMORY_SETTINGS(FIELD_KEY);
#undef FIELD_KEY
    size_t i = 0;
    while (i < N_FIELDS && strcmp(key, fields[i].key) != 0)
        i++;
    if (i == N_FIELDS)
        return bp_fail(err, BP_ERR_USAGE, "'%s' is no memory setting; there are%s",
                       bp_printable(key).text, keys);
    uint64_t number = 0;
    const bool card = strcmp(key, "card") == 0;
    const bool good = card ? read_card(value, &number) : read_whole(value, &number);
    if (!good || !allowed(i, number))
        return refuse(i, value, err);
    memcpy((char *)settings + fields[i].offset, &number, sizeof number);
    return BP_OK;
}

enum bp_status bp_memory_settings_check(const struct bp_memory_settings *settings,
                                        struct bp_err *err)
{
    for (size_t i = 0; i < N_FIELDS; i++) {
        uint64_t number;
        memcpy(&number, (const char *)settings + fields[i].offset, sizeof number);
        if (number < fields[i].least || number > fields[i].most)
            return bp_fail(err, BP_ERR_USAGE, "%s: %s is not from %s to %s", fields[i].key,
                           bp_grouped(number).text, bp_grouped(fields[i].least).text,
                           bp_grouped(fields[i].most).text);
        if (!allowed(i, number))
            return refuse(i, bp_grouped(number).text, err);
    }
    return BP_OK;
}

/* Up to 96 "GB" a vendor's GB is a GiB, less a few hundred MiB that the driver keeps (a 24 GB card
 * reports about 24,200 of 24,576 MiB). An H200 reports 143,771 MiB. Cards of 192 GB differ (B200
 * and MI300X), so decimal GB are taken: what such a card holds at the least. */
const struct bp_card *bp_cards(size_t *n)
{
    static const struct bp_card cards[] = {
        {"8 GB: RTX 4060, RTX 3070", UINT64_C(8) << 30},
        {"12 GB: RTX 4070, RTX 3060", UINT64_C(12) << 30},
        {"16 GB: RTX 4080, T4, V100", UINT64_C(16) << 30},
        {"24 GB: RTX 3090, RTX 4090, A10", UINT64_C(24) << 30},
        {"32 GB: RTX 5090, V100", UINT64_C(32) << 30},
        {"40 GB: A100", UINT64_C(40) << 30},
        {"48 GB: L40S, A6000", UINT64_C(48) << 30},
        {"80 GB: A100, H100", UINT64_C(80) << 30},
        {"96 GB: H20, RTX PRO 6000", UINT64_C(96) << 30},
        {"141 GB: H200", UINT64_C(140) << 30},
        {"192 GB: B200, MI300X", UINT64_C(192000000000)},
    };
    *n = sizeof cards / sizeof *cards;
    return cards;
}

/* --- what the shapes say --- */

static bool is_one_of(const char *kind, const char *const *words)
{
    while (*words && strcmp(kind, *words) != 0)
        words++;
    return *words != NULL;
}

/* Layers of the same number in different stacks (encoder and decoder) are different layers. */
static int compare_layers(const struct bp_table_matrix *a, const struct bp_table_matrix *b)
{
    size_t n = bp_tensor_stack_length(a->name), m = bp_tensor_stack_length(b->name);
    int order = memcmp(a->name, b->name, n < m ? n : m);
    if (order)
        return order;
    if (n != m)
        return n < m ? -1 : 1;
    return (a->layer > b->layer) - (a->layer < b->layer);
}

/* Length of a number that is a part of a name by itself ("experts.12.", "proj[3]"), else 0: "fc1"
 * and "fc2" are two layers, experts.1 and experts.2 two of the same. */
static size_t number_part(const char *name, const char *at)
{
    size_t n = strspn(at, "0123456789");
    const bool begins = at == name || at[-1] == '.' || at[-1] == '[';
    return begins && (at[n] == '.' || at[n] == ']' || !at[n]) ? n : 0;
}

/* Compares names with the numbers in them left out. */
static int compare_patterns(const char *a, const char *b)
{
    const char *x = a, *y = b;
    for (;;) {
        x += number_part(a, x);
        y += number_part(b, y);
        if (*x != *y || !*x)
            return (unsigned char)*x - (unsigned char)*y;
        x++;
        y++;
    }
}

static uint64_t in_and_out(const struct bp_table_matrix *m)
{
    return plus(m->d, m->k);
}

/* By layer, then pattern; of a pattern the widest first. */
static int compare_matrices(const void *p, const void *q)
{
    const struct bp_table_matrix *a = *(const struct bp_table_matrix *const *)p;
    const struct bp_table_matrix *b = *(const struct bp_table_matrix *const *)q;
    int order = compare_layers(a, b);
    if (order == 0)
        order = compare_patterns(a->name, b->name);
    if (order == 0)
        order = (in_and_out(a) < in_and_out(b)) - (in_and_out(a) > in_and_out(b));
    return order;
}

/* One layer's matrices [n], sorted. */
static void add_layer(const struct bp_table_matrix *const *list, size_t n,
                      struct bp_memory_shape *out)
{
    static const char *const keys[] = {"k_proj", "wk", NULL};
    static const char *const values[] = {"v_proj", "wv", NULL};
    bool has_key = false, has_value = false, compressed = false;
    uint64_t activation = 0, both = 0, latent = 0;
    for (size_t i = 0; i < n; i++) {
        const struct bp_table_matrix *m = list[i];
        const bool key = is_one_of(m->kind, keys), value = is_one_of(m->kind, values);
        has_key |= key;
        has_value |= value;
        if (key || value)
            both = plus(both, m->d);
        if (strcmp(m->kind, "kv_a_proj_with_mqa") == 0) {
            compressed = true;
            latent = plus(latent, m->d);
        }
        /* Experts: what is routed is not known from shapes; each kind counts once. */
        if (i == 0 || compare_patterns(m->name, list[i - 1]->name) != 0)
            activation = plus(activation, in_and_out(m));
    }
    out->n_layers++;
    /* KV cache of a token: the rows of k_proj and v_proj; with multi-head latent attention the
     * compressed vector and the rotary key alone, which kv_a_proj_with_mqa makes. */
    out->kv_known &= compressed || (has_key && has_value);
    out->kv_per_token = plus(out->kv_per_token, compressed ? latent : both);
    if (activation > out->layer_activation)
        out->layer_activation = activation;
}

static int compare_u64(const void *p, const void *q)
{
    const uint64_t a = *(const uint64_t *)p, b = *(const uint64_t *)q;
    return (a > b) - (a < b);
}

/* The most common k of the matrices of these kinds, the smaller of two; 0 without any. `scratch`
 * has room for n_matrices. */
static uint64_t common_k(const struct bp_table *table, const char *const *kinds, uint64_t *scratch)
{
    size_t n = 0, best_run = 0, run = 0;
    uint64_t best = 0;
    for (size_t i = 0; i < table->n_matrices; i++)
        if (table->matrices[i].layer >= 0 && is_one_of(table->matrices[i].kind, kinds))
            scratch[n++] = table->matrices[i].k;
    if (n)
        qsort(scratch, n, sizeof *scratch, compare_u64);
    for (size_t i = 0; i < n; i++) {
        run = i > 0 && scratch[i] == scratch[i - 1] ? run + 1 : 1;
        if (run > best_run) {
            best_run = run;
            best = scratch[i];
        }
    }
    return best;
}

/* Linear layers whose input is what layers hand on. GPT-2's c_attn and c_fc are stored with their
 * input first, so they tell nothing. */
static uint64_t hidden_width(const struct bp_table *table, uint64_t *scratch)
{
    static const char *const first[] = {"q_proj", NULL};
    static const char *const others[] = {"qkv_proj",
                                         "query_key_value",
                                         "Wqkv",
                                         "wqkv",
                                         "wq",
                                         "wk",
                                         "query",
                                         "key",
                                         "q_lin",
                                         "k_lin",
                                         "q_a_proj",
                                         "kv_a_proj_with_mqa",
                                         "k_proj",
                                         "v_proj",
                                         "gate_proj",
                                         "up_proj",
                                         "gate_up_proj",
                                         "w1",
                                         "w3",
                                         "fc1",
                                         "dense_h_to_4h",
                                         "input_linear",
                                         NULL};
    uint64_t hidden = common_k(table, first, scratch);
    return hidden ? hidden : common_k(table, others, scratch);
}

void bp_memory_shape_of(const struct bp_table *table, struct bp_memory_shape *out)
{
    *out = (struct bp_memory_shape){
        .params = bp_table_params(table),
        .kv_known = true,
        .outside_known = table->about.params > 0,
        .outside_params = table->about.params_outside,
        .outside_bytes = table->about.bytes_outside,
    };
    const struct bp_table_matrix **list = bp_alloc(table->n_matrices, sizeof *list);
    uint64_t *scratch = bp_alloc(table->n_matrices, sizeof *scratch);
    size_t n = 0;
    for (size_t i = 0; list && i < table->n_matrices; i++)
        if (table->matrices[i].layer >= 0)
            list[n++] = &table->matrices[i];
    if (n)
        qsort(list, n, sizeof *list, compare_matrices);
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && compare_layers(list[i], list[end]) == 0;)
            end++;
        add_layer(list + i, end - i, out);
    }
    if (scratch)
        out->hidden = hidden_width(table, scratch);
    out->kv_known &= out->n_layers > 0;
    if (!out->kv_known)
        out->kv_per_token = 0;
    free(list);
    free(scratch);
}

/* --- bytes --- */

/* Whether there is a cache at all: no sequence or no token leaves none, whatever the shapes say. */
static bool wants_kv(const struct bp_memory_settings *settings)
{
    return settings->batch > 0 && settings->context > 0;
}

uint64_t bp_memory_kv_bytes(const struct bp_memory_shape *shape,
                            const struct bp_memory_settings *settings)
{
    /* ceil(batch * context * kv_per_token * kv_bits / 8) */
    uint64_t elements =
        times(times(settings->batch, settings->context), shape->kv_known ? shape->kv_per_token : 0);
    uint64_t bits = times(elements, settings->kv_bits);
    return bits == UINT64_MAX ? UINT64_MAX : bits / 8 + (bits % 8 != 0);
}

static const char *const way_names[BP_N_TRAINING_WAYS] = {
#define WAY_NAME(suffix, name, text) name,
    BP_TRAINING_WAYS(WAY_NAME)
#undef WAY_NAME
};

static const char *const way_texts[BP_N_TRAINING_WAYS] = {
#define WAY_TEXT(suffix, name, text) text,
    BP_TRAINING_WAYS(WAY_TEXT)
#undef WAY_TEXT
};

const char *bp_training_way_name(enum bp_training_way way)
{
    return way_names[way];
}

const char *bp_training_way_text(enum bp_training_way way)
{
    return way_texts[way];
}

static void add_up(struct bp_memory_parts *p)
{
    const uint64_t parts[] = {p->quantized, p->low_rank,  p->outside,    p->kv_cache,
                              p->gradients, p->optimizer, p->activations};
    p->total = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        p->total = plus(p->total, parts[i]);
}

/* The plan's matrices, its low-rank parts and the rest of the model, as running takes them. */
static void put_weights(const struct bp_plan *plan, const struct bp_memory_shape *shape,
                        struct bp_memory_parts *out)
{
    const struct bp_ledger ledger = bp_plan_memory(plan);
    *out = (struct bp_memory_parts){
        /* ceil(storage_bits / 8) + 4 B * matrices (an FP32 offset each) */
        .quantized = ledger.codes_and_scales_bytes + ledger.offsets_bytes,
        /* 2 B * sum of r (d + k) at 16 bits, see low_rank.h */
        .low_rank = ledger.low_rank_bytes,
        /* as stored */
        .outside = shape->outside_known ? shape->outside_bytes : 0,
        .complete = shape->outside_known,
    };
}

void bp_memory_run(const struct bp_plan *plan, const struct bp_memory_shape *shape,
                   const struct bp_memory_settings *settings, struct bp_memory_parts *out)
{
    put_weights(plan, shape, out);
    out->kv_cache = bp_memory_kv_bytes(shape, settings);
    out->complete &= shape->kv_known || !wants_kv(settings);
    add_up(out);
}

/* Checkpoints at the layers' inputs (Chen et al., arXiv 1604.06174): those of all layers are kept,
 * and of the one layer that is being redone the input and output of every linear layer (Korthikanti
 * et al., arXiv 2205.05198, without attention scores, which FlashAttention never stores):
 * 2 B * train_batch * train_sequence * (n_layers * hidden + layer_activation). */
static uint64_t activation_bytes(const struct bp_memory_shape *shape,
                                 const struct bp_memory_settings *settings)
{
    uint64_t tokens = times(settings->train_batch, settings->train_sequence);
    uint64_t of_a_token = plus(times(shape->n_layers, shape->hidden), shape->layer_activation);
    return times(times(BYTES_16BIT, tokens), of_a_token);
}

void bp_memory_train(const struct bp_plan *plan, const struct bp_memory_shape *shape,
                     const struct bp_memory_settings *settings, enum bp_training_way way,
                     struct bp_memory_parts *out)
{
    put_weights(plan, shape, out);
    /* What is trained is kept in floats: NF8 is for what is only read. */
    const unsigned precision = bp_budget_precision(&plan->budget);
    uint64_t weight = precision > 16 ? precision / 8 : BYTES_16BIT;
    uint64_t trained = plan->low_rank_params;
    uint64_t optimizer = BYTES_ADAM;
    out->low_rank = times(weight, trained);
    if (way == BP_TRAINING_QAT)
        out->quantized = times(BYTES_16BIT, plan->params); /* 2 B * planned, in place of codes */
    if (way == BP_TRAINING_FULL) {
        /* Mixed precision (ZeRO, arXiv 1910.02054, section 3.1), 16 B a parameter of all:
         * 2 B weights, 2 B gradients, 12 B optimizer. */
        const uint64_t outside = shape->outside_known ? shape->outside_params : 0;
        trained = plus(plan->params, outside);
        optimizer += BYTES_MASTER;
        weight = BYTES_16BIT;
        out->quantized = times(BYTES_16BIT, plan->params);
        out->outside = times(BYTES_16BIT, outside);
        out->low_rank = 0;
    }
    out->gradients = times(weight, trained); /* as wide as what is trained: 2 B, 4 B at 32 bits */
    out->optimizer = times(optimizer, trained); /* 8 B * trained, 12 B with a master copy */
    if (shape->hidden > 0)
        out->activations = activation_bytes(shape, settings);
    out->complete &= shape->hidden > 0;
    add_up(out);
}

/* --- the reverse --- */

static bool ranks_differ(const struct bp_table *table)
{
    for (size_t j = 1; j < table->n_candidates; j++)
        if (table->candidates[j].rank != table->candidates[0].rank)
            return true;
    return false;
}

/* Of the low-rank parts when every candidate has the same rank. */
static uint64_t fixed_low_rank(const struct bp_table *table, unsigned precision)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < table->n_matrices; i++)
        bytes = plus(bytes, bp_low_rank_bytes(table->matrices[i].d, table->matrices[i].k,
                                              table->candidates[0].rank, precision));
    return bytes;
}

/* What runs beside the planned matrices' codes and scales, and beside what else depends on the
 * plan.
 */
static enum bp_status rest_bytes(const struct bp_table *table,
                                 const struct bp_memory_settings *settings, uint64_t *rest,
                                 struct bp_err *err)
{
    struct bp_memory_shape shape;
    bp_memory_shape_of(table, &shape);
    if (!shape.outside_known)
        return bp_fail(err, BP_ERR_USAGE,
                       "%s does not say what the model holds beside its matrices: give bits/param "
                       "or a size",
                       table->path);
    if (!shape.kv_known && wants_kv(settings))
        return bp_fail(err, BP_ERR_USAGE,
                       "%s does not tell the size of a KV cache (no k_proj and v_proj in every "
                       "layer): set batch to 0, or give bits/param or a size",
                       table->path);
    *rest = times(BYTES_OFFSET, table->n_matrices);
    if (!ranks_differ(table))
        *rest = plus(*rest, fixed_low_rank(table, (unsigned)settings->low_rank_bits));
    *rest = plus(*rest, shape.outside_bytes);
    *rest = plus(*rest, bp_memory_kv_bytes(&shape, settings));
    return BP_OK;
}

enum bp_status bp_memory_budget_total(const struct bp_table *table,
                                      const struct bp_memory_settings *settings, double total_bytes,
                                      struct bp_budget *out, struct bp_err *err)
{
    uint64_t rest = 0;
    char text[BP_DOUBLE_TEXT];
    if (!(total_bytes >= 1.0 && total_bytes < 0x1p59))
        return bp_fail(err, BP_ERR_USAGE, "%s is no size in bytes: at least 1, and below 2^59",
                       isfinite(total_bytes) ? bp_double_format(total_bytes, text) : "it");
    BP_TRY(rest_bytes(table, settings, &rest, err));
    const uint64_t total = (uint64_t)total_bytes;
    if (rest > total)
        return bp_fail(err, BP_INFEASIBLE,
                       "%s bytes do not hold what runs beside the planned matrices (%sthe rest of "
                       "the model, KV "
                       "cache): %s bytes",
                       bp_grouped(total).text, ranks_differ(table) ? "" : "low-rank parts, ",
                       bp_grouped(rest).text);
    *out = (struct bp_budget){
        .unit = BP_BUDGET_TOTAL_BYTES,
        .asked = total_bytes,
        .bits = (total - rest) * 8,
        .counts_low_rank = ranks_differ(table),
        .low_rank_bits = (unsigned)settings->low_rank_bits,
        .context = settings->context,
        .batch = settings->batch,
        .kv_bits = settings->kv_bits,
    };
    return BP_OK;
}

enum bp_status bp_budget_resolve(struct bp_budget *budget, const struct bp_table *table,
                                 const struct bp_memory_settings *settings, struct bp_err *err)
{
    struct bp_budget made = {.unit = budget->unit};
    char text[400]; /* of the largest double in full */
    enum bp_status status = BP_ERR_USAGE;
    if (!isfinite(budget->asked))
        return bp_fail(err, BP_ERR_USAGE, "a budget must be a finite number");
    switch (budget->unit) {
    case BP_BUDGET_BITS_PER_PARAM:
        status = bp_budget_parse_bits(bp_double_format(budget->asked, text), bp_table_params(table),
                                      &made, err);
        break;
    case BP_BUDGET_BYTES:
        snprintf(text, sizeof text, "%.0f", budget->asked);
        status = bp_budget_parse_size(text, &made, err);
        break;
    case BP_BUDGET_TOTAL_BYTES:
        status = bp_memory_budget_total(table, settings, budget->asked, &made, err);
        break;
    }
    made.low_rank_bits = (unsigned)settings->low_rank_bits;
    if (status == BP_OK)
        *budget = made;
    return status;
}

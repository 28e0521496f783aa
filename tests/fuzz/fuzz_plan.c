/* Fuzz target: any bytes as a plan, verified against a fixed small table, and read for carrying
 * out. Nothing but a status and a sentence comes of it. */
#include "fuzz.h"

#include <math.h>

#include "engine/plan_file.h"
#include "engine/table_meta.h"
#include "engine/verify.h"

enum { N = 3, C = 4, N_TENSORS = 4 };

/* N matrices, three configs and a column of another quantizer; one cell is not measured. */
static const struct bp_table_matrix matrices[N] = {
    {(char *)"model.layers.0.self_attn.q_proj.weight", 16, 48, (char *)"BF16", 0, (char *)"q_proj"},
    {(char *)"model.layers.0.mlp.up_proj.weight", 33, 65, (char *)"BF16", 0, (char *)"up_proj"},
    {(char *)"model.layers.1.mlp.up_proj.weight", 64, 16, (char *)"F32", 1, (char *)"up_proj"},
};
static const struct bp_candidate candidates[C] = {
    {.config = {2, 2, BP_SCALE_BF16, 64, 256}, .rank = 4},
    {.config = {3, 4, BP_SCALE_FP16, 32, 64}, .rank = 4},
    {.config = {4, 8, BP_SCALE_FP32, 16, 16}, .rank = 4},
    {.foreign = true, .label = "q4_k"},
};
static const double error[N][C] = {{9.5, 4.25, 1.0, 2.0}, {31.0, 12.0, 3.5, 5.0}, {7.0, 3.0, 0.5}};
static const double norm[N] = {100.0, 250.5, 64.0};
static const double baseline[N][BP_N_BASELINES] = {{2.0, 5.0}, {6.0, 15.0}, {1.0, 4.0}};

static struct memory_file table_file, plan_file;

static void append(unsigned char *bytes, size_t *at, const void *from, size_t n)
{
    memcpy(bytes + *at, from, n);
    *at += n;
}

static void make_table(void)
{
    const struct bp_st_spec specs[N_TENSORS] = {
        {"error", BP_DTYPE_F64, 2, {N, C}},
        {"storage", BP_DTYPE_U64, 2, {N, C}},
        {"norm", BP_DTYPE_F64, 1, {N}},
        {"baseline_error", BP_DTYPE_F64, 2, {N, BP_N_BASELINES}},
    };
    struct bp_table by_hand = {
        .matrices = (struct bp_table_matrix *)(uintptr_t)matrices,
        .n_matrices = N,
        .candidates = (struct bp_candidate *)(uintptr_t)candidates,
        .n_candidates = C,
        .about = {.weighting = (char *)"none",
                  .weighting_source = (char *)"",
                  .weighting_fingerprint = (char *)"",
                  .model_name = (char *)"fuzz",
                  .model_fingerprint = (char *)"",
                  .params = 5000,
                  .params_outside = 1063,
                  .bytes_outside = 2126,
                  .effort = (char *)"exact",
                  .method_version = BP_METHOD_VERSION},
    };
    struct bp_st_pair pairs[BP_TABLE_META_PAIRS];
    unsigned char *header;
    size_t at;
    uint64_t n_bytes, storage[N][C];
    double measured[N][C];
    must(bp_table_meta_build(&by_hand, pairs, NULL) == BP_OK);
    must(bp_st_build_header(specs, N_TENSORS, pairs, BP_TABLE_META_PAIRS, &header, &at, NULL,
                            &n_bytes, NULL) == BP_OK);
    unsigned char *bytes = realloc(header, n_bytes);
    must(bytes != NULL);
    memcpy(measured, error, sizeof measured);
    measured[N - 1][C - 1] = NAN;
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < C; j++)
            if (candidates[j].foreign)
                storage[i][j] = matrices[i].d * matrices[i].k * 9 / 2;
            else
                bp_config_storage(&candidates[j].config, matrices[i].d * matrices[i].k,
                                  &storage[i][j]);
    append(bytes, &at, measured, sizeof measured);
    append(bytes, &at, storage, sizeof storage);
    append(bytes, &at, norm, sizeof norm);
    append(bytes, &at, baseline, sizeof baseline);
    must(at == n_bytes);
    memory_file_write(&table_file, bytes, n_bytes);
    bp_table_meta_done(pairs);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!table_file.fd)
        make_table();
    memory_file_write(&plan_file, data, size);
    const struct bp_verify_options options = {.plan_path = plan_file.path,
                                              .table_path = table_file.path};
    struct bp_verify_report report;
    struct bp_err err = {""};
    enum bp_status status = bp_verify_plan(&options, &report, &err);
    must(status == BP_OK || status == BP_ERR_INPUT || status == BP_ERR_MISMATCH);
    must_say(status, &err);
    must(status != BP_OK || report.n_plans > 0);

    struct bp_plan_file *plan;
    struct bp_err other = {""};
    status = bp_plan_file_read(plan_file.path, table_file.path, &plan, &other);
    must(status == BP_OK || status == BP_ERR_INPUT || status == BP_ERR_MISMATCH);
    must_say(status, &other);
    must((status == BP_OK) == (plan != NULL));
    for (size_t i = 0; plan && i < plan->n; i++)
        must(plan->entries[i].candidate.foreign ||
             bp_config_valid(&plan->entries[i].candidate.config));
    bp_plan_file_free(plan);
    return 0;
}

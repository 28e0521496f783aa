#include "engine/sample.h"

#include <stdio.h>
#include <string.h>

#include "engine/sample_files.h"
#include "engine/sample_layout.h"

static const struct {
    const char *name;
    uint64_t layers, hidden, intermediate, kv_dim, vocab;
} SHAPES[] = {
    {"llama-2-7b", 32, 4096, 11008, 4096, 32000},
    {"llama-2-13b", 40, 5120, 13824, 5120, 32000},
    {"llama-2-70b", 80, 8192, 28672, 1024, 32000},
    {"llama-3.1-8b", 32, 4096, 14336, 1024, 128256},
    {"tiny", 4, 256, 688, 128, 512},
};

enum bp_status bp_sample_shapes(const char *name, struct bp_sample_options *options,
                                struct bp_err *err)
{
    for (size_t i = 0; i < sizeof SHAPES / sizeof *SHAPES; i++) {
        if (strcmp(name, SHAPES[i].name) != 0)
            continue;
        options->layers = SHAPES[i].layers;
        options->hidden = SHAPES[i].hidden;
        options->intermediate = SHAPES[i].intermediate;
        options->kv_dim = SHAPES[i].kv_dim;
        options->vocab = SHAPES[i].vocab;
        return BP_OK;
    }
    char known[256] = "";
    for (size_t i = 0, used = 0; i < sizeof SHAPES / sizeof *SHAPES; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "",
                                 SHAPES[i].name);
    return bp_fail(err, BP_ERR_USAGE, "%s: not a known shape; known are %s", name, known);
}

enum bp_status bp_sample_write(const char *dir, const struct bp_sample_options *options,
                               bp_progress_fn *progress, void *progress_ctx, struct bp_err *err)
{
    struct bp_sample_layout layout;
    BP_TRY(bp_sample_layout_init(&layout, options, BP_SAMPLE_SHARD_BYTES, err));
    enum bp_status status = bp_sample_write_layout(dir, &layout, progress, progress_ctx, err);
    bp_sample_layout_done(&layout);
    return status;
}

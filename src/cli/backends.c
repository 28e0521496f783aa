/* What computes: --backend, and `info --backends`. */
#include <inttypes.h>
#include <stdio.h>

#include "cli/commands.h"
#include "engine/backend_cuda.h"
#include "engine/json_write.h"
#include "engine/parallel.h"
#include "engine/printable.h"

enum bp_status bp_cli_backend(const struct bp_args *args, bool exact, enum bp_backend_kind *out,
                              struct bp_err *err)
{
    const char *word = bp_args_text(args, BP_OPT_BACKEND, "cpu");
    struct bp_cuda_look look;
    struct bp_err why;
    if (!bp_backend_kind_parse(word, out))
        return bp_fail(err, BP_ERR_USAGE, "--backend: '%s' is not known; there are cpu, cuda, auto",
                       word);
    if (exact && *out == BP_BACKEND_CUDA)
        return bp_fail(err, BP_ERR_USAGE,
                       "--backend cuda: effort exact is the reference procedure, which runs on the "
                       "CPU; the other efforts run on both");
    if (exact) {
        *out = BP_BACKEND_CPU;
    } else if (*out == BP_BACKEND_AUTO) {
        *out = bp_backend_auto(&why);
        if (why.text[0])
            fprintf(stderr, "bitplan: computing on the CPU: %s\n", why.text);
    } else if (*out == BP_BACKEND_CUDA) {
        bp_cuda_look(&look);
        if (look.cause != BP_CUDA_USABLE)
            return bp_fail(err, BP_ERR_FAILED, "--backend cuda: %s", look.reason);
    }
    return BP_OK;
}

static void print(const struct bp_cuda_look *cuda)
{
    char bytes[BP_SIZE_TEXT], bytes_free[BP_SIZE_TEXT];
    printf("backends\n  cpu   %u threads\n", bp_available_threads());
    if (cuda->cause != BP_CUDA_USABLE)
        printf("  cuda  cannot be used: %s\n", cuda->reason);
    else
        printf("  cuda  %s, compute capability %d.%d, %s of %s free\n", cuda->device, cuda->major,
               cuda->minor, bp_size_format(cuda->bytes_free, bytes_free),
               bp_size_format(cuda->bytes, bytes));
}

static void put_cuda(const struct bp_cuda_look *cuda, struct bp_json_out *out, struct cJSON *list)
{
    static const char *const causes[] = {
#define CAUSE_WORD(name, word, half_working) [BP_CUDA_##name] = word,
        BP_CUDA_CAUSES(CAUSE_WORD)
#undef CAUSE_WORD
    };
    struct cJSON *o = bp_json_put_object(out, list, NULL);
    bp_json_put_string(out, o, "name", "cuda");
    bp_json_put_bool(out, o, "usable", cuda->cause == BP_CUDA_USABLE);
    bp_json_put_string(out, o, "cause", causes[cuda->cause]);
    bp_json_put_string(out, o, "reason", cuda->cause == BP_CUDA_USABLE ? NULL : cuda->reason);
    bp_json_put_string(out, o, "object", cuda->object[0] ? cuda->object : NULL);
    if (cuda->cause != BP_CUDA_USABLE)
        return;
    bp_json_put_string(out, o, "device", cuda->device);
    bp_json_put_u64(out, o, "compute_capability_major", (uint64_t)cuda->major);
    bp_json_put_u64(out, o, "compute_capability_minor", (uint64_t)cuda->minor);
    bp_json_put_u64(out, o, "driver", (uint64_t)cuda->driver);
    bp_json_put_u64(out, o, "runtime", (uint64_t)cuda->runtime);
    bp_json_put_u64(out, o, "bytes", cuda->bytes);
    bp_json_put_u64(out, o, "bytes_free", cuda->bytes_free);
}

enum bp_status bp_cli_info_backends(const struct bp_args *args, struct bp_err *err)
{
    struct bp_cuda_look cuda;
    bp_cuda_look(&cuda);
    if (!bp_args_has(args, BP_OPT_JSON)) {
        print(&cuda);
        return BP_OK;
    }
    struct bp_json_out out;
    bp_json_out_object(&out);
    bp_json_put_string(&out, out.root, "what", "backends");
    struct cJSON *list = bp_json_put_array(&out, out.root, "backends");
    struct cJSON *cpu = bp_json_put_object(&out, list, NULL);
    bp_json_put_string(&out, cpu, "name", "cpu");
    bp_json_put_bool(&out, cpu, "usable", true);
    bp_json_put_u64(&out, cpu, "threads", bp_available_threads());
    put_cuda(&cuda, &out, list);
    enum bp_status status = bp_cli_emit_json(args, &out, true, err);
    bp_json_out_done(&out);
    return status;
}

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/commands.h"
#include "engine/constraints.h"
#include "engine/file_out.h"
#include "engine/json_write.h"
#include "engine/model.h"

/* Standard output may be a full disk or a closed pipe: what did not arrive is a failure. */
static enum bp_status print_all(const char *text, struct bp_err *err)
{
    if (fputs(text, stdout) == EOF || fflush(stdout) != 0)
        return bp_fail(err, BP_ERR_FAILED, "standard output: cannot be written: %s",
                       strerror(errno));
    return BP_OK;
}

enum bp_status bp_cli_keep_input(const char *path, const char *input, struct bp_err *err)
{
    struct stat out, in;
    if (stat(path, &out) != 0 || stat(input, &in) != 0 || out.st_dev != in.st_dev ||
        out.st_ino != in.st_ino)
        return BP_OK;
    return bp_fail(err, BP_ERR_MISMATCH, "%s: is what is read here and was kept; give another -o",
                   path);
}

static enum bp_status write_output(const struct bp_args *args, const char *path, const char *text,
                                   struct bp_err *err)
{
    for (size_t i = 0; i < args->command->n_operands; i++)
        BP_TRY(bp_cli_keep_input(path, args->operands[i], err));
    return bp_file_write(path, text, strlen(text), bp_args_has(args, BP_OPT_FORCE), err);
}

enum bp_status bp_cli_emit_text(const struct bp_args *args, const char *text, struct bp_err *err)
{
    const char *path = bp_args_text(args, BP_OPT_OUT, NULL);
    return path ? write_output(args, path, text, err) : print_all(text, err);
}

enum bp_status bp_cli_emit_json(const struct bp_args *args, const struct bp_json_out *out,
                                bool to_stdout, struct bp_err *err)
{
    const char *path = bp_args_text(args, BP_OPT_OUT, NULL);
    char *text = bp_json_print(out, true);
    if (!text)
        return bp_fail_nomem(err);
    enum bp_status status = path ? write_output(args, path, text, err) : BP_OK;
    if (status == BP_OK && to_stdout)
        status = print_all(text, err);
    free(text);
    return status;
}

const char *bp_size_format(uint64_t bytes, char text[BP_SIZE_TEXT])
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    int unit = 0;
    while (value >= 1024.0 && unit < 4) {
        value /= 1024.0;
        unit++;
    }
    snprintf(text, BP_SIZE_TEXT, unit ? "%.2f %s" : "%.0f %s", value, units[unit]);
    return text;
}

struct bp_model_filter bp_cli_filter(const struct bp_args *args)
{
    return (struct bp_model_filter){
        args->values[BP_OPT_INCLUDE],
        args->n_values[BP_OPT_INCLUDE],
        args->values[BP_OPT_EXCLUDE],
        args->n_values[BP_OPT_EXCLUDE],
    };
}

enum bp_status bp_cli_constraints(const struct bp_args *args, struct bp_constraints *out,
                                  struct bp_err *err)
{
    static const enum bp_option options[BP_N_CONSTRAINT_KINDS] = {
#define CONSTRAINT_OPTION(name, option) BP_OPT_##name,
        BP_CONSTRAINT_KINDS(CONSTRAINT_OPTION)
#undef CONSTRAINT_OPTION
    };
    *out = (struct bp_constraints){0};
    for (int kind = 0; kind < BP_N_CONSTRAINT_KINDS; kind++)
        for (size_t i = 0; i < args->n_values[options[kind]]; i++) {
            enum bp_status status = bp_constraints_add(out, (enum bp_constraint_kind)kind,
                                                       args->values[options[kind]][i], err);
            if (status != BP_OK) {
                bp_constraints_done(out);
                return status;
            }
        }
    return BP_OK;
}

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/commands.h"
#include "engine/file_out.h"
#include "engine/json_write.h"

/* Standard output may be a full disk or a closed pipe: what did not arrive is a failure. */
enum bp_status bp_cli_print_text(const char *text, struct bp_err *err)
{
    if (fputs(text, stdout) == EOF || fflush(stdout) != 0)
        return bp_fail(err, BP_ERR_FAILED, "standard output: cannot be written: %s",
                       strerror(errno));
    return BP_OK;
}

enum bp_status bp_cli_print_json(const struct bp_json_out *out, struct bp_err *err)
{
    char *text = bp_json_print(out, true);
    if (!text)
        return bp_fail_nomem(err);
    enum bp_status status = bp_cli_print_text(text, err);
    free(text);
    return status;
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
    return path ? write_output(args, path, text, err) : bp_cli_print_text(text, err);
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
        status = bp_cli_print_text(text, err);
    free(text);
    return status;
}

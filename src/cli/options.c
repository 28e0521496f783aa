#include "cli/options.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct bp_option_row options[BP_N_OPTIONS] = {
#define OPTION_ROW(id, name, letter, arg, help) {"--" name, letter, arg, help},
    BP_OPTIONS(OPTION_ROW)
#undef OPTION_ROW
};

const struct bp_option_row *bp_option_row(enum bp_option option)
{
    return &options[option];
}

static bool takes(const struct bp_command *c, enum bp_option option)
{
    for (size_t i = 0; i < c->n_options; i++)
        if (c->options[i] == option)
            return true;
    return option == BP_OPT_HELP;
}

/* The option that a word names ("--bits", "--bits=3", "-o", "-oFILE"), BP_N_OPTIONS when none of
 * the command's. *value is what the word itself carries, NULL for nothing. */
static enum bp_option find(const struct bp_command *c, const char *word, const char **value)
{
    *value = NULL;
    for (int o = 0; o < BP_N_OPTIONS; o++) {
        if (!takes(c, (enum bp_option)o))
            continue;
        size_t n = strlen(options[o].spelling);
        if (strncmp(word, options[o].spelling, n) == 0 && (word[n] == '\0' || word[n] == '=')) {
            *value = word[n] ? word + n + 1 : NULL;
            return (enum bp_option)o;
        }
        if (word[1] != '-' && options[o].letter && word[1] == options[o].letter &&
            (options[o].arg || !word[2])) {
            *value = word[2] ? word + 2 : NULL;
            return (enum bp_option)o;
        }
    }
    return BP_N_OPTIONS;
}

static enum bp_status take_option(struct bp_args *args, int argc, char **argv, int *i,
                                  struct bp_err *err)
{
    const struct bp_command *c = args->command;
    const char *value;
    enum bp_option o = find(c, argv[*i], &value);
    if (o == BP_N_OPTIONS)
        return bp_fail(err, BP_ERR_USAGE, "%s has no option '%s'; see `bitplan %s --help`", c->name,
                       argv[*i], c->name);
    if (o == BP_OPT_HELP) {
        bp_command_print_help(c);
        return BP_STOPPED;
    }
    if (!options[o].arg && value)
        return bp_fail(err, BP_ERR_USAGE, "%s takes no value", options[o].spelling);
    if (options[o].arg && !value) {
        if (*i + 1 >= argc)
            return bp_fail(err, BP_ERR_USAGE, "%s needs a value: %s %s", options[o].spelling,
                           options[o].spelling, options[o].arg);
        value = argv[++*i];
    }
    args->values[o][args->n_values[o]++] = value ? value : "";
    return BP_OK;
}

static enum bp_status parse(struct bp_args *args, int argc, char **argv, struct bp_err *err)
{
    const struct bp_command *c = args->command;
    size_t n_operands = 0;
    bool only_operands = false;
    for (int i = 0; i < argc; i++) {
        if (!only_operands && strcmp(argv[i], "--") == 0) {
            only_operands = true;
        } else if (!only_operands && argv[i][0] == '-' && argv[i][1]) {
            BP_TRY(take_option(args, argc, argv, &i, err));
        } else if (n_operands < c->n_operands) {
            args->operands[n_operands++] = argv[i];
        } else {
            return bp_fail(err, BP_ERR_USAGE, "%s: one argument too many: '%s'", c->name, argv[i]);
        }
    }
    if (n_operands + c->n_optional < c->n_operands)
        return bp_fail(err, BP_ERR_USAGE, "usage: bitplan %s %s [OPTIONS]; see `bitplan %s --help`",
                       c->name, c->operands, c->name);
    return BP_OK;
}

enum bp_status bp_args_parse(const struct bp_command *command, int argc, char **argv,
                             struct bp_args *args, struct bp_err *err)
{
    *args = (struct bp_args){.command = command};
    const char **store =
        calloc((size_t)argc * BP_N_OPTIONS + command->n_operands + 1, sizeof *store);
    if (!store)
        return bp_fail_nomem(err);
    args->operands = store;
    for (int o = 0; o < BP_N_OPTIONS; o++)
        args->values[o] = store + command->n_operands + (size_t)o * (size_t)argc;
    enum bp_status status = parse(args, argc, argv, err);
    if (status != BP_OK)
        bp_args_done(args);
    return status;
}

void bp_args_done(struct bp_args *args)
{
    free(args->operands);
    *args = (struct bp_args){0};
}

bool bp_args_has(const struct bp_args *args, enum bp_option option)
{
    return args->n_values[option] > 0;
}

const char *bp_args_text(const struct bp_args *args, enum bp_option option, const char *fallback)
{
    size_t n = args->n_values[option];
    return n ? args->values[option][n - 1] : fallback;
}

enum bp_status bp_parse_u64(const char *text, const char *what, uint64_t least, uint64_t most,
                            uint64_t *out, struct bp_err *err)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end || errno || value < least || value > most)
        return bp_fail(err, BP_ERR_USAGE,
                       "%s: '%s' is no whole number from %" PRIu64 " to %" PRIu64, what, text,
                       least, most);
    *out = value;
    return BP_OK;
}

enum bp_status bp_args_u64(const struct bp_args *args, enum bp_option option, uint64_t least,
                           uint64_t most, uint64_t *out, struct bp_err *err)
{
    const char *text = bp_args_text(args, option, NULL);
    return text ? bp_parse_u64(text, options[option].spelling, least, most, out, err) : BP_OK;
}

void bp_command_print_help(const struct bp_command *c)
{
    printf("usage: bitplan %s %s%s[OPTIONS]\n\n%s.\n\n", c->name, c->operands,
           *c->operands ? " " : "", c->summary);
    if (*c->notes)
        printf("%s\n\n", c->notes);
    for (int o = 0; o < BP_N_OPTIONS; o++) {
        if (!takes(c, (enum bp_option)o))
            continue;
        char left[64], letter[8] = "    ";
        if (options[o].letter)
            snprintf(letter, sizeof letter, "-%c, ", options[o].letter);
        snprintf(left, sizeof left, "%s%s%s%s", letter, options[o].spelling,
                 options[o].arg ? " " : "", options[o].arg ? options[o].arg : "");
        printf("  %-26s  %s\n", left, options[o].help);
    }
}

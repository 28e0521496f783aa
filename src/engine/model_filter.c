#include "engine/model_parts.h"

#include <stdlib.h>
#include <string.h>

#include "engine/mem.h"
#include "engine/printable.h"

/* Compiled patterns of one option. */
struct patterns {
    const char *option;
    const char *const *text; /* [n] */
    regex_t *regex;          /* [n], the first n_compiled are valid */
    bool *useful;            /* [n] changed or confirmed something */
    size_t *first_match;     /* [n] a tensor that matched in vain, SIZE_MAX when none did */
    size_t n, n_compiled;
};

static enum bp_status compile(struct patterns *p, const char *option, const char *const *text,
                              size_t n, struct bp_err *err)
{
    *p = (struct patterns){.option = option, .text = text, .n = n};
    p->regex = bp_alloc_zero(n, sizeof *p->regex);
    p->useful = bp_alloc_zero(n, sizeof *p->useful);
    p->first_match = bp_alloc(n, sizeof *p->first_match);
    if (!p->regex || !p->useful || !p->first_match)
        return bp_fail_nomem(err);
    for (size_t i = 0; i < n; i++) {
        p->first_match[i] = SIZE_MAX;
        int code = regcomp(&p->regex[i], text[i], REG_EXTENDED | REG_NOSUB);
        if (code == REG_ESPACE)
            return bp_fail_nomem(err);
        if (code) {
            char words[128];
            regerror(code, &p->regex[i], words, sizeof words);
            return bp_fail(err, BP_ERR_USAGE, "%s '%s': not a regular expression: %s", option,
                           bp_printable(text[i]).text, words);
        }
        p->n_compiled++;
    }
    return BP_OK;
}

static void patterns_done(struct patterns *p)
{
    for (size_t i = 0; i < p->n_compiled; i++)
        regfree(&p->regex[i]);
    free(p->regex);
    free(p->useful);
    free(p->first_match);
}

/* *any when a pattern matches the name; all of them are tried, to find useless ones. */
static enum bp_status match(struct patterns *p, const char *name, size_t tensor, bool useful,
                            bool *any, struct bp_err *err)
{
    *any = false;
    for (size_t i = 0; i < p->n; i++) {
        int code = regexec(&p->regex[i], name, 0, NULL, 0);
        if (code == REG_ESPACE)
            return bp_fail_nomem(err);
        if (code)
            continue;
        *any = true;
        p->useful[i] |= useful;
        if (p->first_match[i] == SIZE_MAX)
            p->first_match[i] = tensor;
    }
    return BP_OK;
}

/* A typing error must not pass silently: every pattern has to do something. */
static enum bp_status check_useful(const struct patterns *p, const struct bp_model *model,
                                   struct bp_err *err)
{
    for (size_t i = 0; i < p->n; i++) {
        struct bp_printable text = bp_printable(p->text[i]);
        if (p->useful[i])
            continue;
        if (p->first_match[i] == SIZE_MAX)
            return bp_fail(err, BP_ERR_USAGE, "%s '%s' matches no tensor of %s", p->option,
                           text.text, model->path);
        const struct bp_model_tensor *t = &model->tensors[p->first_match[i]];
        return bp_fail(err, BP_ERR_USAGE,
                       "%s '%s' matches nothing that can be planned in %s, only tensors like %s "
                       "(%s)",
                       p->option, text.text, model->path, bp_printable(t->t->name).text,
                       bp_keep_reason_text(t->role.reason));
    }
    return BP_OK;
}

/* 2-D or stacked, not empty, of a dtype that is read. */
static bool can_be_planned(const struct bp_st_tensor *t)
{
    return bp_dtype_is_weight(t->dtype) && t->n_elems > 0 &&
           (t->n_dims == 2 || bp_tensor_is_stacked(t->name, t->n_dims, t->shape));
}

enum bp_status bp_model_apply_filter(struct bp_model *model, const struct bp_model_filter *filter,
                                     struct bp_err *err)
{
    struct patterns include = {0}, exclude = {0};
    if (!filter)
        return BP_OK;
    enum bp_status status = compile(&include, "--include", filter->include, filter->n_include, err);
    if (status == BP_OK)
        status = compile(&exclude, "--exclude", filter->exclude, filter->n_exclude, err);
    for (size_t i = 0; status == BP_OK && i < model->n_tensors; i++) {
        struct bp_model_tensor *tensor = &model->tensors[i];
        bool possible = can_be_planned(tensor->t);
        bool asked = false, refused = false;
        status = match(&include, tensor->t->name, i, possible, &asked, err);
        if (status == BP_OK)
            status = match(&exclude, tensor->t->name, i, true, &refused, err);
        if (asked && possible)
            tensor->role.reason = BP_KEEP_PLANNED;
        if (refused && tensor->role.reason == BP_KEEP_PLANNED)
            tensor->role.reason = BP_KEEP_EXCLUDED;
    }
    if (status == BP_OK)
        status = check_useful(&include, model, err);
    if (status == BP_OK)
        status = check_useful(&exclude, model, err);
    patterns_done(&include);
    patterns_done(&exclude);
    return status;
}

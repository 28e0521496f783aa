/* What the workbench writes: the session, plans. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/decompose.h"
#include "engine/file_out.h"
#include "engine/json_write.h"
#include "engine/mem.h"
#include "engine/printable.h"
#include "ui/app.h"
#include "ui/carry.h"

/* --- what a person looks at --- */

/* Puts what a person looks at into the session, before it is written. */
static enum bp_status view_to_session(struct bp_app *app, struct bp_err *err)
{
    const struct bp_view *v = &app->view;
    BP_TRY(bp_session_set_view(&app->session, "panel", bp_panel_word(v->page), err));
    BP_TRY(bp_session_set_view(&app->session, "metric", bp_metric_key(v->metric), err));
    const struct bp_table *t = app->source ? app->source->table : NULL;
    if (t && v->row < t->n_matrices)
        BP_TRY(bp_session_set_view(&app->session, "matrix", t->matrices[v->row].name, err));
    return BP_OK;
}

void bp_app_view_from_session(struct bp_app *app)
{
    const char *panel = bp_session_view(&app->session, "panel");
    const char *metric = bp_session_view(&app->session, "metric");
    const char *matrix = bp_session_view(&app->session, "matrix");
    if (panel && bp_panel_parse(panel) != BP_N_PANELS)
        bp_app_show(app, bp_panel_parse(panel));
    for (int m = 0; metric && m < BP_N_METRICS; m++)
        if (strcmp(metric, bp_metric_key((enum bp_metric)m)) == 0)
            app->view.metric = (enum bp_metric)m;
    const struct bp_table *t = app->source ? app->source->table : NULL;
    for (size_t i = 0; matrix && t && i < t->n_matrices; i++)
        if (strcmp(matrix, t->matrices[i].name) == 0)
            app->view.row = i;
}

/* --- the session --- */

char *bp_app_session_text(struct bp_app *app, const char *path)
{
    if (view_to_session(app, NULL) != BP_OK)
        return NULL;
    return bp_session_text(&app->session, path);
}

void bp_app_save(struct bp_app *app, const char *path, bool replace)
{
    struct bp_err err = {{0}};
    char *kept = bp_strdup(path);
    enum bp_status status = kept ? view_to_session(app, &err) : bp_fail_nomem(&err);
    /* Saving again where it came from replaces; another file that is there stays. */
    bool own = app->session_path && strcmp(app->session_path, path) == 0;
    if (status == BP_OK)
        status = bp_session_save(&app->session, path, replace || own, &err);
    if (status != BP_OK) {
        free(kept);
        bp_app_say(app, BP_ROLE_ERROR, "%s%s", err.text,
                   status == BP_ERR_MISMATCH ? "; :save! FILE replaces it" : "");
        return;
    }
    /* `path` may be the very string that is replaced. */
    free(app->session_path);
    app->session_path = kept;
    bp_history_mark_saved(app->history);
    app->n_changes++;
    bp_app_say(app, BP_ROLE_GOOD, "session saved in %s", bp_printable(kept).text);
}

/* --- plans --- */

static char *plan_text(const struct bp_plan *plan, const char *path)
{
    const char *dot = strrchr(path, '.');
    if (dot && strcmp(dot, ".csv") == 0)
        return bp_plan_to_csv(plan);
    struct bp_json_out out;
    bp_plan_to_json(plan, &out);
    char *text = bp_json_print(&out, true);
    bp_json_out_done(&out);
    return text;
}

/* Keeps the path until the proof is there. True when it has to wait. */
static bool wait_for_proof(struct bp_app *app, const char *path, bool replace)
{
    if (app->settled)
        return false;
    char *kept = bp_strdup(path);
    free(app->export_path);
    app->export_path = kept;
    app->export_replace = replace;
    bp_app_say(app, BP_ROLE_WARNING, "%s is written once the plan is proved",
               bp_printable(path).text);
    return true;
}

void bp_app_export(struct bp_app *app, const char *path, bool replace)
{
    struct bp_err err = {{0}};
    if (wait_for_proof(app, path, replace))
        return;
    if (!app->plan) {
        bp_app_say(app, BP_ROLE_ERROR, "there is no plan to export");
        return;
    }
    char *text = plan_text(app->plan, path);
    enum bp_status status =
        text ? bp_file_write(path, text, strlen(text), replace, &err) : bp_fail_nomem(&err);
    free(text);
    if (status == BP_OK)
        bp_app_say(app, BP_ROLE_GOOD, "plan of %.4f bits/param%s written to %s",
                   bp_plan_bits_per_param(app->plan),
                   app->problem->source->planned == app->problem->source->table
                       ? ""
                       : ", of the measured part,",
                   bp_printable(path).text);
    else
        bp_app_say(app, BP_ROLE_ERROR, "%s%s", err.text,
                   status == BP_ERR_MISMATCH ? "; :export! FILE replaces it" : "");
    /* `path` may be the very string that is kept. */
    char *kept = app->export_path;
    app->export_path = NULL;
    free(kept);
}

/* --- the plan carried out --- */

/* The words of `args` [3], NULL for those that are not there; cuts the text up. */
static void split(char *args, char *words[3])
{
    for (int i = 0; i < 3; i++)
        words[i] = NULL;
    for (int i = 0; i < 3 && *args; i++) {
        words[i] = args;
        args += strcspn(args, " ");
        if (*args)
            *args++ = '\0';
        args += strspn(args, " ");
    }
}

/* What stands in the way of carrying the plan out now, NULL for nothing. */
static const char *not_now(const struct bp_app *app)
{
    if (app->carry && !bp_carry_done(app->carry))
        return "a plan is being carried out; :stop ends that";
    if (!app->plan)
        return "there is no plan to carry out";
    if (!app->settled)
        return "the plan is not proved yet; again in a moment";
    return NULL;
}

void bp_app_decompose(struct bp_app *app, const char *args, bool replace)
{
    struct bp_err err = {{0}};
    char text[BP_PROMPT_TEXT], *words[3];
    unsigned emits = 1u << BP_EMIT_HF;
    const char *why = not_now(app);
    snprintf(text, sizeof text, "%s", args);
    split(text, words);
    const char *model = words[1] ? words[0] : app->model_path;
    const char *out = words[1] ? words[1] : words[0];
    if (!why && (!model || !out))
        why = "decompose needs a model and a folder: decompose MODEL OUT";
    if (why || (words[2] && bp_emit_parse(words[2], &emits, &err) != BP_OK)) {
        bp_app_say(app, BP_ROLE_ERROR, "%s", why ? why : err.text);
        return;
    }
    char *kept = bp_strdup(model);
    app->carry = bp_carry_free(app->carry);
    if (!kept || bp_carry_new(app, model, out, emits, replace, &app->carry, &err) != BP_OK) {
        bp_app_say(app, BP_ROLE_ERROR, "%s", kept ? err.text : "out of memory");
        free(kept);
        return;
    }
    bp_app_say(app, BP_ROLE_TEXT, "decomposing into %s; :stop ends it, what is done is kept",
               bp_printable(out).text);
    free(app->model_path);
    app->model_path = kept;
}

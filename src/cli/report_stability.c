/* --stability: asking for it, and its words behind a plan. */
#include <inttypes.h>
#include <stdlib.h>

#include "cli/commands.h"
#include "engine/mem.h"
#include "engine/printable.h"
#include "engine/stability.h"

struct bp_stability *bp_cli_stability_free(struct bp_stability *list, size_t n)
{
    for (size_t i = 0; list && i < n; i++)
        bp_stability_done(&list[i]);
    free(list);
    return NULL;
}

enum bp_status bp_cli_stability(const struct bp_args *args, struct bp_plan *const *plans, size_t n,
                                struct bp_stability **out, struct bp_err *err)
{
    const char *text = bp_args_text(args, BP_OPT_STABILITY, NULL);
    double noise;
    *out = NULL;
    if (!text)
        return BP_OK;
    const enum bp_status parsed = bp_stability_parse(text, &noise, err);
    if (parsed != BP_OK)
        return bp_fail_in(err, parsed, "--stability");
    struct bp_stability *list = bp_alloc_zero(n, sizeof *list);
    if (!list)
        return bp_fail_nomem(err);
    /* Under --max-configs and --limit a proof takes long; twenty good plans tell as much. */
    const struct bp_planner_limits limits = {.stop = &bp_cli_stop, .max_seconds = 2.0};
    for (size_t i = 0; i < n; i++) {
        enum bp_status status = bp_stability_test(plans[i], noise, &limits, &list[i], err);
        if (status != BP_OK) {
            bp_cli_stability_free(list, n);
            if (status != BP_STOPPED)
                return status;
            fprintf(stderr, "bitplan: --stability was stopped, and is left out\n");
            return BP_OK;
        }
    }
    *out = list;
    return BP_OK;
}

/* The matrices whose bits a code are coin flips, up to so many of them. */
static void print_flips(const struct bp_stability *s, FILE *out)
{
    enum { MOST = 10 };
    const struct bp_table *t = s->plan->table;
    size_t shown = 0;
    for (size_t i = 0; i < t->n_matrices && shown < MOST; i++) {
        char text[BP_CANDIDATE_TEXT];
        if (!bp_stability_is_flip(s, s->codes_changed[i]))
            continue;
        shown++;
        fprintf(out, "  %s: %s here, other bits a code in %" PRIu32 " of %u runs\n",
                bp_printable(t->matrices[i].name).text,
                bp_printable(bp_candidate_format(&t->candidates[s->plan->choice[i]], text)).text,
                s->codes_changed[i], s->runs);
    }
    if (s->n_code_flips > shown)
        fprintf(out, "  and %zu more: --json has them\n", s->n_code_flips - shown);
}

static double percent(size_t n, size_t of)
{
    return 100.0 * (double)n / (double)of;
}

void bp_print_stability(const struct bp_stability *s, FILE *out)
{
    const size_t n = s->plan->table->n_matrices;
    fprintf(out, "stability   %u plans with %.4g %% noise on every error%s\n", s->runs,
            s->noise_percent, s->n_optimal == s->runs ? "" : " (some are not proved optimal)");
    fprintf(out,
            "  steady      %zu of %zu matrices (%.1f %%) never change their config, %zu (%.1f %%) "
            "their bits a code\n",
            s->n_steady, n, percent(s->n_steady, n), s->n_codes_steady,
            percent(s->n_codes_steady, n));
    fprintf(
        out,
        "  regret      under noise this plan is %.3g %% above the optimum in the median, %.3g %% "
        "at most\n"
        "  loss        a plan made under noise is %.3g %% above this one in the median, %.3g %% "
        "at most\n",
        100.0 * s->regret_median, 100.0 * s->regret_max, 100.0 * s->loss_median,
        100.0 * s->loss_max);
    fprintf(out,
            "  coin flips  %zu configs change in %.0f %% of the runs or more, %zu bits a code\n",
            s->n_flips, 100.0 * BP_STABILITY_FLIP, s->n_code_flips);
    print_flips(s, out);
}

/* Moving the budget: by steps, by a share of the range, by what was typed. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/printable.h"
#include "ui/app.h"

static bool set(struct bp_app *app, const struct bp_budget *budget, bool merge)
{
    struct bp_edit edit = {.kind = BP_EDIT_BUDGET, .index = BP_EDIT_LAST, .budget = *budget};
    return bp_app_edit(app, &edit, 1, merge);
}

static enum bp_status read_budget(const struct bp_app *app, enum bp_budget_unit unit,
                                  const char *text, struct bp_budget *out, struct bp_err *err)
{
    if (unit == BP_BUDGET_BITS_PER_PARAM)
        return bp_budget_parse_bits(text, bp_app_params(app), out, err);
    BP_TRY(bp_budget_parse_size(text, out, err));
    if (unit == BP_BUDGET_BYTES)
        return BP_OK;
    return bp_memory_budget_total(app->source->planned, &app->session.memory, out->asked, out, err);
}

bool bp_app_range_holds(const struct bp_app *app)
{
    return app->problem &&
           bp_planner_counted(app->problem->planner) == bp_budget_counted(&app->session.budget);
}

uint64_t bp_app_bookmark_bits(const struct bp_app *app, const struct bp_bookmark *mark)
{
    const struct bp_planner *planner = app->problem->planner;
    if (bp_planner_counted(planner) == 0)
        return mark->storage_bits;
    uint64_t bits = 0;
    const bool fits = bp_bookmark_fits(mark, app->problem->source->planned);
    for (size_t i = 0; fits && i < mark->n_choice; i++)
        bits += bp_planner_bits(planner, i, mark->choice[i]);
    return bits;
}

static void say_least(struct bp_app *app, const char *asked)
{
    const struct bp_budget *b = &app->session.budget;
    const uint64_t least = app->problem->least_bits;
    if (b->unit == BP_BUDGET_TOTAL_BYTES)
        bp_app_say(app, BP_ROLE_ERROR, "%s is below the least possible: %s bytes in all", asked,
                   bp_grouped(bp_budget_total_for(b, least)).text);
    else
        bp_app_say(app, BP_ROLE_ERROR, "%s is below the least possible: %.4f bits/param", asked,
                   ceil((double)least / (double)bp_app_params(app) * 1e4) / 1e4);
}

bool bp_app_set_budget(struct bp_app *app, enum bp_budget_unit unit, const char *text, bool merge)
{
    struct bp_err err = {{0}};
    struct bp_budget budget;
    if (!app->problem) {
        bp_app_say(app, BP_ROLE_ERROR, "nothing is measured yet");
        return false;
    }
    if (read_budget(app, unit, text, &budget, &err) != BP_OK) {
        bp_app_say(app, BP_ROLE_ERROR, "%s", err.text);
        return false;
    }
    if (!set(app, &budget, merge))
        return false;
    if (bp_app_range_holds(app) && budget.bits < app->problem->least_bits)
        say_least(app, text);
    return true;
}

/* A budget that counts low-rank parts stays in total bytes while it moves: in bits/param it would
 * count less. */
static bool moves_in_total(const struct bp_app *app)
{
    return app->session.budget.counts_low_rank && bp_app_range_holds(app);
}

static void move_total_to(struct bp_app *app, double bits_per_param)
{
    const struct bp_problem *p = app->problem;
    const struct bp_budget *now = &app->session.budget;
    const double asked = round(bits_per_param * (double)bp_app_params(app));
    const uint64_t bits = asked <= (double)p->least_bits  ? p->least_bits
                          : asked >= (double)p->most_bits ? p->most_bits
                                                          : (uint64_t)asked;
    const uint64_t total = bp_budget_total_for(now, bits);
    struct bp_budget budget;
    if (bp_memory_budget_total(p->source->planned, &app->session.memory, (double)total, &budget,
                               NULL) == BP_OK &&
        (budget.bits != now->bits || !app->plan))
        set(app, &budget, true);
}

/* Within the range that makes sense; its ends are rounded up, so that what is read is enough. */
static void move_to(struct bp_app *app, double bits_per_param)
{
    if (moves_in_total(app)) {
        move_total_to(app, bits_per_param);
        return;
    }
    const double params = (double)bp_app_params(app);
    const double least = ceil((double)app->problem->least_bits / params * 1e4) / 1e4;
    const double most = ceil((double)app->problem->most_bits / params * 1e4) / 1e4;
    char text[32];
    double bits = bits_per_param < least ? least : bits_per_param > most ? most : bits_per_param;
    snprintf(text, sizeof text, "%.4f", bits);
    struct bp_budget budget;
    if (bp_budget_parse_bits(text, bp_app_params(app), &budget, NULL) == BP_OK &&
        (budget.bits != app->session.budget.bits || !app->plan))
        set(app, &budget, true);
}

void bp_app_step_budget(struct bp_app *app, double step, double n)
{
    if (!app->problem || app->session.budget.asked <= 0.0)
        return;
    const struct bp_budget *b = &app->session.budget;
    /* What was asked, where it was asked in this unit: on a small model the whole bits of it are
     * visibly less, and a step from those would end where it began. */
    const double now = b->unit == BP_BUDGET_BITS_PER_PARAM
                           ? b->asked
                           : (double)b->bits / (double)bp_app_params(app);
    /* From wherever it is to the next multiple of the step. Totals are whole bytes, so the last
     * step may have ended a byte beyond one. */
    const double byte = moves_in_total(app) ? 8.0 / (double)bp_app_params(app) / step : 0.0;
    const double slip = fmin(fmax(1e-4, byte), 0.5), at = now / step;
    const double from = n > 0 ? floor(at + slip) : ceil(at - slip);
    move_to(app, (from + n) * step);
}

void bp_app_slide_budget(struct bp_app *app, double share)
{
    if (!app->problem)
        return;
    /* The ends themselves, not what they are rounded to. */
    if (share <= 0.0 || share >= 1.0) {
        move_to(app, share <= 0.0 ? 0.0 : HUGE_VAL);
        return;
    }
    const struct bp_problem *p = app->problem;
    double bits = (double)p->least_bits + share * (double)(p->most_bits - p->least_bits);
    move_to(app, round(bits / (double)bp_app_params(app) * 1e3) / 1e3);
}

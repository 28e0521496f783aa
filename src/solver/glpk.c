#include "solver/glpk.h"

#include <float.h>
#include <glpk.h>
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* GLPK's tolerances are absolute in places (1e-7 on rows, 1e-7 relative on the objective), so the
 * model is scaled: costs to a sum of 1000, the heaviest weight above its class's lightest to 1000.
 */
#define MODEL_COST   1000.0
#define MODEL_WEIGHT 1000.0

/* By how much GLPK's bound may be above the truth, in the model's costs and relative. */
#define BOUND_SLIP 1e-6

struct entry {
    uint64_t weight;
    double cost;
    uint32_t column;
};

/* The undominated items, by rising weight within a class. */
struct model {
    size_t n_classes, n;
    size_t *first; /* [n_classes + 1] */
    struct entry *item;
    uint64_t min_weight, max_weight;
    uint64_t heaviest; /* largest weight above the class's lightest */
    double cost_sum;   /* of the classes' most expensive items */
};

/* What GLPK says besides the plan, in the model's scaled costs and weights. */
struct figures {
    double bound; /* best bound of the search so far */
    double root;  /* value of the linear relaxation */
    double price; /* its cost per weight, >= 0 */
};

/* What GLPK's callbacks get; the error hook jumps back. */
struct session {
    jmp_buf failed;
    bool out_of_memory;
    struct figures *figures;
    struct branching *branching; /* of bp_glpk_branch */
};

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->weight != y->weight)
        return x->weight < y->weight ? -1 : 1;
    if (x->cost != y->cost)
        return x->cost < y->cost ? -1 : 1;
    return x->column < y->column ? -1 : x->column > y->column;
}

/* Appends class c's undominated items. False when it has none or a weight is too large. */
static bool add_class(const struct bp_mckp_problem *p, size_t c, struct model *m)
{
    struct entry *row = m->item + m->n;
    size_t n = 0, kept = 0;
    for (size_t j = 0; j < p->n_items; j++) {
        double cost = p->cost[c * p->n_items + j];
        uint64_t weight = p->weight[c * p->n_items + j];
        if ((p->use != NULL && !p->use[c * p->n_items + j]) || !isfinite(cost) || cost < 0)
            continue;
        if (weight > (UINT64_C(1) << 62) / p->n_classes)
            return false;
        row[n++] = (struct entry){weight, cost, (uint32_t)j};
    }
    if (n == 0)
        return false;
    qsort(row, n, sizeof *row, compare_entries);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || row[i].cost < row[kept - 1].cost)
            row[kept++] = row[i];
    uint64_t span = row[kept - 1].weight - row[0].weight;
    m->heaviest = span > m->heaviest ? span : m->heaviest;
    m->min_weight += row[0].weight;
    m->max_weight += row[kept - 1].weight;
    m->cost_sum += row[0].cost;
    m->n += kept;
    m->first[c + 1] = m->n;
    return true;
}

static enum bp_status new_model(const struct bp_mckp_problem *p, struct model *m)
{
    if (p->n_classes == 0 || p->n_items == 0)
        return BP_ERR_INPUT;
    if (p->n_items > SIZE_MAX / sizeof *m->item / p->n_classes)
        return BP_ERR_NOMEM;
    m->n_classes = p->n_classes;
    m->first = calloc(p->n_classes + 1, sizeof *m->first);
    m->item = malloc(p->n_classes * p->n_items * sizeof *m->item);
    if (m->first == NULL || m->item == NULL)
        return BP_ERR_NOMEM;
    for (size_t c = 0; c < p->n_classes; c++)
        if (!add_class(p, c, m))
            return BP_ERR_INPUT;
    /* GLPK counts rows, columns and elements in int. */
    return m->n > INT_MAX / 4 ? BP_ERR_INPUT : BP_OK;
}

static void free_model(struct model *m)
{
    free(m->first);
    free(m->item);
}

/* ---- the integer program ---- */

static double cost_scale(const struct model *m)
{
    double scale = MODEL_COST / m->cost_sum;
    return isfinite(scale) && scale > 0 ? scale : 1;
}

static double weight_scale(const struct model *m)
{
    return m->heaviest > 0 ? MODEL_WEIGHT / (double)m->heaviest : 1;
}

/* Row c + 1: class c takes one item. Last row: the weight above the lightest plan. Column t + 1:
 * item t is taken. */
static void fill_program(glp_prob *lp, const struct model *m, uint64_t room)
{
    int n_rows = (int)m->n_classes + 1;
    double per_weight = weight_scale(m), per_cost = cost_scale(m);
    glp_set_obj_dir(lp, GLP_MIN);
    glp_add_rows(lp, n_rows);
    glp_add_cols(lp, (int)m->n);
    glp_set_row_bnds(lp, n_rows, GLP_UP, 0, (double)room * per_weight);
    for (size_t c = 0; c < m->n_classes; c++) {
        glp_set_row_bnds(lp, (int)c + 1, GLP_FX, 1, 1);
        for (size_t t = m->first[c]; t < m->first[c + 1]; t++) {
            uint64_t weight = m->item[t].weight - m->item[m->first[c]].weight;
            const int row[3] = {0, (int)c + 1, n_rows};
            const double value[3] = {0, 1, (double)weight * per_weight};
            glp_set_col_kind(lp, (int)t + 1, GLP_BV);
            glp_set_obj_coef(lp, (int)t + 1, m->item[t].cost * per_cost);
            glp_set_mat_col(lp, (int)t + 1, weight > 0 ? 2 : 1, row, value);
        }
    }
}

static void note_bound(glp_tree *tree, void *info)
{
    struct session *s = info;
    int node = glp_ios_best_node(tree);
    if (node != 0) {
        double bound = glp_ios_node_bound(tree, node);
        if (isfinite(bound) && fabs(bound) < DBL_MAX && bound > s->figures->bound)
            s->figures->bound = bound;
    }
}

/* Swallows what GLPK says: before a fatal error it turns its output on again, and only its words
 * tell what the error is. */
static int on_print(void *info, const char *text)
{
    struct session *s = info;
    s->out_of_memory |= strstr(text, "no memory available") != NULL;
    return 1;
}

/* GLPK calls this where it would abort. */
static void on_error(void *info)
{
    struct session *s = info;
    longjmp(s->failed, 1);
}

static unsigned elapsed_ms(const struct timespec *since)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned)((now.tv_sec - since->tv_sec) * 1000 +
                      (now.tv_nsec - since->tv_nsec) / 1000000);
}

/* Simplex, then branch and bound. BP_OK: GLPK says optimal; BP_LIMIT: time is up. */
static enum bp_status optimize(glp_prob *lp, unsigned time_limit_ms, struct session *s)
{
    struct timespec start;
    glp_smcp simplex;
    glp_iocp branch;
    clock_gettime(CLOCK_MONOTONIC, &start);
    int limit = time_limit_ms == 0 || time_limit_ms > INT_MAX ? INT_MAX : (int)time_limit_ms;
    glp_init_smcp(&simplex);
    simplex.msg_lev = GLP_MSG_OFF;
    simplex.tm_lim = limit;
    int code = glp_simplex(lp, &simplex);
    if (code == GLP_ETMLIM)
        return BP_LIMIT;
    if (code != 0 || glp_get_status(lp) != GLP_OPT)
        return BP_ERR_FAILED;
    s->figures->bound = s->figures->root = glp_get_obj_val(lp);
    s->figures->price = fmax(0, -glp_get_row_dual(lp, glp_get_num_rows(lp)));
    if (limit != INT_MAX) {
        int spent = (int)elapsed_ms(&start);
        limit = spent < limit ? limit - spent : 1;
    }
    glp_init_iocp(&branch);
    branch.msg_lev = GLP_MSG_OFF;
    branch.tm_lim = limit;
    branch.cb_func = note_bound;
    branch.cb_info = s;
    code = glp_intopt(lp, &branch);
    if (code == GLP_ETMLIM || code == GLP_EMIPGAP || code == GLP_ESTOP)
        return BP_LIMIT;
    if (code != 0 || glp_mip_status(lp) != GLP_OPT)
        return BP_ERR_FAILED;
    s->figures->bound = glp_mip_obj_val(lp);
    return BP_OK;
}

/* Item numbers of GLPK's integer solution; the lightest plan where it has none. */
static bool read_plan(glp_prob *lp, const struct model *m, size_t *pick)
{
    bool has = glp_mip_status(lp) == GLP_OPT || glp_mip_status(lp) == GLP_FEAS;
    for (size_t c = 0; c < m->n_classes; c++) {
        pick[c] = m->first[c];
        size_t n_taken = 0;
        for (size_t t = m->first[c]; has && t < m->first[c + 1]; t++) {
            if (glp_mip_col_val(lp, (int)t + 1) > 0.5) {
                pick[c] = t;
                n_taken++;
            }
        }
        if (has && n_taken != 1)
            return false;
    }
    return true;
}

/* Runs `body`, which is everything that calls GLPK, on an empty program. GLPK's environment belongs
 * to this thread; after a fatal error it is in an unknown state and is thrown away as a whole. */
static enum bp_status
in_environment(struct session *s,
               enum bp_status (*body)(glp_prob *lp, struct session *s, void *arg), void *arg)
{
    /* Where another call must make the environment and cannot, it aborts. */
    int made = glp_init_env();
    if (made > 1)
        return made == 2 ? BP_ERR_NOMEM : BP_ERR_FAILED;
    int old_terminal = glp_term_out(GLP_OFF);
    glp_term_hook(on_print, s);
    if (setjmp(s->failed) != 0) {
        glp_free_env();
        return s->out_of_memory ? BP_ERR_NOMEM : BP_ERR_FAILED;
    }
    glp_error_hook(on_error, s);
    glp_prob *lp = glp_create_prob();
    enum bp_status status = body(lp, s, arg);
    glp_delete_prob(lp);
    glp_error_hook(NULL, NULL);
    glp_term_hook(NULL, NULL);
    glp_term_out(old_terminal);
    return status;
}

struct program {
    const struct model *model;
    uint64_t room;
    unsigned time_limit_ms;
    size_t *pick;
};

static enum bp_status solve_program(glp_prob *lp, struct session *s, void *arg)
{
    const struct program *p = arg;
    fill_program(lp, p->model, p->room);
    enum bp_status status = optimize(lp, p->time_limit_ms, s);
    return status >= BP_OK && !read_plan(lp, p->model, p->pick) ? BP_ERR_FAILED : status;
}

/* ---- the answer in integers ---- */

static uint64_t plan_weight(const struct model *m, const size_t *pick)
{
    uint64_t sum = 0;
    for (size_t c = 0; c < m->n_classes; c++)
        sum += m->item[pick[c]].weight;
    return sum;
}

/* GLPK allows rows to be off by its tolerance. While the plan is over budget, one class steps down:
 * the one that loses least among those that suffice alone, else per weight saved. */
static void repair(const struct model *m, size_t *pick, uint64_t budget)
{
    uint64_t weight = plan_weight(m, pick);
    while (weight > budget) {
        uint64_t over = weight - budget;
        double least = INFINITY;
        bool least_suffices = false;
        size_t at = SIZE_MAX, to = 0;
        for (size_t c = 0; c < m->n_classes; c++) {
            const struct entry *now = &m->item[pick[c]];
            for (size_t t = m->first[c]; t < pick[c]; t++) {
                uint64_t saved = now->weight - m->item[t].weight;
                double loss = m->item[t].cost - now->cost;
                bool suffices = saved >= over;
                if (!suffices)
                    loss /= (double)saved;
                if ((suffices && !least_suffices) || (suffices == least_suffices && loss < least)) {
                    least = loss;
                    least_suffices = suffices;
                    at = c;
                    to = t;
                }
            }
        }
        if (at == SIZE_MAX)
            return;
        weight -= m->item[pick[at]].weight - m->item[to].weight;
        pick[at] = to;
    }
}

static double safe_bound(const struct model *m, double bound, double cost)
{
    double safe = (bound - BOUND_SLIP * (1 + fabs(bound))) / cost_scale(m);
    return safe > 0 ? fmin(safe, cost) : 0;
}

static void report(const struct model *m, const size_t *pick, const struct figures *figures,
                   struct bp_mckp_result *result, uint32_t *choice)
{
    double cost = 0;
    for (size_t c = 0; c < m->n_classes; c++) {
        choice[c] = m->item[pick[c]].column;
        cost += m->item[pick[c]].cost;
    }
    *result = (struct bp_mckp_result){
        .cost = cost,
        .lower_bound = safe_bound(m, figures->bound, cost),
        .root_bound = safe_bound(m, figures->root, cost),
        .weight = plan_weight(m, pick),
        .shadow_price = figures->price * weight_scale(m) / cost_scale(m),
    };
}

enum bp_status bp_glpk_solve(const struct bp_mckp_problem *problem, uint64_t budget,
                             unsigned time_limit_ms, struct bp_mckp_result *result,
                             uint32_t *choice)
{
    struct model m = {0};
    size_t *pick = NULL;
    struct figures figures = {0, 0, 0};
    uint64_t room;
    enum bp_status status = new_model(problem, &m);
    if (status != BP_OK)
        goto done;
    if (budget < m.min_weight) {
        status = BP_INFEASIBLE;
        goto done;
    }
    pick = malloc(m.n_classes * sizeof *pick);
    if (pick == NULL) {
        status = BP_ERR_NOMEM;
        goto done;
    }
    room = (budget < m.max_weight ? budget : m.max_weight) - m.min_weight;
    struct session session = {.figures = &figures};
    struct program program = {&m, room, time_limit_ms, pick};
    status = in_environment(&session, solve_program, &program);
    if (status < BP_OK)
        goto done;
    repair(&m, pick, budget);
    if (plan_weight(&m, pick) <= budget)
        report(&m, pick, &figures, result, choice);
    else
        status = BP_ERR_FAILED;
done:
    free(pick);
    free_model(&m);
    return status;
}

/* ---- rows beside the budget ---- */

/* A search of bp_glpk_branch: columns of the program are items, room left of each row, and, where
 * columns are bounded, whether a column may be taken. */
struct branching {
    const struct bp_glpk_branch *b;
    double per_cost; /* the program's costs */
    double bound;    /* in them */
    bool found, closed, started;
    size_t *pick;  /* [n_classes] */
    double *value; /* [1 + columns of the program] */
};

static int room_column(const struct bp_glpk_branch *b, size_t r)
{
    return (int)(b->n + r) + 1;
}

static int open_column(const struct bp_glpk_branch *b, size_t j)
{
    return (int)(b->n + b->n_rows + j) + 1;
}

/* Rows: classes, then budget and limits, then the number of columns, then item <= column. */
static size_t count_rows(const struct bp_glpk_branch *b)
{
    return b->n_classes + b->n_rows + (b->max_columns > 0 ? 1 + b->n : 0);
}

static size_t count_columns(const struct bp_glpk_branch *b)
{
    return b->n + b->n_rows + (b->max_columns > 0 ? b->n_columns : 0);
}

/* An item's column: its class, what it takes of the rows, its bound by the column. */
static void fill_item(glp_prob *lp, const struct branching *s, size_t c, size_t t, int *row,
                      double *value)
{
    const struct bp_glpk_branch *b = s->b;
    int n = 1;
    row[1] = (int)c + 1;
    value[1] = 1;
    for (size_t r = 0; r < b->n_rows; r++)
        if (b->weight[r * b->n + t] > 0) {
            row[++n] = (int)(b->n_classes + r) + 1;
            value[n] = b->weight[r * b->n + t] * MODEL_WEIGHT;
        }
    if (b->max_columns > 0) {
        row[++n] = (int)(b->n_classes + b->n_rows + 1 + t) + 1;
        value[n] = 1;
        glp_set_row_bnds(lp, row[n], GLP_UP, 0, 0);
    }
    glp_set_col_kind(lp, (int)t + 1, GLP_BV);
    glp_set_obj_coef(lp, (int)t + 1, b->cost[t] * s->per_cost);
    glp_set_mat_col(lp, (int)t + 1, n, row, value);
}

/* What is left of row r's room, no more than what is worth less than the ceiling. */
static void fill_room(glp_prob *lp, const struct branching *s, size_t r)
{
    const struct bp_glpk_branch *b = s->b;
    const int row[2] = {0, (int)(b->n_classes + r) + 1};
    const double value[2] = {0, 1}, room = b->room[r] * MODEL_WEIGHT;
    double most = room;
    if (b->price[r] > 0 && isfinite(b->ceiling))
        most = fmin(room, b->ceiling / b->price[r] * MODEL_WEIGHT * (1 + 1e-6) + 1e-6);
    glp_set_row_bnds(lp, row[1], GLP_FX, room, room);
    glp_set_col_bnds(lp, room_column(b, r), most > 0 ? GLP_DB : GLP_FX, 0, fmax(most, 0));
    glp_set_obj_coef(lp, room_column(b, r), b->price[r] / MODEL_WEIGHT * s->per_cost);
    glp_set_mat_col(lp, room_column(b, r), 1, row, value);
}

static void fill_branch(glp_prob *lp, const struct branching *s, int *row, double *value)
{
    const struct bp_glpk_branch *b = s->b;
    const int number = (int)(b->n_classes + b->n_rows) + 1;
    glp_set_obj_dir(lp, GLP_MIN);
    glp_add_rows(lp, (int)count_rows(b));
    glp_add_cols(lp, (int)count_columns(b));
    for (size_t r = 0; r < b->n_rows; r++)
        fill_room(lp, s, r);
    if (b->max_columns > 0)
        glp_set_row_bnds(lp, number, GLP_UP, 0, (double)b->max_columns);
    for (size_t c = 0; c < b->n_classes; c++) {
        glp_set_row_bnds(lp, (int)c + 1, GLP_FX, 1, 1);
        for (size_t t = b->first[c]; t < b->first[c + 1]; t++)
            fill_item(lp, s, c, t, row, value);
    }
    for (size_t j = 0; b->max_columns > 0 && j < b->n_columns; j++) {
        int n = 1;
        row[1] = number;
        value[1] = 1;
        for (size_t t = 0; t < b->n; t++)
            if (b->column[t] == j) {
                row[++n] = number + 1 + (int)t;
                value[n] = -1;
            }
        glp_set_col_kind(lp, open_column(b, j), GLP_BV);
        glp_set_mat_col(lp, open_column(b, j), n, row, value);
    }
}

/* A choice, as the values of all columns. */
static void offer(glp_tree *tree, struct branching *s, const size_t *pick)
{
    const struct bp_glpk_branch *b = s->b;
    memset(s->value, 0, (1 + count_columns(b)) * sizeof *s->value);
    for (size_t r = 0; r < b->n_rows; r++) {
        double left = b->room[r];
        for (size_t c = 0; c < b->n_classes; c++)
            left -= b->weight[r * b->n + pick[c]];
        s->value[room_column(b, r)] = fmax(0, left) * MODEL_WEIGHT;
    }
    for (size_t c = 0; c < b->n_classes; c++) {
        s->value[pick[c] + 1] = 1;
        if (b->max_columns > 0)
            s->value[open_column(b, b->column[pick[c]])] = 1;
    }
    glp_ios_heur_sol(tree, s->value);
}

/* The items of the relaxation's solution where it is a whole one. */
static void read_branch(glp_prob *lp, struct branching *s, bool mip)
{
    const struct bp_glpk_branch *b = s->b;
    for (size_t c = 0; c < b->n_classes; c++) {
        s->pick[c] = b->first[c];
        for (size_t t = b->first[c]; t < b->first[c + 1]; t++)
            if ((mip ? glp_mip_col_val(lp, (int)t + 1) : glp_get_col_prim(lp, (int)t + 1)) > 0.5)
                s->pick[c] = t;
    }
    s->found = true;
}

/* The largest item of each class. */
static void round_solution(glp_prob *lp, struct branching *s)
{
    const struct bp_glpk_branch *b = s->b;
    for (size_t c = 0; c < b->n_classes; c++) {
        double most = -1;
        for (size_t t = b->first[c]; t < b->first[c + 1]; t++)
            if (glp_get_col_prim(lp, (int)t + 1) > most) {
                most = glp_get_col_prim(lp, (int)t + 1);
                s->pick[c] = t;
            }
    }
}

/* GLPK asks at every turn of its search. */
static void on_turn(glp_tree *tree, void *info)
{
    struct session *session = info;
    struct branching *s = session->branching;
    const int node = glp_ios_best_node(tree);
    const int reason = glp_ios_reason(tree);
    bool whole = false;
    if (reason == GLP_IHEUR && s->b->start != NULL && !s->started) {
        s->started = true;
        offer(tree, s, s->b->start);
    }
    if (reason == GLP_IHEUR && s->b->round != NULL) {
        round_solution(glp_ios_get_prob(tree), s);
        if (s->b->round(s->b->arg, s->pick))
            offer(tree, s, s->pick);
    }
    if (reason == GLP_IBINGO) {
        read_branch(glp_ios_get_prob(tree), s, false);
        whole = true;
    }
    if (node != 0) {
        const double bound = glp_ios_node_bound(tree, node);
        if (isfinite(bound) && fabs(bound) < DBL_MAX && bound > s->bound)
            s->bound = bound;
    }
    if (s->bound / s->per_cost >= s->b->ceiling) {
        s->closed = true; /* nothing better is left */
        glp_ios_terminate(tree);
    }
    if (s->b->tell(s->b->arg, (s->bound - BOUND_SLIP * MODEL_COST) / s->per_cost,
                   whole ? s->pick : NULL))
        glp_ios_terminate(tree);
}

/* The relaxation in steps short enough to be stopped between. */
static enum bp_status relax(glp_prob *lp, struct branching *s)
{
    enum { STEP_MS = 300 };
    glp_smcp simplex;
    glp_init_smcp(&simplex);
    simplex.msg_lev = GLP_MSG_OFF;
    simplex.tm_lim = STEP_MS;
    int code;
    while ((code = glp_simplex(lp, &simplex)) == GLP_ETMLIM)
        if (s->b->tell(s->b->arg, 0, NULL))
            return BP_LIMIT;
    if (code != 0)
        return BP_ERR_FAILED;
    if (glp_get_status(lp) == GLP_NOFEAS)
        return BP_INFEASIBLE;
    if (glp_get_status(lp) != GLP_OPT)
        return BP_ERR_FAILED;
    s->bound = glp_get_obj_val(lp);
    return BP_OK;
}

static enum bp_status branch(glp_prob *lp, struct session *session)
{
    struct branching *s = session->branching;
    glp_iocp control;
    enum bp_status status = relax(lp, s);
    if (status != BP_OK)
        return status;
    glp_init_iocp(&control);
    control.msg_lev = GLP_MSG_OFF;
    control.cb_func = on_turn;
    control.cb_info = session;
    control.gmi_cuts = GLP_ON;
    control.mir_cuts = GLP_ON;
    const int code = glp_intopt(lp, &control);
    if (code == GLP_ESTOP)
        return s->closed ? BP_INFEASIBLE : BP_LIMIT;
    if (code != 0)
        return BP_ERR_FAILED;
    if (glp_mip_status(lp) == GLP_NOFEAS)
        return BP_INFEASIBLE;
    if (glp_mip_status(lp) != GLP_OPT)
        return BP_ERR_FAILED;
    read_branch(lp, s, true);
    s->bound = glp_mip_obj_val(lp);
    s->b->tell(s->b->arg, 0, s->pick);
    return BP_OK;
}

struct branch_program {
    struct branching *branching;
    int *row;
    double *value;
};

static enum bp_status solve_branch(glp_prob *lp, struct session *s, void *arg)
{
    const struct branch_program *p = arg;
    fill_branch(lp, p->branching, p->row, p->value);
    return branch(lp, s);
}

static double largest_cost(const struct bp_glpk_branch *b)
{
    double largest = 0;
    for (size_t t = 0; t < b->n; t++)
        largest = b->cost[t] > largest ? b->cost[t] : largest;
    return largest;
}

enum bp_status bp_glpk_branch(const struct bp_glpk_branch *problem, bool *found, double *bound)
{
    struct branching s = {.b = problem};
    const size_t columns = count_columns(problem), rows = count_rows(problem);
    const double most = isfinite(problem->ceiling) ? problem->ceiling : largest_cost(problem);
    int *row = NULL;
    double *value = NULL;
    enum bp_status status = BP_ERR_INPUT;
    *found = false;
    *bound = 0;
    s.per_cost = most > 0 && isfinite(MODEL_COST / most) ? MODEL_COST / most : 1;
    if (columns > INT_MAX / 4 || rows > INT_MAX / 4)
        goto done;
    status = BP_ERR_NOMEM;
    const size_t longest = columns > rows ? columns : rows;
    row = malloc((longest + 2) * sizeof *row);
    value = malloc((longest + 2) * sizeof *value);
    s.pick = malloc(problem->n_classes * sizeof *s.pick);
    s.value = malloc((1 + columns) * sizeof *s.value);
    if (row == NULL || value == NULL || s.pick == NULL || s.value == NULL)
        goto done;
    struct session session = {.branching = &s};
    struct branch_program program = {&s, row, value};
    status = in_environment(&session, solve_branch, &program);
    *found = s.found;
    *bound = fmax(0, (s.bound - BOUND_SLIP * MODEL_COST) / s.per_cost);
    if (status == BP_INFEASIBLE) {
        *bound = problem->ceiling;
        status = BP_OK;
    }
done:
    free(row);
    free(value);
    free(s.pick);
    free(s.value);
    return status;
}

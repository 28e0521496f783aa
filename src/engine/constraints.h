/*
 * Constraints on a plan: what a person demands beyond the budget. A list of options as they are
 * typed on a command line, in their order; the same list stands in a plan, so that it can be
 * checked and repeated.
 *
 *     --grid G          only candidates of the grid, with ":rank=8,64" only of those ranks
 *     --pin RE=CONFIG   matrices whose name matches take a candidate of that form
 *     --ban RE=CONFIG   ... take none of that form
 *     --floor RE=BITS   ... take at least BITS bits/param
 *     --ceil RE=BITS    ... take at most BITS bits/param
 *     --tie GROUP       the matrices of a group take one candidate: qkv, gate_up (of a layer and
 *                       expert), experts (of a layer and kind), layer, kind, or NAME=RE
 *     --weight RE=X     the error of matching matrices counts X times (several multiply)
 *     --objective O     sum: of the errors; relative: of each error over its matrix's norm (the
 *                       last one given counts)
 *     --max-configs K   at most K distinct candidates in the plan (the least of several counts)
 *     --limit RE=SIZE   matching matrices together take at most SIZE of storage, as one card of
 *                       several may hold
 *
 * RE is a POSIX extended regular expression, searched in the name; the last "=" separates. CONFIG
 * is a config whose fields may be "*" ("nf4:*:*:64:*", "*" alone for any), or another quantizer's
 * label. All constraints hold together. They take cells out of the table, merge rows or scale them,
 * so that the knapsack keeps its form and plans stay exact; but --max-configs and --limit, which
 * are conditions beside the budget (solver/sided.h).
 */
#ifndef BP_ENGINE_CONSTRAINTS_H
#define BP_ENGINE_CONSTRAINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/err.h"
#include "engine/table.h"

/* X(enum suffix, option) */
#define BP_CONSTRAINT_KINDS(X)      \
    X(GRID, "--grid")               \
    X(PIN, "--pin")                 \
    X(BAN, "--ban")                 \
    X(FLOOR, "--floor")             \
    X(CEIL, "--ceil")               \
    X(TIE, "--tie")                 \
    X(WEIGHT, "--weight")           \
    X(OBJECTIVE, "--objective")     \
    X(MAX_CONFIGS, "--max-configs") \
    X(LIMIT, "--limit")

enum bp_constraint_kind {
#define BP_CONSTRAINT_ENUM(name, option) BP_CONSTRAINT_##name,
    BP_CONSTRAINT_KINDS(BP_CONSTRAINT_ENUM)
#undef BP_CONSTRAINT_ENUM
        BP_N_CONSTRAINT_KINDS
};

/* "--pin" */
const char *bp_constraint_option(enum bp_constraint_kind kind);

struct bp_constraint {
    enum bp_constraint_kind kind;
    char *value; /* as typed */
};

struct bp_constraints {
    struct bp_constraint *list; /* [n] */
    size_t n;
};

/* Appends one, copying the value; whether it makes sense is found out when it is applied. */
enum bp_status bp_constraints_add(struct bp_constraints *c, enum bp_constraint_kind kind,
                                  const char *value, struct bp_err *err);
/* The same by the option's spelling. BP_ERR_INPUT for an option that is no constraint. */
enum bp_status bp_constraints_add_option(struct bp_constraints *c, const char *option,
                                         const char *value, struct bp_err *err);
enum bp_status bp_constraints_copy(const struct bp_constraints *from, struct bp_constraints *to,
                                   struct bp_err *err);
/* Frees the list; a zeroed struct is an empty list. */
void bp_constraints_done(struct bp_constraints *c);

/* Whether there is one of this kind. */
bool bp_constraints_has(const struct bp_constraints *c, enum bp_constraint_kind kind);

/* Sets use [n_matrices * n_candidates] to 1 where a cell may be chosen, to 0 where a constraint
 * takes it out. BP_ERR_USAGE: a value that cannot be read, or a pattern that matches no matrix or a
 * config that no candidate has (a typing error must not pass silently). BP_INFEASIBLE: a matrix is
 * left without a candidate; the text names the matrix and the constraints that bear on it. */
enum bp_status bp_constraints_apply(const struct bp_constraints *c, const struct bp_table *table,
                                    uint8_t *use, struct bp_err *err);

/* The columns that the grids leave: column [n_candidates] 1 = left. What cannot be read leaves all.
 */
void bp_constraints_columns(const struct bp_constraints *c, const struct bp_table *table,
                            uint8_t *column);

/* Which matrices are tied: group [n_matrices] gets a number for each, equal where they take one
 * candidate, ascending from 0 in the order of their first matrices. *n_groups is how many there
 * are. BP_ERR_USAGE: an unknown group, or one that ties nothing. */
enum bp_status bp_constraints_groups(const struct bp_constraints *c, const struct bp_table *table,
                                     uint32_t *group, size_t *n_groups, struct bp_err *err);

/* Leaves each matrix in `use` (as bp_constraints_apply made it) what all matrices of its group may
 * take, and no more. BP_INFEASIBLE when that is nothing: the text names the group and the
 * constraints. */
enum bp_status bp_constraints_tie(const struct bp_constraints *c, const struct bp_table *table,
                                  const uint32_t *group, size_t n_groups, uint8_t *use,
                                  struct bp_err *err);

/* The factor of each matrix's error: weight [n_matrices], 1 without constraints; under --objective
 * relative over the matrix's norm. BP_ERR_USAGE for a factor that is no decimal above 0 and at most
 * 10^6, when those of a matrix multiply to a number beyond 10^-100 .. 10^100, and for a matrix
 * without a norm. */
enum bp_status bp_constraints_weights(const struct bp_constraints *c, const struct bp_table *table,
                                      double *weight, struct bp_err *err);

/* Divides weight [n_matrices] by the norms where --objective says so. BP_ERR_USAGE: neither sum nor
 * relative, or a norm that is missing or zero. */
enum bp_status bp_constraints_objective(const struct bp_constraints *c,
                                        const struct bp_table *table, double *weight,
                                        struct bp_err *err);

/* Whether errors count with factors, so that the objective is not the error. */
bool bp_constraints_scale(const struct bp_constraints *c);

/* Whether there is one beside the budget: --max-configs or --limit. */
bool bp_constraints_sided(const struct bp_constraints *c);

/* How many distinct candidates a plan may take; 0 = any number. BP_ERR_USAGE. */
enum bp_status bp_constraints_max_configs(const struct bp_constraints *c, size_t *most,
                                          struct bp_err *err);

/* A --limit, read. */
struct bp_limit {
    const char *value; /* as typed; borrowed */
    uint64_t bits;
    uint8_t *member; /* [n_matrices] 1 = counts */
};
/* *out [*n], in the order of the list; bp_limits_free also after a failure. BP_ERR_USAGE: a value
 * that cannot be read, or a pattern that matches no matrix. */
enum bp_status bp_constraints_limits(const struct bp_constraints *c, const struct bp_table *table,
                                     struct bp_limit **out, size_t *n, struct bp_err *err);
struct bp_limit *bp_limits_free(struct bp_limit *limits, size_t n);

#endif

/*
 * Which configs of a matrix are worth iterating (`--effort balanced`), and what the others' errors
 * are taken to be: numbers in, numbers out, for one matrix and one rank.
 *
 * One step of the decomposition costs little and ranks configs nearly as iterating does. So all
 * configs are measured at one step, and those near the lower convex hull of error over storage,
 * where plans are made, are iterated. Another config's estimate is its one-step error times what
 * iterating gained configs like it. As estimates move the hull, its neighbourhood is looked at
 * again until every config there is iterated: a plan on the hull rests on iterated errors alone.
 *
 * Configs that differ in b2 alone are a family: they are iterated together, as a backend iterates a
 * family once (backend.h). Everything is decided by comparisons in a fixed order: equal numbers in,
 * equal numbers out.
 *
 * Allocates in bp_screen_new alone; serves one thread at a time.
 */
#ifndef BP_ENGINE_SCREENING_H
#define BP_ENGINE_SCREENING_H

#include <stddef.h>
#include <stdint.h>

#include "engine/config.h"
#include "engine/err.h"

/* A family is iterated when a one-step error of it is at most this share above the hull. */
#define BP_SCREEN_MARGIN 0.02
/* And later, when an estimate is at most this share above the hull of all errors. */
#define BP_SCREEN_ESTIMATE_MARGIN 0.01
/* Of every b0, and of every b0 with b1, the families nearest the hull are iterated, so many of them
 * at least: an estimate needs others of its kind. What iterating gains follows b0 and b1 most. */
enum { BP_SCREEN_LEAST_OF_B0 = 2, BP_SCREEN_LEAST_OF_B0_B1 = 1 };

struct bp_screen;

/* For configs [n], n >= 1, which must outlive it. */
enum bp_status bp_screen_new(const struct bp_config *configs, size_t n, struct bp_screen **out,
                             struct bp_err *err);
/* Takes NULL, returns NULL. */
struct bp_screen *bp_screen_free(struct bp_screen *screen);

/* What is to be iterated after one step: picked [n] gets 1 for those, else 0. storage [n] bits,
 * one_step [n] errors, finite and >= 0. Returns how many. */
size_t bp_screen_first(struct bp_screen *screen, const uint64_t *storage, const double *one_step,
                       uint8_t *picked);

/* Sets the errors of what is not iterated: one_step times the geometric mean of error over one_step
 * among the iterated configs of the same b0 in the families that are nearest: those of the same b1
 * before others, then by the product of the quotients of B0 and of b1, larger over smaller. Where
 * that mean has no term other than zeros, 1.
 * iterated [n] is 0 or 1 and the same within a family; error [n] of what is iterated is read. */
void bp_screen_estimate(const struct bp_screen *screen, const double *one_step,
                        const uint8_t *iterated, double *error);

/* What is to be iterated now that errors are estimated: picked [n]. Returns how many; 0 = done. */
size_t bp_screen_next(struct bp_screen *screen, const uint64_t *storage, const double *error,
                      const uint8_t *iterated, uint8_t *picked);

#endif

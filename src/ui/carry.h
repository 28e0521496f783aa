/*
 * Carrying the plan on the screen out, in the background: a thread decomposes the matrices and
 * writes them (engine/decompose.h) while the workbench goes on. Stopping keeps what is in place;
 * the same command goes on from there.
 */
#ifndef BP_UI_CARRY_H
#define BP_UI_CARRY_H

#include <stdbool.h>
#include <stddef.h>

#include "ui/app.h"

struct bp_carry;

/* Starts on the app's plan, which is proved. model: folder or file; out: the folder that is
 * written; emits: a set of enum bp_emit. What is wrong with the files is said once the thread has
 * looked at them. */
enum bp_status bp_carry_new(struct bp_app *app, const char *model, const char *out, unsigned emits,
                            bool replace, struct bp_carry **result, struct bp_err *err);
/* Asks it to stop, waits for the matrices in hand, frees. Takes NULL, returns NULL. */
struct bp_carry *bp_carry_free(struct bp_carry *carry);

/* Asks it to stop after the matrices in hand. */
void bp_carry_stop(struct bp_carry *carry);
/* Says what has ended. True when something on the screen changed. */
bool bp_carry_take(struct bp_carry *carry, struct bp_app *app);
/* It has ended, and that was said. */
bool bp_carry_done(struct bp_carry *carry);
/* Waits at most timeout_ms for something new. */
void bp_carry_wait(struct bp_carry *carry, int timeout_ms);
/* "decomposing 12 of 224 matrices, 5 h left" for the header; false when it is done. */
bool bp_carry_words(struct bp_carry *carry, bool clock, char *text, size_t n);

#endif

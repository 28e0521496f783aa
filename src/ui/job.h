/*
 * Measuring a model in the background: a thread fills the table, and with every finished row the
 * workbench gets the table anew and plans on what is there. Stopping keeps all rows that are whole;
 * opening the same model again goes on from there.
 */
#ifndef BP_UI_JOB_H
#define BP_UI_JOB_H

#include <stdbool.h>

#include "ui/app.h"

struct bp_job;

/* Opens the model and starts measuring it. The app's session gets the table's path. */
enum bp_status bp_job_new(struct bp_app *app, const struct bp_app_options *options,
                          struct bp_job **out, struct bp_err *err);
/* Asks it to stop, waits for the cells in hand, frees. Takes NULL, returns NULL. */
struct bp_job *bp_job_free(struct bp_job *job);

/* Gives what is new to the app. True when something on the screen changed. */
bool bp_job_take(struct bp_job *job, struct bp_app *app);
bool bp_job_done(struct bp_job *job);
/* Waits at most timeout_ms for something new. */
void bp_job_wait(struct bp_job *job, int timeout_ms);
/* "measuring 12 of 224 matrices, 5 h left" for the header; false when it is done. */
bool bp_job_words(struct bp_job *job, bool clock, char *text, size_t n);

#endif

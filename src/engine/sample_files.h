/*
 * Puts the files of a synthetic model into a folder: all of them, or none when it fails or is
 * stopped. Internal to `sample`: only sample*.c and the tests include this.
 */
#ifndef BP_ENGINE_SAMPLE_FILES_H
#define BP_ENGINE_SAMPLE_FILES_H

#include "engine/err.h"
#include "engine/sample.h"
#include "engine/sample_layout.h"

/* Writes the files of a layout into `dir` as bp_sample_write says. Every file has its temporary
 * name until the last byte of all of them is written. */
enum bp_status bp_sample_write_layout(const char *dir, const struct bp_sample_layout *layout,
                                      bp_progress_fn *progress, void *progress_ctx,
                                      struct bp_err *err);

#endif

/*
 * Replaying keys without a terminal: what people type, as words, and the frames that come of it.
 *
 * Words are separated by blanks: key names ("Right", "S-Right", "F1", "Enter", "Space", "C-l",
 * single characters), "text" in double quotes to type (\" and \\ inside), click:X,Y, drag:X,Y-X,Y,
 * wheel:X,Y,-1, size:WxH, and wait (until solved and measured). After every word all that can be
 * solved is solved to proof, so that frames do not depend on the machine.
 */
#ifndef BP_UI_SCRIPT_H
#define BP_UI_SCRIPT_H

#include "ui/app.h"
#include "ui/cells.h"

/* Runs the words. After each, and once before the first, the frame is painted and written to
 * DIR/0000.txt, 0001.txt, ...; with dump NULL only the last one is kept in `cells`. Ends early when
 * the app is left. BP_ERR_USAGE names a word that is none. */
enum bp_status bp_script_run(struct bp_app *app, struct bp_cells *cells, const char *words,
                             const char *dump, struct bp_err *err);

#endif

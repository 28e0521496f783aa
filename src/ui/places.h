/*
 * Where the workbench keeps things, by the XDG base directory specification: settings in
 * $XDG_CONFIG_HOME/bitplan, what it remembers in $XDG_STATE_HOME/bitplan.
 */
#ifndef BP_UI_PLACES_H
#define BP_UI_PLACES_H

/* The path of a file in the state folder, which is made where it is missing; on the heap. NULL when
 * there is no such place (no $HOME, a folder that cannot be made): then nothing is remembered. */
char *bp_place_state(const char *name);
/* The path of a file in the settings folder, which is not made; on the heap, NULL without a place.
 */
char *bp_place_config(const char *name);

#endif

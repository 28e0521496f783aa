/* A line that a person types at the bottom of the screen: a command, a search, a name, a yes. */
#ifndef BP_UI_PROMPT_H
#define BP_UI_PROMPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bp_prompt_kind {
    BP_PROMPT_NONE,
    BP_PROMPT_COMMAND, /* ":" */
    BP_PROMPT_FIND,    /* "/" */
    BP_PROMPT_LEAVE,   /* save, discard or stay: single keys */
};

enum { BP_PROMPT_TEXT = 1024 };

struct bp_prompt {
    enum bp_prompt_kind kind;
    char text[BP_PROMPT_TEXT]; /* UTF-8 */
    size_t n, at;              /* bytes, and where the cursor stands */
    size_t recall;             /* how far back in the history: 0 = the line being typed */
};

void bp_prompt_open(struct bp_prompt *prompt, enum bp_prompt_kind kind, const char *text);
void bp_prompt_close(struct bp_prompt *prompt);
/* Replaces the text, cursor at the end. */
void bp_prompt_set(struct bp_prompt *prompt, const char *text);
void bp_prompt_insert(struct bp_prompt *prompt, const char *utf8);

/* Edits the line by a key: characters, Left, Right, Home, End, Backspace, Delete, C-a, C-e, C-u,
 * C-w, C-k. False for a key that is not the line's (Enter, Esc, Up, Down, Tab ...). */
bool bp_prompt_key(struct bp_prompt *prompt, uint32_t key);

/* A key's character as UTF-8 into text [5]; 0 bytes for keys that have none. */
size_t bp_key_utf8(uint32_t key, char text[5]);

#endif

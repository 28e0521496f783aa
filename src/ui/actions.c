#include "ui/actions.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/mem.h"
#include "ui/event.h"

static const struct bp_action_row rows[BP_N_ACTIONS] = {
#define ACTION_ROW(suffix, keys, label, group, help) {#suffix, keys, label, group, help},
    BP_ACTIONS(ACTION_ROW)
#undef ACTION_ROW
};

const struct bp_action_row *bp_action_row(enum bp_action action)
{
    return &rows[action];
}

static bool bind(struct bp_keymap *keymap, uint32_t key, enum bp_action action)
{
    struct bp_binding *grown = bp_grow(keymap->at, keymap->n + 1, sizeof *grown);
    if (!grown)
        return false;
    keymap->at = grown;
    keymap->at[keymap->n++] = (struct bp_binding){key, action};
    return true;
}

bool bp_keymap_init(struct bp_keymap *keymap)
{
    *keymap = (struct bp_keymap){0};
    for (int a = 0; a < BP_N_ACTIONS; a++) {
        for (const char *at = rows[a].keys; *at;) {
            char word[BP_KEY_TEXT];
            size_t n = strcspn(at, " ");
            snprintf(word, sizeof word, "%.*s", (int)n, at);
            at += n + (at[n] == ' ');
            uint32_t key;
            if (bp_key_parse(word, &key) && !bind(keymap, key, (enum bp_action)a)) {
                bp_keymap_done(keymap);
                return false;
            }
        }
    }
    return true;
}

void bp_keymap_done(struct bp_keymap *keymap)
{
    free(keymap->at);
    *keymap = (struct bp_keymap){0};
}

/* "budget-up" against BUDGET_UP. */
static bool is_named(const char *name, const char *suffix)
{
    for (; *name && *suffix; name++, suffix++) {
        char c = *suffix == '_' ? '-' : (char)tolower((unsigned char)*suffix);
        if (*name != c)
            return false;
    }
    return *name == *suffix;
}

bool bp_keymap_bind(struct bp_keymap *keymap, const char *word, const char *action)
{
    uint32_t key;
    if (!bp_key_parse(word, &key))
        return false;
    if (strcmp(action, "none") == 0)
        return bind(keymap, key, BP_N_ACTIONS);
    for (int a = 0; a < BP_N_ACTIONS; a++)
        if (is_named(action, rows[a].name))
            return bind(keymap, key, (enum bp_action)a);
    return false;
}

enum bp_action bp_keymap_find(const struct bp_keymap *keymap, uint32_t key)
{
    for (size_t i = keymap->n; i-- > 0;)
        if (keymap->at[i].key == key)
            return keymap->at[i].action;
    return BP_N_ACTIONS;
}

const char *bp_keymap_key(const struct bp_keymap *keymap, enum bp_action action, char text[24])
{
    text[0] = '\0';
    for (size_t i = 0; i < keymap->n; i++)
        if (keymap->at[i].action == action && bp_keymap_find(keymap, keymap->at[i].key) == action)
            return bp_key_name(keymap->at[i].key, text);
    return text;
}

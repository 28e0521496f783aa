#include "ui/prompt.h"

#include <stdio.h>
#include <string.h>

#include "ui/event.h"

void bp_prompt_open(struct bp_prompt *p, enum bp_prompt_kind kind, const char *text)
{
    *p = (struct bp_prompt){.kind = kind};
    bp_prompt_set(p, text);
}

void bp_prompt_close(struct bp_prompt *p)
{
    *p = (struct bp_prompt){.kind = BP_PROMPT_NONE};
}

void bp_prompt_set(struct bp_prompt *p, const char *text)
{
    snprintf(p->text, sizeof p->text, "%s", text);
    p->n = p->at = strlen(p->text);
}

void bp_prompt_insert(struct bp_prompt *p, const char *utf8)
{
    size_t n = strlen(utf8);
    if (p->n + n >= sizeof p->text)
        return;
    memmove(p->text + p->at + n, p->text + p->at, p->n - p->at + 1);
    memcpy(p->text + p->at, utf8, n);
    p->at += n;
    p->n += n;
}

static bool is_tail(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

static size_t before(const struct bp_prompt *p, size_t at)
{
    if (at > 0)
        at--;
    while (at > 0 && is_tail(p->text[at]))
        at--;
    return at;
}

static size_t behind(const struct bp_prompt *p, size_t at)
{
    if (at < p->n)
        at++;
    while (at < p->n && is_tail(p->text[at]))
        at++;
    return at;
}

static void cut(struct bp_prompt *p, size_t from, size_t to)
{
    memmove(p->text + from, p->text + to, p->n - to + 1);
    p->n -= to - from;
    p->at = from;
}

static size_t word_start(const struct bp_prompt *p)
{
    size_t at = p->at;
    while (at > 0 && p->text[at - 1] == ' ')
        at--;
    while (at > 0 && p->text[at - 1] != ' ')
        at--;
    return at;
}

size_t bp_key_utf8(uint32_t key, char text[5])
{
    size_t n = 0;
    if (key < 0x20 || (key >= 0x7F && key < 0xA0) || (key >= 0xD800 && key < 0xE000) ||
        key >= 0x110000) {
        n = 0;
    } else if (key < 0x80) {
        text[n++] = (char)key;
    } else if (key < 0x800) {
        text[n++] = (char)(0xC0 | key >> 6);
        text[n++] = (char)(0x80 | (key & 63));
    } else if (key < 0x10000) {
        text[n++] = (char)(0xE0 | key >> 12);
        text[n++] = (char)(0x80 | (key >> 6 & 63));
        text[n++] = (char)(0x80 | (key & 63));
    } else {
        text[n++] = (char)(0xF0 | key >> 18);
        text[n++] = (char)(0x80 | (key >> 12 & 63));
        text[n++] = (char)(0x80 | (key >> 6 & 63));
        text[n++] = (char)(0x80 | (key & 63));
    }
    text[n] = '\0';
    return n;
}

bool bp_prompt_key(struct bp_prompt *p, uint32_t key)
{
    char utf8[5];
    switch (key) {
    case BP_KEY_LEFT:
        p->at = before(p, p->at);
        return true;
    case BP_KEY_RIGHT:
        p->at = behind(p, p->at);
        return true;
    case BP_KEY_HOME:
    case BP_CTRL | 'a':
        p->at = 0;
        return true;
    case BP_KEY_END:
    case BP_CTRL | 'e':
        p->at = p->n;
        return true;
    case BP_KEY_BACKSPACE:
        cut(p, before(p, p->at), p->at);
        return true;
    case BP_KEY_DELETE:
        cut(p, p->at, behind(p, p->at));
        return true;
    case BP_CTRL | 'u':
        cut(p, 0, p->at);
        return true;
    case BP_CTRL | 'k':
        cut(p, p->at, p->n);
        return true;
    case BP_CTRL | 'w':
        cut(p, word_start(p), p->at);
        return true;
    default:
        break;
    }
    if (!bp_key_utf8(key, utf8))
        return false;
    bp_prompt_insert(p, utf8);
    return true;
}

#include "ui/term_input.h"

#include <ctype.h>
#include <wchar.h>

#include "ui/cells.h"

enum { ESCAPE = 27, LONGEST_SEQUENCE = 64, CODES_PER_MODIFIER = 64 };

int bp_input_code(uint32_t key)
{
    const int modifiers =
        (key & BP_SHIFT ? 1 : 0) | (key & BP_ALT ? 2 : 0) | (key & BP_CTRL ? 4 : 0);
    const uint32_t named = key & ~(uint32_t)(BP_SHIFT | BP_ALT | BP_CTRL);
    return BP_INPUT_KEY + modifiers * CODES_PER_MODIFIER + (int)(named - BP_KEY_NAMED);
}

/* The reverse; 0 for a code that is no key. */
static uint32_t key_of_code(int code)
{
    const int n = code - BP_INPUT_KEY;
    if (n < 0 || n >= 8 * CODES_PER_MODIFIER)
        return 0;
    const int modifiers = n / CODES_PER_MODIFIER;
    return BP_KEY_NAMED + (uint32_t)(n % CODES_PER_MODIFIER) + (modifiers & 1 ? BP_SHIFT : 0u) +
           (modifiers & 2 ? BP_ALT : 0u) + (modifiers & 4 ? BP_CTRL : 0u);
}

static int next(struct bp_input *input, int ms)
{
    const int c = input->pushed;
    input->pushed = BP_INPUT_NONE;
    return c != BP_INPUT_NONE ? c : input->next(input->from, ms);
}

/* --- keys ------------------------------------------------------------------------------------- */

/* Reads on to the end of an unknown sequence: parameters, then a character from '@' to '~'. */
static void skip_sequence(struct bp_input *input, int c)
{
    for (int i = 0; i < LONGEST_SEQUENCE && c != BP_INPUT_NONE; i++) {
        if (c < 0x20 || c > 0x7e) {
            input->pushed = c;
            return;
        }
        if (c >= 0x40)
            return;
        c = next(input, BP_INPUT_ESCAPE_MS);
    }
}

/* A character of several bytes; 0 when it is none. */
static uint32_t utf8_key(struct bp_input *input, int lead)
{
    const int n = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 1;
    char bytes[5] = {(char)lead};
    for (int i = 1; i < n; i++) {
        const int c = next(input, BP_INPUT_ESCAPE_MS);
        if (c < 0x80 || c > 0xbf) {
            input->pushed = c;
            return 0;
        }
        bytes[i] = (char)c;
    }
    const char *p = bytes;
    const uint32_t ch = bp_utf8_next(&p);
    return ch == UINT32_MAX || ch < 0xa0 ? 0 : ch;
}

/* A key from a byte or a code; 0 for what is to be ignored. */
static uint32_t plain_key(struct bp_input *input, int c)
{
    if (c > 0xff)
        return key_of_code(c);
    switch (c) {
    case '\r':
    case '\n':
        return BP_KEY_ENTER;
    case '\t':
        return BP_KEY_TAB;
    case 8:
    case 127:
        return BP_KEY_BACKSPACE;
    case 0:
        return BP_CTRL | ' ';
    default:
        break;
    }
    if (c < 0x20)
        return BP_CTRL | (uint32_t)tolower(c + '@');
    if (c < 0x80)
        return (uint32_t)c;
    if (input->utf8)
        return utf8_key(input, c);
    const wint_t wide = btowc(c);
    return wide == WEOF || wide < 0xa0 ? 0 : (uint32_t)wide;
}

/* What stands behind an escape that begins no known sequence: nothing, a key typed with Alt, or a
 * sequence that nobody knows (0). */
static uint32_t escape_key(struct bp_input *input)
{
    const int c = next(input, 0);
    if (c == BP_INPUT_NONE)
        return BP_KEY_ESCAPE;
    if (c == ESCAPE || (c > 0xff && !key_of_code(c))) {
        input->pushed = c;
        return BP_KEY_ESCAPE;
    }
    if (c == '[' || c == 'O') {
        const int behind = next(input, 0);
        if (behind != BP_INPUT_NONE) {
            skip_sequence(input, behind);
            return 0;
        }
    }
    const uint32_t key = plain_key(input, c);
    return key ? BP_ALT | key : 0;
}

/* --- the mouse -------------------------------------------------------------------------------- */

/* A report's button number: bits 0 and 1 the button (3: released), 2 to 4 modifiers, 5 moved, 6 the
 * wheel. Columns and rows count from 1. False for what is no event of ours. */
static bool mouse_event(struct bp_input *input, int button, bool released, int x, int y,
                        struct bp_event *event)
{
    const int which = button & 3;
    const bool moved = button & 0x20, wheel = button & 0x40;
    if (x < 1 || y < 1)
        return false;
    *event = (struct bp_event){.kind = BP_EVENT_MOUSE, .x = x - 1, .y = y - 1};
    if (wheel) {
        event->mouse = BP_MOUSE_WHEEL;
        event->wheel = which == 0 ? -1 : 1;
        return which < 2 && !released;
    }
    if (released || (which == 3 && !moved)) {
        const bool was_down = input->button_down && (which == 0 || which == 3);
        event->mouse = BP_MOUSE_RELEASE;
        if (was_down)
            input->button_down = false;
        return was_down;
    }
    if (which != 0)
        return false;
    event->mouse = moved ? BP_MOUSE_DRAG : BP_MOUSE_PRESS;
    input->button_down = true;
    return true;
}

/* "button;x;yM" (or m: released) behind ESC [ <. */
static bool read_mouse(struct bp_input *input, struct bp_event *event)
{
    int numbers[3] = {0}, n = 0;
    for (int i = 0; i < LONGEST_SEQUENCE; i++) {
        const int c = next(input, BP_INPUT_ESCAPE_MS);
        if (c >= '0' && c <= '9' && numbers[n] < 100000) {
            numbers[n] = numbers[n] * 10 + (c - '0');
        } else if (c == ';' && n < 2) {
            n++;
        } else if (c == 'M' || c == 'm') {
            return n == 2 &&
                   mouse_event(input, numbers[0], c == 'm', numbers[1], numbers[2], event);
        } else {
            skip_sequence(input, c);
            return false;
        }
    }
    return false;
}

/* Button, column and row as bytes from 32, behind ESC [ M. */
static bool read_old_mouse(struct bp_input *input, struct bp_event *event)
{
    int bytes[3];
    for (int i = 0; i < 3; i++) {
        bytes[i] = next(input, BP_INPUT_ESCAPE_MS);
        if (bytes[i] < 32 || bytes[i] > 255)
            return false;
    }
    return mouse_event(input, bytes[0] - 32, false, bytes[1] - 32, bytes[2] - 32, event);
}

bool bp_input_take(struct bp_input *input, struct bp_event *event)
{
    for (;;) {
        const int c = next(input, 0);
        if (c == BP_INPUT_NONE)
            return false;
        if (c == BP_INPUT_MOUSE || c == BP_INPUT_OLD_MOUSE) {
            if (c == BP_INPUT_MOUSE ? read_mouse(input, event) : read_old_mouse(input, event))
                return true;
            continue;
        }
        const uint32_t key = c == ESCAPE ? escape_key(input) : plain_key(input, c);
        if (key) {
            *event = (struct bp_event){.kind = BP_EVENT_KEY, .key = key};
            return true;
        }
    }
}

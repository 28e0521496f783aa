/* Memory (LQ-LoRA Figure 3): every byte of running the plan and of the ways to train it, against a
 * card, and the budget that just fits. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/printable.h"
#include "ui/view.h"

enum { N_COLUMNS = 1 + BP_N_TRAINING_WAYS, N_PARTS = 7, LABEL = 18 };

/* What can be set, in the order of the panel. */
#define SETTING_ROW(field, key, least, most, standard) {key, least, most},
static const struct {
    const char *key;
    uint64_t least, most;
} settings[] = {BP_MEMORY_SETTINGS(SETTING_ROW)};
#undef SETTING_ROW
enum { N_SETTINGS = sizeof settings / sizeof *settings };

static const char *const units[N_SETTINGS] = {"",     "tokens",    "sequences", "bits",
                                              "bits", "sequences", "tokens"};
/* The columns, in short. */
static const char *const ways[N_COLUMNS] = {"run", "LoRA", "QAT", "full"};

static uint64_t setting_value(const struct bp_memory_settings *m, int i)
{
    const uint64_t values[] = {
#define SETTING_VALUE(field, key, least, most, standard) m->field,
        BP_MEMORY_SETTINGS(SETTING_VALUE)
#undef SETTING_VALUE
    };
    return values[i];
}

static const struct {
    const char *name;
    unsigned role;
    uint32_t glyph;
} parts[N_PARTS] = {
    {"weights", BP_ROLE_QUANTIZED, 0x2588},       {"low-rank", BP_ROLE_LOW_RANK, 0x2593},
    {"everything else", BP_ROLE_OUTSIDE, 0x2592}, {"KV cache", BP_ROLE_CACHE, 0x2591},
    {"gradients", BP_ROLE_TRAINING, 'g'},         {"optimizer", BP_ROLE_TRAINING, 'o'},
    {"activations", BP_ROLE_ACTIVATION, 'a'},
};

static uint64_t part_bytes(const struct bp_memory_parts *p, int i)
{
    const uint64_t bytes[N_PARTS] = {p->quantized, p->low_rank,  p->outside,    p->kv_cache,
                                     p->gradients, p->optimizer, p->activations};
    return bytes[i];
}

/* Parts that the table cannot tell, in a column: outside, the cache, activations. */
static bool part_known(const struct bp_memory_shape *s, int column, int part)
{
    if (part == 2)
        return s->outside_known;
    if (part == 3)
        return column > 0 || s->kv_known;
    if (part == 6)
        return column == 0 || s->hidden > 0;
    return true;
}

/* The plan holds only the matrices that are measured yet. */
static bool is_partial(const struct bp_app *app)
{
    return app->problem && app->problem->source->planned != app->problem->source->table;
}

static void columns_of(const struct bp_app *app, struct bp_memory_parts columns[N_COLUMNS])
{
    bp_memory_run(app->plan, &app->shape, &app->session.memory, &columns[0]);
    for (int w = 0; w < BP_N_TRAINING_WAYS; w++)
        bp_memory_train(app->plan, &app->shape, &app->session.memory, (enum bp_training_way)w,
                        &columns[1 + w]);
}

/* "fits, 19.03 GiB free", or what is missing. */
static int verdict(const struct bp_app *app, const struct bp_memory_parts *p,
                   struct bp_cells *cells, struct bp_rect clip, int x, int y, bool words)
{
    const uint64_t card = app->session.memory.card_bytes;
    char size[BP_SIZE_TEXT], text[64];
    const bool fits = p->total <= card;
    const uint64_t rest = fits ? card - p->total : p->total - card;
    bp_size_format(rest, size);
    if (!p->complete && fits) {
        if (words)
            return bp_cells_text(cells, clip, x, y, BP_ROLE_WARNING, "fits as far as is known");
        return bp_cells_right(cells, clip, clip.x + clip.w, y, BP_ROLE_WARNING, "unknown");
    }
    if (!words)
        snprintf(text, sizeof text, "%c%s", fits ? '+' : '-', size);
    else if (fits)
        snprintf(text, sizeof text, "fits, %s free", size);
    else
        snprintf(text, sizeof text, "lacks %s", size);
    const unsigned role = fits ? BP_ROLE_GOOD : BP_ROLE_ERROR;
    if (words)
        return bp_cells_text(cells, clip, x, y, role, text);
    /* In a column: at its right, or as a word where the figure is too long. */
    const char *shown = bp_text_width(text) < clip.w ? text : fits ? "fits" : "lacks";
    return bp_cells_right(cells, clip, clip.x + clip.w, y, role, shown);
}

/* A bar as long as the card is wide; what goes beyond is cut, with an arrow. */
static void bar(const struct bp_app *app, const struct bp_memory_parts *p, struct bp_cells *cells,
                struct bp_rect r)
{
    const double card = (double)app->session.memory.card_bytes;
    double sum = 0.0;
    int from = 0;
    bp_cells_fill(cells, r, BP_ROLE_TRACK, 0x00B7);
    for (int i = 0; i < N_PARTS; i++) {
        sum += (double)part_bytes(p, i);
        const double share = sum / card * r.w;
        const int to = share > r.w ? r.w : (int)lround(share);
        bp_cells_fill(cells, (struct bp_rect){r.x + from, r.y, to - from, 1}, parts[i].role,
                      parts[i].glyph);
        from = to > from ? to : from;
    }
    if (sum > card)
        bp_cells_put(cells, r, r.x + r.w - 1, r.y, BP_ROLE_ERROR, 0x25B6);
}

void bp_render_memory_line(const struct bp_app *app, struct bp_cells *cells, struct bp_rect r)
{
    static const char *const names[] = {"weights ", "low-rank ", "other ", "KV "};
    struct bp_memory_parts columns[N_COLUMNS];
    char size[BP_SIZE_TEXT];
    if (!app->plan)
        return;
    columns_of(app, columns);
    int x = bp_cells_text(cells, r, r.x, r.y, BP_ROLE_WARNING,
                          is_partial(app) ? " measured part: " : " ");
    for (int i = 0; i < 4; i++) {
        x = bp_cells_text(cells, r, x, r.y, BP_ROLE_DIM, i ? "  " : "");
        x = bp_cells_text(cells, r, x, r.y, BP_ROLE_DIM, names[i]);
        x = bp_cells_text(cells, r, x, r.y, parts[i].role,
                          part_known(&app->shape, 0, i)
                              ? bp_size_format(part_bytes(&columns[0], i), size)
                              : "unknown");
    }
    x = bp_cells_text(cells, r, x, r.y, BP_ROLE_DIM, " = ");
    x = bp_cells_text(cells, r, x, r.y, BP_ROLE_VALUE, bp_size_format(columns[0].total, size));
    x = bp_cells_printf(cells, r, x, r.y, BP_ROLE_DIM,
                        "  card %s: ", bp_size_format(app->session.memory.card_bytes, size));
    verdict(app, &columns[0], cells, r, x, r.y, true);
}

/* --- the panel --- */

enum { SETTING_TEXT = 256, GAP = 2 };

/* "context <4,096> tokens". */
static void setting_text(const struct bp_app *app, int i, bool unit, char text[SETTING_TEXT])
{
    const uint64_t value = setting_value(&app->session.memory, i);
    char size[BP_SIZE_TEXT];
    snprintf(text, SETTING_TEXT, "%s <%s>%s%s", settings[i].key,
             i == 0 ? bp_size_format(value, size) : bp_grouped(value).text,
             unit && *units[i] ? " " : "", unit ? units[i] : "");
}

static bool has_units(struct bp_rect in)
{
    return in.h >= N_PARTS + 8;
}

/* Settings stand at the bottom, one behind the other, as many in a row as fit. Returns the first
 * row. */
static int place_settings(const struct bp_app *app, struct bp_rect in,
                          struct bp_rect places[N_SETTINGS])
{
    int x = 0, y = 0;
    for (int i = 0; i < N_SETTINGS; i++) {
        char text[SETTING_TEXT];
        setting_text(app, i, has_units(in), text);
        const int w = bp_text_width(text);
        if (x > 0 && x + w > in.w) {
            x = 0;
            y++;
        }
        places[i] = (struct bp_rect){in.x + x, y, w, 1};
        x += w + GAP;
    }
    const int top = in.y + in.h - (y + 1);
    for (int i = 0; i < N_SETTINGS; i++)
        places[i].y += top;
    return top;
}

/* Part by part, then the totals; in a low panel the totals alone. Returns the row below. */
static int table(const struct bp_app *app, const struct bp_memory_parts columns[N_COLUMNS],
                 struct bp_cells *cells, struct bp_rect in, int top)
{
    const int n_parts = top - in.y >= N_PARTS + 3 ? N_PARTS : 0;
    const int width = (in.w - LABEL) / N_COLUMNS < 13 ? (in.w - LABEL) / N_COLUMNS : 13;
    static const char *const heads[N_COLUMNS] = {"run", "train LoRA", "QAT", "full"};
    char size[BP_SIZE_TEXT];
    for (int c = 0; c < N_COLUMNS; c++)
        bp_cells_right(cells, in, in.x + LABEL + (c + 1) * width, in.y, BP_ROLE_TITLE, heads[c]);
    for (int i = 0; i < n_parts; i++) {
        const int y = in.y + 1 + i;
        bp_cells_put(cells, in, in.x, y, parts[i].role, parts[i].glyph);
        bp_cells_text(cells, in, in.x + 2, y, BP_ROLE_TEXT, parts[i].name);
        for (int c = 0; c < N_COLUMNS; c++) {
            const uint64_t bytes = part_bytes(&columns[c], i);
            const bool known = part_known(&app->shape, c, i);
            bp_cells_right(cells, in, in.x + LABEL + (c + 1) * width, y,
                           known && bytes ? BP_ROLE_VALUE : BP_ROLE_DIM,
                           !known  ? "unknown"
                           : bytes ? bp_size_format(bytes, size)
                                   : "-");
        }
    }
    const int y = in.y + 1 + n_parts;
    bp_cells_text(cells, in, in.x + 2, y, BP_ROLE_TITLE, "total");
    for (int c = 0; c < N_COLUMNS; c++)
        bp_cells_right(cells, in, in.x + LABEL + (c + 1) * width, y, BP_ROLE_VALUE,
                       bp_size_format(columns[c].total, size));
    bp_cells_text(cells, in, in.x + 2, y + 1, BP_ROLE_TITLE, "on the card");
    for (int c = 0; c < N_COLUMNS; c++) {
        const struct bp_rect column = {in.x + LABEL + c * width, y + 1, width, 1};
        verdict(app, &columns[c], cells, bp_rect_clip(column, in), column.x, y + 1, false);
    }
    return y + 2;
}

static void setting(const struct bp_app *app, struct bp_cells *cells, struct bp_rect in,
                    struct bp_rect place, int i)
{
    const bool here = app->view.focus == BP_PANEL_MEMORY && app->view.memory_row == i;
    char text[SETTING_TEXT];
    setting_text(app, i, has_units(in), text);
    /* Dim from end to end, and the value in its brackets over that. */
    bp_cells_text(cells, in, place.x, place.y, BP_ROLE_DIM, text);
    const int key = (int)strlen(settings[i].key), end = (int)strcspn(text, ">") + 1;
    text[end] = '\0';
    bp_cells_text(cells, in, place.x + key, place.y, BP_ROLE_KEY, text + key);
    if (here)
        bp_cells_reverse(cells, (struct bp_rect){place.x, place.y, end, 1});
}

/* What the largest budget is that still runs on the card. */
static void reverse_line(const struct bp_app *app, struct bp_cells *cells, struct bp_rect in, int y)
{
    struct bp_budget fit;
    struct bp_err err;
    char text[80];
    int x = bp_cells_text(cells, in, in.x, y, BP_ROLE_DIM, "just fits, running: ");
    if (bp_memory_budget_total(app->plan->table, &app->session.memory,
                               (double)app->session.memory.card_bytes, &fit, &err) != BP_OK) {
        bp_cells_text(cells, in, x, y, BP_ROLE_WARNING, bp_printable(err.text).text);
        return;
    }
    const double params = (double)app->plan->params, bits = (double)fit.bits / params;
    const char *unit = fit.counts_low_rank ? "effective bits/param" : "bits/param";
    /* The range in hand is of another kind of budget where that one counts low-rank parts and the
     * present one does not. */
    if (bp_planner_counted(app->problem->planner) != bp_budget_counted(&fit))
        snprintf(text, sizeof text, "%.4f %s", bits, unit);
    else if (fit.bits < app->problem->least_bits)
        snprintf(text, sizeof text, "no plan: %.4f %s is too few", bits, unit);
    else if (fit.bits >= app->problem->most_bits)
        snprintf(text, sizeof text, "every plan, to the best of %.4f %s",
                 (double)app->problem->most_bits / params, unit);
    else
        snprintf(text, sizeof text, "%.4f %s", bits, unit);
    x = bp_cells_text(cells, in, x, y, BP_ROLE_SLIDER, text);
}

static void render(const struct bp_app *app, struct bp_cells *cells, struct bp_rect in)
{
    struct bp_memory_parts columns[N_COLUMNS];
    if (!app->plan) {
        bp_cells_text(cells, in, in.x, in.y, BP_ROLE_DIM, "no plan, no bytes");
        return;
    }
    columns_of(app, columns);
    struct bp_rect places[N_SETTINGS];
    const int top = place_settings(app, in, places);
    int y = table(app, columns, cells, in, top);
    /* Bars where there is room for all: the panel's width is the card. */
    for (int c = 0; c < N_COLUMNS && y + N_COLUMNS - c < top; c++, y++) {
        bp_cells_text(cells, in, in.x, y, BP_ROLE_DIM, ways[c]);
        bar(app, &columns[c], cells, (struct bp_rect){in.x + 5, y, in.w - 5, 1});
    }
    for (int w = 0; w < BP_N_TRAINING_WAYS && y + BP_N_TRAINING_WAYS - w < top; w++, y++) {
        bp_cells_text(cells, in, in.x, y, BP_ROLE_TEXT, ways[1 + w]);
        bp_cells_text(cells, in, in.x + 6, y, BP_ROLE_DIM,
                      bp_training_way_text((enum bp_training_way)w));
    }
    if (y < top)
        reverse_line(app, cells, in, top - 1);
    for (int i = 0; i < N_SETTINGS; i++)
        setting(app, cells, in, places[i], i);
}

static void title(const struct bp_app *app, char *text, size_t n)
{
    char size[BP_SIZE_TEXT];
    snprintf(text, n, "Memory on a card of %s%s",
             bp_size_format(app->session.memory.card_bytes, size),
             is_partial(app) ? ", of the measured part" : "");
}

/* --- acting --- */

/* A card up or down the list; other settings double and halve. */
static uint64_t moved(const struct bp_app *app, int i, int step)
{
    const uint64_t now = setting_value(&app->session.memory, i);
    size_t n;
    const struct bp_card *cards = bp_cards(&n);
    if (i == 0) {
        for (size_t k = 0; k < n && step > 0; k++)
            if (cards[k].bytes > now)
                return cards[k].bytes;
        for (size_t k = n; k-- > 0 && step < 0;)
            if (cards[k].bytes < now)
                return cards[k].bytes;
        return now;
    }
    const uint64_t next = step > 0 ? (now ? now * 2 : 1) : now / 2;
    return next < settings[i].least || next > settings[i].most ? now : next;
}

static void change(struct bp_app *app, int i, int step)
{
    struct bp_edit edit = {.kind = BP_EDIT_MEMORY, .memory = app->session.memory};
    char value[32];
    snprintf(value, sizeof value, i == 0 ? "%" PRIu64 "B" : "%" PRIu64, moved(app, i, step));
    struct bp_err err;
    if (bp_memory_settings_set(&edit.memory, settings[i].key, value, &err) == BP_OK)
        bp_app_edit(app, &edit, 1, true);
    else
        bp_app_say(app, BP_ROLE_ERROR, "%s", err.text);
}

static bool act(struct bp_app *app, enum bp_action action, double n)
{
    int *row = &app->view.memory_row;
    (void)n;
    switch (action) {
    case BP_ACTION_CURSOR_UP:
        *row -= *row > 0;
        break;
    case BP_ACTION_CURSOR_DOWN:
        *row += *row < N_SETTINGS - 1;
        break;
    case BP_ACTION_CURSOR_LEFT:
    case BP_ACTION_ZOOM_OUT:
        change(app, *row, -1);
        break;
    case BP_ACTION_CURSOR_RIGHT:
    case BP_ACTION_ZOOM_IN:
        change(app, *row, 1);
        break;
    case BP_ACTION_TOGGLE:
        change(app, *row, 1);
        break;
    case BP_ACTION_CHOOSE: {
        char line[64];
        snprintf(line, sizeof line, *row == 0 ? "%s " : "set %s ", settings[*row].key);
        bp_prompt_open(&app->prompt, BP_PROMPT_COMMAND, line);
        break;
    }
    default:
        return false;
    }
    return true;
}

static void mouse(struct bp_app *app, struct bp_rect in, const struct bp_event *event)
{
    struct bp_rect places[N_SETTINGS];
    place_settings(app, in, places);
    for (int i = 0; i < N_SETTINGS; i++)
        if (bp_rect_has(places[i], event->x, event->y)) {
            app->view.memory_row = i;
            if (event->mouse == BP_MOUSE_WHEEL)
                change(app, i, -event->wheel);
        }
}

const struct bp_panel_ops bp_panel_memory = {render, act, mouse, title};

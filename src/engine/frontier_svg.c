/* The frontier as an SVG picture: log error over bits/param. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/frontier.h"
#include "engine/printable.h"

/* The page, and the plot in it, in pixels. */
enum { WIDTH = 960, HEIGHT = 600, LEFT = 92, RIGHT = 936, TOP = 84, BOTTOM = 528 };

struct chart {
    FILE *out;
    double x0, x1; /* bits/param at the edges */
    double y0, y1; /* ln of the error at bottom and top */
};

static double px(const struct chart *c, double bits)
{
    return LEFT + (bits - c->x0) / (c->x1 - c->x0) * (RIGHT - LEFT);
}

static double py(const struct chart *c, double error)
{
    return BOTTOM - (log(error) - c->y0) / (c->y1 - c->y0) * (BOTTOM - TOP);
}

static bool inside(const struct chart *c, double bits, double error)
{
    return bits >= c->x0 && bits <= c->x1 && error > 0.0 && log(error) >= c->y0 &&
           log(error) <= c->y1;
}

/* Text of anybody's in XML: what controls or is no character becomes '?', what XML means by itself
 * is escaped. */
static void put_text(FILE *out, const char *text)
{
    const struct bp_printable safe = bp_printable(text);
    for (const char *p = safe.text; *p; p++) {
        if (strncmp(p, "\xef\xbf\xbe", 3) == 0 ||
            strncmp(p, "\xef\xbf\xbf", 3) == 0) { /* U+FFFE, U+FFFF */
            fputc('?', out);
            p += 2;
        } else if (*p == '&') {
            fputs("&amp;", out);
        } else if (*p == '<') {
            fputs("&lt;", out);
        } else if (*p == '>') {
            fputs("&gt;", out);
        } else if (*p == '"') {
            fputs("&quot;", out);
        } else if (*p == '\'') {
            fputs("&#39;", out);
        } else {
            fputc(*p, out);
        }
    }
}

/* --- the scales --- */

static void widen(struct chart *c, double error)
{
    if (error > 0.0) {
        c->y0 = fmin(c->y0, log(error));
        c->y1 = fmax(c->y1, log(error));
    }
}

/* All of the frontier, and of the rest what lies above or below it. */
static void scale(struct chart *c, const struct bp_frontier *f)
{
    c->x0 = DBL_MAX;
    c->x1 = -DBL_MAX;
    c->y0 = DBL_MAX;
    c->y1 = -DBL_MAX;
    for (size_t i = 0; i < f->n; i++) {
        c->x0 = fmin(c->x0, f->samples[i].bits_per_param);
        c->x1 = fmax(c->x1, f->samples[i].bits_per_param);
        widen(c, f->samples[i].objective);
    }
    const double margin = fmax(0.02 * (c->x1 - c->x0), 0.005);
    c->x0 -= margin;
    c->x1 += margin;
    for (size_t i = 0; i < f->n_uniform; i++)
        if (f->uniform[i].bits_per_param >= c->x0 && f->uniform[i].bits_per_param <= c->x1)
            widen(c, f->uniform[i].objective);
    if (c->y0 > c->y1) /* nothing has an error */
        c->y0 = c->y1 = 0.0;
    const double head = fmax(0.04 * (c->y1 - c->y0), 0.05);
    c->y0 -= head;
    c->y1 += head;
}

/* A distance of ticks that gives some six to twelve: 1, 2 or 5 times a power of ten. */
static double tick_step(double span)
{
    double step = pow(10.0, floor(log10(span / 6.0)));
    if (span / step > 30.0)
        step *= 5.0;
    else if (span / step > 12.0)
        step *= 2.0;
    return step;
}

static void put_x_axis(const struct chart *c)
{
    const double step = tick_step(c->x1 - c->x0);
    const int decimals = step < 1.0 ? (int)ceil(-log10(step)) : 0;
    for (double k = ceil(c->x0 / step); k * step <= c->x1; k++) {
        const double x = px(c, k * step);
        fprintf(c->out, "<line class=\"grid\" x1=\"%.2f\" y1=\"%d\" x2=\"%.2f\" y2=\"%d\"/>\n", x,
                TOP, x, BOTTOM);
        fprintf(c->out, "<text x=\"%.2f\" y=\"%d\" text-anchor=\"middle\">%.*f</text>\n", x,
                BOTTOM + 20, decimals, k * step);
    }
    fprintf(c->out,
            "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">bits/param over the planned "
            "matrices</text>\n",
            (LEFT + RIGHT) / 2, BOTTOM + 46);
}

/* Ticks at 1, 2 and 5 times powers of ten; within many decades at the powers alone. */
static void put_y_axis(const struct chart *c, const struct bp_frontier *f)
{
    static const int digits[] = {1, 2, 5};
    const double decades = (c->y1 - c->y0) / log(10.0);
    const int every = decades > 12.0 ? (int)ceil(decades / 12.0) : 1;
    for (int e = (int)floor(c->y0 / log(10.0)); e <= (int)ceil(c->y1 / log(10.0)); e++)
        for (int d = 0; d < (decades > 4.0 ? 1 : 3); d++) {
            const double error = digits[d] * pow(10.0, e);
            if (e % every != 0 || log(error) < c->y0 || log(error) > c->y1)
                continue;
            const double y = py(c, error);
            fprintf(c->out, "<line class=\"grid\" x1=\"%d\" y1=\"%.2f\" x2=\"%d\" y2=\"%.2f\"/>\n",
                    LEFT, y, RIGHT, y);
            fprintf(c->out, "<text x=\"%d\" y=\"%.2f\" text-anchor=\"end\">", LEFT - 10, y + 5.0);
            if (e >= -2 && e <= 3)
                fprintf(c->out, "%.*f", e < 0 ? -e : 0, error);
            else if (digits[d] == 1)
                fprintf(c->out, "10<tspan dy=\"-5\" font-size=\"10\">%d</tspan>", e);
            else
                fprintf(c->out, "%d&#183;10<tspan dy=\"-5\" font-size=\"10\">%d</tspan>", digits[d],
                        e);
            fputs("</text>\n", c->out);
        }
    fprintf(c->out,
            "<text transform=\"translate(22 %d) rotate(-90)\" text-anchor=\"middle\">%s</text>\n",
            (TOP + BOTTOM) / 2,
            f->weighted ? "objective: errors times their factors (log scale)"
            : strcmp(f->table->about.weighting, "none") == 0
                ? "error: sum of squares (log scale)"
                : "error: weighted sum of squares (log scale)");
}

/* --- what is in the plot --- */

static void put_uniform(const struct chart *c, const struct bp_frontier *f)
{
    for (size_t i = 0; i < f->n_uniform; i++) {
        const struct bp_frontier_uniform *u = &f->uniform[i];
        char text[BP_CANDIDATE_TEXT];
        if (!inside(c, u->bits_per_param, u->objective))
            continue;
        fprintf(c->out, "<circle class=\"uniform\" cx=\"%.2f\" cy=\"%.2f\" r=\"2.5\"><title>",
                px(c, u->bits_per_param), py(c, u->objective));
        put_text(c->out, bp_candidate_format(&f->table->candidates[u->candidate], text));
        fprintf(c->out, " for every matrix: %.4f bits/param, %.6g</title></circle>\n",
                u->bits_per_param, u->objective);
    }
}

/* A line through the samples' objective or bound; where that is no number above 0 it ends. */
static void put_line(const struct chart *c, const struct bp_frontier *f, bool bound)
{
    bool open = false;
    for (size_t i = 0; i < f->n; i++) {
        const struct bp_frontier_sample *s = &f->samples[i];
        const double error = bound ? s->lower_bound : s->objective;
        const bool drawn = error > 0.0 && log(error) >= c->y0;
        if (drawn && !open)
            fprintf(c->out, "<polyline class=\"%s\" points=\"", bound ? "bound" : "frontier");
        if (drawn)
            fprintf(c->out, "%s%.2f,%.2f", open ? " " : "", px(c, s->bits_per_param), py(c, error));
        if (!drawn && open)
            fputs("\"/>\n", c->out);
        open = drawn;
    }
    if (open)
        fputs("\"/>\n", c->out);
}

static void put_samples(const struct chart *c, const struct bp_frontier *f)
{
    enum { MANY = 200 }; /* more dots are a thick line */
    for (size_t i = 0; i < f->n; i++) {
        const struct bp_frontier_sample *s = &f->samples[i];
        if (!(s->objective > 0.0) || (f->n > MANY && s->optimal))
            continue;
        fprintf(c->out,
                "<circle class=\"%s\" cx=\"%.2f\" cy=\"%.2f\" r=\"3\"><title>%.6g asked, %.4f "
                "bits/param, %.6g, %s; another MiB saves %.4g</title></circle>\n",
                s->optimal ? "optimal" : "bounded", px(c, s->bits_per_param), py(c, s->objective),
                s->asked, s->bits_per_param, s->objective, s->optimal ? "optimal" : "bounded",
                s->shadow_price);
    }
}

static void put_baselines(const struct chart *c, const struct bp_frontier *f)
{
    const double params = (double)bp_table_params(f->table);
    for (size_t i = 0; i < f->n_baselines && !f->weighted; i++) {
        const struct bp_baseline *b = &f->baselines[i];
        const double bits = (double)b->storage_bits / params;
        if (!inside(c, bits, b->error))
            continue;
        const double x = px(c, bits), y = py(c, b->error);
        fprintf(c->out,
                "<path class=\"qlora\" d=\"M%.2f %.2fl6 6l-6 6l-6 -6z\"><title>QLoRA's %s: %.4f "
                "bits/param, %.6g</title></path>\n",
                x, y - 6.0, b->name, bits, b->error);
        fprintf(c->out, "<text class=\"name\" x=\"%.2f\" y=\"%.2f\">NF%s</text>\n", x + 10.0,
                y - 8.0, b->name + 2);
    }
}

static void put_knees(const struct chart *c, const struct bp_frontier *f)
{
    for (size_t i = 0; i < f->n; i++) {
        const struct bp_frontier_sample *s = &f->samples[i];
        if (!s->knee)
            continue;
        const double x = px(c, s->bits_per_param), y = py(c, s->objective);
        /* Below and left of its point, where a falling curve is not. */
        fprintf(c->out, "<circle class=\"knee\" cx=\"%.2f\" cy=\"%.2f\" r=\"7\"/>\n", x, y);
        const bool left = x > LEFT + 140;
        fprintf(c->out,
                "<text class=\"name\" x=\"%.2f\" y=\"%.2f\" text-anchor=\"%s\">knee %u: "
                "%.4f</text>\n",
                left ? x - 6.0 : x + 12.0, left ? fmin(y + 20.0, BOTTOM - 6.0) : y - 10.0,
                left ? "end" : "start", s->knee, s->bits_per_param);
    }
}

/* --- around it --- */

static void put_head(const struct chart *c, const struct bp_frontier *f)
{
    const struct bp_table *t = f->table;
    fprintf(c->out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
            "viewBox=\"0 0 %d %d\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"14\" "
            "fill=\"#222222\">\n"
            "<style>\n"
            ".grid{stroke:#e3e6ea}.frame{stroke:#8a929c;fill:none}\n"
            ".uniform{fill:#a9b1bb}.frontier{stroke:#1559b3;stroke-width:2;fill:none}\n"
            ".bound{stroke:#d9822b;stroke-width:1.5;stroke-dasharray:5 4;fill:none}\n"
            ".optimal{fill:#1559b3}.bounded{fill:#ffffff;stroke:#1559b3;stroke-width:1.5}\n"
            ".qlora{fill:#b3261e}.knee{stroke:#2e7d32;stroke-width:2;fill:none}\n"
            ".name{font-weight:bold;font-size:13px}.small{font-size:12px;fill:#4a525c}\n"
            "</style>\n"
            "<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n",
            WIDTH, HEIGHT, WIDTH, HEIGHT, WIDTH, HEIGHT);
    fprintf(c->out, "<text x=\"%d\" y=\"30\" font-size=\"18\" font-weight=\"bold\">", LEFT);
    put_text(c->out, *t->about.model_name ? t->about.model_name : t->path);
    fputs(t->about.synthetic ? " (synthetic)" : "", c->out);
    fprintf(c->out, "</text>\n<text class=\"small\" x=\"%d\" y=\"50\">", LEFT);
    if (t->whole_matrices > t->n_matrices)
        fprintf(c->out, "%zu of %zu matrices, those that are measured so far", t->n_matrices,
                t->whole_matrices);
    else
        fprintf(c->out, "%zu matrices", t->n_matrices);
    fprintf(c->out, ", %s parameters, %zu candidates</text>\n", bp_grouped(bp_table_params(t)).text,
            t->n_candidates);
}

static void put_legend(const struct chart *c, const struct bp_frontier *f)
{
    int x = LEFT;
    const int y = 70;
    fprintf(c->out,
            "<line class=\"frontier\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>"
            "<text class=\"small\" x=\"%d\" y=\"%d\">least error</text>\n",
            x, y, x + 24, y, x + 30, y + 4);
    x += 120;
    fprintf(c->out,
            "<line class=\"bound\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>"
            "<text class=\"small\" x=\"%d\" y=\"%d\">lower bound</text>\n",
            x, y, x + 24, y, x + 30, y + 4);
    x += 130;
    fprintf(c->out,
            "<circle class=\"uniform\" cx=\"%d\" cy=\"%d\" r=\"2.5\"/>"
            "<text class=\"small\" x=\"%d\" y=\"%d\">one config for every matrix</text>\n",
            x, y, x + 10, y + 4);
    x += 190;
    if (!f->weighted)
        fprintf(c->out,
                "<path class=\"qlora\" d=\"M%d %dl6 6l-6 6l-6 -6z\"/>"
                "<text class=\"small\" x=\"%d\" y=\"%d\">QLoRA, no low-rank part</text>\n",
                x, y - 6, x + 12, y + 4);
    x += f->weighted ? 0 : 175;
    fprintf(c->out,
            "<circle class=\"knee\" cx=\"%d\" cy=\"%d\" r=\"6\"/>"
            "<text class=\"small\" x=\"%d\" y=\"%d\">knee</text>\n",
            x, y, x + 12, y + 4);
}

char *bp_frontier_to_svg(const struct bp_frontier *f)
{
    char *text = NULL;
    size_t n;
    struct chart c = {.out = open_memstream(&text, &n)};
    if (!c.out)
        return NULL;
    scale(&c, f);
    put_head(&c, f);
    put_legend(&c, f);
    put_x_axis(&c);
    put_y_axis(&c, f);
    put_uniform(&c, f);
    put_line(&c, f, true);
    put_line(&c, f, false);
    put_samples(&c, f);
    put_baselines(&c, f);
    put_knees(&c, f);
    fprintf(c.out, "<rect class=\"frame\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/>\n</svg>\n",
            LEFT, TOP, RIGHT - LEFT, BOTTOM - TOP);
    const bool whole = !ferror(c.out);
    if (fclose(c.out) == 0 && whole)
        return text;
    free(text);
    return NULL;
}

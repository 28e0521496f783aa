/* A plan as CSV, for spreadsheets: a line a matrix (RFC 4180, but for the newlines). */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/json_write.h"
#include "engine/plan.h"

/* In quotes where a comma, a quote or a newline asks for it; quotes doubled. */
static void put_text(FILE *f, const char *text)
{
    bool quoted = false;
    for (const char *p = text; *p; p++)
        quoted |= *p == ',' || *p == '"' || *p == '\n' || *p == '\r';
    if (quoted)
        fputc('"', f);
    for (const char *p = text; *p; p++) {
        if (*p == '"')
            fputc('"', f);
        fputc(*p, f);
    }
    if (quoted)
        fputc('"', f);
}

static void put_double(FILE *f, double value)
{
    char text[BP_DOUBLE_TEXT];
    fputc(',', f);
    if (isfinite(value))
        fputs(bp_double_format(value, text), f);
}

static void put_matrix(FILE *f, const struct bp_plan *plan, size_t i)
{
    const struct bp_table *t = plan->table;
    const struct bp_table_matrix *m = &t->matrices[i];
    const struct bp_candidate *c = &t->candidates[plan->choice[i]];
    const size_t cell = i * t->n_candidates + plan->choice[i];
    char config[BP_CONFIG_TEXT];
    put_text(f, m->name);
    fprintf(f, ",%" PRIu64 ",%" PRIu64 ",", m->d, m->k);
    if (m->layer >= 0)
        fprintf(f, "%d", m->layer);
    fputc(',', f);
    put_text(f, m->kind);
    fputc(',', f);
    put_text(f, c->foreign ? c->label : bp_config_format(&c->config, config));
    fprintf(f, ",%" PRIu32 ",%" PRIu64, c->rank, t->storage[cell]);
    put_double(f, (double)t->storage[cell] / ((double)m->d * (double)m->k));
    put_double(f, t->error[cell]);
    put_double(f, t->norm && t->norm[i] > 0.0 ? t->error[cell] / t->norm[i] : NAN);
    fputc('\n', f);
}

char *bp_plan_to_csv(const struct bp_plan *plan)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f)
        return NULL;
    fputs("matrix,d,k,layer,kind,config,rank,storage_bits,bits_per_param,error,relative_error\n",
          f);
    for (size_t i = 0; i < plan->table->n_matrices; i++)
        put_matrix(f, plan, i);
    bool failed = ferror(f) != 0;
    if (fclose(f) != 0 || failed) {
        free(text);
        return NULL;
    }
    return text;
}

#include "engine/candidate_grid.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/mem.h"

static enum bp_status read_ranks(const char *text, size_t n, struct bp_candidate_grid *out,
                                 struct bp_err *err)
{
    const char *end = text + n;
    for (const char *p = text; p <= end;) {
        char *stop;
        errno = 0;
        unsigned long rank = strtoul(p, &stop, 10);
        if (!isdigit((unsigned char)*p) || errno || rank > UINT32_MAX || stop > end ||
            (stop < end && *stop != ',') || out->n_ranks == BP_GRID_MAX_RANKS)
            return bp_fail(err, BP_ERR_USAGE, "'rank=%.*s' is no list of ranks, like rank=8,64",
                           (int)(n < 60 ? n : 60), text);
        out->ranks[out->n_ranks++] = (uint32_t)rank;
        p = stop + 1;
    }
    return BP_OK;
}

enum bp_status bp_candidate_grid_parse(const char *text, struct bp_candidate_grid *out,
                                       struct bp_err *err)
{
    *out = (struct bp_candidate_grid){.any_config = false};
    char *configs = bp_strdup("");
    bool ranked = false;
    enum bp_status status = configs ? BP_OK : bp_fail_nomem(err);
    for (const char *p = text; status == BP_OK && p;) {
        const size_t n = strcspn(p, ":");
        if (strncmp(p, "rank=", 5) == 0 && ranked) {
            status = bp_fail(err, BP_ERR_USAGE, "'%s' names ranks twice", text);
        } else if (strncmp(p, "rank=", 5) == 0) {
            ranked = true;
            status = read_ranks(p + 5, n - 5, out, err);
        } else {
            char *longer = bp_format("%s%s%.*s", configs, *configs ? ":" : "", (int)n, p);
            free(configs);
            configs = longer;
            status = configs ? BP_OK : bp_fail_nomem(err);
        }
        p = p[n] ? p + n + 1 : NULL;
    }
    out->any_config = ranked && configs && !*configs;
    if (status == BP_OK && !out->any_config)
        status = bp_grid_parse(configs, &out->configs, err);
    free(configs);
    return status;
}

void bp_candidate_grid_done(struct bp_candidate_grid *grid)
{
    bp_grid_done(&grid->configs);
    *grid = (struct bp_candidate_grid){.any_config = false};
}

bool bp_candidate_grid_has(const struct bp_candidate_grid *grid, const struct bp_candidate *c)
{
    bool rank = grid->n_ranks == 0;
    for (size_t i = 0; i < grid->n_ranks && !rank; i++)
        rank = grid->ranks[i] == c->rank;
    return rank && !c->foreign && (grid->any_config || bp_grid_has(&grid->configs, &c->config));
}

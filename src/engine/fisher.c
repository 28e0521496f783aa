#include "engine/fisher.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "engine/printable.h"

enum bp_status bp_fisher_read(const struct bp_model *fisher, const struct bp_model *model, size_t i,
                              float *F, struct bp_err *err)
{
    const struct bp_matrix *m = &model->matrices[i];
    const struct bp_st_tensor *weight = model->tensors[m->tensor].t;
    const char *name = weight->name;
    const struct bp_st *st;
    const struct bp_st_tensor *t = bp_model_find(fisher, name, &st);
    if (!t)
        return bp_fail(err, BP_ERR_INPUT, "%s: has no weights for %s", fisher->path,
                       bp_printable(name).text);
    if (t->n_dims != weight->n_dims ||
        memcmp(t->shape, weight->shape, t->n_dims * sizeof *t->shape) != 0)
        return bp_fail(err, BP_ERR_INPUT,
                       "%s: the weights for %s have another shape than the model's tensor",
                       fisher->path, bp_printable(name).text);
    if (!bp_dtype_is_weight(t->dtype))
        return bp_fail(err, BP_ERR_INPUT, "%s: the weights for %s are %s, not F32, F16 or BF16",
                       fisher->path, bp_printable(name).text, bp_dtype_name(t->dtype));
    bp_st_read_f32(st, t, m->first_elem, m->d * m->k, F);
    for (uint64_t e = 0; e < m->d * m->k; e++)
        if (!isfinite(F[e]) || F[e] < 0.0f)
            return bp_fail(err, BP_ERR_INPUT,
                           "%s: the weight for %s at [%" PRIu64 ", %" PRIu64
                           "] is %g; weights are numbers >= 0",
                           fisher->path, bp_printable(m->name).text, e / m->k, e % m->k,
                           (double)F[e]);
    return BP_OK;
}

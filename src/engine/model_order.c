#include "engine/model_parts.h"

#include <stdlib.h>
#include <string.h>

#include "engine/mem.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Compares names with the numbers in them as numbers: experts.2 before experts.10. */
static int compare_natural(const char *a, const char *b)
{
    const char *x = a, *y = b;
    while (*x && *y) {
        if (is_digit(*x) && is_digit(*y)) {
            x += strspn(x, "0");
            y += strspn(y, "0");
            size_t n = strspn(x, "0123456789"), m = strspn(y, "0123456789");
            int order = n != m ? (n < m ? -1 : 1) : memcmp(x, y, n);
            if (order)
                return order;
            x += n;
            y += m;
        } else if (*x != *y) {
            return (unsigned char)*x < (unsigned char)*y ? -1 : 1;
        } else {
            x++;
            y++;
        }
    }
    if (*x || *y)
        return *x ? 1 : -1;
    return strcmp(a, b); /* equal but for leading zeros */
}

/* Place of a linear layer in its block: attention in the order of the arithmetic, then the
 * feed-forward part; what is not listed comes behind, by name. */
static int rank_of(const char *kind)
{
    static const char *const ranks[][7] = {
        {"q_proj", "wq", "query", "q_lin", "q_a_proj", "q_b_proj"},
        {"k_proj", "wk", "key", "k_lin", "kv_a_proj_with_mqa", "kv_b_proj"},
        {"v_proj", "wv", "value", "v_lin"},
        {"qkv_proj", "c_attn", "wqkv", "Wqkv", "query_key_value"},
        {"o_proj", "out_proj", "wo", "Wo", "out_lin"},
        {"gate_proj", "w1"},
        {"up_proj", "w3", "gate_up_proj", "fc1", "c_fc", "dense_h_to_4h", "input_linear"},
        {"down_proj", "w2", "fc2", "dense_4h_to_h", "output_linear"},
    };
    const int n = sizeof ranks / sizeof *ranks;
    for (int rank = 0; rank < n; rank++)
        for (int i = 0; i < 7 && ranks[rank][i]; i++)
            if (strcmp(kind, ranks[rank][i]) == 0)
                return rank;
    return n;
}

/* A tensor with what its comparisons need, found once. */
struct keyed {
    struct bp_model_tensor tensor;
    size_t stack; /* length of the stack's name */
    int rank;
};

static int compare_keyed(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;
    const char *name_x = x->tensor.t->name, *name_y = y->tensor.t->name;
    int layer_x = x->tensor.role.layer, layer_y = y->tensor.role.layer;
    if ((layer_x < 0) != (layer_y < 0))
        return layer_x < 0 ? 1 : -1;
    if (layer_x < 0)
        return compare_natural(name_x, name_y);
    int order = memcmp(name_x, name_y, x->stack < y->stack ? x->stack : y->stack);
    if (order)
        return order;
    if (x->stack != y->stack)
        return x->stack < y->stack ? -1 : 1;
    if (layer_x != layer_y)
        return layer_x < layer_y ? -1 : 1;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return compare_natural(name_x, name_y);
}

enum bp_status bp_model_sort(struct bp_model *model, struct bp_err *err)
{
    size_t n = model->n_tensors;
    struct keyed *keyed = bp_alloc(n, sizeof *keyed);
    if (!keyed)
        return bp_fail_nomem(err);
    for (size_t i = 0; i < n; i++) {
        keyed[i].tensor = model->tensors[i];
        keyed[i].stack = bp_tensor_stack_length(model->tensors[i].t->name);
        keyed[i].rank = rank_of(model->tensors[i].role.kind);
    }
    if (n)
        qsort(keyed, n, sizeof *keyed, compare_keyed);
    for (size_t i = 0; i < n; i++)
        model->tensors[i] = keyed[i].tensor;
    free(keyed);
    return BP_OK;
}

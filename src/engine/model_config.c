#include "engine/model_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/json_read.h"
#include "engine/mem.h"

/* The objects that may hold a field: the document, and what multimodal models nest. */
static const struct cJSON *field(const struct cJSON *root, const char *key)
{
    static const char *const nested[] = {"text_config", "language_config", "llm_config"};
    const struct cJSON *node = bp_json_member(root, key);
    for (size_t i = 0; !node && i < sizeof nested / sizeof *nested; i++)
        node = bp_json_member(bp_json_member(root, nested[i]), key);
    return bp_json_is_null(node) ? NULL : node;
}

static enum bp_status wrong_type(struct bp_model *model, const char *key, const char *wanted,
                                 struct bp_err *err)
{
    return bp_model_warn(model, err, "config.json: \"%s\" is not %s; ignored", key, wanted);
}

static enum bp_status read_fields(struct bp_model *model, const struct cJSON *root,
                                  struct bp_model_config *config, struct bp_err *err)
{
    const struct cJSON *node;
    if (!bp_json_is_object(root))
        return bp_model_warn(model, err, "config.json: not an object; ignored");

    node = field(root, "architectures");
    if (node && bp_json_string(bp_json_first(node))) {
        free(config->architecture);
        config->architecture = bp_strdup(bp_json_string(bp_json_first(node)));
        if (!config->architecture)
            return bp_fail_nomem(err);
    } else if (node) {
        BP_TRY(wrong_type(model, "architectures", "a list of names", err));
    }
    node = field(root, "tie_word_embeddings");
    if (node && !bp_json_bool(node, &config->tied))
        BP_TRY(wrong_type(model, "tie_word_embeddings", "true or false", err));
    node = field(root, "num_hidden_layers");
    if (node && !bp_json_u64(node, &config->n_layers))
        BP_TRY(wrong_type(model, "num_hidden_layers", "a whole number", err));
    if (field(root, "quantization_config"))
        return bp_model_warn(model, err,
                             "config.json: has a quantization_config, so the model is already "
                             "quantized; plan from the original weights");
    return BP_OK;
}

enum bp_status bp_model_read_config(struct bp_model *model, struct bp_model_config *config,
                                    struct bp_err *err)
{
    struct cJSON *root = NULL;
    char *path = bp_model_join(model->path, "config.json");
    enum bp_status status = BP_OK;
    *config = (struct bp_model_config){.architecture = bp_strdup("")};
    if (!path || !config->architecture)
        status = bp_fail_nomem(err);
    else if (access(path, F_OK) == 0 || errno != ENOENT)
        status = bp_json_read_file(path, &root, err);
    if (status == BP_OK && root)
        status = read_fields(model, root, config, err);
    bp_json_free(root);
    free(path);
    return status;
}

/* A shared object in the place of the backend's that is of another version; built a second time
 * needing a library that is not there. */
#include "kernels/bp_cuda.h"

const struct bp_cuda_api *bitplan_cuda(void);

const struct bp_cuda_api *bitplan_cuda(void)
{
    static const struct bp_cuda_api api = {.abi = BP_CUDA_ABI + 1, .name = "another"};
    return &api;
}

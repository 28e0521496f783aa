/* A libcuda.so.1 for tests: what cuInit says and how many devices there are stand in the
 * environment. */
#include <stdlib.h>

int cuInit(unsigned flags);
int cuDeviceGetCount(int *n);

static int number(const char *name, int otherwise)
{
    const char *text = getenv(name);
    return text ? atoi(text) : otherwise;
}

int cuInit(unsigned flags)
{
    (void)flags;
    return number("FAKE_CUDA_INIT", 0);
}

int cuDeviceGetCount(int *n)
{
    *n = number("FAKE_CUDA_DEVICES", 1);
    return 0;
}

/* The header by itself, twice, as C. */
#include "poolscope.h"
#include "poolscope.h"

_Static_assert(POOLSCOPE_OK == 0, "a status can be used as a truth");
_Static_assert(sizeof(poolscope_status) == sizeof(int32_t) &&
                   sizeof(poolscope_action) == sizeof(int32_t),
               "as wide as the library's");
_Static_assert(POOLSCOPE_NO_OFFSET == UINT64_MAX, "");

/* A name of each kind: a status, a decision, handles, a function. */
poolscope_status made(poolscope_cluster **cluster, poolscope_error **error);
poolscope_status made(poolscope_cluster **cluster, poolscope_error **error)
{
    poolscope_status status = poolscope_cluster_new("{}", sizeof "{}" - 1, cluster, error);
    return status == POOLSCOPE_ERR_CONFIG ? POOLSCOPE_ERR_INVALID_ARGUMENT : status;
}

bool forwards(poolscope_action action);
bool forwards(poolscope_action action)
{
    switch (action) {
    case POOLSCOPE_ACTION_FORWARD:
    case POOLSCOPE_ACTION_REWRITE:
        return true;
    default:
        return false;
    }
}

#if POOLSCOPE_VERSION_NUMBER < 0x000100
#error "the version is a number that the preprocessor can compare"
#endif

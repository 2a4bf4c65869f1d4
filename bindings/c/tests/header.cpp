// The header by itself, twice, as C++.
#include "poolscope.h"
#include "poolscope.h"

static_assert(POOLSCOPE_OK == 0, "a status can be used as a truth");
static_assert(sizeof(poolscope_status) == sizeof(int32_t) &&
                  sizeof(poolscope_action) == sizeof(int32_t),
              "as wide as the library's");

// A handle frees itself as any other.
struct cluster {
    cluster()
    {
        poolscope_cluster_new("{}", 2, &handle, nullptr);
    }
    ~cluster()
    {
        poolscope_cluster_free(handle);
    }
    cluster(const cluster &) = delete;
    cluster &operator=(const cluster &) = delete;
    poolscope_cluster *handle = nullptr;
};

// The functions have C's names.
extern "C" {
poolscope_status (*const opens)(const poolscope_node *, const poolscope_request *,
                                const poolscope_response *, poolscope_action *, poolscope_stream **,
                                poolscope_reply **, poolscope_error **) = poolscope_node_open;
}

bool forwards(poolscope_action action);
bool forwards(poolscope_action action)
{
    return action == POOLSCOPE_ACTION_FORWARD || action == POOLSCOPE_ACTION_REWRITE;
}

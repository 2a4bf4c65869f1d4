// The header by itself, twice, as C++.
#include "poolscope.h"
#include "poolscope.h"

static_assert(POOLSCOPE_OK == 0, "a status can be used as a truth");
static_assert(sizeof(poolscope_status) == sizeof(int32_t) && sizeof(poolscope_opening) == sizeof(int32_t), "as wide as the library's");

// A handle frees itself as any other.
struct cluster {
    cluster() { poolscope_cluster_new("{}", 2, &handle, nullptr); }
    ~cluster() { poolscope_cluster_free(handle); }
    cluster(const cluster &) = delete;
    cluster &operator=(const cluster &) = delete;
    poolscope_cluster *handle = nullptr;
};

// The functions have C's names.
extern "C" {
poolscope_status (*const opens)(const poolscope_node *, poolscope_request *, poolscope_head *, poolscope_opened **,
                                poolscope_error **) = poolscope_node_open;
}

bool forwards(poolscope_opened *opened);
bool forwards(poolscope_opened *opened)
{
    poolscope_opening what = poolscope_opened_what(opened);
    return what == POOLSCOPE_PASS_THROUGH || what == POOLSCOPE_REWRITE;
}

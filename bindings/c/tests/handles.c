/* Who owns what, and what outlives what. */
#include "abi.h"

enum { CLUSTER, NODE, REQUEST, HEAD, FEED, OPENED, STREAM, KINDS };

/* One handle of each kind, all made from one another. */
struct handles {
    poolscope_cluster *cluster;
    poolscope_node *node;
    poolscope_request *request;
    poolscope_head *head;
    poolscope_feed *feed;
    poolscope_opened *opened;
    poolscope_stream *stream;
};

static struct handles make(void)
{
    struct handles all = {0};
    all.cluster = small_cluster("{}");
    all.node = node_of(all.cluster, "hz-1");
    all.request = get(SLICES);
    all.head = head_of(200, JSON);
    all.feed = feed_of(all.cluster, SERVICES FROM_90);
    CHECK(poolscope_node_open(all.node, all.request, all.head, &all.opened, NULL) == POOLSCOPE_OK);
    all.stream = poolscope_opened_take_stream(all.opened);
    CHECK(all.stream != NULL);
    return all;
}

/* Uses what is still there. */
static void use(const struct handles *all)
{
    struct got got = {0};
    poolscope_text *text;
    if (all->cluster != NULL) {
        CHECK(poolscope_cluster_counters(all->cluster, &text, NULL) == POOLSCOPE_OK);
        poolscope_text_free(text);
    }
    if (all->node != NULL)
        CHECK(poolscope_node_is_ready(all->node));
    if (all->request != NULL)
        CHECK(poolscope_request_header_count(all->request) == 0);
    if (all->head != NULL)
        CHECK(poolscope_head_add_header(all->head, "X", 1, "y", 1, NULL) == POOLSCOPE_OK);
    if (all->feed != NULL)
        feed(all->feed, SERVICE_EVENT("web", "91", ASKS_FOR_POOL));
    if (all->opened != NULL)
        CHECK(poolscope_opened_what(all->opened) == POOLSCOPE_REWRITE);
    if (all->stream != NULL)
        push(all->stream, "", &got);
    got_clear(&got);
}

static void free_one(struct handles *all, int kind)
{
    switch (kind) {
    case CLUSTER:
        poolscope_cluster_free(all->cluster);
        all->cluster = NULL;
        break;
    case NODE:
        poolscope_node_free(all->node);
        all->node = NULL;
        break;
    case REQUEST:
        poolscope_request_free(all->request);
        all->request = NULL;
        break;
    case HEAD:
        poolscope_head_free(all->head);
        all->head = NULL;
        break;
    case FEED:
        poolscope_feed_free(all->feed);
        all->feed = NULL;
        break;
    case OPENED:
        poolscope_opened_free(all->opened);
        all->opened = NULL;
        break;
    default:
        poolscope_stream_free(all->stream);
        all->stream = NULL;
    }
}

/* Every order in which seven handles can be freed, by Heap's algorithm. */
static int order[KINDS];

static void free_in_this_order(void)
{
    struct handles all = make();
    for (int at = 0; at < KINDS; at++) {
        free_one(&all, order[at]);
        use(&all);
    }
}

static void each_order(int count)
{
    if (count == 1) {
        free_in_this_order();
        return;
    }
    for (int at = 0; at < count; at++) {
        each_order(count - 1);
        int other = count % 2 == 0 ? at : 0, last = order[count - 1];
        order[count - 1] = order[other];
        order[other] = last;
    }
}

static void handles_may_be_freed_in_any_order(void)
{
    for (int kind = 0; kind < KINDS; kind++)
        order[kind] = kind;
    each_order(KINDS);
}

static void a_stream_filters_on_when_all_else_is_freed(void)
{
    struct handles all = make();
    for (int kind = CLUSTER; kind < STREAM; kind++)
        free_one(&all, kind);
    struct got got = {0};
    push(all.stream, SLICE_LIST_OF(SLICE("cart-1", "70", "cart")), &got);
    finish(all.stream, &got);
    CHECK(has(got.data, "10.0.0.2") && !has(got.data, "10.0.0.3"));
    got_clear(&got);
    free_one(&all, STREAM);
}

static void a_stream_is_taken_once(void)
{
    struct handles all = make();
    CHECK(poolscope_opened_take_stream(all.opened) == NULL);
    CHECK(poolscope_opened_what(all.opened) == POOLSCOPE_REWRITE);
    for (int kind = 0; kind < KINDS; kind++)
        free_one(&all, kind);
}

static void a_stream_that_was_not_taken_goes_with_the_decision(void)
{
    poolscope_cluster *cluster = small_cluster("{}");
    poolscope_node *node = node_of(cluster, "hz-1");
    poolscope_opened_free(open_json(node, SLICES)); /* the leak checker looks for the stream */
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
}

static void a_stream_may_be_freed_in_the_middle(void)
{
    poolscope_cluster *cluster = small_cluster("{}");
    poolscope_node *node = node_of(cluster, "hz-1");
    poolscope_stream *stream = stream_of(node, SLICES);
    struct got got = {0};
    push(stream, "{\"items\":[{\"metadata\":{\"name\":\"cut", &got);
    got_clear(&got);
    poolscope_stream_free(stream);
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
}

static void what_is_given_out_stays_until_the_next_call(void)
{
    poolscope_cluster *cluster = small_cluster("{}");
    poolscope_node *node = node_of(cluster, "hz-1");
    poolscope_stream *stream = stream_of(node, SLICES);
    const uint8_t *out;
    size_t out_len;
    CHECK(poolscope_stream_push(stream, (const uint8_t *)SLICE_LIST, strlen(SLICE_LIST), &out, &out_len, NULL) == POOLSCOPE_OK);
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
    struct got got = {0};
    got_add(&got, out, out_len);
    CHECK(has(got.data, "\"web-1\""));
    got_clear(&got);
    poolscope_stream_free(stream);
}

static void an_error_outlives_what_it_is_about(void)
{
    poolscope_cluster *cluster = empty_cluster("{}");
    poolscope_feed *broken = feed_of(cluster, SERVICES);
    poolscope_error *error;
    CHECK_FAILS(POOLSCOPE_MALFORMED, poolscope_feed_push(broken, (const uint8_t *)"!", 1, &error));
    poolscope_feed_free(broken);
    poolscope_cluster_free(cluster);
    check_error(error, "malformed");
}

void test_handles(void)
{
    handles_may_be_freed_in_any_order();
    a_stream_filters_on_when_all_else_is_freed();
    a_stream_is_taken_once();
    a_stream_that_was_not_taken_goes_with_the_decision();
    a_stream_may_be_freed_in_the_middle();
    what_is_given_out_stays_until_the_next_call();
    an_error_outlives_what_it_is_about();
}

/* NULL for each argument of each function. */
#include "abi.h"

/* The call is refused because of the argument of that name; its error goes to the caller's `error`. */
#define REFUSED(name, call)                                                                                                    \
    do {                                                                                                                       \
        CHECK_FAILS(POOLSCOPE_INVALID_ARGUMENT, call);                                                                         \
        check_error(error, "`" name "` is NULL");                                                                              \
    } while (0)

static poolscope_error *error;

/* One of everything, in a state where a call with good arguments would do. */
static struct {
    poolscope_cluster *cluster;
    poolscope_node *node;
    poolscope_request *request;
    poolscope_head *head;
    poolscope_feed *feed;
    poolscope_opened *opened;
    poolscope_stream *stream;
    poolscope_inventory *inventory;
} one;

static void make_one_of_everything(void)
{
    one.cluster = small_cluster("{}");
    one.node = node_of(one.cluster, "hz-1");
    one.request = get(SERVICES);
    one.head = head_of(200, JSON);
    one.feed = feed_of(one.cluster, SERVICES);
    one.opened = open_json(one.node, SLICES FROM_90);
    one.stream = stream_of(one.node, SLICES);
    CHECK(poolscope_inventory_new(&one.inventory, NULL) == POOLSCOPE_OK);
}

static void free_one_of_everything(void)
{
    poolscope_inventory_free(one.inventory);
    poolscope_stream_free(one.stream);
    poolscope_opened_free(one.opened);
    poolscope_feed_free(one.feed);
    poolscope_head_free(one.head);
    poolscope_request_free(one.request);
    poolscope_node_free(one.node);
    poolscope_cluster_free(one.cluster);
}

static void freeing_null_does_nothing(void)
{
    poolscope_error_free(NULL);
    poolscope_text_free(NULL);
    poolscope_request_free(NULL);
    poolscope_head_free(NULL);
    poolscope_cluster_free(NULL);
    poolscope_feed_free(NULL);
    poolscope_node_free(NULL);
    poolscope_opened_free(NULL);
    poolscope_stream_free(NULL);
    poolscope_inventory_free(NULL);
}

static void asking_null_gives_nothing(void)
{
    CHECK(poolscope_error_status(NULL) == POOLSCOPE_OK);
    CHECK(strcmp(poolscope_error_message(NULL), "") == 0);
    CHECK(poolscope_error_offset(NULL) == POOLSCOPE_NO_OFFSET);
    CHECK(poolscope_error_object(NULL) == NULL);
    CHECK(strcmp(poolscope_text_data(NULL), "") == 0);
    CHECK(poolscope_text_len(NULL) == 0);
    CHECK(poolscope_request_header_count(NULL) == 0);
    CHECK(poolscope_cluster_generation(NULL) == 0);
    CHECK(!poolscope_node_is_ready(NULL));
    CHECK(poolscope_opened_what(NULL) == POOLSCOPE_NOT_READY);
    CHECK(poolscope_opened_take_stream(NULL) == NULL);
    CHECK(!poolscope_stream_is_behind(NULL));
    CHECK(poolscope_stream_is_over(NULL));
    CHECK(poolscope_stream_taken(NULL) == 0);
    CHECK(poolscope_stream_given(NULL) == 0);
}

static void requests_and_heads_refuse_null(void)
{
    poolscope_request *request = one.request;
    REFUSED("method", poolscope_request_new(NULL, 3, "/", 1, &request, &error));
    CHECK(request == NULL);
    REFUSED("target", poolscope_request_new("GET", 3, NULL, 1, &request, &error));
    REFUSED("request", poolscope_request_new("GET", 3, "/", 1, NULL, &error));
    REFUSED("request", poolscope_request_add_header(NULL, "A", 1, "b", 1, &error));
    REFUSED("name", poolscope_request_add_header(one.request, NULL, 1, "b", 1, &error));
    REFUSED("value", poolscope_request_add_header(one.request, "A", 1, NULL, 1, &error));
    CHECK(poolscope_request_header_count(one.request) == 0);

    CHECK(poolscope_request_add_header(one.request, "Accept", 6, JSON, strlen(JSON), &error) == POOLSCOPE_OK);
    CHECK(error == NULL);
    const char *name, *value;
    size_t name_len, value_len;
    REFUSED("request", poolscope_request_header(NULL, 0, &name, &name_len, &value, &value_len, &error));
    REFUSED("name", poolscope_request_header(one.request, 0, NULL, &name_len, &value, &value_len, &error));
    REFUSED("name_len", poolscope_request_header(one.request, 0, &name, NULL, &value, &value_len, &error));
    REFUSED("value", poolscope_request_header(one.request, 0, &name, &name_len, NULL, &value_len, &error));
    REFUSED("value_len", poolscope_request_header(one.request, 0, &name, &name_len, &value, NULL, &error));

    REFUSED("head", poolscope_head_new(200, NULL, &error));
    REFUSED("head", poolscope_head_add_header(NULL, "A", 1, "b", 1, &error));
    REFUSED("name", poolscope_head_add_header(one.head, NULL, 1, "b", 1, &error));
    REFUSED("value", poolscope_head_add_header(one.head, "A", 1, NULL, 1, &error));
}

static void clusters_and_feeds_refuse_null(void)
{
    poolscope_cluster *cluster = one.cluster;
    poolscope_feed *feed = one.feed;
    poolscope_node *node = one.node;
    poolscope_text *text;
    REFUSED("config", poolscope_cluster_new(NULL, 2, &cluster, &error));
    CHECK(cluster == NULL);
    REFUSED("cluster", poolscope_cluster_new("{}", 2, NULL, &error));
    REFUSED("cluster", poolscope_cluster_feed(NULL, one.request, one.head, &feed, &error));
    CHECK(feed == NULL);
    REFUSED("request", poolscope_cluster_feed(one.cluster, NULL, one.head, &feed, &error));
    REFUSED("head", poolscope_cluster_feed(one.cluster, one.request, NULL, &feed, &error));
    REFUSED("feed", poolscope_cluster_feed(one.cluster, one.request, one.head, NULL, &error));
    REFUSED("cluster", poolscope_cluster_node(NULL, "n", 1, &node, &error));
    CHECK(node == NULL);
    REFUSED("name", poolscope_cluster_node(one.cluster, NULL, 1, &node, &error));
    REFUSED("node", poolscope_cluster_node(one.cluster, "n", 1, NULL, &error));
    REFUSED("cluster", poolscope_cluster_changes_since(NULL, 0, &text, &error));
    CHECK(text == NULL);
    REFUSED("changes", poolscope_cluster_changes_since(one.cluster, 0, NULL, &error));
    REFUSED("cluster", poolscope_cluster_counters(NULL, &text, &error));
    REFUSED("counters", poolscope_cluster_counters(one.cluster, NULL, &error));
    REFUSED("cluster", poolscope_cluster_forget_source(NULL, "Node", 4, &error));
    REFUSED("kind", poolscope_cluster_forget_source(one.cluster, NULL, 4, &error));

    REFUSED("feed", poolscope_feed_push(NULL, (const uint8_t *)"{", 1, &error));
    REFUSED("data", poolscope_feed_push(one.feed, NULL, 1, &error));
    REFUSED("feed", poolscope_feed_finish(NULL, &error));
    feed = one.feed;
    CHECK(poolscope_feed_push(feed, (const uint8_t *)"{}", 2, &error) == POOLSCOPE_OK); /* a refused call has closed nothing */
}

static void nodes_refuse_null(void)
{
    poolscope_text *text;
    poolscope_node *client = one.node;
    poolscope_opened *opened = one.opened;
    poolscope_status (*const opens[])(const poolscope_node *, poolscope_request *, poolscope_head *, poolscope_opened **,
                                      poolscope_error **) = {poolscope_node_open, poolscope_node_open_alone};
    REFUSED("node", poolscope_node_client(NULL, "a", 1, &client, &error));
    CHECK(client == NULL);
    REFUSED("user_agent", poolscope_node_client(one.node, NULL, 1, &client, &error));
    REFUSED("client", poolscope_node_client(one.node, "a", 1, NULL, &error));
    REFUSED("node", poolscope_node_describe(NULL, &text, &error));
    REFUSED("description", poolscope_node_describe(one.node, NULL, &error));
    REFUSED("node", poolscope_node_prepare(NULL, one.request, &error));
    REFUSED("request", poolscope_node_prepare(one.node, NULL, &error));
    for (size_t at = 0; at < 2; at++) {
        REFUSED("node", opens[at](NULL, one.request, one.head, &opened, &error));
        CHECK(opened == NULL);
        REFUSED("request", opens[at](one.node, NULL, one.head, &opened, &error));
        REFUSED("head", opens[at](one.node, one.request, NULL, &opened, &error));
        REFUSED("opened", opens[at](one.node, one.request, one.head, NULL, &error));
    }
    REFUSED("node", poolscope_node_judge(NULL, "s", 1, "c", 1, "n", 1, &text, &error));
    REFUSED("ns", poolscope_node_judge(one.node, NULL, 1, "c", 1, "n", 1, &text, &error));
    REFUSED("service", poolscope_node_judge(one.node, "s", 1, NULL, 1, "n", 1, &text, &error));
    REFUSED("on", poolscope_node_judge(one.node, "s", 1, "c", 1, NULL, 1, &text, &error));
    REFUSED("verdict", poolscope_node_judge(one.node, "s", 1, "c", 1, "n", 1, NULL, &error));
}

static void decisions_refuse_null(void)
{
    uint16_t status;
    uint32_t retry;
    const char *type;
    const uint8_t *body;
    size_t len;
    poolscope_text *text;
    REFUSED("opened", poolscope_opened_answer(NULL, &status, &retry, &type, &body, &len, &error));
    REFUSED("http_status", poolscope_opened_answer(one.opened, NULL, &retry, &type, &body, &len, &error));
    REFUSED("retry_after", poolscope_opened_answer(one.opened, &status, NULL, &type, &body, &len, &error));
    REFUSED("content_type", poolscope_opened_answer(one.opened, &status, &retry, NULL, &body, &len, &error));
    REFUSED("body", poolscope_opened_answer(one.opened, &status, &retry, &type, NULL, &len, &error));
    REFUSED("body_len", poolscope_opened_answer(one.opened, &status, &retry, &type, &body, NULL, &error));
    REFUSED("opened", poolscope_opened_missing(NULL, &text, &error));
    REFUSED("missing", poolscope_opened_missing(one.opened, NULL, &error));
}

static void streams_refuse_null(void)
{
    const uint8_t *data = (const uint8_t *)"{", *out = data;
    size_t len = 1;
    poolscope_text *text;
    REFUSED("stream", poolscope_stream_push(NULL, data, 1, &out, &len, &error));
    CHECK(out == NULL && len == 0);
    REFUSED("data", poolscope_stream_push(one.stream, NULL, 1, &out, &len, &error));
    REFUSED("out", poolscope_stream_push(one.stream, data, 1, NULL, &len, &error));
    REFUSED("out_len", poolscope_stream_push(one.stream, data, 1, &out, NULL, &error));
    REFUSED("stream", poolscope_stream_refresh(NULL, &out, &len, &error));
    REFUSED("out", poolscope_stream_refresh(one.stream, NULL, &len, &error));
    REFUSED("out_len", poolscope_stream_refresh(one.stream, &out, NULL, &error));
    REFUSED("stream", poolscope_stream_finish(NULL, &out, &len, &error));
    REFUSED("out", poolscope_stream_finish(one.stream, NULL, &len, &error));
    REFUSED("out_len", poolscope_stream_finish(one.stream, &out, NULL, &error));
    REFUSED("stream", poolscope_stream_wanted(NULL, &text, &error));
    REFUSED("wanted", poolscope_stream_wanted(one.stream, NULL, &error));
    REFUSED("stream", poolscope_stream_supply(NULL, one.head, data, 1, &out, &len, &error));
    REFUSED("head", poolscope_stream_supply(one.stream, NULL, data, 1, &out, &len, &error));
    REFUSED("body", poolscope_stream_supply(one.stream, one.head, NULL, 1, &out, &len, &error));
    REFUSED("out", poolscope_stream_supply(one.stream, one.head, data, 1, NULL, &len, &error));
    REFUSED("out_len", poolscope_stream_supply(one.stream, one.head, data, 1, &out, NULL, &error));

    /* Nothing was done by any of them: the stream is where it was, and takes a whole body. */
    struct got got = {0};
    CHECK(poolscope_stream_taken(one.stream) == 0);
    CHECK(poolscope_stream_push(one.stream, NULL, 0, &out, &len, &error) == POOLSCOPE_OK); /* no bytes need no pointer */
    push(one.stream, SLICE_LIST, &got);
    finish(one.stream, &got);
    got_clear(&got);
}

static void inventories_refuse_null(void)
{
    size_t loaded = 1;
    poolscope_text *text;
    const uint8_t *body = (const uint8_t *)SLICE_LIST;
    REFUSED("inventory", poolscope_inventory_new(NULL, &error));
    REFUSED("inventory", poolscope_inventory_load(NULL, body, strlen(SLICE_LIST), &loaded, &error));
    CHECK(loaded == 0);
    REFUSED("body", poolscope_inventory_load(one.inventory, NULL, 1, &loaded, &error));
    CHECK(poolscope_inventory_load(one.inventory, body, strlen(SLICE_LIST), NULL, &error) == POOLSCOPE_OK);
    REFUSED("inventory", poolscope_inventory_view(NULL, one.node, &text, &error));
    REFUSED("node", poolscope_inventory_view(one.inventory, NULL, &text, &error));
    REFUSED("services", poolscope_inventory_view(one.inventory, one.node, NULL, &error));
    REFUSED("inventory", poolscope_inventory_find(NULL, one.node, "s", 1, "c", 1, &text, &error));
    REFUSED("node", poolscope_inventory_find(one.inventory, NULL, "s", 1, "c", 1, &text, &error));
    REFUSED("ns", poolscope_inventory_find(one.inventory, one.node, NULL, 1, "c", 1, &text, &error));
    REFUSED("service", poolscope_inventory_find(one.inventory, one.node, "s", 1, NULL, 1, &text, &error));
    REFUSED("found", poolscope_inventory_find(one.inventory, one.node, "s", 1, "c", 1, NULL, &error));
}

static void an_error_need_not_be_wanted(void)
{
    poolscope_cluster *cluster;
    CHECK(poolscope_cluster_new("nonsense", 8, &cluster, NULL) == POOLSCOPE_CONFIG);
    CHECK(poolscope_feed_finish(NULL, NULL) == POOLSCOPE_INVALID_ARGUMENT);
}

void test_nulls(void)
{
    freeing_null_does_nothing();
    asking_null_gives_nothing();
    make_one_of_everything();
    requests_and_heads_refuse_null();
    clusters_and_feeds_refuse_null();
    nodes_refuse_null();
    decisions_refuse_null();
    streams_refuse_null();
    inventories_refuse_null();
    free_one_of_everything();
    an_error_need_not_be_wanted();
}

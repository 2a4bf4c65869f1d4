/* NULL for each argument of each function. */
#include "abi.h"

/* The call is refused because of the argument of that name; its error goes to the caller's `error`.
 */
#define REFUSED(name, call)                                                                        \
    do {                                                                                           \
        CHECK_FAILS(POOLSCOPE_ERR_INVALID_ARGUMENT, call);                                         \
        check_error(error, "`" name "` is NULL");                                                  \
    } while (0)

static poolscope_error *error;

/* One of everything, in a state where a call with good arguments would do. */
static struct {
    poolscope_cluster *cluster;
    poolscope_node *node;
    poolscope_fact_reader *reader;
    poolscope_stream *stream;
    poolscope_inventory *inventory;
} one;

static void make_one_of_everything(void)
{
    one.cluster = small_cluster("{}");
    one.node = node_of(one.cluster, "hz-1");
    one.reader = reader_of(one.cluster, SERVICES);
    one.stream = stream_of(one.node, SLICES);
    CHECK(poolscope_inventory_new(&one.inventory, NULL) == POOLSCOPE_OK);
}

static void free_one_of_everything(void)
{
    poolscope_inventory_free(one.inventory);
    poolscope_stream_free(one.stream);
    poolscope_fact_reader_free(one.reader);
    poolscope_node_free(one.node);
    poolscope_cluster_free(one.cluster);
}

static void freeing_null_does_nothing(void)
{
    poolscope_error_free(NULL);
    poolscope_text_free(NULL);
    poolscope_headers_free(NULL);
    poolscope_listener_free(NULL);
    poolscope_cluster_free(NULL);
    poolscope_fact_reader_free(NULL);
    poolscope_node_free(NULL);
    poolscope_reply_free(NULL);
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
    CHECK(poolscope_cluster_generation(NULL) == 0);
    CHECK(!poolscope_node_is_ready(NULL));
    poolscope_stream_state state = poolscope_stream_get_state(NULL);
    CHECK(state.bytes_in == 0 && state.bytes_out == 0 && !state.needs_refresh && state.is_ended);
}

static void requests_and_responses_refuse_null(void)
{
    poolscope_headers *prepared;
    const poolscope_request no_target = {"GET", 3, NULL, 1, NULL, 0},
                            no_method = {NULL, 1, "/", 1, NULL, 0};
    const poolscope_header no_name = {NULL, 1, "b", 1}, no_value = {"A", 1, NULL, 1};
    REFUSED("method", poolscope_node_prepare(one.node, &no_method, &prepared, &error));
    CHECK(prepared == NULL);
    REFUSED("target", poolscope_node_prepare(one.node, &no_target, &prepared, &error));
    REFUSED("headers", poolscope_node_prepare(one.node, GET_WITH("/", NULL, 1), &prepared, &error));
    REFUSED("header name",
            poolscope_node_prepare(one.node, GET_WITH("/", &no_name, 1), &prepared, &error));
    REFUSED("header value",
            poolscope_node_prepare(one.node, GET_WITH("/", &no_value, 1), &prepared, &error));
    poolscope_fact_reader *reader;
    REFUSED("headers", poolscope_cluster_read_facts(one.cluster, GET(SERVICES),
                                                    RESPONSE_WITH(200, NULL, 1), &reader, &error));
    CHECK(reader == NULL);
}

static void never_called(void *context)
{
    CHECK(context == NULL && false);
}

static void clusters_and_fact_readers_refuse_null(void)
{
    poolscope_cluster *cluster = one.cluster;
    poolscope_fact_reader *reader = one.reader;
    poolscope_node *node = one.node;
    poolscope_text *text;
    REFUSED("config", poolscope_cluster_new(NULL, 2, &cluster, &error));
    CHECK(cluster == NULL);
    REFUSED("cluster", poolscope_cluster_new("{}", 2, NULL, &error));
    REFUSED("cluster", poolscope_cluster_read_facts(NULL, GET(SERVICES), RESPONSE(200, JSON),
                                                    &reader, &error));
    CHECK(reader == NULL);
    REFUSED("request",
            poolscope_cluster_read_facts(one.cluster, NULL, RESPONSE(200, JSON), &reader, &error));
    REFUSED("response",
            poolscope_cluster_read_facts(one.cluster, GET(SERVICES), NULL, &reader, &error));
    REFUSED("reader", poolscope_cluster_read_facts(one.cluster, GET(SERVICES), RESPONSE(200, JSON),
                                                   NULL, &error));
    poolscope_listener *listener;
    REFUSED("cluster", poolscope_cluster_on_change(NULL, never_called, NULL, &listener, &error));
    CHECK(listener == NULL);
    REFUSED("changed", poolscope_cluster_on_change(one.cluster, NULL, NULL, &listener, &error));
    REFUSED("listener", poolscope_cluster_on_change(one.cluster, never_called, NULL, NULL, &error));
    REFUSED("cluster", poolscope_cluster_node(NULL, "n", 1, &node, &error));
    CHECK(node == NULL);
    REFUSED("name", poolscope_cluster_node(one.cluster, NULL, 1, &node, &error));
    REFUSED("node", poolscope_cluster_node(one.cluster, "n", 1, NULL, &error));
    REFUSED("cluster", poolscope_cluster_changes_since(NULL, 0, &text, &error));
    CHECK(text == NULL);
    REFUSED("changes", poolscope_cluster_changes_since(one.cluster, 0, NULL, &error));
    REFUSED("cluster", poolscope_cluster_counters(NULL, &text, &error));
    REFUSED("counters", poolscope_cluster_counters(one.cluster, NULL, &error));
    REFUSED("cluster", poolscope_cluster_invalidate_source(NULL, "Node", 4, &error));
    REFUSED("kind", poolscope_cluster_invalidate_source(one.cluster, NULL, 4, &error));

    REFUSED("reader", poolscope_fact_reader_push(NULL, (const uint8_t *)"{", 1, &error));
    REFUSED("data", poolscope_fact_reader_push(one.reader, NULL, 1, &error));
    REFUSED("reader", poolscope_fact_reader_finish(NULL, &error));
    /* A refused call has closed nothing. */
    CHECK(poolscope_fact_reader_push(one.reader, (const uint8_t *)"{}", 2, &error) == POOLSCOPE_OK);
}

static void nodes_refuse_null(void)
{
    poolscope_text *text;
    poolscope_node *client = one.node;
    poolscope_headers *prepared;
    poolscope_action action;
    poolscope_stream *stream = one.stream;
    poolscope_reply *reply;
    poolscope_status (*const opens[])(
        const poolscope_node *, const poolscope_request *, const poolscope_response *,
        poolscope_action *, poolscope_stream **, poolscope_reply **,
        poolscope_error **) = {poolscope_node_open, poolscope_node_open_stateless};
    REFUSED("node", poolscope_node_client(NULL, "a", 1, &client, &error));
    CHECK(client == NULL);
    REFUSED("user_agent", poolscope_node_client(one.node, NULL, 1, &client, &error));
    REFUSED("client", poolscope_node_client(one.node, "a", 1, NULL, &error));
    REFUSED("node", poolscope_node_describe(NULL, &text, &error));
    REFUSED("description", poolscope_node_describe(one.node, NULL, &error));
    REFUSED("node", poolscope_node_prepare(NULL, GET(SLICES), &prepared, &error));
    CHECK(prepared == NULL);
    REFUSED("request", poolscope_node_prepare(one.node, NULL, &prepared, &error));
    REFUSED("prepared", poolscope_node_prepare(one.node, GET(SLICES), NULL, &error));
    for (size_t at = 0; at < 2; at++) {
        const poolscope_request *request = GET(SLICES);
        const poolscope_response *response = RESPONSE(200, JSON);
        REFUSED("node", opens[at](NULL, request, response, &action, &stream, &reply, &error));
        CHECK(action == POOLSCOPE_ACTION_REPLY && stream == NULL && reply == NULL);
        REFUSED("request", opens[at](one.node, NULL, response, &action, &stream, &reply, &error));
        REFUSED("response", opens[at](one.node, request, NULL, &action, &stream, &reply, &error));
        REFUSED("action", opens[at](one.node, request, response, NULL, &stream, &reply, &error));
        REFUSED("stream", opens[at](one.node, request, response, &action, NULL, &reply, &error));
        REFUSED("reply", opens[at](one.node, request, response, &action, &stream, NULL, &error));
    }
    REFUSED("node", poolscope_node_judge(NULL, "s", 1, "c", 1, "n", 1, &text, &error));
    REFUSED("ns", poolscope_node_judge(one.node, NULL, 1, "c", 1, "n", 1, &text, &error));
    REFUSED("service", poolscope_node_judge(one.node, "s", 1, NULL, 1, "n", 1, &text, &error));
    REFUSED("on", poolscope_node_judge(one.node, "s", 1, "c", 1, NULL, 1, &text, &error));
    REFUSED("verdict", poolscope_node_judge(one.node, "s", 1, "c", 1, "n", 1, NULL, &error));
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
    REFUSED("stream", poolscope_stream_needed_lists(NULL, &text, &error));
    REFUSED("lists", poolscope_stream_needed_lists(one.stream, NULL, &error));
    REFUSED("stream",
            poolscope_stream_provide_list(NULL, RESPONSE(200, JSON), data, 1, &out, &len, &error));
    REFUSED("response",
            poolscope_stream_provide_list(one.stream, NULL, data, 1, &out, &len, &error));
    REFUSED("body", poolscope_stream_provide_list(one.stream, RESPONSE(200, JSON), NULL, 1, &out,
                                                  &len, &error));
    REFUSED("out", poolscope_stream_provide_list(one.stream, RESPONSE(200, JSON), data, 1, NULL,
                                                 &len, &error));
    REFUSED("out_len", poolscope_stream_provide_list(one.stream, RESPONSE(200, JSON), data, 1, &out,
                                                     NULL, &error));

    /* Nothing was done by any of them: the stream is where it was, and takes a whole body. */
    struct got got = {0};
    CHECK(poolscope_stream_get_state(one.stream).bytes_in == 0);
    CHECK(poolscope_stream_push(one.stream, NULL, 0, &out, &len, &error) ==
          POOLSCOPE_OK); /* no bytes need no pointer */
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
    CHECK(poolscope_inventory_load(one.inventory, body, strlen(SLICE_LIST), NULL, &error) ==
          POOLSCOPE_OK);
    REFUSED("inventory", poolscope_inventory_view(NULL, one.node, &text, &error));
    REFUSED("node", poolscope_inventory_view(one.inventory, NULL, &text, &error));
    REFUSED("services", poolscope_inventory_view(one.inventory, one.node, NULL, &error));
    REFUSED("inventory", poolscope_inventory_find(NULL, one.node, "s", 1, "c", 1, &text, &error));
    REFUSED("node", poolscope_inventory_find(one.inventory, NULL, "s", 1, "c", 1, &text, &error));
    REFUSED("ns",
            poolscope_inventory_find(one.inventory, one.node, NULL, 1, "c", 1, &text, &error));
    REFUSED("service",
            poolscope_inventory_find(one.inventory, one.node, "s", 1, NULL, 1, &text, &error));
    REFUSED("found",
            poolscope_inventory_find(one.inventory, one.node, "s", 1, "c", 1, NULL, &error));
}

static void an_error_need_not_be_wanted(void)
{
    poolscope_cluster *cluster;
    CHECK(poolscope_cluster_new("nonsense", 8, &cluster, NULL) == POOLSCOPE_ERR_CONFIG);
    CHECK(poolscope_fact_reader_finish(NULL, NULL) == POOLSCOPE_ERR_INVALID_ARGUMENT);
}

void test_nulls(void)
{
    freeing_null_does_nothing();
    asking_null_gives_nothing();
    make_one_of_everything();
    requests_and_responses_refuse_null();
    clusters_and_fact_readers_refuse_null();
    nodes_refuse_null();
    streams_refuse_null();
    inventories_refuse_null();
    free_one_of_everything();
    an_error_need_not_be_wanted();
}

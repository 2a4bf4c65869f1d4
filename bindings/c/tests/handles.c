/* Who owns what, and what outlives what. */
#include "abi.h"

enum { CLUSTER, NODE, HEADERS, READER, REPLY, LISTENER, STREAM, KINDS };

/* One handle of each kind, all made from one another. */
struct handles {
    poolscope_cluster *cluster;
    poolscope_node *node;
    poolscope_headers *headers;
    poolscope_fact_reader *reader;
    poolscope_reply *reply;
    poolscope_listener *listener;
    poolscope_stream *stream;
};

static int changes;

static void count_change(void *context)
{
    ++*(int *)context;
}

static struct handles make(void)
{
    struct handles all = {0};
    all.cluster = small_cluster("{}");
    all.node = node_of(all.cluster, "hz-1");
    const poolscope_header accept = HEADER("Accept", JSON);
    CHECK(poolscope_node_prepare(all.node, GET_WITH(SLICES, &accept, 1), &all.headers, NULL) ==
          POOLSCOPE_OK);
    all.reader = reader_of(all.cluster, SERVICES FROM_90);
    all.reply = open_json(all.node, SLICES FROM_90).reply;
    CHECK(poolscope_cluster_on_change(all.cluster, count_change, &changes, &all.listener, NULL) ==
          POOLSCOPE_OK);
    all.stream = stream_of(all.node, SLICES);
    CHECK(all.stream != NULL && all.reply != NULL);
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
    if (all->headers != NULL)
        CHECK(all->headers->count == 1 && strcmp(all->headers->data[0].value, JSON) == 0);
    if (all->reader != NULL)
        read_facts(all->reader, SERVICE_EVENT("web", "91", ASKS_FOR_POOL));
    if (all->reply != NULL)
        CHECK(all->reply->http_status == 410 && has(all->reply->content_type, JSON));
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
    case HEADERS:
        poolscope_headers_free(all->headers);
        all->headers = NULL;
        break;
    case READER:
        poolscope_fact_reader_free(all->reader);
        all->reader = NULL;
        break;
    case REPLY:
        poolscope_reply_free(all->reply);
        all->reply = NULL;
        break;
    case LISTENER:
        poolscope_listener_free(all->listener);
        all->listener = NULL;
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

static void a_listener_is_called_until_it_is_freed(void)
{
    poolscope_cluster *cluster = small_cluster("{}");
    poolscope_fact_reader *services = reader_of(cluster, SERVICES FROM_90);
    poolscope_listener *listener;
    int calls = 0;
    CHECK(poolscope_cluster_on_change(cluster, count_change, &calls, &listener, NULL) ==
          POOLSCOPE_OK);
    read_facts(services, SERVICE_EVENT("web", "91", ASKS_FOR_POOL));
    CHECK(calls == 1);
    read_facts(services, SERVICE_EVENT("web", "92", ASKS_FOR_POOL));
    CHECK(calls == 1); /* no verdict can differ */
    read_facts(services, SERVICE_EVENT("web", "93", ""));
    CHECK(calls == 2);
    poolscope_listener_free(listener);
    read_facts(services, SERVICE_EVENT("web", "94", ASKS_FOR_POOL));
    CHECK(calls == 2);
    poolscope_fact_reader_free(services);
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

static void returned_bytes_stay_until_the_next_call(void)
{
    poolscope_cluster *cluster = small_cluster("{}");
    poolscope_node *node = node_of(cluster, "hz-1");
    poolscope_stream *stream = stream_of(node, SLICES);
    const uint8_t *out;
    size_t out_len;
    CHECK(poolscope_stream_push(stream, (const uint8_t *)SLICE_LIST, strlen(SLICE_LIST), &out,
                                &out_len, NULL) == POOLSCOPE_OK);
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
    struct got got = {0};
    got_add(&got, out, out_len);
    CHECK(has(got.data, "\"web-1\""));
    got_clear(&got);
    poolscope_stream_free(stream);
}

static void an_error_outlives_its_handle(void)
{
    poolscope_cluster *cluster = empty_cluster("{}");
    poolscope_fact_reader *broken = reader_of(cluster, SERVICES);
    poolscope_error *error;
    CHECK_FAILS(POOLSCOPE_ERR_MALFORMED,
                poolscope_fact_reader_push(broken, (const uint8_t *)"!", 1, &error));
    poolscope_fact_reader_free(broken);
    poolscope_cluster_free(cluster);
    check_error(error, "malformed");
}

/* Answers every request of the fact sync at time 0 with `body`. Returns how many there were. */
static int answer_all(poolscope_fact_sync *sync, const char *body)
{
    poolscope_fact_step step;
    int fetches = 0;
    for (;;) {
        CHECK(poolscope_fact_sync_next(sync, 0, &step, NULL) == POOLSCOPE_OK);
        if (step.action == POOLSCOPE_FACT_WAIT)
            return fetches;
        if (step.action != POOLSCOPE_FACT_FETCH)
            continue;
        fetches++;
        bool wanted;
        CHECK(poolscope_fact_sync_head(sync, step.id, RESPONSE(200, JSON), 0, &wanted, NULL) ==
              POOLSCOPE_OK);
        CHECK(wanted);
        CHECK(poolscope_fact_sync_push(sync, step.id, (const uint8_t *)body, strlen(body), 0,
                                       &wanted, NULL) == POOLSCOPE_OK);
        CHECK(wanted);
    }
}

static void a_fact_sync_makes_its_node_ready(void)
{
    poolscope_cluster *cluster = empty_cluster("{}");
    poolscope_node *node = node_of(cluster, "hz-1");
    poolscope_fact_sync *sync;
    CHECK(poolscope_fact_sync_new(node, 7, &sync, NULL) == POOLSCOPE_OK);
    poolscope_cluster_free(cluster);
    CHECK(!poolscope_node_is_ready(node));
    CHECK(answer_all(sync, "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{"
                           "\"resourceVersion\":\"9\",\"annotations\":{"
                           "\"k8s.io/initial-events-end\":\"true\"}}}}") == 3);
    CHECK(poolscope_node_is_ready(node));
    poolscope_node_free(node);
    poolscope_fact_sync_free(sync);
}

void test_handles(void)
{
    handles_may_be_freed_in_any_order();
    a_stream_filters_on_when_all_else_is_freed();
    a_listener_is_called_until_it_is_freed();
    a_stream_may_be_freed_in_the_middle();
    returned_bytes_stay_until_the_next_call();
    a_fact_sync_makes_its_node_ready();
    an_error_outlives_its_handle();
}

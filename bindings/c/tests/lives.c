/* Responses from their head to their end, and what changes of facts do to them. */
#include "abi.h"

static void a_list_shows_the_own_pool(void)
{
    poolscope_cluster *cluster = small_cluster("{}");
    poolscope_node *node = node_of(cluster, "hz-1");
    CHECK(poolscope_node_is_ready(node));
    poolscope_stream *stream = stream_of(node, SLICES);
    struct got got = {0};
    push(stream, SLICE_LIST, &got);
    finish(stream, &got);
    char *web = strstr(got.data, "\"web-1\"");
    CHECK(has(got.data, "10.0.0.1") && has(got.data, "10.0.0.2"));
    CHECK(web != NULL &&
          strstr(got.data, "10.0.0.3") > web); /* not in cart, which stands before it */
    CHECK(has(web, SLICE_FIELDS("web-1", "71", "web") + strlen("\"metadata\":{\"name\":")));
    CHECK(poolscope_stream_get_state(stream).bytes_in == strlen(SLICE_LIST));
    CHECK(poolscope_stream_get_state(stream).bytes_out == got.len);
    got_clear(&got);
    poolscope_stream_free(stream);
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
}

static void a_body_may_be_cut_anywhere(void)
{
    poolscope_cluster *cluster = small_cluster("{}");
    poolscope_node *node = node_of(cluster, "sh-1");
    struct got whole = {0}, pieces = {0};
    poolscope_stream *stream = stream_of(node, SLICES);
    push(stream, SLICE_LIST, &whole);
    finish(stream, &whole);
    poolscope_stream_free(stream);
    for (size_t size = 1; size < 40; size++) {
        stream = stream_of(node, SLICES);
        for (size_t at = 0; at < strlen(SLICE_LIST); at += size) {
            /* A copy of each piece in memory of exactly its size, gone after the call: nothing
             * behind it is read, then or later. */
            size_t left = strlen(SLICE_LIST) - at, len = left < size ? left : size;
            uint8_t *piece = malloc(len);
            memcpy(piece, SLICE_LIST + at, len);
            const uint8_t *out;
            size_t out_len;
            CHECK(poolscope_stream_push(stream, piece, len, &out, &out_len, NULL) == POOLSCOPE_OK);
            free(piece);
            got_add(&pieces, out, out_len);
        }
        finish(stream, &pieces);
        CHECK(pieces.len == whole.len && memcmp(pieces.data, whole.data, whole.len) == 0);
        got_clear(&pieces);
        poolscope_stream_free(stream);
    }
    got_clear(&whole);
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
}

static void a_watch_goes_on_from_the_list_and_follows_the_facts(void)
{
    poolscope_cluster *cluster = small_cluster("{}");
    poolscope_node *node = node_of(cluster, "hz-1");
    poolscope_stream *watch = followed(node);
    struct got got = {0};

    /* An event is filtered as the list was. */
    push(watch, SLICE_EVENT("ADDED", "cart-2", "91", "cart"), &got);
    CHECK(has(got.data, "\"cart-2\"") && has(got.data, "10.0.0.2") && !has(got.data, "10.0.0.3"));
    got_clear(&got);

    /* A Service gains the annotation, and no slice has changed. */
    uint64_t before = poolscope_cluster_generation(cluster);
    CHECK(!poolscope_stream_get_state(watch).needs_refresh);
    poolscope_fact_reader *services = reader_of(cluster, SERVICES FROM_90);
    read_facts(services, SERVICE_EVENT("web", "92", ASKS_FOR_POOL));
    CHECK(poolscope_cluster_generation(cluster) > before);
    CHECK(poolscope_stream_get_state(watch).needs_refresh);
    refresh(watch, &got);
    const char *modified = "{\"type\":\"MODIFIED\",\"object\":{\"kind\":\"EndpointSlice\"";
    CHECK(got.data != NULL && strncmp(got.data, modified, strlen(modified)) == 0);
    CHECK(has(got.data, "\"web-1\"") && !has(got.data, "10.0.0.3") && !has(got.data, "\"cart-1\""));
    CHECK(has(strchr(got.data, '\n'), "{\"type\":\"BOOKMARK\""));
    CHECK(has(got.data, "\"resourceVersion\":\"91\"")); /* where the watch has come to */
    CHECK(!poolscope_stream_get_state(watch).needs_refresh);
    got_clear(&got);

    /* And loses it. */
    read_facts(services, SERVICE_EVENT("web", "93", ""));
    refresh(watch, &got);
    CHECK(has(got.data, "\"web-1\"") && has(got.data, "10.0.0.3"));
    got_clear(&got);
    refresh(watch, &got);
    CHECK(got.len == 0); /* said once */

    CHECK(poolscope_fact_reader_finish(services, NULL) == POOLSCOPE_OK);
    poolscope_fact_reader_free(services);
    finish(watch, &got);
    CHECK(got.len == 0);
    got_clear(&got);
    poolscope_stream_free(watch);
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
}

static void events_that_say_nothing_are_left_out(void)
{
    poolscope_cluster *cluster = small_cluster("{}");
    poolscope_node *node = node_of(cluster, "hz-1");
    poolscope_stream *watch = followed(node);
    struct got got = {0};
    push(watch, SLICE_EVENT("MODIFIED", "cart-1", "91", "cart"), &got);
    CHECK(got.len == 0);
    push(watch, SLICE_BOOKMARK("92"), &got);
    CHECK(got.data != NULL && strcmp(got.data, SLICE_BOOKMARK("92")) == 0);
    got_clear(&got);
    poolscope_stream_free(watch);
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
}

static void a_change_among_the_initial_events_is_said_behind_them(void)
{
    poolscope_cluster *cluster = small_cluster("{}");
    poolscope_node *node = node_of(cluster, "hz-1");
    poolscope_stream *watch =
        stream_of(node, SLICES "?watch=true&allowWatchBookmarks=true&sendInitialEvents=true"
                               "&resourceVersionMatch=NotOlderThan");
    poolscope_fact_reader *services = reader_of(cluster, SERVICES FROM_90);
    struct got got = {0};
    push(watch, SLICE_EVENT("ADDED", "web-1", "71", "web"), &got);
    CHECK(has(got.data, "10.0.0.3"));
    got_clear(&got);
    read_facts(services, SERVICE_EVENT("web", "91", ASKS_FOR_POOL));
    refresh(watch, &got);
    CHECK(got.len == 0);
    push(
        watch,
        "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"EndpointSlice\",\"apiVersion\":\"discovery."
        "k8s.io/v1\",\"metadata\":"
        "{\"resourceVersion\":\"90\",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}}}}\n",
        &got);
    CHECK(has(got.data, "k8s.io/initial-events-end"));
    CHECK(has(strchr(got.data, '\n'), "MODIFIED") && has(strchr(got.data, '\n'), "\"web-1\"") &&
          !has(got.data, "10.0.0.3"));
    got_clear(&got);
    poolscope_fact_reader_free(services);
    poolscope_stream_free(watch);
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
}

static void with_retention_topology_what_is_wanted_can_be_supplied(void)
{
    poolscope_cluster *cluster = small_cluster("{\"retention\":\"topology\"}");
    poolscope_node *node = node_of(cluster, "hz-1");
    poolscope_stream *watch = followed(node);
    poolscope_fact_reader *services = reader_of(cluster, SERVICES FROM_90);
    struct got got = {0};
    poolscope_text *lists;
    CHECK(poolscope_stream_needed_lists(watch, &lists, NULL) == POOLSCOPE_OK);
    CHECK(strcmp(poolscope_text_data(lists), "[]") == 0);
    poolscope_text_free(lists);

    read_facts(services, SERVICE_EVENT("web", "92", ASKS_FOR_POOL));
    refresh(watch, &got);
    CHECK(got.len == 0);
    CHECK(poolscope_stream_needed_lists(watch, &lists, NULL) == POOLSCOPE_OK);
    CHECK(has(poolscope_text_data(lists), "\"namespace\":\"shop\"") &&
          has(poolscope_text_data(lists), "\"service\":\"web\""));
    CHECK(has(poolscope_text_data(lists),
              "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices?labelSelector="));
    poolscope_text_free(lists);

    const poolscope_response *response = RESPONSE(200, JSON);
    const uint8_t *out;
    size_t out_len;
    poolscope_error *error;
    CHECK_FAILS(POOLSCOPE_ERR_TRUNCATED,
                poolscope_stream_provide_list(watch, response, (const uint8_t *)"{", 1, &out,
                                              &out_len, &error));
    CHECK(out_len == 0);
    poolscope_error_free(error);
    const char *answer = SLICE_LIST_OF(SLICE("web-1", "71", "web"));
    CHECK(poolscope_stream_provide_list(watch, response, (const uint8_t *)answer, strlen(answer),
                                        &out, &out_len, &error) == POOLSCOPE_OK);
    got_add(&got, out, out_len);
    CHECK(has(got.data, "MODIFIED") && has(got.data, "\"web-1\"") && has(got.data, "10.0.0.2") &&
          !has(got.data, "10.0.0.3"));
    got_clear(&got);
    poolscope_fact_reader_free(services);
    poolscope_stream_free(watch);
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
}

static void with_retention_none_the_watch_ends_itself(void)
{
    poolscope_cluster *cluster = small_cluster("{\"retention\":\"none\"}");
    poolscope_node *node = node_of(cluster, "hz-1");
    poolscope_stream *watch = followed(node);
    poolscope_fact_reader *services = reader_of(cluster, SERVICES FROM_90);
    struct got got = {0};
    CHECK(!poolscope_stream_get_state(watch).is_ended);
    read_facts(services, SERVICE_EVENT("web", "92", ASKS_FOR_POOL));
    refresh(watch, &got);
    CHECK(has(got.data, "{\"type\":\"ERROR\"") && has(got.data, "\"code\":410"));
    CHECK(poolscope_stream_get_state(watch).is_ended);
    got_clear(&got);
    push(watch, SLICE_EVENT("ADDED", "cart-2", "91", "cart"), &got);
    CHECK(got.len == 0); /* swallowed */
    got_clear(&got);
    poolscope_fact_reader_free(services);
    poolscope_stream_free(watch);
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
}

static void one_body_alone_needs_no_past(void)
{
    poolscope_cluster *cluster = small_cluster("{}");
    poolscope_node *node = node_of(cluster, "hz-1");
    poolscope_action action;
    poolscope_stream *stream;
    poolscope_reply *reply;
    CHECK(poolscope_node_open_stateless(node, GET(SLICES FROM_90), RESPONSE(200, JSON), &action,
                                        &stream, &reply, NULL) == POOLSCOPE_OK);
    CHECK(action == POOLSCOPE_ACTION_REWRITE && reply == NULL);
    struct got got = {0};
    push(stream, SLICE_EVENT("MODIFIED", "cart-1", "91", "cart"), &got);
    CHECK(has(got.data, "10.0.0.2") && !has(got.data, "10.0.0.3"));
    got_clear(&got);
    poolscope_stream_free(stream);
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
}

static void facts_may_come_from_what_passes(void)
{
    poolscope_cluster *cluster = small_cluster("{}");
    poolscope_node *node = node_of(cluster, "hz-1");
    uint64_t before = poolscope_cluster_generation(cluster);
    poolscope_stream *stream = stream_of(node, SERVICES FROM_90);
    struct got got = {0};
    push(stream, SERVICE_EVENT("web", "92", ASKS_FOR_POOL), &got);
    CHECK(got.data != NULL && strcmp(got.data, SERVICE_EVENT("web", "92", ASKS_FOR_POOL)) == 0);
    CHECK(poolscope_cluster_generation(cluster) > before);
    got_clear(&got);
    poolscope_stream_free(stream);
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
}

void test_lives(void)
{
    a_list_shows_the_own_pool();
    a_body_may_be_cut_anywhere();
    a_watch_goes_on_from_the_list_and_follows_the_facts();
    events_that_say_nothing_are_left_out();
    a_change_among_the_initial_events_is_said_behind_them();
    with_retention_topology_what_is_wanted_can_be_supplied();
    with_retention_none_the_watch_ends_itself();
    one_body_alone_needs_no_past();
    facts_may_come_from_what_passes();
}

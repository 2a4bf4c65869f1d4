/* What fails, and what its error says. */
#include "abi.h"

/* A stream of SLICES for hz-1; the cluster and the node are not needed any more. */
static poolscope_stream *list_stream(const char *config)
{
    poolscope_cluster *cluster = small_cluster(config);
    poolscope_node *node = node_of(cluster, "hz-1");
    poolscope_stream *stream = stream_of(node, SLICES);
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
    return stream;
}

static poolscope_status push_text(poolscope_stream *stream, const char *text, struct got *got, poolscope_error **error)
{
    const uint8_t *out;
    size_t out_len;
    poolscope_status status = poolscope_stream_push(stream, (const uint8_t *)text, strlen(text), &out, &out_len, error);
    got_add(got, out, out_len);
    return status;
}

static void a_malformed_body_says_where_and_in_which_object(void)
{
    poolscope_stream *stream = list_stream("{}");
    const char *good = SLICE_LIST_OF(SLICE("cart-1", "70", "cart") ",");
    const char *bad = "{\"metadata\":{\"name\":\"cart-2\",\"namespace\":\"shop\"},\"endpoints\":!";
    struct got body = {0}, got = {0};
    got_add(&body, (const uint8_t *)good, strlen(good) - strlen("]}\n"));
    got_add(&body, (const uint8_t *)bad, strlen(bad));
    poolscope_error *error;
    CHECK_FAILS(POOLSCOPE_MALFORMED, push_text(stream, body.data, &got, &error));
    CHECK(poolscope_error_offset(error) == body.len - 1);
    CHECK(poolscope_error_object(error) != NULL && strcmp(poolscope_error_object(error), "shop/cart-2") == 0);
    check_error(error, "malformed JSON at byte ");
    /* What was whole before the fault came out with the error. */
    CHECK(has(got.data, "\"cart-1\"") && has(got.data, "10.0.0.2") && !has(got.data, "\"cart-2\""));
    CHECK(poolscope_stream_given(stream) == got.len);
    got_clear(&got);

    /* The error has closed the stream. */
    CHECK_FAILS(POOLSCOPE_CLOSED, push_text(stream, "]}", &got, &error));
    CHECK(got.len == 0 && poolscope_error_offset(error) == POOLSCOPE_NO_OFFSET && poolscope_error_object(error) == NULL);
    check_error(error, "closed");
    got_clear(&got);
    got_clear(&body);
    poolscope_stream_free(stream);
}

static void a_body_that_was_cut_is_truncated(void)
{
    poolscope_stream *stream = list_stream("{}");
    struct got got = {0};
    push(stream, "{\"kind\":\"EndpointSliceList\",\"items\":[{\"meta", &got);
    const uint8_t *out;
    size_t out_len;
    poolscope_error *error;
    CHECK_FAILS(POOLSCOPE_TRUNCATED, poolscope_stream_finish(stream, &out, &out_len, &error));
    CHECK(poolscope_error_offset(error) == strlen("{\"kind\":\"EndpointSliceList\",\"items\":[{\"meta"));
    check_error(error, "cut");
    got_clear(&got);
    poolscope_stream_free(stream);
}

static void a_finished_stream_is_closed(void)
{
    poolscope_stream *stream = list_stream("{}");
    struct got got = {0};
    push(stream, SLICE_LIST, &got);
    finish(stream, &got);
    const uint8_t *out;
    size_t out_len;
    poolscope_error *error;
    CHECK_FAILS(POOLSCOPE_CLOSED, poolscope_stream_finish(stream, &out, &out_len, &error));
    check_error(error, "closed");
    CHECK_FAILS(POOLSCOPE_CLOSED, poolscope_stream_refresh(stream, &out, &out_len, &error));
    check_error(error, "closed");
    got_clear(&got);
    poolscope_stream_free(stream);
}

static void limits_are_kept(void)
{
    struct got got = {0};
    poolscope_error *error;
    poolscope_stream *stream = list_stream("{\"limits\":{\"itemBytes\":250}}");
    CHECK_FAILS(POOLSCOPE_TOO_LARGE, push_text(stream, SLICE_LIST, &got, &error));
    check_error(error, "limits.itemBytes");
    poolscope_stream_free(stream);
    stream = list_stream("{\"limits\":{\"endpoints\":2}}");
    CHECK_FAILS(POOLSCOPE_TOO_MANY, push_text(stream, SLICE_LIST, &got, &error));
    CHECK(poolscope_error_object(error) != NULL && strcmp(poolscope_error_object(error), "shop/cart-1") == 0);
    check_error(error, "limits.endpoints");
    poolscope_stream_free(stream);
    stream = list_stream("{\"limits\":{\"depth\":5}}");
    CHECK_FAILS(POOLSCOPE_TOO_DEEP, push_text(stream, "{\"items\":[{\"x\":[[[[[[[", &got, &error));
    check_error(error, "limits.depth");
    poolscope_stream_free(stream);
    got_clear(&got);
}

static void a_response_that_cannot_be_read_is_refused(void)
{
    poolscope_cluster *cluster = small_cluster("{}");
    poolscope_node *node = node_of(cluster, "hz-1");
    poolscope_request *request = get(SLICES);
    poolscope_opened *opened;
    poolscope_error *error;
    poolscope_head *head = head_of(200, JSON);
    CHECK(poolscope_head_add_header(head, "CONTENT-ENCODING", 16, "gzip", 4, NULL) == POOLSCOPE_OK);
    CHECK_FAILS(POOLSCOPE_CONTENT_ENCODING, poolscope_node_open(node, request, head, &opened, &error));
    CHECK(opened == NULL);
    check_error(error, "gzip");
    poolscope_head_free(head);
    head = head_of(200, "application/yaml");
    CHECK_FAILS(POOLSCOPE_CONTENT_TYPE, poolscope_node_open(node, request, head, &opened, &error));
    check_error(error, "application/yaml");
    poolscope_head_free(head);
    head = head_of(206, JSON);
    CHECK_FAILS(POOLSCOPE_HTTP_STATUS, poolscope_node_open(node, request, head, &opened, &error));
    check_error(error, "206");
    poolscope_head_free(head);
    poolscope_request_free(request);
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
}

static poolscope_status try_feed(const poolscope_cluster *cluster, const char *target, uint16_t http_status, const char *content_type,
                                 poolscope_error **error)
{
    poolscope_request *request = get(target);
    poolscope_head *head = head_of(http_status, content_type);
    poolscope_feed *feed;
    poolscope_status status = poolscope_cluster_feed(cluster, request, head, &feed, error);
    CHECK((feed != NULL) == (status == POOLSCOPE_OK));
    poolscope_feed_free(feed);
    poolscope_head_free(head);
    poolscope_request_free(request);
    return status;
}

static void a_feed_must_teach_something(void)
{
    poolscope_cluster *cluster = empty_cluster("{}");
    poolscope_error *error;
    CHECK_FAILS(POOLSCOPE_NOT_A_FACT, try_feed(cluster, "/api/v1/pods", 200, JSON, &error));
    check_error(error, "/api/v1/pods");
    CHECK_FAILS(POOLSCOPE_NOT_A_FACT, try_feed(cluster, SLICES, 200, JSON, &error));
    poolscope_error_free(error);
    CHECK_FAILS(POOLSCOPE_NOT_A_FACT, try_feed(cluster, SERVICES, 404, JSON, &error));
    poolscope_error_free(error);
    CHECK_FAILS(POOLSCOPE_CONTENT_TYPE, try_feed(cluster, SERVICES, 200, "text/html", &error));
    poolscope_error_free(error);
    poolscope_cluster_free(cluster);
}

static void a_broken_feed_is_closed(void)
{
    poolscope_cluster *cluster = empty_cluster("{}");
    poolscope_error *error;
    poolscope_feed *broken = feed_of(cluster, SERVICES);
    CHECK_FAILS(POOLSCOPE_MALFORMED, poolscope_feed_push(broken, (const uint8_t *)"!", 1, &error));
    CHECK(poolscope_error_offset(error) == 0);
    poolscope_error_free(error);
    CHECK_FAILS(POOLSCOPE_CLOSED, poolscope_feed_push(broken, (const uint8_t *)"{", 1, &error));
    poolscope_error_free(error);
    CHECK_FAILS(POOLSCOPE_CLOSED, poolscope_feed_finish(broken, &error));
    poolscope_error_free(error);
    poolscope_feed_free(broken);

    poolscope_feed *cut = feed_of(cluster, SERVICES);
    feed(cut, "{\"items\":[");
    CHECK_FAILS(POOLSCOPE_TRUNCATED, poolscope_feed_finish(cut, &error));
    poolscope_error_free(error);
    poolscope_feed_free(cut);
    poolscope_cluster_free(cluster);
}

static void a_wrong_configuration_names_the_key(void)
{
    poolscope_cluster *cluster;
    poolscope_error *error;
    const char *config = "{\"retentoin\":\"full\"}";
    CHECK_FAILS(POOLSCOPE_CONFIG, poolscope_cluster_new(config, strlen(config), &cluster, &error));
    CHECK(cluster == NULL && poolscope_error_offset(error) == POOLSCOPE_NO_OFFSET);
    check_error(error, "retentoin");
    CHECK_FAILS(POOLSCOPE_CONFIG, poolscope_cluster_new(NULL, 0, &cluster, &error)); /* no document at all */
    poolscope_error_free(error);
}

static void text_must_be_utf8(void)
{
    poolscope_cluster *cluster;
    poolscope_request *request;
    poolscope_error *error;
    CHECK_FAILS(POOLSCOPE_INVALID_ARGUMENT, poolscope_cluster_new("\xff", 1, &cluster, &error));
    check_error(error, "`config` is not UTF-8");
    CHECK_FAILS(POOLSCOPE_INVALID_ARGUMENT, poolscope_request_new("GET", 3, "/\x80", 2, &request, &error));
    check_error(error, "`target` is not UTF-8");
    CHECK_FAILS(POOLSCOPE_INVALID_ARGUMENT, poolscope_cluster_new("{}", SIZE_MAX, &cluster, &error)); /* a length gone wrong */
    check_error(error, "`config`");
    cluster = empty_cluster("{}");
    CHECK_FAILS(POOLSCOPE_INVALID_ARGUMENT, poolscope_cluster_forget_source(cluster, "Pod", 3, &error));
    check_error(error, "`kind`");
    poolscope_cluster_free(cluster);
}

void test_failures(void)
{
    a_malformed_body_says_where_and_in_which_object();
    a_body_that_was_cut_is_truncated();
    a_finished_stream_is_closed();
    limits_are_kept();
    a_response_that_cannot_be_read_is_refused();
    a_feed_must_teach_something();
    a_broken_feed_is_closed();
    a_wrong_configuration_names_the_key();
    text_must_be_utf8();
}

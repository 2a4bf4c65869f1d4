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

static poolscope_status push_text(poolscope_stream *stream, const char *text, struct got *got,
                                  poolscope_error **error)
{
    const uint8_t *out;
    size_t out_len;
    poolscope_status status =
        poolscope_stream_push(stream, (const uint8_t *)text, strlen(text), &out, &out_len, error);
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
    CHECK_FAILS(POOLSCOPE_ERR_MALFORMED, push_text(stream, body.data, &got, &error));
    CHECK(poolscope_error_offset(error) == body.len - 1);
    CHECK(poolscope_error_object(error) != NULL &&
          strcmp(poolscope_error_object(error), "shop/cart-2") == 0);
    check_error(error, "malformed JSON at byte ");
    /* What was whole before the fault came out with the error. */
    CHECK(has(got.data, "\"cart-1\"") && has(got.data, "10.0.0.2") && !has(got.data, "\"cart-2\""));
    CHECK(poolscope_stream_get_state(stream).bytes_out == got.len);
    got_clear(&got);

    /* The error has closed the stream. */
    CHECK_FAILS(POOLSCOPE_ERR_CLOSED, push_text(stream, "]}", &got, &error));
    CHECK(got.len == 0 && poolscope_error_offset(error) == POOLSCOPE_NO_OFFSET &&
          poolscope_error_object(error) == NULL);
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
    CHECK_FAILS(POOLSCOPE_ERR_TRUNCATED, poolscope_stream_finish(stream, &out, &out_len, &error));
    CHECK(poolscope_error_offset(error) ==
          strlen("{\"kind\":\"EndpointSliceList\",\"items\":[{\"meta"));
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
    CHECK_FAILS(POOLSCOPE_ERR_CLOSED, poolscope_stream_finish(stream, &out, &out_len, &error));
    check_error(error, "closed");
    CHECK_FAILS(POOLSCOPE_ERR_CLOSED, poolscope_stream_refresh(stream, &out, &out_len, &error));
    check_error(error, "closed");
    got_clear(&got);
    poolscope_stream_free(stream);
}

static void limits_are_kept(void)
{
    struct got got = {0};
    poolscope_error *error;
    poolscope_stream *stream = list_stream("{\"limits\":{\"itemBytes\":250}}");
    CHECK_FAILS(POOLSCOPE_ERR_TOO_LARGE, push_text(stream, SLICE_LIST, &got, &error));
    check_error(error, "limits.itemBytes");
    poolscope_stream_free(stream);
    stream = list_stream("{\"limits\":{\"endpoints\":2}}");
    CHECK_FAILS(POOLSCOPE_ERR_TOO_MANY, push_text(stream, SLICE_LIST, &got, &error));
    CHECK(poolscope_error_object(error) != NULL &&
          strcmp(poolscope_error_object(error), "shop/cart-1") == 0);
    check_error(error, "limits.endpoints");
    poolscope_stream_free(stream);
    stream = list_stream("{\"limits\":{\"depth\":5}}");
    CHECK_FAILS(POOLSCOPE_ERR_TOO_DEEP,
                push_text(stream, "{\"items\":[{\"x\":[[[[[[[", &got, &error));
    check_error(error, "limits.depth");
    poolscope_stream_free(stream);
    got_clear(&got);
}

static void refused(const poolscope_node *node, const poolscope_response *response,
                    poolscope_status status, const char *part)
{
    poolscope_error *error;
    struct opened opened;
    CHECK_FAILS(status, poolscope_node_open(node, GET(SLICES), response, &opened.action,
                                            &opened.stream, &opened.reply, &error));
    CHECK(opened.action == POOLSCOPE_ACTION_REPLY && opened.stream == NULL && opened.reply == NULL);
    check_error(error, part);
}

static void a_response_that_cannot_be_read_is_refused(void)
{
    poolscope_cluster *cluster = small_cluster("{}");
    poolscope_node *node = node_of(cluster, "hz-1");
    const poolscope_header compressed[] = {HEADER("Content-Type", JSON),
                                           HEADER("CONTENT-ENCODING", "gzip")};
    refused(node, RESPONSE_WITH(200, compressed, 2), POOLSCOPE_ERR_CONTENT_ENCODING, "gzip");
    refused(node, RESPONSE(200, "application/yaml"), POOLSCOPE_ERR_CONTENT_TYPE,
            "application/yaml");
    refused(node, RESPONSE(206, JSON), POOLSCOPE_ERR_HTTP_STATUS, "206");
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
}

static poolscope_status try_reader(const poolscope_cluster *cluster, const char *target,
                                   uint16_t http_status, const char *content_type,
                                   poolscope_error **error)
{
    poolscope_fact_reader *reader;
    poolscope_status status = poolscope_cluster_read_facts(
        cluster, GET(target), RESPONSE(http_status, content_type), &reader, error);
    CHECK((reader != NULL) == (status == POOLSCOPE_OK));
    poolscope_fact_reader_free(reader);
    return status;
}

static void a_fact_reader_needs_a_source_of_facts(void)
{
    poolscope_cluster *cluster = empty_cluster("{}");
    poolscope_error *error;
    CHECK_FAILS(POOLSCOPE_ERR_NOT_A_FACT, try_reader(cluster, "/api/v1/pods", 200, JSON, &error));
    check_error(error, "/api/v1/pods");
    CHECK_FAILS(POOLSCOPE_ERR_NOT_A_FACT, try_reader(cluster, SLICES, 200, JSON, &error));
    poolscope_error_free(error);
    CHECK_FAILS(POOLSCOPE_ERR_NOT_A_FACT, try_reader(cluster, SERVICES, 404, JSON, &error));
    poolscope_error_free(error);
    CHECK_FAILS(POOLSCOPE_ERR_CONTENT_TYPE,
                try_reader(cluster, SERVICES, 200, "text/html", &error));
    poolscope_error_free(error);
    poolscope_cluster_free(cluster);
}

static void a_broken_fact_reader_is_closed(void)
{
    poolscope_cluster *cluster = empty_cluster("{}");
    poolscope_error *error;
    poolscope_fact_reader *broken = reader_of(cluster, SERVICES);
    CHECK_FAILS(POOLSCOPE_ERR_MALFORMED,
                poolscope_fact_reader_push(broken, (const uint8_t *)"!", 1, &error));
    CHECK(poolscope_error_offset(error) == 0);
    poolscope_error_free(error);
    CHECK_FAILS(POOLSCOPE_ERR_CLOSED,
                poolscope_fact_reader_push(broken, (const uint8_t *)"{", 1, &error));
    poolscope_error_free(error);
    CHECK_FAILS(POOLSCOPE_ERR_CLOSED, poolscope_fact_reader_finish(broken, &error));
    poolscope_error_free(error);
    poolscope_fact_reader_free(broken);

    poolscope_fact_reader *cut = reader_of(cluster, SERVICES);
    read_facts(cut, "{\"items\":[");
    CHECK_FAILS(POOLSCOPE_ERR_TRUNCATED, poolscope_fact_reader_finish(cut, &error));
    poolscope_error_free(error);
    poolscope_fact_reader_free(cut);
    poolscope_cluster_free(cluster);
}

static void a_wrong_configuration_names_the_key(void)
{
    poolscope_cluster *cluster;
    poolscope_error *error;
    const char *config = "{\"retentoin\":\"full\"}";
    CHECK_FAILS(POOLSCOPE_ERR_CONFIG,
                poolscope_cluster_new(config, strlen(config), &cluster, &error));
    CHECK(cluster == NULL && poolscope_error_offset(error) == POOLSCOPE_NO_OFFSET);
    check_error(error, "retentoin");
    CHECK_FAILS(POOLSCOPE_ERR_CONFIG,
                poolscope_cluster_new(NULL, 0, &cluster, &error)); /* no document at all */
    poolscope_error_free(error);
}

static void text_must_be_utf8(void)
{
    poolscope_cluster *cluster;
    poolscope_error *error;
    CHECK_FAILS(POOLSCOPE_ERR_INVALID_ARGUMENT, poolscope_cluster_new("\xff", 1, &cluster, &error));
    check_error(error, "`config` is not UTF-8");
    CHECK_FAILS(POOLSCOPE_ERR_INVALID_ARGUMENT,
                poolscope_cluster_new("{}", SIZE_MAX, &cluster, &error)); /* a length gone wrong */
    check_error(error, "`config`");
    cluster = empty_cluster("{}");
    poolscope_fact_reader *reader;
    CHECK_FAILS(
        POOLSCOPE_ERR_INVALID_ARGUMENT,
        poolscope_cluster_read_facts(cluster, GET("/\x80"), RESPONSE(200, JSON), &reader, &error));
    check_error(error, "`target` is not UTF-8");
    CHECK_FAILS(POOLSCOPE_ERR_INVALID_ARGUMENT,
                poolscope_cluster_invalidate_source(cluster, "Pod", 3, &error));
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
    a_fact_reader_needs_a_source_of_facts();
    a_broken_fact_reader_is_closed();
    a_wrong_configuration_names_the_key();
    text_must_be_utf8();
}

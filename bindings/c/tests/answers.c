/* The four decisions, and what the client is answered in place of a body. */
#include "abi.h"

struct answer {
    uint16_t http_status;
    uint32_t retry_after;
    const char *content_type;
    struct got body;
};

static struct answer answer_of(poolscope_opened *opened)
{
    struct answer answer = {0};
    const uint8_t *body;
    size_t body_len;
    CHECK(poolscope_opened_answer(opened, &answer.http_status, &answer.retry_after, &answer.content_type, &body, &body_len, NULL) ==
          POOLSCOPE_OK);
    got_add(&answer.body, body, body_len);
    return answer;
}

static char *missing_of(poolscope_opened *opened)
{
    poolscope_text *missing;
    CHECK(poolscope_opened_missing(opened, &missing, NULL) == POOLSCOPE_OK);
    char *copy = malloc(poolscope_text_len(missing) + 1);
    memcpy(copy, poolscope_text_data(missing), poolscope_text_len(missing) + 1);
    poolscope_text_free(missing);
    return copy;
}

static void before_the_facts_are_known_the_answer_is_503(void)
{
    poolscope_cluster *cluster = empty_cluster("{}");
    poolscope_node *node = node_of(cluster, "hz-1");
    CHECK(!poolscope_node_is_ready(node));
    poolscope_opened *opened = open_json(node, SLICES);
    CHECK(poolscope_opened_what(opened) == POOLSCOPE_NOT_READY);
    CHECK(poolscope_opened_take_stream(opened) == NULL);
    struct answer answer = answer_of(opened);
    CHECK(answer.http_status == 503 && answer.retry_after > 0);
    CHECK(strcmp(answer.content_type, JSON) == 0);
    CHECK(has(answer.body.data, "\"kind\":\"Status\"") && has(answer.body.data, "\"code\":503"));
    got_clear(&answer.body);
    char *missing = missing_of(opened);
    CHECK(has(missing, "\"kind\":\"Service\"") && has(missing, "\"path\":\"/api/v1/nodes/hz-1\"") && has(missing, "\"known\":null"));
    free(missing);
    poolscope_opened_free(opened);
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
}

static void a_client_of_protobuf_is_answered_in_protobuf(void)
{
    poolscope_cluster *cluster = empty_cluster("{}");
    poolscope_node *node = node_of(cluster, "hz-1");
    poolscope_request *request = get(SLICES);
    const char *protobuf = "application/vnd.kubernetes.protobuf";
    CHECK(poolscope_request_add_header(request, "Accept", 6, protobuf, strlen(protobuf), NULL) == POOLSCOPE_OK);
    poolscope_head *head = head_of(200, protobuf);
    poolscope_opened *opened;
    CHECK(poolscope_node_open(node, request, head, &opened, NULL) == POOLSCOPE_OK);
    struct answer answer = answer_of(opened);
    CHECK(strcmp(answer.content_type, protobuf) == 0);
    CHECK(answer.body.len > 4 && memcmp(answer.body.data, "k8s\0", 4) == 0); /* a NUL inside: it has a length, it is no string */
    got_clear(&answer.body);
    poolscope_opened_free(opened);
    poolscope_head_free(head);
    poolscope_request_free(request);
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
}

static void a_watch_without_a_past_is_answered_410(void)
{
    poolscope_cluster *cluster = small_cluster("{}");
    poolscope_node *node = node_of(cluster, "hz-1");
    poolscope_opened *opened = open_json(node, SLICES FROM_90);
    CHECK(poolscope_opened_what(opened) == POOLSCOPE_EXPIRED);
    struct answer answer = answer_of(opened);
    CHECK(answer.http_status == 410 && answer.retry_after == 0);
    CHECK(has(answer.body.data, "\"reason\":\"Expired\""));
    got_clear(&answer.body);
    char *missing = missing_of(opened);
    CHECK(strcmp(missing, "[]") == 0);
    free(missing);
    poolscope_opened_free(opened);
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
}

static void other_kinds_pass_through(void)
{
    poolscope_cluster *cluster = empty_cluster("{}");
    poolscope_node *node = node_of(cluster, "hz-1");
    poolscope_opened *opened = open_json(node, "/api/v1/configmaps");
    CHECK(poolscope_opened_what(opened) == POOLSCOPE_PASS_THROUGH);
    CHECK(poolscope_opened_take_stream(opened) == NULL);
    poolscope_opened_free(opened);
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
}

static void a_response_that_goes_on_has_no_answer(void)
{
    poolscope_cluster *cluster = small_cluster("{}");
    poolscope_node *node = node_of(cluster, "hz-1");
    poolscope_opened *opened = open_json(node, SLICES);
    uint16_t http_status = 1;
    uint32_t retry_after = 1;
    const char *content_type = "";
    const uint8_t *body = (const uint8_t *)"";
    size_t body_len = 1;
    poolscope_error *error;
    CHECK_FAILS(POOLSCOPE_INVALID_ARGUMENT,
                poolscope_opened_answer(opened, &http_status, &retry_after, &content_type, &body, &body_len, &error));
    CHECK(http_status == 0 && retry_after == 0 && content_type == NULL && body == NULL && body_len == 0);
    check_error(error, "`opened`");
    poolscope_opened_free(opened);
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
}

/* Whether the request has a header, with that value if it is not NULL. */
static bool has_header(poolscope_request *request, const char *name, const char *value)
{
    for (size_t index = 0; index < poolscope_request_header_count(request); index++) {
        const char *key, *text;
        size_t key_len, text_len;
        CHECK(poolscope_request_header(request, index, &key, &key_len, &text, &text_len, NULL) == POOLSCOPE_OK);
        if (key_len == strlen(name) && memcmp(key, name, key_len) == 0)
            return value == NULL || (text_len == strlen(value) && memcmp(text, value, text_len) == 0);
    }
    return false;
}

static void a_prepared_request_asks_for_what_can_be_read(void)
{
    poolscope_cluster *cluster = empty_cluster("{}");
    poolscope_node *node = node_of(cluster, "hz-1");
    poolscope_request *request = get(SLICES);
    const char *const headers[][2] = {{"Accept", "application/cbor,application/json"},
                                      {"Accept-Encoding", "gzip"},
                                      {"Range", "bytes=0-9"},
                                      {"User-Agent", "test"}};
    for (size_t at = 0; at < sizeof headers / sizeof *headers; at++)
        CHECK(poolscope_request_add_header(request, headers[at][0], strlen(headers[at][0]), headers[at][1], strlen(headers[at][1]),
                                           NULL) == POOLSCOPE_OK);
    CHECK(poolscope_request_header_count(request) == 4);
    CHECK(poolscope_node_prepare(node, request, NULL) == POOLSCOPE_OK);
    CHECK(poolscope_request_header_count(request) == 2);
    CHECK(has_header(request, "Accept", "application/json") && has_header(request, "User-Agent", "test"));
    CHECK(!has_header(request, "Accept-Encoding", NULL) && !has_header(request, "Range", NULL));

    const char *name = "", *value = "";
    size_t name_len = 1, value_len = 1;
    poolscope_error *error;
    CHECK_FAILS(POOLSCOPE_INVALID_ARGUMENT, poolscope_request_header(request, 2, &name, &name_len, &value, &value_len, &error));
    CHECK(name == NULL && value == NULL && name_len == 0 && value_len == 0);
    check_error(error, "`index`");
    poolscope_request_free(request);
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
}

static void texts_need_no_nul(void)
{
    const char *config = "{}garbage", *name = "hz-1hz", *target = SLICES "?limit=5trailing", *type = "application/jsonx";
    poolscope_cluster *cluster;
    poolscope_node *node;
    poolscope_request *request;
    poolscope_head *head;
    poolscope_opened *opened;
    poolscope_text *description;
    CHECK(poolscope_cluster_new(config, 2, &cluster, NULL) == POOLSCOPE_OK);
    CHECK(poolscope_cluster_node(cluster, name, 4, &node, NULL) == POOLSCOPE_OK);
    CHECK(poolscope_node_describe(node, &description, NULL) == POOLSCOPE_OK);
    CHECK(has(poolscope_text_data(description), "\"name\":\"hz-1\""));
    CHECK(poolscope_request_new("GETS", 3, target, strlen(SLICES), &request, NULL) == POOLSCOPE_OK);
    CHECK(poolscope_head_new(200, &head, NULL) == POOLSCOPE_OK);
    CHECK(poolscope_head_add_header(head, "content-type:", 12, type, strlen(type) - 1, NULL) == POOLSCOPE_OK);
    CHECK(poolscope_node_open(node, request, head, &opened, NULL) == POOLSCOPE_OK);
    CHECK(poolscope_opened_what(opened) == POOLSCOPE_NOT_READY);
    poolscope_opened_free(opened);
    poolscope_head_free(head);
    poolscope_request_free(request);
    poolscope_text_free(description);
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
}

void test_answers(void)
{
    before_the_facts_are_known_the_answer_is_503();
    a_client_of_protobuf_is_answered_in_protobuf();
    a_watch_without_a_past_is_answered_410();
    other_kinds_pass_through();
    a_response_that_goes_on_has_no_answer();
    a_prepared_request_asks_for_what_can_be_read();
    texts_need_no_nul();
}

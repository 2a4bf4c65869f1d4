/* The three actions, replies in place of a body, and prepared requests. */
#include "abi.h"

static void before_the_facts_are_known_the_reply_is_503(void)
{
    poolscope_cluster *cluster = empty_cluster("{}");
    poolscope_node *node = node_of(cluster, "hz-1");
    CHECK(!poolscope_node_is_ready(node));
    struct opened opened = open_json(node, SLICES);
    CHECK(opened.action == POOLSCOPE_ACTION_REPLY);
    poolscope_node_free(node);
    poolscope_cluster_free(cluster); /* the reply needs neither */
    const poolscope_reply *reply = opened.reply;
    CHECK(reply->http_status == 503 && reply->retry_after > 0);
    CHECK(reply->cause == POOLSCOPE_CAUSE_MISSING_FACTS);
    CHECK(strcmp(reply->content_type, JSON) == 0);
    struct got body = {0};
    got_add(&body, reply->body, reply->body_len);
    CHECK(has(body.data, "\"kind\":\"Status\"") && has(body.data, "\"code\":503"));
    got_clear(&body);
    CHECK(has(reply->missing, "\"kind\":\"Service\"") && has(reply->missing, "\"known\":null"));
    CHECK(has(reply->missing, "\"path\":\"/api/v1/nodes/hz-1\""));
    free_opened(&opened);
}

static void a_client_of_protobuf_gets_a_reply_in_protobuf(void)
{
    poolscope_cluster *cluster = empty_cluster("{}");
    poolscope_node *node = node_of(cluster, "hz-1");
    const char *protobuf = "application/vnd.kubernetes.protobuf";
    const poolscope_header accept = HEADER("Accept", protobuf);
    struct opened opened;
    CHECK(poolscope_node_open(node, GET_WITH(SLICES, &accept, 1), RESPONSE(200, protobuf),
                              &opened.action, &opened.stream, &opened.reply, NULL) == POOLSCOPE_OK);
    CHECK(opened.reply != NULL && strcmp(opened.reply->content_type, protobuf) == 0);
    /* A NUL inside: the body has a length, it is not a string. */
    CHECK(opened.reply->body_len > 4 && memcmp(opened.reply->body, "k8s\0", 4) == 0);
    free_opened(&opened);
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
}

static void a_watch_at_an_unknown_version_gets_410(void)
{
    poolscope_cluster *cluster = small_cluster("{}");
    poolscope_node *node = node_of(cluster, "hz-1");
    struct opened opened = open_json(node, SLICES FROM_90);
    CHECK(opened.action == POOLSCOPE_ACTION_REPLY);
    const poolscope_reply *reply = opened.reply;
    CHECK(reply->http_status == 410 && reply->retry_after == 0);
    CHECK(reply->cause == POOLSCOPE_CAUSE_UNKNOWN_RESOURCE_VERSION);
    CHECK(strcmp(reply->missing, "[]") == 0);
    struct got body = {0};
    got_add(&body, reply->body, reply->body_len);
    CHECK(has(body.data, "\"reason\":\"Expired\""));
    got_clear(&body);
    free_opened(&opened);
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
}

static void other_kinds_are_forwarded(void)
{
    poolscope_cluster *cluster = empty_cluster("{}");
    poolscope_node *node = node_of(cluster, "hz-1");
    struct opened opened = open_json(node, "/api/v1/configmaps");
    CHECK(opened.action == POOLSCOPE_ACTION_FORWARD);
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
}

/* Whether the request has a header, with that value if it is not NULL. */
static bool has_header(const poolscope_headers *headers, const char *name, const char *value)
{
    for (size_t index = 0; index < headers->count; index++) {
        const poolscope_header *header = &headers->data[index];
        if (header->name_len == strlen(name) && strcmp(header->name, name) == 0)
            return value == NULL ||
                   (header->value_len == strlen(value) && strcmp(header->value, value) == 0);
    }
    return false;
}

static void a_prepared_request_accepts_only_readable_responses(void)
{
    poolscope_cluster *cluster = empty_cluster("{}");
    poolscope_node *node = node_of(cluster, "hz-1");
    const poolscope_header headers[] = {
        HEADER("Accept", "application/cbor,application/json"),
        HEADER("Accept-Encoding", "gzip"),
        HEADER("Range", "bytes=0-9"),
        HEADER("User-Agent", "test"),
    };
    poolscope_headers *prepared;
    CHECK(poolscope_node_prepare(node, GET_WITH(SLICES, headers, 4), &prepared, NULL) ==
          POOLSCOPE_OK);
    CHECK(prepared->count == 2);
    CHECK(has_header(prepared, "Accept", "application/json") &&
          has_header(prepared, "User-Agent", "test"));
    CHECK(!has_header(prepared, "Accept-Encoding", NULL) && !has_header(prepared, "Range", NULL));
    poolscope_headers_free(prepared);
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
}

static void texts_need_no_nul(void)
{
    const char *config = "{}garbage", *name = "hz-1hz", *target = SLICES "?limit=5trailing",
               *type = "application/jsonx";
    poolscope_cluster *cluster;
    poolscope_node *node;
    poolscope_text *description;
    CHECK(poolscope_cluster_new(config, 2, &cluster, NULL) == POOLSCOPE_OK);
    CHECK(poolscope_cluster_node(cluster, name, 4, &node, NULL) == POOLSCOPE_OK);
    CHECK(poolscope_node_describe(node, &description, NULL) == POOLSCOPE_OK);
    CHECK(has(poolscope_text_data(description), "\"name\":\"hz-1\""));
    const poolscope_request request = {"GETS", 3, target, strlen(SLICES), NULL, 0};
    const poolscope_header header = {"content-type:", 12, type, strlen(type) - 1};
    struct opened opened;
    CHECK(poolscope_node_open(node, &request, RESPONSE_WITH(200, &header, 1), &opened.action,
                              &opened.stream, &opened.reply, NULL) == POOLSCOPE_OK);
    CHECK(opened.action == POOLSCOPE_ACTION_REPLY);
    free_opened(&opened);
    poolscope_text_free(description);
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
}

void test_replies(void)
{
    before_the_facts_are_known_the_reply_is_503();
    a_client_of_protobuf_gets_a_reply_in_protobuf();
    a_watch_at_an_unknown_version_gets_410();
    other_kinds_are_forwarded();
    a_prepared_request_accepts_only_readable_responses();
    texts_need_no_nul();
}

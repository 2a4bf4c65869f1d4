#include "support.h"

#include <stdatomic.h>
#include <stdio.h>

static atomic_int checks_failed;

void check_failed(const char *file, int line, const char *expression)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, expression);
    atomic_fetch_add(&checks_failed, 1);
}

int checks_result(void)
{
    return atomic_load(&checks_failed) == 0 ? 0 : 1;
}

bool has(const char *text, const char *part)
{
    return text != NULL && part != NULL && strstr(text, part) != NULL;
}

void got_add(struct got *got, const uint8_t *data, size_t len)
{
    char *longer = realloc(got->data, got->len + len + 1);
    if (longer == NULL)
        abort();
    if (len > 0)
        memcpy(longer + got->len, data, len);
    got->data = longer;
    got->len += len;
    got->data[got->len] = '\0';
}

void got_clear(struct got *got)
{
    free(got->data);
    *got = (struct got){0};
}

poolscope_request *get(const char *target)
{
    poolscope_request *request;
    CHECK(poolscope_request_new("GET", 3, target, strlen(target), &request, NULL) == POOLSCOPE_OK);
    return request;
}

poolscope_head *head_of(uint16_t http_status, const char *content_type)
{
    poolscope_head *head;
    CHECK(poolscope_head_new(http_status, &head, NULL) == POOLSCOPE_OK);
    if (content_type != NULL)
        CHECK(poolscope_head_add_header(head, "Content-Type", 12, content_type, strlen(content_type), NULL) == POOLSCOPE_OK);
    return head;
}

void check_error(poolscope_error *error, const char *part)
{
    const char *message = poolscope_error_message(error);
    if (!has(message, part))
        fprintf(stderr, "no \"%s\" in: %s\n", part, message);
    CHECK(has(message, part));
    poolscope_error_free(error);
}

poolscope_cluster *empty_cluster(const char *config)
{
    poolscope_cluster *cluster;
    CHECK(poolscope_cluster_new(config, strlen(config), &cluster, NULL) == POOLSCOPE_OK);
    return cluster;
}

poolscope_cluster *small_cluster(const char *config)
{
    poolscope_cluster *cluster = empty_cluster(config);
    teach(cluster, SERVICES,
          "{\"kind\":\"ServiceList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"90\"},\"items\":["
          "{\"metadata\":{\"name\":\"cart\",\"namespace\":\"shop\",\"resourceVersion\":\"10\",\"annotations\":{" ASKS_FOR_POOL "}}},"
          "{\"metadata\":{\"name\":\"web\",\"namespace\":\"shop\",\"resourceVersion\":\"11\"}}]}");
    teach(cluster, NODES,
          "{\"kind\":\"NodeList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"90\"},\"items\":["
          "{\"metadata\":{\"name\":\"hz-1\",\"labels\":{\"apps.openyurt.io/nodepool\":\"hangzhou\"},\"resourceVersion\":\"20\"}},"
          "{\"metadata\":{\"name\":\"hz-2\",\"labels\":{\"apps.openyurt.io/nodepool\":\"hangzhou\"},\"resourceVersion\":\"21\"}},"
          "{\"metadata\":{\"name\":\"sh-1\",\"labels\":{\"apps.openyurt.io/nodepool\":\"shanghai\"},\"resourceVersion\":\"22\"}}]}");
    teach(cluster, NODEPOOLS,
          "{\"kind\":\"NodePoolList\",\"apiVersion\":\"apps.openyurt.io/v1beta2\",\"metadata\":{\"resourceVersion\":\"90\"},\"items\":["
          "{\"metadata\":{\"name\":\"hangzhou\",\"resourceVersion\":\"30\"},\"status\":{\"nodes\":[\"hz-1\",\"hz-2\"]}},"
          "{\"metadata\":{\"name\":\"shanghai\",\"resourceVersion\":\"31\"},\"status\":{\"nodes\":[\"sh-1\"]}}]}");
    return cluster;
}

poolscope_node *node_of(const poolscope_cluster *cluster, const char *name)
{
    poolscope_node *node;
    CHECK(poolscope_cluster_node(cluster, name, strlen(name), &node, NULL) == POOLSCOPE_OK);
    return node;
}

poolscope_feed *feed_of(const poolscope_cluster *cluster, const char *target)
{
    poolscope_request *request = get(target);
    poolscope_head *head = head_of(200, JSON);
    poolscope_feed *feed;
    CHECK(poolscope_cluster_feed(cluster, request, head, &feed, NULL) == POOLSCOPE_OK);
    poolscope_request_free(request);
    poolscope_head_free(head);
    return feed;
}

void feed(poolscope_feed *feed, const char *body)
{
    CHECK(poolscope_feed_push(feed, (const uint8_t *)body, strlen(body), NULL) == POOLSCOPE_OK);
}

void teach(const poolscope_cluster *cluster, const char *target, const char *body)
{
    poolscope_feed *whole = feed_of(cluster, target);
    feed(whole, body);
    CHECK(poolscope_feed_finish(whole, NULL) == POOLSCOPE_OK);
    poolscope_feed_free(whole);
}

poolscope_opened *open_json(const poolscope_node *node, const char *target)
{
    poolscope_request *request = get(target);
    poolscope_head *head = head_of(200, JSON);
    poolscope_opened *opened;
    CHECK(poolscope_node_open(node, request, head, &opened, NULL) == POOLSCOPE_OK);
    poolscope_request_free(request);
    poolscope_head_free(head);
    return opened;
}

poolscope_stream *stream_of(const poolscope_node *node, const char *target)
{
    poolscope_opened *opened = open_json(node, target);
    CHECK(poolscope_opened_what(opened) == POOLSCOPE_REWRITE);
    poolscope_stream *stream = poolscope_opened_take_stream(opened);
    CHECK(stream != NULL);
    poolscope_opened_free(opened);
    return stream;
}

poolscope_stream *followed(const poolscope_node *node)
{
    struct got got = {0};
    poolscope_stream *list = stream_of(node, SLICES);
    push(list, SLICE_LIST, &got);
    finish(list, &got);
    poolscope_stream_free(list);
    got_clear(&got);
    return stream_of(node, SLICES FROM_90);
}

void push(poolscope_stream *stream, const char *data, struct got *got)
{
    const uint8_t *out;
    size_t out_len;
    CHECK(poolscope_stream_push(stream, (const uint8_t *)data, strlen(data), &out, &out_len, NULL) == POOLSCOPE_OK);
    got_add(got, out, out_len);
}

void refresh(poolscope_stream *stream, struct got *got)
{
    const uint8_t *out;
    size_t out_len;
    CHECK(poolscope_stream_refresh(stream, &out, &out_len, NULL) == POOLSCOPE_OK);
    got_add(got, out, out_len);
}

void finish(poolscope_stream *stream, struct got *got)
{
    const uint8_t *out;
    size_t out_len;
    CHECK(poolscope_stream_finish(stream, &out, &out_len, NULL) == POOLSCOPE_OK);
    got_add(got, out, out_len);
}

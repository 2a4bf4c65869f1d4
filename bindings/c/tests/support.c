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
    read_body(
        cluster, SERVICES,
        "{\"kind\":\"ServiceList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"90\"},"
        "\"items\":["
        "{\"metadata\":{\"name\":\"cart\",\"namespace\":\"shop\",\"resourceVersion\":\"10\","
        "\"annotations\":{" ASKS_FOR_POOL "}}},"
        "{\"metadata\":{\"name\":\"web\",\"namespace\":\"shop\",\"resourceVersion\":\"11\"}}]}");
    read_body(cluster, NODES,
              "{\"kind\":\"NodeList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":"
              "\"90\"},\"items\":["
              "{\"metadata\":{\"name\":\"hz-1\",\"labels\":{\"apps.openyurt.io/"
              "nodepool\":\"hangzhou\"},\"resourceVersion\":\"20\"}},"
              "{\"metadata\":{\"name\":\"hz-2\",\"labels\":{\"apps.openyurt.io/"
              "nodepool\":\"hangzhou\"},\"resourceVersion\":\"21\"}},"
              "{\"metadata\":{\"name\":\"sh-1\",\"labels\":{\"apps.openyurt.io/"
              "nodepool\":\"shanghai\"},\"resourceVersion\":\"22\"}}]}");
    read_body(cluster, NODEPOOLS,
              "{\"kind\":\"NodePoolList\",\"apiVersion\":\"apps.openyurt.io/"
              "v1beta2\",\"metadata\":{\"resourceVersion\":\"90\"},\"items\":["
              "{\"metadata\":{\"name\":\"hangzhou\",\"resourceVersion\":\"30\"},\"status\":{"
              "\"nodes\":[\"hz-1\",\"hz-2\"]}},"
              "{\"metadata\":{\"name\":\"shanghai\",\"resourceVersion\":\"31\"},\"status\":{"
              "\"nodes\":[\"sh-1\"]}}]}");
    return cluster;
}

poolscope_node *node_of(const poolscope_cluster *cluster, const char *name)
{
    poolscope_node *node;
    CHECK(poolscope_cluster_node(cluster, name, strlen(name), &node, NULL) == POOLSCOPE_OK);
    return node;
}

poolscope_fact_reader *reader_of(const poolscope_cluster *cluster, const char *target)
{
    poolscope_fact_reader *reader;
    CHECK(poolscope_cluster_read_facts(cluster, GET(target), RESPONSE(200, JSON), &reader, NULL) ==
          POOLSCOPE_OK);
    return reader;
}

void read_facts(poolscope_fact_reader *reader, const char *body)
{
    CHECK(poolscope_fact_reader_push(reader, (const uint8_t *)body, strlen(body), NULL) ==
          POOLSCOPE_OK);
}

void read_body(const poolscope_cluster *cluster, const char *target, const char *body)
{
    poolscope_fact_reader *whole = reader_of(cluster, target);
    read_facts(whole, body);
    CHECK(poolscope_fact_reader_finish(whole, NULL) == POOLSCOPE_OK);
    poolscope_fact_reader_free(whole);
}

struct opened open_json(const poolscope_node *node, const char *target)
{
    struct opened opened;
    CHECK(poolscope_node_open(node, GET(target), RESPONSE(200, JSON), &opened.action,
                              &opened.stream, &opened.reply, NULL) == POOLSCOPE_OK);
    CHECK((opened.stream != NULL) == (opened.action == POOLSCOPE_ACTION_REWRITE));
    CHECK((opened.reply != NULL) == (opened.action == POOLSCOPE_ACTION_REPLY));
    return opened;
}

void free_opened(struct opened *opened)
{
    poolscope_stream_free(opened->stream);
    poolscope_reply_free(opened->reply);
    *opened = (struct opened){0};
}

poolscope_stream *stream_of(const poolscope_node *node, const char *target)
{
    struct opened opened = open_json(node, target);
    CHECK(opened.action == POOLSCOPE_ACTION_REWRITE);
    return opened.stream;
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
    CHECK(poolscope_stream_push(stream, (const uint8_t *)data, strlen(data), &out, &out_len,
                                NULL) == POOLSCOPE_OK);
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

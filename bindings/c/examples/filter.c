/*
 * filter [-c CONFIG_FILE] NODE [TARGET FILE]... TARGET FILE
 *
 * Prints the last FILE, a response body of the API server, as the proxy on NODE gets it. The pairs
 * before it are the facts: bodies of Services, Nodes and NodePools. TARGET is the path and query of
 * the request for the body. For instance:
 *
 *     filter hz-edge-1 /api/v1/services services-json.json /api/v1/nodes nodes-json.json \
 *         /apis/apps.openyurt.io/v1beta2/nodepools nodepools-json.json \
 *         /apis/discovery.k8s.io/v1/endpointslices endpointslices-json.json
 *
 * Exit status: 0; 1 if there is no whole filtered body; 2 for wrong arguments.
 *
 * A proxy uses sockets in place of files and poolscope_node_open() in place of
 * poolscope_node_open_stateless(). It calls poolscope_stream_refresh() whenever facts changed.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "poolscope.h"

enum { OK = 0, FAILED = 1, USAGE = 2 };

/* Bodies are pushed in pieces of this size, split anywhere, as they arrive from a socket. */
static uint8_t chunk[16 * 1024];

/* Prints an error and frees it. */
static int failed(const char *what, poolscope_error *error)
{
    fprintf(stderr, "filter: %s: %s\n", what, poolscope_error_message(error));
    if (poolscope_error_offset(error) != POOLSCOPE_NO_OFFSET)
        fprintf(stderr, "  at byte %" PRIu64 "\n", poolscope_error_offset(error));
    if (poolscope_error_object(error) != NULL)
        fprintf(stderr, "  in object %s\n", poolscope_error_object(error));
    poolscope_error_free(error);
    return FAILED;
}

static int failed_io(const char *what)
{
    perror(what);
    return FAILED;
}

static bool is_watch(const char *target)
{
    for (const char *at = strchr(target, '?'); at != NULL; at = strchr(at, '&')) {
        size_t len = strcspn(++at, "&");
        if ((len == 10 && memcmp(at, "watch=true", len) == 0) ||
            (len == 7 && memcmp(at, "watch=1", len) == 0))
            return true;
    }
    return false;
}

/* The API server's Content-Type, from the name of the file. */
static const char *content_type(const char *target, const char *path)
{
    const char *suffix = strrchr(path, '.');
    if (suffix == NULL || strcmp(suffix, ".pb") != 0)
        return "application/json";
    return is_watch(target) ? "application/vnd.kubernetes.protobuf;stream=watch"
                            : "application/vnd.kubernetes.protobuf";
}

static int read_facts_from(poolscope_fact_reader *reader, const char *path, FILE *file)
{
    poolscope_error *error;
    size_t len;
    while ((len = fread(chunk, 1, sizeof chunk, file)) > 0)
        if (poolscope_fact_reader_push(reader, chunk, len, &error) != POOLSCOPE_OK)
            return failed(path, error);
    if (ferror(file))
        return failed_io(path);
    /* The facts of a list are complete only at its end: do not forget to finish. */
    return poolscope_fact_reader_finish(reader, &error) == POOLSCOPE_OK ? OK : failed(path, error);
}

static int read_facts(const poolscope_cluster *cluster, const char *target, const char *path)
{
    const char *type = content_type(target, path);
    const poolscope_header header = {"Content-Type", 12, type, strlen(type)};
    const poolscope_request request = {"GET", 3, target, strlen(target), NULL, 0};
    const poolscope_response response = {200, &header, 1};
    poolscope_fact_reader *reader;
    poolscope_error *error;
    if (poolscope_cluster_read_facts(cluster, &request, &response, &reader, &error) != POOLSCOPE_OK)
        return failed(target, error);

    FILE *file = fopen(path, "rb");
    int result = file != NULL ? read_facts_from(reader, path, file) : failed_io(path);
    if (file != NULL)
        fclose(file);
    poolscope_fact_reader_free(reader);
    return result;
}

static bool put(const uint8_t *data, size_t len)
{
    return fwrite(data, 1, len, stdout) == len;
}

/* POOLSCOPE_ACTION_REWRITE: the bytes that the stream returns are the body. */
static int rewrite(poolscope_stream *stream, const char *path, FILE *file)
{
    const uint8_t *out; /* the stream owns them until the next call on it */
    size_t out_len, len;
    poolscope_error *error;
    /* A watch may end itself with an ERROR event. The client reads nothing after it. */
    while (!poolscope_stream_get_state(stream).is_ended &&
           (len = fread(chunk, 1, sizeof chunk, file)) > 0) {
        poolscope_status status = poolscope_stream_push(stream, chunk, len, &out, &out_len, &error);
        /* A failed call returns bytes too: whole objects from before the fault. */
        bool written = put(out, out_len);
        if (status != POOLSCOPE_OK)
            return failed(path, error);
        if (!written)
            return failed_io("standard output");
    }
    if (ferror(file))
        return failed_io(path);
    poolscope_status status = poolscope_stream_finish(stream, &out, &out_len, &error);
    bool written = put(out, out_len);
    if (status != POOLSCOPE_OK)
        return failed(path, error);
    poolscope_stream_state state = poolscope_stream_get_state(stream);
    fprintf(stderr, "%" PRIu64 " bytes in, %" PRIu64 " bytes out\n", state.bytes_in,
            state.bytes_out);
    return written ? OK : failed_io("standard output");
}

/* POOLSCOPE_ACTION_FORWARD: the body as it is. */
static int copy(const char *path, FILE *file)
{
    uint64_t total = 0;
    size_t len;
    for (; (len = fread(chunk, 1, sizeof chunk, file)) > 0; total += len)
        if (!put(chunk, len))
            return failed_io("standard output");
    if (ferror(file))
        return failed_io(path);
    fprintf(stderr, "%" PRIu64 " bytes in, as many out: nothing in it to filter\n", total);
    return OK;
}

/* POOLSCOPE_ACTION_REPLY: the client gets this in place of the response. */
static int send_reply(const poolscope_reply *reply)
{
    put(reply->body, reply->body_len);
    fprintf(stderr, "HTTP status %u, Content-Type: %s", (unsigned)reply->http_status,
            reply->content_type);
    if (reply->retry_after > 0)
        fprintf(stderr, ", Retry-After: %" PRIu32, reply->retry_after);
    fprintf(stderr, "\nmissing: %s\n", reply->missing);
    return FAILED;
}

static int filter(const poolscope_node *node, const char *target, const char *path)
{
    const char *type = content_type(target, path);
    const poolscope_header header = {"Content-Type", 12, type, strlen(type)};
    const poolscope_request request = {"GET", 3, target, strlen(target), NULL, 0};
    const poolscope_response response = {200, &header, 1};
    poolscope_action action;
    poolscope_stream *stream;
    poolscope_reply *reply;
    poolscope_error *error;
    if (poolscope_node_open_stateless(node, &request, &response, &action, &stream, &reply,
                                      &error) != POOLSCOPE_OK)
        return failed(target, error); /* a proxy replies 502 and forwards nothing */

    int result = FAILED;
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        failed_io(path);
    else if (action == POOLSCOPE_ACTION_FORWARD)
        result = copy(path, file);
    else if (action == POOLSCOPE_ACTION_REWRITE)
        result = rewrite(stream, path, file);
    else
        result = send_reply(reply);
    if (file != NULL)
        fclose(file);
    poolscope_stream_free(stream);
    poolscope_reply_free(reply);
    if (fflush(stdout) != 0)
        result = failed_io("standard output");
    return result;
}

static int print_counters(const poolscope_cluster *cluster)
{
    poolscope_text *counters;
    poolscope_error *error;
    if (poolscope_cluster_counters(cluster, &counters, &error) != POOLSCOPE_OK)
        return failed("counters", error);
    fprintf(stderr, "%s\n", poolscope_text_data(counters));
    poolscope_text_free(counters);
    return OK;
}

/* The configuration document; `{}` without a file. */
static poolscope_cluster *make_cluster(const char *path)
{
    static char config[64 * 1024] = "{}";
    size_t len = 2;
    if (path != NULL) {
        FILE *file = fopen(path, "rb");
        if (file == NULL) {
            failed_io(path);
            return NULL;
        }
        len = fread(config, 1, sizeof config, file);
        fclose(file);
    }
    poolscope_cluster *cluster;
    poolscope_error *error;
    if (poolscope_cluster_new(config, len, &cluster, &error) != POOLSCOPE_OK)
        failed(path != NULL ? path : "{}", error);
    return cluster; /* NULL after a failure */
}

int main(int argc, char **argv)
{
    const char *config = NULL;
    char **next = argv + 1, **end = argv + argc;
    if (end - next >= 2 && strcmp(next[0], "-c") == 0) {
        config = next[1];
        next += 2;
    }
    if (end - next < 3 || (end - next) % 2 == 0) {
        fprintf(stderr, "usage: filter [-c CONFIG_FILE] NODE [TARGET FILE]... TARGET FILE\n");
        return USAGE;
    }
    const char *name = *next++;

    poolscope_cluster *cluster = make_cluster(config);
    int result = cluster != NULL ? OK : FAILED;
    for (; result == OK && end - next > 2; next += 2)
        result = read_facts(cluster, next[0], next[1]);

    poolscope_node *node = NULL;
    poolscope_error *error;
    if (result == OK &&
        poolscope_cluster_node(cluster, name, strlen(name), &node, &error) != POOLSCOPE_OK)
        result = failed(name, error);
    if (result == OK) {
        result = filter(node, next[0], next[1]);
        print_counters(cluster);
    }
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
    return result;
}

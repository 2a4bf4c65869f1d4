/*
 * filter [-c CONFIG_FILE] NODE [TARGET FILE]... TARGET FILE
 *
 * Prints the last FILE, a response body of the API server, as the proxy on NODE gets it. The pairs before it are the facts:
 * bodies of Services, Nodes and NodePools. TARGET is what was asked for to get a body: path and query. For instance:
 *
 *     filter hz-edge-1 /api/v1/services services-json.json /api/v1/nodes nodes-json.json \
 *         /apis/apps.openyurt.io/v1beta2/nodepools nodepools-json.json \
 *         /apis/discovery.k8s.io/v1/endpointslices endpointslices-json.json
 *
 * Exit status: 0; 1 if there is no whole filtered body; 2 if it was called wrongly.
 *
 * A proxy does the same with sockets in place of files, with poolscope_node_open() in place of poolscope_node_open_alone(),
 * and calls poolscope_stream_refresh() whenever poolscope_cluster_generation() moves.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "poolscope.h"

enum { OK = 0, FAILED = 1, USAGE = 2 };

/* Bodies go through in pieces of this size, cut anywhere, as they come from a socket. */
static uint8_t chunk[16 * 1024];

/* Says what went wrong, and frees the error: whoever gets an error object owns it. */
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
        if ((len == 10 && memcmp(at, "watch=true", len) == 0) || (len == 7 && memcmp(at, "watch=1", len) == 0))
            return true;
    }
    return false;
}

/* What the API server said it sent. Here only the file's name is left of that. */
static const char *content_type(const char *target, const char *path)
{
    const char *suffix = strrchr(path, '.');
    if (suffix == NULL || strcmp(suffix, ".pb") != 0)
        return "application/json";
    return is_watch(target) ? "application/vnd.kubernetes.protobuf;stream=watch" : "application/vnd.kubernetes.protobuf";
}

/* A request and the head of its response. The caller frees both, also where this fails: then they are NULL or half made. */
static poolscope_status exchange(const char *target, const char *path, poolscope_request **request, poolscope_head **head,
                                 poolscope_error **error)
{
    const char *type = content_type(target, path);
    poolscope_status status = poolscope_request_new("GET", 3, target, strlen(target), request, error);
    if (status == POOLSCOPE_OK)
        status = poolscope_head_new(200, head, error);
    if (status == POOLSCOPE_OK)
        status = poolscope_head_add_header(*head, "Content-Type", 12, type, strlen(type), error);
    return status;
}

static int teach_from(poolscope_feed *feed, const char *path, FILE *file)
{
    poolscope_error *error;
    size_t len;
    while ((len = fread(chunk, 1, sizeof chunk, file)) > 0)
        if (poolscope_feed_push(feed, chunk, len, &error) != POOLSCOPE_OK)
            return failed(path, error);
    if (ferror(file))
        return failed_io(path);
    /* A list teaches when it is known to be whole: do not forget the end. */
    return poolscope_feed_finish(feed, &error) == POOLSCOPE_OK ? OK : failed(path, error);
}

static int teach(const poolscope_cluster *cluster, const char *target, const char *path)
{
    poolscope_request *request = NULL;
    poolscope_head *head = NULL;
    poolscope_feed *feed = NULL;
    poolscope_error *error;
    poolscope_status status = exchange(target, path, &request, &head, &error);
    if (status == POOLSCOPE_OK)
        status = poolscope_cluster_feed(cluster, request, head, &feed, &error);
    /* The feed has read what it needs of these, and freeing NULL does nothing, so there is one way out for all. */
    poolscope_request_free(request);
    poolscope_head_free(head);
    if (status != POOLSCOPE_OK)
        return failed(target, error);

    FILE *file = fopen(path, "rb");
    int result = file != NULL ? teach_from(feed, path, file) : failed_io(path);
    if (file != NULL)
        fclose(file);
    poolscope_feed_free(feed);
    return result;
}

static bool put(const uint8_t *data, size_t len)
{
    return fwrite(data, 1, len, stdout) == len;
}

/* POOLSCOPE_REWRITE: what the stream gives out is the body. */
static int rewrite(poolscope_stream *stream, const char *path, FILE *file)
{
    const uint8_t *out; /* the stream's own, and valid until the next call on it: written before that */
    size_t out_len, len;
    poolscope_error *error;
    /* A watch may end itself with an ERROR event; what comes behind that is nothing to the client. */
    while (!poolscope_stream_is_over(stream) && (len = fread(chunk, 1, sizeof chunk, file)) > 0) {
        poolscope_status status = poolscope_stream_push(stream, chunk, len, &out, &out_len, &error);
        /* Bytes come out of a failed call too: whole objects from before the fault. They are good. */
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
    fprintf(stderr, "%" PRIu64 " bytes in, %" PRIu64 " bytes out\n", poolscope_stream_taken(stream), poolscope_stream_given(stream));
    return written ? OK : failed_io("standard output");
}

/* POOLSCOPE_PASS_THROUGH: the body as it is. */
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

/* POOLSCOPE_NOT_READY and POOLSCOPE_EXPIRED: the client gets this in place of the body. */
static int refuse(poolscope_opened *opened)
{
    uint16_t http_status;
    uint32_t retry_after;
    const char *type;
    const uint8_t *body; /* `opened` owns it */
    size_t body_len;
    poolscope_error *error;
    poolscope_text *missing;
    if (poolscope_opened_answer(opened, &http_status, &retry_after, &type, &body, &body_len, &error) != POOLSCOPE_OK)
        return failed("answer", error);
    put(body, body_len);
    fprintf(stderr, "HTTP status %u, Content-Type: %s", (unsigned)http_status, type);
    if (retry_after > 0)
        fprintf(stderr, ", Retry-After: %" PRIu32, retry_after);
    if (poolscope_opened_missing(opened, &missing, &error) != POOLSCOPE_OK)
        return failed("missing", error);
    fprintf(stderr, "\nmissing: %s\n", poolscope_text_data(missing));
    poolscope_text_free(missing);
    return FAILED;
}

static int filter(const poolscope_node *node, const char *target, const char *path)
{
    poolscope_request *request = NULL;
    poolscope_head *head = NULL;
    poolscope_opened *opened = NULL;
    poolscope_error *error;
    poolscope_status status = exchange(target, path, &request, &head, &error);
    if (status == POOLSCOPE_OK)
        status = poolscope_node_open_alone(node, request, head, &opened, &error);
    poolscope_request_free(request);
    poolscope_head_free(head);
    if (status != POOLSCOPE_OK)
        return failed(target, error); /* a proxy answers 502: a body that cannot be read is never forwarded */

    int result = FAILED;
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        failed_io(path);
    } else {
        switch (poolscope_opened_what(opened)) {
        case POOLSCOPE_PASS_THROUGH:
            result = copy(path, file);
            break;
        case POOLSCOPE_REWRITE: {
            poolscope_stream *stream = poolscope_opened_take_stream(opened); /* ours from here on */
            result = rewrite(stream, path, file);
            poolscope_stream_free(stream);
            break;
        }
        default: /* POOLSCOPE_NOT_READY, POOLSCOPE_EXPIRED and whatever comes later: nothing that may be forwarded */
            result = refuse(opened);
        }
        fclose(file);
    }
    poolscope_opened_free(opened);
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
    return cluster; /* what a failed call should have made is NULL */
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
        result = teach(cluster, next[0], next[1]);

    poolscope_node *node = NULL;
    poolscope_error *error;
    if (result == OK && poolscope_cluster_node(cluster, name, strlen(name), &node, &error) != POOLSCOPE_OK)
        result = failed(name, error);
    if (result == OK) {
        result = filter(node, next[0], next[1]);
        print_counters(cluster);
    }
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
    return result;
}

/*
 * Shared by the tests: a check, a small cluster, and a client that collects its bytes.
 *
 * The cluster: nodes hz-1 and hz-2 in pool hangzhou, sh-1 in pool shanghai. In namespace shop,
 * Service `cart` asks for the pool and `web` asks for nothing; each has one slice with an endpoint
 * on every node. Everything is at resourceVersion 90.
 */
#ifndef POOLSCOPE_TESTS_SUPPORT_H
#define POOLSCOPE_TESTS_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "poolscope.h"

#define SERVICES "/api/v1/services"
#define NODES "/api/v1/nodes"
#define NODEPOOLS "/apis/apps.openyurt.io/v1beta2/nodepools"
#define SLICES "/apis/discovery.k8s.io/v1/endpointslices"
#define FROM_90 "?watch=true&allowWatchBookmarks=true&resourceVersion=90"
#define JSON "application/json"

/* A slice of three endpoints, as list item and as watch event. `version` and `name` are string
 * literals. */
#define SLICE_FIELDS(name, version, service)                                                       \
    "\"metadata\":{\"name\":\"" name "\",\"namespace\":\"shop\",\"resourceVersion\":\"" version    \
    "\","                                                                                          \
    "\"labels\":{\"kubernetes.io/service-name\":\"" service                                        \
    "\"}},\"addressType\":\"IPv4\",\"endpoints\":["                                                \
    "{\"addresses\":[\"10.0.0.1\"],\"nodeName\":\"hz-1\"},{\"addresses\":[\"10.0.0.2\"],"          \
    "\"nodeName\":\"hz-2\"},"                                                                      \
    "{\"addresses\":[\"10.0.0.3\"],\"nodeName\":\"sh-1\"}],\"ports\":[]}"
#define SLICE(name, version, service) "{" SLICE_FIELDS(name, version, service)
#define SLICE_EVENT(type, name, version, service)                                                  \
    "{\"type\":\"" type "\",\"object\":{\"kind\":\"EndpointSlice\",\"apiVersion\":\"discovery."    \
                        "k8s.io/v1\"," SLICE_FIELDS(name, version, service) "}\n"
#define SLICE_LIST_OF(items)                                                                       \
    "{\"kind\":\"EndpointSliceList\",\"apiVersion\":\"discovery.k8s.io/"                           \
    "v1\",\"metadata\":{\"resourceVersion\":\"90\"},"                                              \
    "\"items\":[" items "]}\n"
#define SLICE_LIST SLICE_LIST_OF(SLICE("cart-1", "70", "cart") "," SLICE("web-1", "71", "web"))
#define SLICE_BOOKMARK(version)                                                                    \
    "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"EndpointSlice\",\"apiVersion\":\"discovery."    \
    "k8s.io/v1\","                                                                                 \
    "\"metadata\":{\"resourceVersion\":\"" version "\"}}}\n"
#define SERVICE_EVENT(name, version, annotations)                                                  \
    "{\"type\":\"MODIFIED\",\"object\":{\"kind\":\"Service\",\"metadata\":{\"name\":\"" name       \
    "\",\"namespace\":\"shop\","                                                                   \
    "\"resourceVersion\":\"" version "\",\"annotations\":{" annotations "}}}}\n"
#define ASKS_FOR_POOL "\"openyurt.io/topologyKeys\":\"openyurt.io/nodepool\""

/* Requests and responses, for one call: pointers to literals of the enclosing block. */
#define HEADER(name, value) {(name), strlen(name), (value), strlen(value)}
#define GET_WITH(target, headers, count)                                                           \
    (&(const poolscope_request){"GET", 3, (target), strlen(target), (headers), (count)})
#define GET(target) GET_WITH(target, NULL, 0)
#define RESPONSE_WITH(status, headers, count)                                                      \
    (&(const poolscope_response){(status), (headers), (count)})
#define RESPONSE(status, content_type)                                                             \
    RESPONSE_WITH(status, &(const poolscope_header)HEADER("Content-Type", content_type), 1)

/* Says where a check failed and goes on: what the tests call takes NULL. Any thread may. */
#define CHECK(expression) ((expression) ? (void)0 : check_failed(__FILE__, __LINE__, #expression))

/* The call fails with `status` (the literal name) and an error object that says so. `error` is a
 * variable of the caller. */
#define CHECK_FAILS(status, call)                                                                  \
    do {                                                                                           \
        CHECK((call) == (status));                                                                 \
        CHECK(error != NULL && poolscope_error_status(error) == (status));                         \
    } while (0)

void check_failed(const char *file, int line, const char *expression);
/* What main returns: 0, or 1 if a check failed. */
int checks_result(void);

/* Whether `text` has `part` in it. Neither NULL is a fault. */
bool has(const char *text, const char *part);

/* What a client was given so far, with a NUL behind. Starts as {0}. */
struct got {
    char *data;
    size_t len;
};
void got_add(struct got *got, const uint8_t *data, size_t len);
/* Frees what is there: the next bytes are the first. */
void got_clear(struct got *got);

/* Frees an error after seeing that its message has `part`. */
void check_error(poolscope_error *error, const char *part);

poolscope_cluster *empty_cluster(const char *config);
poolscope_cluster *small_cluster(const char *config);
poolscope_node *node_of(const poolscope_cluster *cluster, const char *name);
/* A fact reader that is open. */
poolscope_fact_reader *reader_of(const poolscope_cluster *cluster, const char *target);
void read_facts(poolscope_fact_reader *reader, const char *body);
/* A whole body. */
void read_body(const poolscope_cluster *cluster, const char *target, const char *body);

/* How to handle a response. The stream and the reply are the caller's. */
struct opened {
    poolscope_action action;
    poolscope_stream *stream;
    poolscope_reply *reply;
};
struct opened open_json(const poolscope_node *node, const char *target);
void free_opened(struct opened *opened);
/* The stream of a response that is to be rewritten. */
poolscope_stream *stream_of(const poolscope_node *node, const char *target);
/* The watch that goes on from a list of SLICE_LIST, which this client got before. */
poolscope_stream *followed(const poolscope_node *node);

void push(poolscope_stream *stream, const char *data, struct got *got);
void refresh(poolscope_stream *stream, struct got *got);
void finish(poolscope_stream *stream, struct got *got);

#endif

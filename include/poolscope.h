/*
 * poolscope: Service traffic inside a node pool. Bytes of Kubernetes lists and watches in, bytes out.
 *
 *     cluster ---- node ---- opened ---- stream      one cluster a process, one node a proxy, one stream a response
 *        +---- feed                                    the facts that the embedder fetches itself
 *
 * THE CONTRACT, the same for every function
 *
 * Handles     Every handle of a kind X is freed by one function, poolscope_X_free(). Freeing NULL does nothing.
 *             No handle needs another to outlive it: a cluster may be freed before its streams.
 * Pointers    A pointer is valid or NULL. NULL where there must be something is POOLSCOPE_INVALID_ARGUMENT, except for
 *             `error`, which may always be NULL. Two pointers that are written through must not be the same.
 * Text        is UTF-8, given as pointer and length, and needs no NUL; of length 0 the pointer is not looked at. Text that
 *             comes out says whether it ends with a NUL. Structured data comes out as JSON. Values of headers, and bodies, are
 *             any bytes. Of what comes out with length 0 the pointer means nothing.
 * Results     A function that can fail returns a status. POOLSCOPE_OK is 0. If it is another, `*error` is an error object,
 *             to be freed by the caller; if it is POOLSCOPE_OK, `*error` is NULL. What it should have made is NULL, and
 *             numbers are 0, when it fails; only the bytes that a stream gives out are there in either case.
 * Threads     A cluster and a node may be used by any number of threads at the same time. Everything else belongs to one
 *             thread at a time, and may move; a call that comes while another is in the same handle is POOLSCOPE_BUSY
 *             and does nothing: const in a declaration means any thread, not that nothing changes. A handle is freed when no
 *             call is in it.
 * Faults      No Rust panic comes out. If there is one, the call returns POOLSCOPE_PANIC, the handle that it was in is
 *             poisoned, and every later call on it returns POOLSCOPE_PANIC, but for its freeing. The message of the panic
 *             is also written to standard error. Where memory ends, the process is aborted, as is usual for Rust.
 * I/O         There is none: no callbacks, threads, globals, clocks or locks that are held between calls.
 *
 * A response, in short: poolscope_node_prepare() the request; send it; poolscope_node_open() with its response's head;
 * poolscope_stream_push() each chunk and send on what comes out; poolscope_stream_finish() where the body ends. Whenever
 * poolscope_cluster_generation() moves, poolscope_stream_refresh() each watch that is open. bindings/c has an example.
 */


#ifndef POOLSCOPE_H
#define POOLSCOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The version of this header; poolscope_version() is that of the library. */
#define POOLSCOPE_VERSION "0.1.0"
#define POOLSCOPE_VERSION_MAJOR 0
#define POOLSCOPE_VERSION_MINOR 1
#define POOLSCOPE_VERSION_PATCH 0

/**
 * The offset of an error that is about no byte.
 */
#define POOLSCOPE_NO_OFFSET UINT64_MAX

/**
 * How a call went. The numbers never change; new ones may be added.
 */
enum poolscope_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * It did what it says.
     */
    POOLSCOPE_OK = 0,
    /**
     * An argument is NULL that must not be, or no UTF-8, or out of range. Nothing was done.
     */
    POOLSCOPE_INVALID_ARGUMENT = 1,
    /**
     * The handle is in another call at this moment. Nothing was done: give each thread its own.
     */
    POOLSCOPE_BUSY = 2,
    /**
     * There was a fault in poolscope, in this call or in an earlier one on the same handle. The
     * handle can only be freed.
     */
    POOLSCOPE_PANIC = 3,
    /**
     * The bytes are not what the encoding or the object's schema allows.
     */
    POOLSCOPE_MALFORMED = 10,
    /**
     * The body ended inside a value: the transfer was cut.
     */
    POOLSCOPE_TRUNCATED = 11,
    /**
     * One frame or item is larger than the limit.
     */
    POOLSCOPE_TOO_LARGE = 12,
    /**
     * Values are nested deeper than the limit.
     */
    POOLSCOPE_TOO_DEEP = 13,
    /**
     * One object holds more endpoints than the limit.
     */
    POOLSCOPE_TOO_MANY = 14,
    /**
     * An object in a body cannot be decoded.
     */
    POOLSCOPE_UNDECODABLE = 15,
    /**
     * The response is compressed. Never forward it.
     */
    POOLSCOPE_CONTENT_ENCODING = 20,
    /**
     * The response is neither JSON nor protobuf. Never forward it.
     */
    POOLSCOPE_CONTENT_TYPE = 21,
    /**
     * The response has a status under which endpoints cannot be filtered, such as 206. Never
     * forward it.
     */
    POOLSCOPE_HTTP_STATUS = 22,
    /**
     * The request teaches nothing, so it cannot be a feed.
     */
    POOLSCOPE_NOT_A_FACT = 23,
    /**
     * The configuration cannot be used.
     */
    POOLSCOPE_CONFIG = 30,
    /**
     * The stream or feed was used after an error or after it was finished.
     */
    POOLSCOPE_CLOSED = 31,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum poolscope_status poolscope_status;
#else
typedef int32_t poolscope_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What is to be done with a response. The numbers never change; treat one that you do not know as
 * POOLSCOPE_NOT_READY.
 */
enum poolscope_opening
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Forward it untouched: it carries no endpoints and teaches nothing.
     */
    POOLSCOPE_PASS_THROUGH = 0,
    /**
     * Push its body through poolscope_opened_take_stream(). Its Content-Length, if it has one, no
     * longer holds.
     */
    POOLSCOPE_REWRITE = 1,
    /**
     * Facts are not known yet. Give the client poolscope_opened_answer(), or wait for the facts
     * and ask again: a body that was served unfiltered cannot be called back.
     */
    POOLSCOPE_NOT_READY = 2,
    /**
     * A watch whose past is not known. Give the client poolscope_opened_answer(); it lists again.
     */
    POOLSCOPE_EXPIRED = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum poolscope_opening poolscope_opening;
#else
typedef int32_t poolscope_opening;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What is known about the cluster: one per process. Any thread may use it at any time. Nodes,
 * feeds and streams keep what they need of it: it may be freed before them.
 */
typedef struct poolscope_cluster poolscope_cluster;

/**
 * What went wrong, where, and what to do about it. Free it with poolscope_error_free().
 */
typedef struct poolscope_error poolscope_error;

/**
 * One response body that teaches a cluster. For one thread at a time.
 */
typedef struct poolscope_feed poolscope_feed;

/**
 * Status and headers of a response of the API server. For one thread at a time.
 */
typedef struct poolscope_head poolscope_head;

/**
 * Services and their endpoints, loaded from whole bodies, to be explained. For one thread at a
 * time.
 */
typedef struct poolscope_inventory poolscope_inventory;

/**
 * The cluster as one node sees it. Any thread may use it at any time.
 */
typedef struct poolscope_node poolscope_node;

/**
 * What is to be done with a response. For one thread at a time.
 */
typedef struct poolscope_opened poolscope_opened;

/**
 * An HTTP request to the API server: method, path and query, headers. For one thread at a time.
 */
typedef struct poolscope_request poolscope_request;

/**
 * One response body being rewritten. For one thread at a time.
 */
typedef struct poolscope_stream poolscope_stream;

/**
 * A piece of text, most often a JSON document. Free it with poolscope_text_free().
 */
typedef struct poolscope_text poolscope_text;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The status that the failed call returned. Of NULL: POOLSCOPE_OK.
 */
poolscope_status poolscope_error_status(const poolscope_error *error);

/**
 * A sentence for operators: what, where (offset and object, if they are known, are in it), and
 * what to do. It ends with a NUL and is valid until the error is freed. Of NULL: an empty one.
 */
const char *poolscope_error_message(const poolscope_error *error);

/**
 * The byte of the body at fault, counted from 0; POOLSCOPE_NO_OFFSET if the error is about no
 * byte.
 */
uint64_t poolscope_error_offset(const poolscope_error *error);

/**
 * The object at fault, `namespace/name`, with or without its kind, as far as it was read:
 * NUL-terminated, valid until the error is freed. NULL if it is not known.
 */
const char *poolscope_error_object(const poolscope_error *error);

/**
 * Frees an error. NULL is nothing.
 */
void poolscope_error_free(poolscope_error *error);

/**
 * The version of the library that is linked, such as `0.1.0`: NUL-terminated, valid for ever.
 * Compare it with POOLSCOPE_VERSION, which is that of the header.
 */
const char *poolscope_version(void);

/**
 * The text: UTF-8, followed by a NUL, valid until it is freed. Of NULL: an empty one.
 */
const char *poolscope_text_data(const poolscope_text *text);

/**
 * Its length in bytes, without the NUL.
 */
size_t poolscope_text_len(const poolscope_text *text);

/**
 * Frees a text. NULL is nothing.
 */
void poolscope_text_free(poolscope_text *text);

/**
 * Makes a request. `method` is such as `GET`; `target` is path and query, such as
 * `/apis/discovery.k8s.io/v1/endpointslices?watch=true`.
 */
poolscope_status poolscope_request_new(const char *method,
                                       size_t method_len,
                                       const char *target,
                                       size_t target_len,
                                       poolscope_request **request,
                                       poolscope_error **error);

/**
 * Adds a header. Names count in any case. Only the headers that poolscope_node_prepare() names are
 * looked at, so the others need not be given: a value that is no UTF-8 would be read back with
 * replacement characters.
 */
poolscope_status poolscope_request_add_header(poolscope_request *request,
                                              const char *name,
                                              size_t name_len,
                                              const char *value,
                                              size_t value_len,
                                              poolscope_error **error);

/**
 * How many headers the request has.
 */
size_t poolscope_request_header_count(poolscope_request *request);

/**
 * Header number `index`, counted from 0. Name and value are pointers and lengths, without a NUL,
 * valid until the next call that changes the request.
 */
poolscope_status poolscope_request_header(poolscope_request *request,
                                          size_t index,
                                          const char **name,
                                          size_t *name_len,
                                          const char **value,
                                          size_t *value_len,
                                          poolscope_error **error);

/**
 * Frees a request. NULL is nothing.
 */
void poolscope_request_free(poolscope_request *request);

/**
 * Makes a response head with an HTTP status.
 */
poolscope_status poolscope_head_new(uint16_t http_status,
                                    poolscope_head **head,
                                    poolscope_error **error);

/**
 * Adds a header. Names count in any case; only Content-Type and Content-Encoding are looked at, so
 * the others need not be given.
 */
poolscope_status poolscope_head_add_header(poolscope_head *head,
                                           const char *name,
                                           size_t name_len,
                                           const char *value,
                                           size_t value_len,
                                           poolscope_error **error);

/**
 * Frees a response head. NULL is nothing.
 */
void poolscope_head_free(poolscope_head *head);

/**
 * Makes a cluster of which nothing is known yet. `config` is a JSON document as docs/config.md
 * describes it; `{}` has OpenYurt's annotations with NodePools. Fails with POOLSCOPE_CONFIG; the
 * message names the key.
 */
poolscope_status poolscope_cluster_new(const char *config,
                                       size_t config_len,
                                       poolscope_cluster **cluster,
                                       poolscope_error **error);

/**
 * Opens the response to a request for Services, Nodes, CiliumNodes, NodePools, NodeBuckets or the
 * ConfigMap kube-system/yurt-hub-cfg that the embedder makes itself, to teach the cluster: a list,
 * a watch or a single object, whole or metadata-only. Free the feed with poolscope_feed_free().
 * Fails with POOLSCOPE_NOT_A_FACT for any other request and for a status other than 200, with
 * POOLSCOPE_CONTENT_TYPE and POOLSCOPE_CONTENT_ENCODING.
 *
 * A list that is read to its end, all its pages, makes the kind known; so does a watch with
 * initial events, at the bookmark that ends them: ask for bookmarks.
 */
poolscope_status poolscope_cluster_feed(const poolscope_cluster *cluster,
                                        poolscope_request *request,
                                        poolscope_head *head,
                                        poolscope_feed **feed,
                                        poolscope_error **error);

/**
 * The view of the node of that name, which need not be known yet. Free it with
 * poolscope_node_free().
 */
poolscope_status poolscope_cluster_node(const poolscope_cluster *cluster,
                                        const char *name,
                                        size_t name_len,
                                        poolscope_node **node,
                                        poolscope_error **error);

/**
 * Raised by every change of facts that can change a verdict: when it has moved, refresh the
 * watches that are open. Cheap.
 */
uint64_t poolscope_cluster_generation(const poolscope_cluster *cluster);

/**
 * What changed after `generation`, oldest first (what changed together, in no order), as JSON: an
 * array of `{"service": "namespace/name"}`, `{"node": NAME}`, `{"pool": NAME}`, `{"member":
 * {"node": NAME, "pool": NAME}}` and `{"components": "namespace/name"}`; `null` if that is too
 * long ago to be remembered.
 */
poolscope_status poolscope_cluster_changes_since(const poolscope_cluster *cluster,
                                                 uint64_t generation,
                                                 poolscope_text **changes,
                                                 poolscope_error **error);

/**
 * What was done so far, and what passed in doubt, as JSON: an object of numbers that only grow,
 * such as `{"objects": 12, "passedUnknownService": 0}`. Names never change; new ones may be added.
 */
poolscope_status poolscope_cluster_counters(const poolscope_cluster *cluster,
                                            poolscope_text **counters,
                                            poolscope_error **error);

/**
 * Forgets where the facts of a kind (`Service`, `Node`, `CiliumNode`, `NodePool`, `NodeBucket`,
 * `ConfigMap`) came from, not the facts: the next list of it replaces them, and until then the
 * kind is missing. For when the source has gone for good, or the API server was restored to an
 * earlier state.
 */
poolscope_status poolscope_cluster_forget_source(const poolscope_cluster *cluster,
                                                 const char *kind,
                                                 size_t kind_len,
                                                 poolscope_error **error);

/**
 * Frees a cluster. NULL is nothing.
 */
void poolscope_cluster_free(poolscope_cluster *cluster);

/**
 * Takes the next bytes of the body, cut anywhere. An error closes the feed; what was learned
 * before stays.
 */
poolscope_status poolscope_feed_push(poolscope_feed *feed,
                                     const uint8_t *data,
                                     size_t len,
                                     poolscope_error **error);

/**
 * The body is over. Fails with POOLSCOPE_TRUNCATED if it was cut.
 */
poolscope_status poolscope_feed_finish(poolscope_feed *feed, poolscope_error **error);

/**
 * Frees a feed, finished or not. NULL is nothing.
 */
void poolscope_feed_free(poolscope_feed *feed);

/**
 * The view of the same node for a client of that User-Agent: for explanations, and for requests
 * that do not carry the header. It matters where the configuration says `"components": "yurtHub"`.
 * Free it with poolscope_node_free().
 */
poolscope_status poolscope_node_client(const poolscope_node *node,
                                       const char *user_agent,
                                       size_t user_agent_len,
                                       poolscope_node **client,
                                       poolscope_error **error);

/**
 * Whether enough is known to show this node objects of every namespace.
 */
bool poolscope_node_is_ready(const poolscope_node *node);

/**
 * What is known of the node, as JSON: `{"name": NAME, "known": BOOL, "pool": NAME or null,
 * "rewrites": [NAME...], "missing": [...]}`, where `rewrites` are those that its client gets as
 * the facts are now. Each thing missing is `{"kind": KIND, "path": WHAT TO GET, "known": WHAT IS
 * KNOWN INSTEAD or null}`.
 */
poolscope_status poolscope_node_describe(const poolscope_node *node,
                                         poolscope_text **description,
                                         poolscope_error **error);

/**
 * Changes the request into the one that should go to the API server, so that its answer can be
 * read: without the headers Accept-Encoding, Range, If-Range, Upgrade, Connection and
 * Sec-WebSocket-*, and without CBOR, YAML and `as=Table` in Accept. Read its headers back with
 * poolscope_request_header(). Requests for other things stay as they are.
 */
poolscope_status poolscope_node_prepare(const poolscope_node *node,
                                        poolscope_request *request,
                                        poolscope_error **error);

/**
 * Decides what is to be done with a response for this node's client. Free the answer with
 * poolscope_opened_free().
 *
 * Fails with POOLSCOPE_CONTENT_ENCODING, POOLSCOPE_CONTENT_TYPE or POOLSCOPE_HTTP_STATUS for a
 * response that would have to be filtered and cannot be read: never forward it, answer 502.
 */
poolscope_status poolscope_node_open(const poolscope_node *node,
                                     poolscope_request *request,
                                     poolscope_head *head,
                                     poolscope_opened **opened,
                                     poolscope_error **error);

/**
 * The same for one body by itself, such as a recorded one: of a list nothing is remembered, and a
 * watch need not go on from anything. Each event is judged by what is known when it passes; there
 * is no refresh, and nothing is left out for saying nothing new.
 */
poolscope_status poolscope_node_open_alone(const poolscope_node *node,
                                           poolscope_request *request,
                                           poolscope_head *head,
                                           poolscope_opened **opened,
                                           poolscope_error **error);

/**
 * The verdict on one endpoint by what is known now, for explanations: an endpoint on the node `on`
 * (length 0: it names none) of Service `service` in the namespace `ns` (length 0: its slice names
 * none). As JSON: `{"kept": BOOL, "reason": NAME, "rule": ROW, "topology": WORD or null, "pools":
 * [NAME...]}`, where `topology` is what the Service asks for and `pools` are those of the node
 * that the endpoint is on. Of a ladder it takes the last rung; poolscope_inventory_view() knows
 * what stands on the others.
 */
poolscope_status poolscope_node_judge(const poolscope_node *node,
                                      const char *ns,
                                      size_t ns_len,
                                      const char *service,
                                      size_t service_len,
                                      const char *on,
                                      size_t on_len,
                                      poolscope_text **verdict,
                                      poolscope_error **error);

/**
 * Frees a node. NULL is nothing. Streams that it opened go on.
 */
void poolscope_node_free(poolscope_node *node);

/**
 * What is to be done. Of NULL, and where the handle is in another call: POOLSCOPE_NOT_READY.
 */
poolscope_opening poolscope_opened_what(poolscope_opened *opened);

/**
 * The stream of POOLSCOPE_REWRITE, which is the caller's from now on: free it with
 * poolscope_stream_free(). NULL the second time, where there is none, and where the handle is in
 * another call.
 */
poolscope_stream *poolscope_opened_take_stream(poolscope_opened *opened);

/**
 * What the client is to be answered in place of the response, for POOLSCOPE_NOT_READY and
 * POOLSCOPE_EXPIRED: the HTTP status (503 or 410); the seconds for the header Retry-After, 0 for
 * no such header; the Content-Type, NUL-terminated; and the body, a Kubernetes Status. Pointers
 * are valid until `opened` is freed. Fails with POOLSCOPE_INVALID_ARGUMENT if the response is to
 * go on.
 */
poolscope_status poolscope_opened_answer(poolscope_opened *opened,
                                         uint16_t *http_status,
                                         uint32_t *retry_after,
                                         const char **content_type,
                                         const uint8_t **body,
                                         size_t *body_len,
                                         poolscope_error **error);

/**
 * What is not known yet, as JSON: the `missing` of poolscope_node_describe(), for this response.
 * Empty unless POOLSCOPE_NOT_READY.
 */
poolscope_status poolscope_opened_missing(poolscope_opened *opened,
                                          poolscope_text **missing,
                                          poolscope_error **error);

/**
 * Frees it, with its stream if that was not taken. NULL is nothing.
 */
void poolscope_opened_free(poolscope_opened *opened);

/**
 * Takes the next bytes of the body, cut anywhere. What is to be sent to the client comes back as
 * `*out` and `*out_len`; it is the stream's and valid until the next call on it.
 *
 * An error closes the stream. There may be bytes in `*out` all the same: they end where the last
 * whole object before the fault ends. Send them, then end the response; a watch client reconnects,
 * a list client retries.
 */
poolscope_status poolscope_stream_push(poolscope_stream *stream,
                                       const uint8_t *data,
                                       size_t len,
                                       const uint8_t **out,
                                       size_t *out_len,
                                       poolscope_error **error);

/**
 * Gives out the events that changes of facts owe this client. Call it whenever
 * poolscope_cluster_generation() moved. What cannot be said yet (inside an event that has begun to
 * come out, before the initial events are over) is said by the push that makes it possible. `*out`
 * and errors as for poolscope_stream_push().
 */
poolscope_status poolscope_stream_refresh(poolscope_stream *stream,
                                          const uint8_t **out,
                                          size_t *out_len,
                                          poolscope_error **error);

/**
 * The body is over: gives out what was held back, and closes the stream. Fails with
 * POOLSCOPE_TRUNCATED if the body was cut: then the response must not look whole to the client.
 * `*out` as for poolscope_stream_push().
 */
poolscope_status poolscope_stream_finish(poolscope_stream *stream,
                                         const uint8_t **out,
                                         size_t *out_len,
                                         poolscope_error **error);

/**
 * Whether poolscope_stream_refresh() may have something to say now. Cheap.
 */
bool poolscope_stream_is_behind(poolscope_stream *stream);

/**
 * Whether the stream has ended itself: it said ERROR. End the response; whatever still comes is
 * swallowed. Also true of a stream that a fault has poisoned; not of one that was closed by an
 * error, which the call that failed has said.
 */
bool poolscope_stream_is_over(poolscope_stream *stream);

/**
 * What to list, so that the client can be told of Services that gained topology keys, as JSON: an
 * array of `{"namespace": NAME, "service": NAME, "target": WHAT TO GET}`. Empty unless the
 * configuration's `retention` is `topology`.
 */
poolscope_status poolscope_stream_wanted(poolscope_stream *stream,
                                         poolscope_text **wanted,
                                         poolscope_error **error);

/**
 * Takes the whole answer to a request for something wanted, asked for in the encoding of this
 * stream, and gives out the events that it makes possible. `*out` as for poolscope_stream_push().
 * An error says what is wrong with the answer, as for a list that is opened and pushed; the stream
 * goes on as if it had not come.
 */
poolscope_status poolscope_stream_supply(poolscope_stream *stream,
                                         poolscope_head *head,
                                         const uint8_t *body,
                                         size_t body_len,
                                         const uint8_t **out,
                                         size_t *out_len,
                                         poolscope_error **error);

/**
 * Bytes of the body that were taken and dealt with, not counting what is held back.
 */
uint64_t poolscope_stream_taken(poolscope_stream *stream);

/**
 * Bytes that were given out.
 */
uint64_t poolscope_stream_given(poolscope_stream *stream);

/**
 * Frees a stream, finished or not. NULL is nothing.
 */
void poolscope_stream_free(poolscope_stream *stream);

/**
 * Makes one with nothing in it.
 */
poolscope_status poolscope_inventory_new(poolscope_inventory **inventory, poolscope_error **error);

/**
 * Adds what a whole body has: a list or a single object, JSON or protobuf, of Services,
 * EndpointSlices or Endpoints. How many objects were of a kind that matters comes back as
 * `*loaded`, which may be NULL. Fails with POOLSCOPE_MALFORMED and POOLSCOPE_UNDECODABLE.
 */
poolscope_status poolscope_inventory_load(poolscope_inventory *inventory,
                                          const uint8_t *body,
                                          size_t body_len,
                                          size_t *loaded,
                                          poolscope_error **error);

/**
 * Every Service as `node` sees it, as JSON: the array that `poolscope explain -o json` prints
 * (docs/cli.md).
 */
poolscope_status poolscope_inventory_view(poolscope_inventory *inventory,
                                          const poolscope_node *node,
                                          poolscope_text **services,
                                          poolscope_error **error);

/**
 * One Service as `node` sees it, as JSON: one object of that array; `null` if there are neither it
 * nor endpoints of it.
 */
poolscope_status poolscope_inventory_find(poolscope_inventory *inventory,
                                          const poolscope_node *node,
                                          const char *ns,
                                          size_t ns_len,
                                          const char *service,
                                          size_t service_len,
                                          poolscope_text **found,
                                          poolscope_error **error);

/**
 * Frees an inventory. NULL is nothing.
 */
void poolscope_inventory_free(poolscope_inventory *inventory);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* POOLSCOPE_H */

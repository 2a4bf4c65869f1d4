/*
 * poolscope keeps Service traffic inside a node pool. It rewrites the bytes of Kubernetes lists and
 * watches.
 *
 *     cluster ---- node ---- stream     one cluster per process, one node per proxy,
 *        |          +------- reply      one stream per response
 *        |          +------- fact_sync  says which facts to fetch, and reads them
 *        +---- fact_reader              reads facts that the embedder fetches by itself
 *        +---- listener                 reports changes of facts
 *
 * One response: call poolscope_node_prepare() and send the request with the headers that it
 * returns. Call poolscope_node_open() with the head of the response. Pass each chunk of the body
 * to poolscope_stream_push() and send on the bytes that it returns. Call poolscope_stream_finish()
 * at the end of the body. Whenever facts changed (poolscope_cluster_on_change(), or
 * poolscope_cluster_generation() moved) call poolscope_stream_refresh() on each open watch.
 * bindings/c/examples has a program.
 *
 * CONTRACT OF EVERY FUNCTION
 *
 * Handles. Each handle of type X is freed by poolscope_X_free(). Freeing NULL does nothing. No
 * handle needs another one to outlive it: a cluster may be freed before its streams.
 *
 * Pointers. A pointer is valid or NULL. NULL for a required argument returns
 * POOLSCOPE_ERR_INVALID_ARGUMENT. `error` may always be NULL. Two output pointers must not be the
 * same.
 *
 * Text. Text arguments are UTF-8, given as pointer and length, without a NUL. The pointer of a
 * text of length 0 is not read. Functions that return text document whether it is NUL-terminated.
 * Structured data is returned as JSON. Header values and bodies may be any bytes. The pointer of
 * returned bytes of length 0 is meaningless.
 *
 * Results. A function that can fail returns a status; POOLSCOPE_OK is 0. On failure `*error`
 * becomes an error object that the caller frees; on success it becomes NULL. On failure all other
 * outputs become NULL or 0, except the bytes that a stream returns, which are valid in both cases.
 *
 * Threads. Any number of threads may use a cluster and a node at the same time. Every other handle
 * is for one thread at a time, and may move between threads. A call while another call uses the
 * same handle returns POOLSCOPE_ERR_BUSY and does nothing. `const` marks handles for any thread.
 * Free a handle only when no call uses it.
 *
 * Bugs. No Rust panic leaves the library. A call that panics returns POOLSCOPE_ERR_PANIC and
 * poisons its handle: every later call on the handle returns POOLSCOPE_ERR_PANIC, except freeing
 * it. The message of the panic is also written to standard error. The process aborts when memory
 * is exhausted.
 *
 * The library does no I/O, starts no thread and reads no clock. It holds no lock between calls,
 * and calls back only to functions that were registered with poolscope_cluster_on_change().
 */


#ifndef POOLSCOPE_H
#define POOLSCOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The version of this header. poolscope_version() is the version of the library. */
#define POOLSCOPE_VERSION "0.1.0"
#define POOLSCOPE_VERSION_MAJOR 0
#define POOLSCOPE_VERSION_MINOR 1
#define POOLSCOPE_VERSION_PATCH 0
/** `major << 16 | minor << 8 | patch`. */
#define POOLSCOPE_VERSION_NUMBER \
    (POOLSCOPE_VERSION_MAJOR << 16 | POOLSCOPE_VERSION_MINOR << 8 | POOLSCOPE_VERSION_PATCH)

/** Marks the functions of the library. Define it before the include to change it. */
#ifndef POOLSCOPE_API
#if defined(__GNUC__)
#define POOLSCOPE_API __attribute__((visibility("default")))
#else
#define POOLSCOPE_API
#endif
#endif

/**
 * The offset of an error without one.
 */
#define POOLSCOPE_NO_OFFSET UINT64_MAX

/**
 * The status of a call. The numbers never change; new ones may be added.
 */
enum poolscope_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The call succeeded.
     */
    POOLSCOPE_OK = 0,
    /**
     * A required argument is NULL, a text is not UTF-8, or a value is out of range. The call did
     * nothing.
     */
    POOLSCOPE_ERR_INVALID_ARGUMENT = 1,
    /**
     * Another call is using the handle. The call did nothing: give each thread its own handle.
     */
    POOLSCOPE_ERR_BUSY = 2,
    /**
     * A bug in poolscope stopped this call, or an earlier call on the same handle. The handle can
     * only be freed.
     */
    POOLSCOPE_ERR_PANIC = 3,
    /**
     * The bytes are not what the encoding or the schema of the object allows.
     */
    POOLSCOPE_ERR_MALFORMED = 10,
    /**
     * The body ended inside a value: the transfer was cut.
     */
    POOLSCOPE_ERR_TRUNCATED = 11,
    /**
     * One watch event, list item, object or list is larger than its limit.
     */
    POOLSCOPE_ERR_TOO_LARGE = 12,
    /**
     * Values are nested deeper than the limit.
     */
    POOLSCOPE_ERR_TOO_DEEP = 13,
    /**
     * One object holds more endpoints than the limit.
     */
    POOLSCOPE_ERR_TOO_MANY = 14,
    /**
     * An object in a body cannot be decoded.
     */
    POOLSCOPE_ERR_UNDECODABLE = 15,
    /**
     * The response is compressed. Never forward it.
     */
    POOLSCOPE_ERR_CONTENT_ENCODING = 20,
    /**
     * The response is neither JSON nor protobuf. Never forward it.
     */
    POOLSCOPE_ERR_CONTENT_TYPE = 21,
    /**
     * The response has a status under which endpoints cannot be filtered, such as 206. Never
     * forward it.
     */
    POOLSCOPE_ERR_HTTP_STATUS = 22,
    /**
     * The request cannot be a source of facts.
     */
    POOLSCOPE_ERR_NOT_A_FACT = 23,
    /**
     * The configuration cannot be used.
     */
    POOLSCOPE_ERR_CONFIG = 30,
    /**
     * The stream or reader was used after an error or after it was finished.
     */
    POOLSCOPE_ERR_CLOSED = 31,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum poolscope_status poolscope_status;
#else
typedef int32_t poolscope_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * A step of a fact sync. The numbers never change.
 */
enum poolscope_fact_action
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Nothing to do for `millis`.
     */
    POOLSCOPE_FACT_WAIT = 0,
    /**
     * Send GET `target` with the header `Accept: accept`, and report what comes of request `id`.
     */
    POOLSCOPE_FACT_FETCH = 1,
    /**
     * Drop the response to request `id`: it stalled, or its facts are not needed any more.
     */
    POOLSCOPE_FACT_CANCEL = 2,
    /**
     * A request for `kind` failed and will be repeated in `millis`: for logs and metrics.
     */
    POOLSCOPE_FACT_FAILED = 3,
    /**
     * The API server responded with facts of `kind`: an earlier failure is over.
     */
    POOLSCOPE_FACT_ANSWERED = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum poolscope_fact_action poolscope_fact_action;
#else
typedef int32_t poolscope_fact_action;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The reason for a reply. The numbers never change; new ones may be added.
 */
enum poolscope_cause
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * A reason that a later version added.
     */
    POOLSCOPE_CAUSE_OTHER = 0,
    /**
     * Facts have to be read first (HTTP status 503; to a watch 429). Instead of sending the reply
     * you may wait for the facts and open the response again.
     */
    POOLSCOPE_CAUSE_MISSING_FACTS = 1,
    /**
     * The watch asks to resume at a resourceVersion that is not known (HTTP status 410). The
     * client relists.
     */
    POOLSCOPE_CAUSE_UNKNOWN_RESOURCE_VERSION = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum poolscope_cause poolscope_cause;
#else
typedef int32_t poolscope_cause;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How to handle a response.
 */
enum poolscope_action
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Send the reply in place of the response.
     */
    POOLSCOPE_ACTION_REPLY = 0,
    /**
     * Forward the response unchanged. Nothing in it is rewritten or read as a fact.
     */
    POOLSCOPE_ACTION_FORWARD = 1,
    /**
     * Push the body through the stream. Drop the response's Content-Length and ETag.
     */
    POOLSCOPE_ACTION_REWRITE = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum poolscope_action poolscope_action;
#else
typedef int32_t poolscope_action;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The facts of one cluster. Create one per process. Any thread may use it at any time. Nodes,
 * readers and streams share ownership, so that the cluster may be freed before them.
 */
typedef struct poolscope_cluster poolscope_cluster;

/**
 * An error: what failed, where, and what to do. Free it with poolscope_error_free().
 */
typedef struct poolscope_error poolscope_error;

/**
 * Reads the facts in one response body. For one thread at a time.
 */
typedef struct poolscope_fact_reader poolscope_fact_reader;

/**
 * Fetches the facts that a node needs, and keeps them up to date. For one thread at a time.
 */
typedef struct poolscope_fact_sync poolscope_fact_sync;

/**
 * Services and their endpoints, loaded from whole bodies, to be explained. For one thread at a
 * time.
 */
typedef struct poolscope_inventory poolscope_inventory;

/**
 * A callback that was registered with poolscope_cluster_on_change().
 */
typedef struct poolscope_listener poolscope_listener;

/**
 * The cluster as one node sees it. Any thread may use it at any time.
 */
typedef struct poolscope_node poolscope_node;

/**
 * Rewrites one response body. For one thread at a time.
 */
typedef struct poolscope_stream poolscope_stream;

/**
 * A text, most often a JSON document. Free it with poolscope_text_free().
 */
typedef struct poolscope_text poolscope_text;

/**
 * One HTTP header. The name is case-insensitive UTF-8. The value may be any bytes. Neither needs
 * a NUL.
 */
typedef struct {
    /**
     * The name, such as `Accept`.
     */
    const char *name;
    /**
     * Length of `name` in bytes.
     */
    size_t name_len;
    /**
     * The value.
     */
    const char *value;
    /**
     * Length of `value` in bytes.
     */
    size_t value_len;
} poolscope_header;

/**
 * An HTTP request to the API server. The caller owns all memory; no call keeps a pointer to it.
 */
typedef struct {
    /**
     * The method, such as `GET`.
     */
    const char *method;
    /**
     * Length of `method` in bytes.
     */
    size_t method_len;
    /**
     * Path and query, such as `/apis/discovery.k8s.io/v1/endpointslices?watch=true`.
     */
    const char *target;
    /**
     * Length of `target` in bytes.
     */
    size_t target_len;
    /**
     * The headers; NULL if there are none. Only the headers that poolscope_node_prepare() names
     * are read.
     */
    const poolscope_header *headers;
    /**
     * Number of headers.
     */
    size_t header_count;
} poolscope_request;

/**
 * The headers of a prepared request. Free it with poolscope_headers_free(), which also frees the
 * memory that the headers point to.
 */
typedef struct {
    /**
     * The headers.
     */
    const poolscope_header *data;
    /**
     * Number of headers.
     */
    size_t count;
} poolscope_headers;

/**
 * A function that is called after facts changed.
 */
typedef void (*poolscope_changed)(void *context);

/**
 * Status and headers of a response of the API server. The caller owns all memory; no call keeps a
 * pointer to it.
 */
typedef struct {
    /**
     * The HTTP status.
     */
    uint16_t http_status;
    /**
     * The headers; NULL if there are none. Content-Type, Content-Encoding and, for a fact
     * sync, Retry-After are read.
     */
    const poolscope_header *headers;
    /**
     * Number of headers.
     */
    size_t header_count;
} poolscope_response;

/**
 * A step of a fact sync with its fields. The texts are valid until the next call of
 * poolscope_fact_sync_next() with the same fact sync, and until it is freed.
 */
typedef struct {
    /**
     * The step. The comment of each names the fields that have a value.
     */
    poolscope_fact_action action;
    /**
     * The number of a request.
     */
    uint64_t id;
    /**
     * Milliseconds; for POOLSCOPE_FACT_WAIT UINT64_MAX means: until something comes.
     */
    uint64_t millis;
    /**
     * The kind, such as `NodePool`; also of POOLSCOPE_FACT_FETCH.
     */
    const char *kind;
    /**
     * Length of `kind` in bytes.
     */
    size_t kind_len;
    /**
     * Path and query. Put the path of the API server's address before it, if that has one.
     */
    const char *target;
    /**
     * Length of `target` in bytes.
     */
    size_t target_len;
    /**
     * The value of the header Accept.
     */
    const char *accept;
    /**
     * Length of `accept` in bytes.
     */
    size_t accept_len;
    /**
     * Request, cause and what to do.
     */
    const char *message;
    /**
     * Length of `message` in bytes.
     */
    size_t message_len;
} poolscope_fact_step;

/**
 * A whole response to send in place of the API server's. Free it with poolscope_reply_free(),
 * which also frees the memory that it points to.
 */
typedef struct {
    /**
     * The HTTP status: 410, 429 or 503.
     */
    uint16_t http_status;
    /**
     * Seconds for the header Retry-After; 0: send no such header.
     */
    uint32_t retry_after;
    /**
     * The reason.
     */
    poolscope_cause cause;
    /**
     * The header Content-Type, NUL-terminated.
     */
    const char *content_type;
    /**
     * The body: a Kubernetes Status that gives the reason.
     */
    const uint8_t *body;
    /**
     * Length of `body` in bytes.
     */
    size_t body_len;
    /**
     * The missing facts as JSON, NUL-terminated: an array of `{"kind": KIND, "path": PATH TO GET,
     * "known": THE LISTS THAT WERE READ or null}`. Empty for other reasons.
     */
    const char *missing;
} poolscope_reply;

/**
 * The state of a stream.
 */
typedef struct {
    /**
     * Bytes of the body that were processed, without those held back.
     */
    uint64_t bytes_in;
    /**
     * Bytes that were returned.
     */
    uint64_t bytes_out;
    /**
     * The body is a watch. If its upstream breaks, end the response like any other: the client
     * resumes. A list or an object must not look whole then.
     */
    bool is_watch;
    /**
     * poolscope_stream_refresh() may return events now. Also true right after a watch resumes.
     */
    bool needs_refresh;
    /**
     * The stream ended itself with an ERROR event, or a bug in poolscope stopped an earlier call.
     * End the response. A stream that an error closed is not ended in this sense: the call that
     * failed has reported the error.
     */
    bool is_ended;
} poolscope_stream_state;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Returns the status that the failed call returned; POOLSCOPE_OK for NULL.
 */
POOLSCOPE_API poolscope_status poolscope_error_status(const poolscope_error *error);

/**
 * Returns a sentence for operators: what failed, where, and what to do. It is NUL-terminated and
 * valid until the error is freed; empty for NULL.
 */
POOLSCOPE_API const char *poolscope_error_message(const poolscope_error *error);

/**
 * Returns the byte of the body at fault, counted from 0; POOLSCOPE_NO_OFFSET if there is none.
 */
POOLSCOPE_API uint64_t poolscope_error_offset(const poolscope_error *error);

/**
 * Returns the object at fault as far as it was read, `namespace/name` with or without its kind:
 * NUL-terminated, valid until the error is freed. Returns NULL if it is not known.
 */
POOLSCOPE_API const char *poolscope_error_object(const poolscope_error *error);

/**
 * Frees an error. Does nothing for NULL.
 */
POOLSCOPE_API void poolscope_error_free(poolscope_error *error);

/**
 * Returns the version of the linked library, such as `0.1.0`: NUL-terminated, valid for ever.
 * POOLSCOPE_VERSION is the version of the header.
 */
POOLSCOPE_API const char *poolscope_version(void);

/**
 * Returns the version of the linked library as a number, to be compared with
 * POOLSCOPE_VERSION_NUMBER: `major << 16 | minor << 8 | patch`.
 */
POOLSCOPE_API uint32_t poolscope_version_number(void);

/**
 * Returns the text: UTF-8, NUL-terminated, valid until it is freed; empty for NULL.
 */
POOLSCOPE_API const char *poolscope_text_data(const poolscope_text *text);

/**
 * Returns the length in bytes, without the NUL; 0 for NULL.
 */
POOLSCOPE_API size_t poolscope_text_len(const poolscope_text *text);

/**
 * Frees a text. Does nothing for NULL.
 */
POOLSCOPE_API void poolscope_text_free(poolscope_text *text);

/**
 * Returns the headers to send to the API server so that its response can be read: without
 * Accept-Encoding, Range, If-Range, Upgrade, Connection and Sec-WebSocket-*, and without CBOR,
 * YAML and `as=Table` in Accept. Headers of requests for other resources are returned unchanged,
 * except that bytes which are not UTF-8 become replacement characters. Names and values end with a
 * NUL that their lengths do not count.
 */
POOLSCOPE_API
poolscope_status poolscope_node_prepare(const poolscope_node *node,
                                        const poolscope_request *request,
                                        poolscope_headers **prepared,
                                        poolscope_error **error);

/**
 * Frees the headers of a prepared request. Does nothing for NULL.
 */
POOLSCOPE_API void poolscope_headers_free(poolscope_headers *headers);

/**
 * Creates a cluster without facts. `config` is the JSON document that docs/config.md describes;
 * `{}` selects OpenYurt's annotations with NodePools. Fails with POOLSCOPE_ERR_CONFIG; the message
 * names the key.
 */
POOLSCOPE_API
poolscope_status poolscope_cluster_new(const char *config,
                                       size_t config_len,
                                       poolscope_cluster **cluster,
                                       poolscope_error **error);

/**
 * Returns the view of the node of that name. The node need not be known yet. Free the view with
 * poolscope_node_free().
 */
POOLSCOPE_API
poolscope_status poolscope_cluster_node(const poolscope_cluster *cluster,
                                        const char *name,
                                        size_t name_len,
                                        poolscope_node **node,
                                        poolscope_error **error);

/**
 * Returns a number that every fact change raises. When it differs from before, refresh the
 * open watches. Cheap.
 */
POOLSCOPE_API uint64_t poolscope_cluster_generation(const poolscope_cluster *cluster);

/**
 * Returns the changes after `generation` as JSON, oldest first: an array of `{"service":
 * "namespace/name"}`, `{"node": NAME}`, `{"pool": NAME}`, `{"member": {"node": NAME, "pool":
 * NAME}}` and `{"clients": "namespace/name"}`. Returns `null` if more than 4096 changes followed.
 */
POOLSCOPE_API
poolscope_status poolscope_cluster_changes_since(const poolscope_cluster *cluster,
                                                 uint64_t generation,
                                                 poolscope_text **changes,
                                                 poolscope_error **error);

/**
 * Returns the counters as JSON: an object of numbers that only grow, such as `{"objects": 12,
 * "passedUnknownService": 0}`. Names never change; new ones may be added.
 */
POOLSCOPE_API
poolscope_status poolscope_cluster_counters(const poolscope_cluster *cluster,
                                            poolscope_text **counters,
                                            poolscope_error **error);

/**
 * Marks the facts of a kind (`Service`, `Node`, `CiliumNode`, `NodePool`, `NodeBucket`,
 * `ConfigMap`) as incomplete and keeps them. The next list of the kind replaces them. Call it when
 * a source has ended for good, or when the API server was restored to an earlier state. Each fact
 * sync of the cluster then reads the kind anew.
 */
POOLSCOPE_API
poolscope_status poolscope_cluster_invalidate_source(const poolscope_cluster *cluster,
                                                     const char *kind,
                                                     size_t kind_len,
                                                     poolscope_error **error);

/**
 * Frees a cluster. Does nothing for NULL.
 */
POOLSCOPE_API void poolscope_cluster_free(poolscope_cluster *cluster);

/**
 * Calls `changed(context)` after each fact change that can change a verdict. Changes in quick
 * succession may share one call.
 *
 * The function runs on the thread that pushed the facts, while no lock of poolscope is held: it
 * may call any function of this header. One call is made at a time. It must not unwind or jump.
 * Free the listener with poolscope_listener_free(); it may outlive the cluster's handle.
 */
POOLSCOPE_API
poolscope_status poolscope_cluster_on_change(const poolscope_cluster *cluster,
                                             poolscope_changed changed,
                                             void *context,
                                             poolscope_listener **listener,
                                             poolscope_error **error);

/**
 * Ends the calls and frees the listener. When it returns, no call of the function is running and
 * none will start, except that a call which frees its own listener is still running. Does nothing
 * for NULL.
 */
POOLSCOPE_API void poolscope_listener_free(poolscope_listener *listener);

/**
 * Opens the response to a request for Services, Nodes, CiliumNodes, NodePools, NodeBuckets or the
 * ConfigMap kube-system/yurt-hub-cfg: a list, a watch or a single object, whole or metadata-only.
 * Free the reader with poolscope_fact_reader_free().
 *
 * The facts of a kind are complete after a list that was read to its end with all its pages, or
 * after the bookmark that ends the initial events of a watch. Request bookmarks.
 *
 * Fails with POOLSCOPE_ERR_NOT_A_FACT for any other request and for a status other than 200, and
 * with POOLSCOPE_ERR_CONTENT_TYPE or POOLSCOPE_ERR_CONTENT_ENCODING.
 */
POOLSCOPE_API
poolscope_status poolscope_cluster_read_facts(const poolscope_cluster *cluster,
                                              const poolscope_request *request,
                                              const poolscope_response *response,
                                              poolscope_fact_reader **reader,
                                              poolscope_error **error);

/**
 * Takes the next bytes of the body, split anywhere. An error closes the reader; the facts that
 * were read before the fault stay.
 */
POOLSCOPE_API
poolscope_status poolscope_fact_reader_push(poolscope_fact_reader *reader,
                                            const uint8_t *data,
                                            size_t len,
                                            poolscope_error **error);

/**
 * Ends the body. Fails with POOLSCOPE_ERR_TRUNCATED if the body ended inside a value.
 */
POOLSCOPE_API
poolscope_status poolscope_fact_reader_finish(poolscope_fact_reader *reader,
                                              poolscope_error **error);

/**
 * Frees a reader, finished or not. Does nothing for NULL.
 */
POOLSCOPE_API void poolscope_fact_reader_free(poolscope_fact_reader *reader);

/**
 * Returns the view of the same node for a client with that User-Agent: for explanations, and for
 * requests without the header. It matters with the setting `"clients": "yurtHub"`. Free it with
 * poolscope_node_free().
 */
POOLSCOPE_API
poolscope_status poolscope_node_client(const poolscope_node *node,
                                       const char *user_agent,
                                       size_t user_agent_len,
                                       poolscope_node **client,
                                       poolscope_error **error);

/**
 * Returns true if no fact is missing that this node needs for objects of any namespace.
 */
POOLSCOPE_API bool poolscope_node_is_ready(const poolscope_node *node);

/**
 * Returns the facts about the node as JSON: `{"name": NAME, "known": BOOL, "pool": NAME or null,
 * "rewrites": [NAME...], "missing": [...]}`. `rewrites` are those that the client gets by the
 * present facts. Each missing fact is `{"kind": KIND, "path": PATH TO GET, "known": THE LISTS THAT
 * WERE READ or null}`.
 */
POOLSCOPE_API
poolscope_status poolscope_node_describe(const poolscope_node *node,
                                         poolscope_text **description,
                                         poolscope_error **error);

/**
 * Returns the verdict on one endpoint by the present facts, for explanations: an endpoint on the
 * node `on` (length 0: the endpoint names no node) of Service `service` (length 0: the slice names
 * no Service) in namespace `ns`. As JSON: `{"kept": BOOL, "reason": NAME, "rule": ROW, "topology":
 * WORD or null, "pools": [NAME...]}`. `topology` is that of the Service; `pools` are those of the
 * endpoint's node. For a topology fallback it takes the last step; poolscope_inventory_view()
 * knows which endpoints the other steps have.
 */
POOLSCOPE_API
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
 * Frees a node. Does nothing for NULL. Streams that it opened continue.
 */
POOLSCOPE_API void poolscope_node_free(poolscope_node *node);

/**
 * Fetches every kind of facts that the node needs. The seed decides about the random part of the
 * delays: give each process another one. Free it with poolscope_fact_sync_free().
 *
 * Call poolscope_fact_sync_next() and do what it returns until it returns POOLSCOPE_FACT_WAIT.
 * Report what comes of each request with poolscope_fact_sync_head(), poolscope_fact_sync_push(),
 * poolscope_fact_sync_end() and poolscope_fact_sync_broke(), then call next again; and call it
 * when the wait is over and when facts changed. `now` is in milliseconds since any fixed moment,
 * by a clock that never goes back.
 */
POOLSCOPE_API
poolscope_status poolscope_fact_sync_new(const poolscope_node *node,
                                         uint64_t seed,
                                         poolscope_fact_sync **sync,
                                         poolscope_error **error);

/**
 * Leaves a kind to the node's client, whose own requests for it pass through streams. For `Node`
 * this is the own Node: if all Nodes are needed, they are fetched.
 */
POOLSCOPE_API
poolscope_status poolscope_fact_sync_leave_to_client(poolscope_fact_sync *sync,
                                                     const char *kind,
                                                     size_t kind_len,
                                                     poolscope_error **error);

/**
 * Fetches a kind from now on although it was left to the client, if it is needed: because
 * responses wait for it, and the client reads too little.
 */
POOLSCOPE_API
poolscope_status poolscope_fact_sync_require(poolscope_fact_sync *sync,
                                             const char *kind,
                                             size_t kind_len,
                                             poolscope_error **error);

/**
 * Returns what to do next.
 */
POOLSCOPE_API
poolscope_status poolscope_fact_sync_next(poolscope_fact_sync *sync,
                                          uint64_t now,
                                          poolscope_fact_step *step,
                                          poolscope_error **error);

/**
 * Takes the head of the response to request `id`. Sets `*wanted` to false if its body is not
 * wanted: drop the response.
 */
POOLSCOPE_API
poolscope_status poolscope_fact_sync_head(poolscope_fact_sync *sync,
                                          uint64_t id,
                                          const poolscope_response *response,
                                          uint64_t now,
                                          bool *wanted,
                                          poolscope_error **error);

/**
 * Takes the next bytes of the body. Sets `*wanted` to false if the rest is not wanted: drop the
 * response.
 */
POOLSCOPE_API
poolscope_status poolscope_fact_sync_push(poolscope_fact_sync *sync,
                                          uint64_t id,
                                          const uint8_t *data,
                                          size_t len,
                                          uint64_t now,
                                          bool *wanted,
                                          poolscope_error **error);

/**
 * Takes the regular end of the body.
 */
POOLSCOPE_API
poolscope_status poolscope_fact_sync_end(poolscope_fact_sync *sync,
                                         uint64_t id,
                                         uint64_t now,
                                         poolscope_error **error);

/**
 * Takes a failure: no response came, or its body broke off. `why` goes into the message of
 * POOLSCOPE_FACT_FAILED.
 */
POOLSCOPE_API
poolscope_status poolscope_fact_sync_broke(poolscope_fact_sync *sync,
                                           uint64_t id,
                                           const char *why,
                                           size_t why_len,
                                           uint64_t now,
                                           poolscope_error **error);

/**
 * Frees a fact sync. Does nothing for NULL. The facts stay, and nobody keeps them up to date.
 */
POOLSCOPE_API void poolscope_fact_sync_free(poolscope_fact_sync *sync);

/**
 * Frees a reply. Does nothing for NULL.
 */
POOLSCOPE_API void poolscope_reply_free(poolscope_reply *reply);

/**
 * Decides how to handle a response for this node's client.
 *
 * After POOLSCOPE_ACTION_REWRITE `*stream` is the caller's: free it with poolscope_stream_free().
 * After POOLSCOPE_ACTION_REPLY `*reply` is the caller's: free it with poolscope_reply_free(). The
 * other pointer is NULL. A failure leaves POOLSCOPE_ACTION_REPLY and two NULL pointers.
 *
 * Fails with POOLSCOPE_ERR_CONTENT_ENCODING, POOLSCOPE_ERR_CONTENT_TYPE or
 * POOLSCOPE_ERR_HTTP_STATUS if the response has to be rewritten and cannot be read. Never forward
 * such a response: reply with HTTP status 502.
 */
POOLSCOPE_API
poolscope_status poolscope_node_open(const poolscope_node *node,
                                     const poolscope_request *request,
                                     const poolscope_response *response,
                                     poolscope_action *action,
                                     poolscope_stream **stream,
                                     poolscope_reply **reply,
                                     poolscope_error **error);

/**
 * Opens a response without client state, such as a recorded body. A list leaves no state behind,
 * and a watch needs none. Each event is judged by the facts at the moment it passes. There is no
 * refresh, and unchanged events are not suppressed. Otherwise like poolscope_node_open().
 */
POOLSCOPE_API
poolscope_status poolscope_node_open_stateless(const poolscope_node *node,
                                               const poolscope_request *request,
                                               const poolscope_response *response,
                                               poolscope_action *action,
                                               poolscope_stream **stream,
                                               poolscope_reply **reply,
                                               poolscope_error **error);

/**
 * Takes the next bytes of the body, split anywhere. `*out` and `*out_len` become the bytes to send
 * to the client. The stream owns them; they are valid until the next call on the stream.
 *
 * An error closes the stream. `*out` may have bytes all the same, which end where the last whole
 * object before the fault ends. Send them, then end the response: a watch client reconnects and a
 * list client retries.
 */
POOLSCOPE_API
poolscope_status poolscope_stream_push(poolscope_stream *stream,
                                       const uint8_t *data,
                                       size_t len,
                                       const uint8_t **out,
                                       size_t *out_len,
                                       poolscope_error **error);

/**
 * Returns the watch events that this client needs after facts changed. Call it whenever
 * poolscope_cluster_generation() moved. Inside an event, and before the initial events are over,
 * it returns nothing; the push that reaches the next boundary returns the events. `*out` and
 * errors are as for poolscope_stream_push().
 */
POOLSCOPE_API
poolscope_status poolscope_stream_refresh(poolscope_stream *stream,
                                          const uint8_t **out,
                                          size_t *out_len,
                                          poolscope_error **error);

/**
 * Ends the body: returns the bytes that were held back, and closes the stream. Fails with
 * POOLSCOPE_ERR_TRUNCATED if the body ended inside a value: abort the response, so that it does
 * not look complete to the client. `*out` is as for poolscope_stream_push().
 */
POOLSCOPE_API
poolscope_status poolscope_stream_finish(poolscope_stream *stream,
                                         const uint8_t **out,
                                         size_t *out_len,
                                         poolscope_error **error);

/**
 * Returns the state of a stream. Cheap. For NULL, and while another call uses the stream, it
 * returns zeros with `is_ended` set.
 */
POOLSCOPE_API poolscope_stream_state poolscope_stream_get_state(poolscope_stream *stream);

/**
 * Returns the lists that are needed to emit events for Services that gained topology keys, as
 * JSON: an array of `{"namespace": NAME, "service": NAME, "target": PATH AND QUERY TO GET}`. Empty
 * unless the setting `retention` is `topology`.
 */
POOLSCOPE_API
poolscope_status poolscope_stream_needed_lists(poolscope_stream *stream,
                                               poolscope_text **lists,
                                               poolscope_error **error);

/**
 * Takes the whole response to a request for a needed list, in the encoding of this stream, and
 * returns the events that it makes possible. `*out` is as for poolscope_stream_push(). Fails if
 * the response cannot be read; the stream then continues as if there had been none.
 */
POOLSCOPE_API
poolscope_status poolscope_stream_provide_list(poolscope_stream *stream,
                                               const poolscope_response *response,
                                               const uint8_t *body,
                                               size_t body_len,
                                               const uint8_t **out,
                                               size_t *out_len,
                                               poolscope_error **error);

/**
 * Frees a stream, finished or not. Does nothing for NULL.
 */
POOLSCOPE_API void poolscope_stream_free(poolscope_stream *stream);

/**
 * Creates an empty inventory.
 */
POOLSCOPE_API
poolscope_status poolscope_inventory_new(poolscope_inventory **inventory,
                                         poolscope_error **error);

/**
 * Adds the objects of a whole body: a list or a single object, JSON or protobuf, of Services,
 * EndpointSlices or Endpoints. `*loaded`, if it is not NULL, becomes the number of objects of
 * these kinds. Fails with POOLSCOPE_ERR_MALFORMED and POOLSCOPE_ERR_UNDECODABLE.
 */
POOLSCOPE_API
poolscope_status poolscope_inventory_load(poolscope_inventory *inventory,
                                          const uint8_t *body,
                                          size_t body_len,
                                          size_t *loaded,
                                          poolscope_error **error);

/**
 * Every Service as `node` sees it, as JSON: the array that `poolscope explain -o json` prints
 * (docs/cli.md).
 */
POOLSCOPE_API
poolscope_status poolscope_inventory_view(poolscope_inventory *inventory,
                                          const poolscope_node *node,
                                          poolscope_text **services,
                                          poolscope_error **error);

/**
 * One Service as `node` sees it, as JSON: one object of that array; `null` if there are neither it
 * nor endpoints of it.
 */
POOLSCOPE_API
poolscope_status poolscope_inventory_find(poolscope_inventory *inventory,
                                          const poolscope_node *node,
                                          const char *ns,
                                          size_t ns_len,
                                          const char *service,
                                          size_t service_len,
                                          poolscope_text **found,
                                          poolscope_error **error);

/**
 * Frees an inventory. Does nothing for NULL.
 */
POOLSCOPE_API void poolscope_inventory_free(poolscope_inventory *inventory);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* POOLSCOPE_H */

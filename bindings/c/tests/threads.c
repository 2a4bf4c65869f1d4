/*
 * threads [ROUNDS]: one cluster, many threads.
 *
 * Readers list and watch again and again, each for itself, two of them on each node and node
 * handle. Node `mover` goes from pool to pool meanwhile. At the end each reader refreshes the watch
 * that it has open, and must have the form of the last facts.
 */
#define _POSIX_C_SOURCE 200809L /* barriers, sched_yield */

#include <pthread.h>
#include <sched.h>
#include <stdio.h>

#include "support.h"

enum { READERS = 8, HOGS = 2, HANDLES = READERS / 2 };

/* What a client sees of a slice: a bit an endpoint. */
enum {
    HZ_1 = 1,
    HZ_2 = 2,
    SH_1 = 4,
    SH_2 = 8,
    MOVER = 16,
    HANGZHOU = HZ_1 | HZ_2,
    SHANGHAI = SH_1 | SH_2
};

static const char *const names[] = {"hz-1", "hz-2", "sh-1", "sh-2", "mover"};
static const char *const addresses[] = {"\"10.0.0.1\"", "\"10.0.0.2\"", "\"10.0.0.3\"",
                                        "\"10.0.0.4\"", "\"10.0.0.5\""};

#define ENDPOINT(address, node) "{\"addresses\":[\"" address "\"],\"nodeName\":\"" node "\"}"
#define NEXT_ENDPOINT(address, node) "," ENDPOINT(address, node)
#define CROWD(name, version)                                                                       \
    "\"metadata\":{\"name\":\"" name "\",\"namespace\":\"shop\",\"resourceVersion\":\"" version    \
    "\",\"labels\":{\"kubernetes.io/service-name\":\"cart\"}},"                                    \
    "\"addressType\":\"IPv4\",\"endpoints\":[" ENDPOINT("10.0.0.1", "hz-1")                        \
        NEXT_ENDPOINT("10.0.0.2", "hz-2") NEXT_ENDPOINT("10.0.0.3", "sh-1")                        \
            NEXT_ENDPOINT("10.0.0.4", "sh-2") NEXT_ENDPOINT("10.0.0.5", "mover") "],\"ports\":[]}"
#define CROWD_EVENT(type, name, version)                                                           \
    "{\"type\":\"" type                                                                            \
    "\",\"object\":{\"kind\":\"EndpointSlice\",\"apiVersion\":\"discovery.k8s.io/v1\"," CROWD(     \
        name, version) "}\n"

static const char list_body[] = SLICE_LIST_OF("{" CROWD("one", "70") ",{" CROWD("two", "71"));
/* What the API server tells every watch from 90 on. */
static const char *const watch_body[] = {CROWD_EVENT("MODIFIED", "two", "91"), SLICE_BOOKMARK("92"),
                                         CROWD_EVENT("ADDED", "three", "93")};
static const char *const slices[] = {"\"name\":\"one\"", "\"name\":\"two\"", "\"name\":\"three\""};

static poolscope_cluster *cluster;
static long rounds = 200;
static pthread_barrier_t facts_are_final;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int reading = READERS;     /* readers that have rounds to go; under the lock */
static uint64_t refreshed, flips; /* under the lock */

struct reader {
    pthread_t thread;
    const poolscope_node *node;
    unsigned always;  /* what is in its pool whatever happens */
    unsigned sees[3]; /* of each slice, as it was told last */
    uint64_t refreshed;
};

/* Reads what came: the last that is said of a slice counts. It is always the own pool, with or
 * without the one that moves. */
static void read_told(struct reader *self, struct got *got)
{
    for (size_t slice = 0; slice < 3; slice++) {
        for (const char *at = got->data; at != NULL && (at = strstr(at, slices[slice])) != NULL;
             at++) {
            const char *end = strstr(at, "\"ports\"");
            self->sees[slice] = 0;
            for (size_t node = 0; node < 5; node++) {
                const char *address = strstr(at, addresses[node]);
                if (address != NULL && address < end)
                    self->sees[slice] |= 1u << node;
            }
            CHECK((self->sees[slice] & ~(unsigned)MOVER) == self->always);
        }
    }
    got_clear(got);
}

static void keep_up(struct reader *self, poolscope_stream *watch)
{
    struct got got = {0};
    refresh(watch, &got);
    if (got.len > 0)
        self->refreshed++;
    read_told(self, &got);
}

/* One life of a client. The watch is open still. */
static poolscope_stream *list_and_watch(struct reader *self)
{
    struct got got = {0};
    memset(self->sees, 0, sizeof self->sees);
    poolscope_stream *list = stream_of(self->node, SLICES);
    push(list, list_body, &got);
    finish(list, &got);
    poolscope_stream_free(list);
    read_told(self, &got);

    poolscope_stream *watch = stream_of(self->node, SLICES FROM_90);
    uint64_t generation = 0;
    for (size_t event = 0; event < sizeof watch_body / sizeof *watch_body; event++) {
        uint64_t now = poolscope_cluster_generation(cluster);
        if (now != generation)
            keep_up(self, watch);
        generation = now;
        push(watch, watch_body[event], &got);
        read_told(self, &got);
    }
    return watch;
}

static void *read_on(void *argument)
{
    struct reader *self = argument;
    struct got got = {0};
    for (long round = 1; round < rounds; round++) {
        poolscope_stream *watch = list_and_watch(self);
        if (round % 2 == 0) { /* the others break off */
            finish(watch, &got);
            read_told(self, &got);
        }
        poolscope_stream_free(watch);
    }
    poolscope_stream *watch = list_and_watch(self);
    pthread_mutex_lock(&lock);
    reading--;
    pthread_mutex_unlock(&lock);

    pthread_barrier_wait(&facts_are_final);
    keep_up(self, watch);
    CHECK(!poolscope_stream_get_state(watch).needs_refresh);
    poolscope_stream_free(watch);
    pthread_mutex_lock(&lock);
    refreshed += self->refreshed;
    pthread_mutex_unlock(&lock);
    return NULL;
}

static bool are_reading(void)
{
    pthread_mutex_lock(&lock);
    bool are = reading > 0;
    pthread_mutex_unlock(&lock);
    return are;
}

/* Moves the mover to one pool and out of the other: two events, as a controller writes them. */
static void move(poolscope_fact_reader *pools, bool to_hangzhou, long *version)
{
    static const char form[] =
        "{\"type\":\"MODIFIED\",\"object\":{\"kind\":\"NodePool\",\"metadata\":{\"name\":\"%s\","
        "\"resourceVersion\":\"%ld\"},\"status\":{\"nodes\":[\"%s-1\",\"%s-2\"%s]}}}\n";
    char event[512];
    snprintf(event, sizeof event, form, "hangzhou", ++*version, "hz", "hz",
             to_hangzhou ? ",\"mover\"" : "");
    read_facts(pools, event);
    snprintf(event, sizeof event, form, "shanghai", ++*version, "sh", "sh",
             to_hangzhou ? "" : ",\"mover\"");
    read_facts(pools, event);
}

/* Changes facts for as long as there are readers in their rounds. The last change takes the mover
 * to hangzhou. */
static void *change_on(void *argument)
{
    (void)argument;
    poolscope_fact_reader *pools = reader_of(cluster, NODEPOOLS FROM_90);
    long version = 1000;
    uint64_t done = 0;
    for (; done < (uint64_t)rounds || are_reading(); done++) {
        move(pools, done % 2 == 0, &version);
        sched_yield();
    }
    move(pools, true, &version);
    CHECK(poolscope_fact_reader_finish(pools, NULL) == POOLSCOPE_OK);
    poolscope_fact_reader_free(pools);
    pthread_mutex_lock(&lock);
    flips = done + 1;
    pthread_mutex_unlock(&lock);
    pthread_barrier_wait(&facts_are_final);
    return NULL;
}

/* Two threads in one stream: each call is done or refused, and nothing else happens. */
static void *hog(void *stream)
{
    for (long round = 0; round < rounds; round++) {
        const uint8_t *out; /* not looked at: the other's call may have ended it */
        size_t out_len;
        const char *event = SLICE_BOOKMARK("91");
        poolscope_status status = poolscope_stream_push(stream, (const uint8_t *)event,
                                                        strlen(event), &out, &out_len, NULL);
        CHECK(status == POOLSCOPE_OK || (status == POOLSCOPE_ERR_BUSY && out_len == 0));
    }
    return NULL;
}

static void a_stream_in_two_threads_is_busy_at_most(void)
{
    poolscope_node *node = node_of(cluster, "hz-1");
    poolscope_stream *watch = followed(node);
    pthread_t hogs[HOGS];
    for (int at = 0; at < HOGS; at++)
        CHECK(pthread_create(&hogs[at], NULL, hog, watch) == 0);
    for (int at = 0; at < HOGS; at++)
        pthread_join(hogs[at], NULL);
    struct got got = {0};
    finish(watch, &got);
    got_clear(&got);
    poolscope_stream_free(watch);
    poolscope_node_free(node);
}

static void learn_the_cluster(void)
{
    cluster = empty_cluster("{}");
    read_body(cluster, SERVICES,
              "{\"kind\":\"ServiceList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":"
              "\"90\"},\"items\":["
              "{\"metadata\":{\"name\":\"cart\",\"namespace\":\"shop\",\"resourceVersion\":\"10\","
              "\"annotations\":{" ASKS_FOR_POOL "}}}]}");
    poolscope_fact_reader *nodes = reader_of(cluster, NODES);
    read_facts(nodes, "{\"kind\":\"NodeList\",\"apiVersion\":\"v1\",\"metadata\":{"
                      "\"resourceVersion\":\"90\"},\"items\":[");
    for (size_t node = 0; node < 5; node++) {
        char item[256];
        snprintf(
            item, sizeof item,
            "%s{\"metadata\":{\"name\":\"%s\",\"labels\":{\"apps.openyurt.io/nodepool\":\"%s\"}}}",
            node > 0 ? "," : "", names[node], names[node][0] == 's' ? "shanghai" : "hangzhou");
        read_facts(nodes, item);
    }
    read_facts(nodes, "]}");
    CHECK(poolscope_fact_reader_finish(nodes, NULL) == POOLSCOPE_OK);
    poolscope_fact_reader_free(nodes);
    read_body(cluster, NODEPOOLS,
              "{\"kind\":\"NodePoolList\",\"apiVersion\":\"apps.openyurt.io/"
              "v1beta2\",\"metadata\":{\"resourceVersion\":\"90\"},\"items\":["
              "{\"metadata\":{\"name\":\"hangzhou\",\"resourceVersion\":\"30\"},\"status\":{"
              "\"nodes\":[\"hz-1\",\"hz-2\"]}},"
              "{\"metadata\":{\"name\":\"shanghai\",\"resourceVersion\":\"31\"},\"status\":{"
              "\"nodes\":[\"sh-1\",\"sh-2\"]}}]}");
}

static void every_reader_holds_what_the_last_facts_say(void)
{
    static struct reader readers[READERS];
    poolscope_node *nodes[HANDLES];
    pthread_t changer;
    CHECK(pthread_barrier_init(&facts_are_final, NULL, READERS + 1) == 0);
    for (int at = 0; at < HANDLES; at++)
        nodes[at] = node_of(cluster, names[at]);
    CHECK(pthread_create(&changer, NULL, change_on, NULL) == 0);
    for (int at = 0; at < READERS; at++) {
        int handle = at % HANDLES;
        readers[at] =
            (struct reader){.node = nodes[handle], .always = handle < 2 ? HANGZHOU : SHANGHAI};
        CHECK(pthread_create(&readers[at].thread, NULL, read_on, &readers[at]) == 0);
    }
    pthread_join(changer, NULL);
    for (int at = 0; at < READERS; at++) {
        pthread_join(readers[at].thread, NULL);
        for (size_t slice = 0; slice < 3; slice++)
            CHECK(readers[at].sees[slice] ==
                  (readers[at].always == HANGZHOU ? HANGZHOU | MOVER : SHANGHAI));
    }
    for (int at = 0; at < HANDLES; at++)
        poolscope_node_free(nodes[at]);
    pthread_barrier_destroy(&facts_are_final);
    CHECK(refreshed > 0); /* or the facts stood still, and nothing was tested */
    printf(
        "threads: %d readers, %ld rounds each, %llu changes, %llu refreshes that said something\n",
        READERS, rounds, (unsigned long long)flips, (unsigned long long)refreshed);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        rounds = strtol(argv[1], NULL, 10);
    learn_the_cluster();
    a_stream_in_two_threads_is_busy_at_most();
    every_reader_holds_what_the_last_facts_say();
    poolscope_cluster_free(cluster);
    return checks_result();
}

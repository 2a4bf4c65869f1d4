/* What comes out as JSON, and the version. */
#include "abi.h"

#include <stdio.h>

/* Whether the text has all of up to four parts; frees it. */
static bool says(poolscope_text *text, const char *const parts[4])
{
    const char *data = poolscope_text_data(text);
    bool all = strlen(data) == poolscope_text_len(text);
    for (size_t at = 0; at < 4 && parts[at] != NULL; at++)
        all = all && has(data, parts[at]);
    poolscope_text_free(text);
    return all;
}
#define SAYS(text, ...) CHECK(says(text, (const char *const[4]){__VA_ARGS__}))

static void the_library_is_that_of_the_header(void)
{
    CHECK(strcmp(poolscope_version(), POOLSCOPE_VERSION) == 0);
}

static void a_node_is_described(void)
{
    poolscope_cluster *cluster = small_cluster("{}");
    poolscope_node *node = node_of(cluster, "hz-1"), *stranger = node_of(cluster, "stranger");
    poolscope_text *text;
    CHECK(poolscope_node_describe(node, &text, NULL) == POOLSCOPE_OK);
    SAYS(text, "\"name\":\"hz-1\"", "\"known\":true", "\"pool\":\"hangzhou\"", "\"missing\":[]");
    CHECK(poolscope_node_describe(stranger, &text, NULL) == POOLSCOPE_OK);
    SAYS(text, "\"name\":\"stranger\"", "\"known\":false", "\"pool\":null");
    poolscope_node_free(stranger);
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
}

static void a_client_has_its_own_rewrites(void)
{
    poolscope_cluster *cluster = small_cluster("{\"clients\":\"yurtHub\"}");
    poolscope_node *node = node_of(cluster, "hz-1"), *client;
    poolscope_text *text;
    CHECK(poolscope_node_client(node, "kube-proxy/v1.34", 16, &client, NULL) == POOLSCOPE_OK);
    CHECK(poolscope_node_describe(client, &text, NULL) == POOLSCOPE_OK);
    SAYS(text, "\"rewrites\":[\"serviceTopology\"]", "\"missing\":[]");
    CHECK(poolscope_node_describe(node, &text, NULL) == POOLSCOPE_OK);
    SAYS(text, "\"rewrites\":[]", "\"kind\":\"ConfigMap\"");
    poolscope_node_free(client);
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
}

static void a_forgotten_source_is_missing(void)
{
    poolscope_cluster *cluster = small_cluster("{}");
    poolscope_node *node = node_of(cluster, "hz-1");
    CHECK(poolscope_cluster_invalidate_source(cluster, "Service", 7, NULL) == POOLSCOPE_OK);
    CHECK(!poolscope_node_is_ready(node));
    poolscope_text *text;
    CHECK(poolscope_node_describe(node, &text, NULL) == POOLSCOPE_OK);
    SAYS(text, "\"missing\":[{\"kind\":\"Service\"", "\"path\":\"/api/v1/services\"");
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
}

static poolscope_text *judge(const poolscope_node *node, const char *service, const char *on)
{
    poolscope_text *verdict;
    CHECK(poolscope_node_judge(node, "shop", 4, service, strlen(service), on, strlen(on), &verdict,
                               NULL) == POOLSCOPE_OK);
    return verdict;
}

static void an_endpoint_is_judged(void)
{
    poolscope_cluster *cluster = small_cluster("{}");
    poolscope_node *node = node_of(cluster, "hz-1");
    SAYS(judge(node, "cart", "hz-2"), "\"kept\":true", "\"topology\":\"pool\"",
         "\"pools\":[\"hangzhou\"]", "\"rule\":");
    SAYS(judge(node, "cart", "sh-1"), "\"kept\":false", "\"topology\":\"pool\"",
         "\"pools\":[\"shanghai\"]", "\"reason\":");
    SAYS(judge(node, "cart", ""), "\"kept\":false", "\"pools\":[]");
    SAYS(judge(node, "web", "sh-1"), "\"kept\":true", "\"topology\":\"any\"");
    SAYS(judge(node, "", "sh-1"), "\"kept\":true", "\"topology\":null");
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
}

static void an_inventory_is_viewed(void)
{
    poolscope_cluster *cluster = small_cluster("{}");
    poolscope_node *node = node_of(cluster, "hz-1");
    poolscope_inventory *inventory;
    poolscope_text *text;
    poolscope_error *error;
    size_t loaded;
    CHECK(poolscope_inventory_new(&inventory, NULL) == POOLSCOPE_OK);
    CHECK(poolscope_inventory_load(inventory, (const uint8_t *)SLICE_LIST, strlen(SLICE_LIST),
                                   &loaded, NULL) == POOLSCOPE_OK);
    CHECK(loaded == 2);
    CHECK_FAILS(POOLSCOPE_ERR_MALFORMED,
                poolscope_inventory_load(inventory, (const uint8_t *)"!", 1, &loaded, &error));
    CHECK(loaded == 0);
    poolscope_error_free(error);
    const char *odd = "{\"kind\":\"Service\",\"apiVersion\":\"v1\",\"metadata\":{\"namespace\":"
                      "\"shop\",\"name\":\"odd\"},\"spec\":5}";
    CHECK_FAILS(POOLSCOPE_ERR_UNDECODABLE, poolscope_inventory_load(inventory, (const uint8_t *)odd,
                                                                    strlen(odd), NULL, &error));
    CHECK(has(poolscope_error_object(error), "shop/odd"));
    check_error(error, "shop/odd cannot be decoded");
    CHECK(poolscope_inventory_view(inventory, node, &text, NULL) == POOLSCOPE_OK);
    SAYS(text, "\"name\":\"cart\"", "\"name\":\"web\"", "\"object\":\"shop/cart-1\"");
    CHECK(poolscope_inventory_find(inventory, node, "shop", 4, "cart", 4, &text, NULL) ==
          POOLSCOPE_OK);
    SAYS(text, "\"name\":\"cart\"", "\"topology\":\"pool\"", "\"address\":\"10.0.0.3\"",
         "\"kept\":false");
    CHECK(poolscope_inventory_find(inventory, node, "shop", 4, "none", 4, &text, NULL) ==
          POOLSCOPE_OK);
    CHECK(strcmp(poolscope_text_data(text), "null") == 0);
    poolscope_text_free(text);
    poolscope_inventory_free(inventory);
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
}

static void what_was_done_is_counted(void)
{
    poolscope_cluster *cluster = small_cluster("{}");
    poolscope_node *node = node_of(cluster, "hz-1");
    poolscope_stream *watch = followed(node);
    poolscope_text *text;
    CHECK(poolscope_cluster_counters(cluster, &text, NULL) == POOLSCOPE_OK);
    SAYS(text, "\"objects\":2,", "\"objectsCut\":1,", "\"endpointsKept\":5,",
         "\"endpointsDropped\":1,");
    poolscope_stream_free(watch);
    poolscope_node_free(node);
    poolscope_cluster_free(cluster);
}

static void what_changed_is_said(void)
{
    poolscope_cluster *cluster = small_cluster("{}");
    poolscope_text *text;
    uint64_t before = poolscope_cluster_generation(cluster);
    CHECK(poolscope_cluster_changes_since(cluster, before, &text, NULL) == POOLSCOPE_OK);
    CHECK(strcmp(poolscope_text_data(text), "[]") == 0);
    poolscope_text_free(text);
    poolscope_fact_reader *services = reader_of(cluster, SERVICES FROM_90),
                          *pools = reader_of(cluster, NODEPOOLS FROM_90);
    read_facts(services, SERVICE_EVENT("web", "91", ASKS_FOR_POOL));
    read_facts(pools, "{\"type\":\"MODIFIED\",\"object\":{\"kind\":\"NodePool\",\"metadata\":{"
                      "\"name\":\"hangzhou\","
                      "\"resourceVersion\":\"92\"},\"status\":{\"nodes\":[\"hz-1\"]}}}\n");
    CHECK(poolscope_cluster_changes_since(cluster, before, &text, NULL) == POOLSCOPE_OK);
    SAYS(text, "{\"service\":\"shop/web\"}",
         "{\"member\":{\"node\":\"hz-2\",\"pool\":\"hangzhou\"}}");
    poolscope_fact_reader_free(pools);
    poolscope_fact_reader_free(services);
    poolscope_cluster_free(cluster);
}

static void what_changed_long_ago_is_null(void)
{
    poolscope_cluster *cluster = small_cluster("{}");
    poolscope_fact_reader *services = reader_of(cluster, SERVICES FROM_90);
    uint64_t before = poolscope_cluster_generation(cluster);
    for (int version = 100; version < 6000; version++) {
        char event[512];
        snprintf(event, sizeof event, SERVICE_EVENT("web", "%d", "%s"), version,
                 version % 2 == 0 ? ASKS_FOR_POOL : "");
        read_facts(services, event);
    }
    poolscope_text *text;
    CHECK(poolscope_cluster_changes_since(cluster, before, &text, NULL) == POOLSCOPE_OK);
    CHECK(strcmp(poolscope_text_data(text), "null") == 0);
    poolscope_text_free(text);
    poolscope_fact_reader_free(services);
    poolscope_cluster_free(cluster);
}

void test_explanations(void)
{
    the_library_is_that_of_the_header();
    a_node_is_described();
    a_client_has_its_own_rewrites();
    a_forgotten_source_is_missing();
    an_endpoint_is_judged();
    an_inventory_is_viewed();
    what_was_done_is_counted();
    what_changed_is_said();
    what_changed_long_ago_is_null();
}

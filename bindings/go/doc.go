// Package poolscope keeps Service traffic inside a node pool where the node's proxy is not
// kube-proxy. It rewrites responses of the Kubernetes API server: it cuts the endpoints that the
// proxy's node may not use out of EndpointSlices and Endpoints.
//
// One [Cluster] per process has the facts: the topology that each Service asks for, and the pool of
// each node. A [Node] is that cluster as one node sees it. It goes under a client in two lines:
//
//	cluster, err := poolscope.New(poolscope.Config{})
//	node := cluster.Node(os.Getenv("NODE_NAME"))
//	go node.Sync(ctx, poolscope.SyncOptions{Client: client, Server: server})
//	config.Wrap(node.WrapTransport) // a client-go rest.Config
//
// It also goes into a reverse proxy ([Node.PrepareRequest], [Node.ModifyResponse]), or around any
// response body ([Node.NewReader]).
//
// Services, Nodes, CiliumNodes, NodePools and NodeBuckets that the client reads are read as facts
// when they pass. [Node.Sync] fetches the others. While facts are missing, responses with endpoints
// wait under the context of their request.
//
// docs/streams.md of the repository has the rules for client state and events, docs/config.md the
// configuration.
//
// The library's memory is freed when its owner is closed or no longer reachable. Nothing is freed
// twice or used after it was freed.
package poolscope

// Package poolscope keeps Service traffic inside a node pool where the node's proxy is not kube-proxy: it stands on the
// responses of the Kubernetes API server and cuts out of EndpointSlices and Endpoints what the proxy's node may not use.
//
// One [Cluster] a process knows the facts: which Service asks for what, which node is in which pool. A [Node] is that
// cluster as one node sees it, and goes under a client in two lines:
//
//	cluster, err := poolscope.New(`{}`)
//	node := cluster.Node(os.Getenv("NODE_NAME"))
//	go node.Learn(ctx, poolscope.Learner{Client: client, Server: server})
//	config.Wrap(node.WrapTransport) // a client-go rest.Config; or http.Client{Transport: node.WrapTransport(nil)}
//
// or into a reverse proxy ([Node.PrepareRequest], [Node.ModifyResponse]), or around any response body ([Node.NewReader]).
//
// Services, Nodes, CiliumNodes, NodePools and NodeBuckets that the client reads teach the cluster as they pass.
// [Node.Learn] fetches what the client does not read. Until enough is known, responses with endpoints wait, under the
// context of their request: nothing is served unfiltered by accident.
//
// What a client is told of, and why, is in docs/streams.md of the repository; the configuration in docs/config.md.
//
// Memory of the library is freed when what holds it is closed or no longer reachable; nothing is freed twice, and nothing
// is used after.
package poolscope

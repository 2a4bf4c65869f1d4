use super::super::path::UnreadPath;
use super::*;
use crate::object::SubjectKind;

fn target(text: &str) -> Option<Target> {
    Target::of(&RequestHead::get(text))
}

const SLICES: Resource = Resource::Subject(SubjectKind::EndpointSlice);

#[test]
fn paths_say_kind_namespace_and_name() {
    let list = target("/apis/discovery.k8s.io/v1/endpointslices").unwrap();
    assert_eq!(
        (list.resource, list.verb, list.selection),
        (SLICES, Verb::List, Selection::default())
    );
    let list = target("/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices").unwrap();
    assert_eq!((list.verb, list.selection.namespace.as_deref()), (Verb::List, Some("shop")));
    let get = target("/api/v1/namespaces/shop/endpoints/cart").unwrap();
    assert_eq!((get.resource, get.verb), (Resource::Subject(SubjectKind::Endpoints), Verb::Get));
    let node = target("/api/v1/nodes/hz-edge-1").unwrap();
    assert_eq!((node.resource, node.verb), (Resource::Fact(FactKind::Node), Verb::Get));
    assert!(node.selection.fields.contains("metadata.name=hz-edge-1"));
    for path in [
        FactKind::ConfigMap.list_path(),
        "/api/v1/configmaps",
        "/api/v1/namespaces/kube-system/configmaps/yurt-hub-cfg",
    ] {
        assert_eq!(target(path).unwrap().resource, Resource::Fact(FactKind::ConfigMap), "{path}");
    }
    for version in ["v1alpha1", "v1beta1", "v1beta2"] {
        assert_eq!(
            target(&format!("/apis/apps.openyurt.io/{version}/nodepools")).unwrap().resource,
            Resource::Fact(FactKind::NodePool)
        );
    }
}

#[test]
fn paths_are_read_however_they_are_written() {
    for text in [
        "https://10.0.0.1:6443/apis/discovery.k8s.io/v1/endpointslices",
        "/k8s/clusters/c-1/apis/discovery.k8s.io/v1/endpointslices",
        "/apis/discovery%2Ek8s.io/v1/%65ndpointslices",
        "/apis%2Fdiscovery.k8s.io/v1%2fendpointslices",
        "//apis/discovery.k8s.io/v1/endpointslices/",
        "/apis/discovery.k8s.io/v1/pods/../endpointslices",
        // A prefix may look like the root, and a host too.
        "/api/clusters/c-1/apis/discovery.k8s.io/v1/endpointslices",
        "/proxy/v1/apis/discovery.k8s.io/v1/endpointslices",
        "http://apis/apis/discovery.k8s.io/v1/endpointslices",
    ] {
        assert_eq!(
            target(text).map(|target| (target.resource, target.verb)),
            Some((SLICES, Verb::List)),
            "{text}"
        );
    }
}

/// Prefix x root x version x namespace x form x encoding of segments: every one ends as a path
/// of an API server does, and is read as such.
#[test]
fn every_path_that_ends_in_a_known_collection_is_read() {
    let prefixes = [
        "",
        "/",
        "/k8s/clusters/c-m-x7k2",
        "/apis",
        "/api/v1",
        "/gw/api/v1",
        "/api/clusters/c-1",
        "/proxy/v1",
        "/apis/clusters/my-cluster",
        "/apis/cluster.karmada.io/v1alpha1/clusters/m1/proxy",
        "/api/v1/namespaces/hub/services/https:api:443/proxy",
        "/api/v1/namespaces/hub/pods/api-0/proxy",
        "/api/v1/nodes/a/proxy",
        "/services/apiexport/root:org/things/clusters/*",
        "/api/v1/namespaces/apis/services",
        "https://10.0.0.1:6443",
        "https://hub.example/apis/a.example/v1/b/c/proxy",
        "http://apis/apis",
    ];
    let resources = [
        ("/apis/discovery.k8s.io/v1", "endpointslices", SLICES),
        (
            "/apis/discovery.k8s.io/v1beta1",
            "endpointslices",
            Resource::Subject(SubjectKind::EndpointSliceBeta),
        ),
        ("/api/v1", "endpoints", Resource::Subject(SubjectKind::Endpoints)),
        ("/api/v1", "services", Resource::Fact(FactKind::Service)),
    ];
    let encodings: [fn(&str) -> String; 5] = [
        |path| path.to_owned(),
        |path| path.replace("/apis/", "//apis/") + "/",
        |path| path.replace("endpoint", "%65ndpoint").replace("services", "s%65rvices"),
        |path| path.replace("/v1", "%2fv1"),
        |path| path.replace("/v1", "/x/.././v1"),
    ];
    let legacy = Verb::Watch { initial: Initial::Legacy };
    let mut paths = 0;
    for (prefix, (root, plural, resource), encode) in prefixes
        .iter()
        .flat_map(|prefix| resources.iter().map(move |resource| (*prefix, *resource)))
        .flat_map(|(prefix, resource)| {
            encodings.iter().map(move |encode| (prefix, resource, encode))
        })
    {
        let forms = [
            (format!("{root}/{plural}"), None, Verb::List),
            (format!("{root}/namespaces/shop/{plural}"), Some("shop"), Verb::List),
            (format!("{root}/namespaces/api/{plural}/v1"), Some("api"), Verb::Get),
            (format!("{root}/namespaces/apis/{plural}/apis"), Some("apis"), Verb::Get),
            (format!("{root}/watch/{plural}"), None, legacy),
            (format!("{root}/watch/namespaces/shop/{plural}"), Some("shop"), legacy),
            (format!("{root}/watch/namespaces/shop/{plural}/web"), Some("shop"), legacy),
            (format!("{root}/{plural}?watch=1"), None, legacy),
        ];
        for (form, namespace, verb) in forms {
            let (path, query) = form.split_once('?').unwrap_or((&form, ""));
            let text = format!("{prefix}{}?{query}", encode(path));
            let read = target(&text).unwrap_or_else(|| panic!("{text} is not read"));
            assert_eq!(
                (read.resource, read.verb, read.selection.namespace.as_deref()),
                (resource, verb, namespace),
                "{text}"
            );
            assert_eq!(
                read.prefix.is_empty(),
                matches!(prefix, "" | "/" | "https://10.0.0.1:6443"),
                "{text}"
            );
            paths += 1;
        }
    }
    assert_eq!(paths, 18 * 4 * 5 * 8);
}

#[test]
fn a_prefix_that_holds_an_api_root_leads_to_another_cluster() {
    let needs_refresh =
        |prefix: &str| target(&format!("{prefix}/api/v1/services")).unwrap().is_behind_another_api;
    for prefix in
        ["/apis/c.example/v1/clusters/m1/proxy", "/api/v1/nodes/a/proxy", "/apis", "/gw/api/v1"]
    {
        assert!(needs_refresh(prefix), "{prefix}");
    }
    for prefix in ["", "/k8s/clusters/c-1", "/api/clusters/c-1", "/proxy/v1"] {
        assert!(!needs_refresh(prefix), "{prefix}");
    }
}

#[test]
fn a_path_that_names_a_kind_and_is_not_read_says_why() {
    let unread = |text: &str| (target(text).is_none(), UnreadPath::of("GET", text));
    for (text, kind) in [
        ("/endpointslices", SubjectKind::EndpointSlice),
        ("/v1/endpointslices/web-1", SubjectKind::EndpointSlice),
        ("/consul/v1/catalog/services", SubjectKind::Service),
        ("/api/v2/services", SubjectKind::Service),
        ("/apis/c.example/v1/clusters/m1/proxy/v1/endpoints", SubjectKind::Endpoints),
        ("/apis/discovery.k8s.io/endpointslices", SubjectKind::EndpointSlice),
    ] {
        assert_eq!(unread(text), (true, Some(UnreadPath::Path(kind))), "{text}");
    }
    for text in [
        "/apis/discovery.k8s.io/v2/endpointslices",
        "/p/apis/discovery.k8s.io/v2/watch/namespaces/shop/endpointslices/a",
    ] {
        assert_eq!(
            unread(text),
            (true, Some(UnreadPath::Version(SubjectKind::EndpointSlice))),
            "{text}"
        );
    }
    for text in [
        "/api/v1/namespaces/endpoints/pods",
        "/apis/serving.knative.dev/v1/services",
        "/apis/serving.knative.dev/v1/namespaces/shop/services/web",
        "/api/v1/namespaces/shop/services/web/proxy/index.html",
        "/api/v1/pods",
        "/",
    ] {
        assert_eq!(unread(text), (true, None), "{text}");
    }
    assert_eq!(UnreadPath::of("POST", "/endpointslices"), None);
    assert_eq!(target("/api/v1/namespaces/shop/services/web/status").unwrap().verb, Verb::Get);
}

#[test]
fn of_a_repeated_parameter_the_first_counts() {
    let target = |query: &str| target(&format!("/api/v1/services?{query}")).unwrap();
    assert_eq!(target("labelSelector=&labelSelector=x").selection, Selection::default());
    assert_eq!(target("watch=false&watch=true").verb, Verb::List);
    assert!(target("shardSelector=x").selection != Selection::default());
}

#[test]
fn a_parameter_of_the_name_of_a_field_does_not_select_by_it() {
    let services = |query: &str| target(&format!("/api/v1/services?{query}")).unwrap().selection;
    for (parameter, field) in [
        ("metadata.name=web", "metadata.name%3Dweb"),
        ("spec.clusterIP!=None", "spec.clusterIP!%3DNone"),
    ] {
        let by_parameter = services(parameter);
        assert_ne!(by_parameter, services(&format!("fieldSelector={field}")));
        assert!(!by_parameter.must_have(b"shop/web"), "it may leave out any Service");
        assert!(!by_parameter.is_of_one_name());
        assert_eq!(by_parameter, services(parameter));
    }
    let map = "/api/v1/namespaces/kube-system/configmaps?metadata.name=other";
    assert!(target(map).is_some(), "the list has every ConfigMap of the namespace");
}

#[test]
fn the_rest_is_nothing_to_us() {
    for text in [
        "/api/v1/pods",
        "/api/v1/namespaces/shop",
        "/api/v1/namespaces/shop/configmaps",
        "/api/v1/namespaces/kube-system/configmaps/kube-proxy",
        "/api/v1/namespaces",
        "/api/v1/namespaces/shop/services/web/proxy/endpoints",
        "/api/v1/nodes/a/status",
        "/apis/discovery.k8s.io/v2/endpointslices",
        "/api/v1/namespaces/shop/pods/endpoints",
        "/apis/cilium.io/v2/ciliumendpoints",
        "/api/v1/&services",
        "/api/v1/services=x",
        "/version",
        "/",
        "",
    ] {
        assert_eq!(target(text), None, "{text}");
    }
    assert_eq!(Target::of(&RequestHead::new("POST", "/api/v1/services")), None);
}

#[test]
fn queries_say_how() {
    let verb = |query: &str| {
        target(&format!("/apis/discovery.k8s.io/v1/endpointslices?{query}")).unwrap().verb
    };
    let watch = |initial| Verb::Watch { initial };
    assert_eq!(verb("watch=false"), Verb::List);
    assert_eq!(verb("watch=0&limit=500"), Verb::List);
    assert_eq!(verb("watch=1&resourceVersion=5"), watch(Initial::Live));
    assert_eq!(verb("watch&resourceVersion=0"), watch(Initial::Legacy));
    assert_eq!(verb("watch=true"), watch(Initial::Legacy));
    assert_eq!(verb("watch=true&sendInitialEvents=false&resourceVersion=0"), watch(Initial::Live));
    assert_eq!(
        verb("allowWatchBookmarks=true&sendInitialEvents=true&watch=true"),
        watch(Initial::Announced)
    );
    assert_eq!(
        target("/apis/discovery.k8s.io/v1/watch/endpointslices?resourceVersion=7").unwrap().verb,
        watch(Initial::Live)
    );
    let one = target("/api/v1/watch/namespaces/shop/services/web").unwrap();
    assert_eq!(one.verb, watch(Initial::Legacy));
    assert_eq!(
        target("/api/v1/services?continue=abc%3D").unwrap().continues.as_deref(),
        Some("abc=")
    );
}

#[test]
fn selectors_are_sets_of_requirements() {
    let labels = |query: &str| {
        target(&format!("/api/v1/services?labelSelector={query}")).unwrap().selection.labels
    };
    assert_eq!(
        labels("%21a%2Cb+in+%28c%2Cd%29"),
        ["!a".to_owned(), "b in (c,d)".to_owned()].into()
    );
    assert_eq!(
        labels("b in (c,d),e notin (f,g),h"),
        ["b in (c,d)", "e notin (f,g)", "h"].map(str::to_owned).into()
    );
    assert_eq!(labels("a==b,c=d"), labels("c%3Dd%2Ca%3Db"));
    assert_eq!(labels(""), Default::default());
}

#[test]
fn prepare_leaves_only_what_can_be_read() {
    let prepared = |accept: &str| {
        let request = RequestHead::get("/api/v1/services")
            .header("accept", accept)
            .header("Accept-Encoding", "gzip")
            .header("X", "y");
        prepare(
            request
                .header("Upgrade", "websocket")
                .header("Sec-WebSocket-Key", "k")
                .header("Range", "bytes=0-9"),
        )
        .headers
    };
    let kept = |accept: &str| {
        vec![("accept".to_owned(), accept.to_owned()), ("X".to_owned(), "y".to_owned())]
    };
    assert_eq!(
        prepared("application/vnd.kubernetes.protobuf, */*"),
        kept("application/vnd.kubernetes.protobuf,*/*")
    );
    assert_eq!(prepared("application/cbor,application/json"), kept("application/json"));
    assert_eq!(
        prepared(
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;\
             g=meta.k8s.io,application/json"
        ),
        kept("application/json")
    );
    assert_eq!(prepared("application/yaml"), kept("application/json"));
    let partial =
        "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    assert_eq!(prepared(partial), kept(partial));
    let other = RequestHead::get("/api/v1/pods").header("Accept-Encoding", "gzip");
    assert_eq!(prepare(other.clone()), other);
}

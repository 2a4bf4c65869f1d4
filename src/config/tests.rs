use super::*;
use crate::ErrorKind;

#[test]
fn an_empty_document_is_openyurt() {
    assert_eq!(Config::from_json("{}"), Ok(Config::openyurt()));
}

#[test]
fn the_whole_document_can_be_written_out() {
    let config = Config::from_json(
        r#"{"dialect":"openyurt","membership":"nodePool","clients":"all",
            "rewrites":{"serviceTopology":true,"nodePortIsolation":false,"discardCloudService":false,"masterService":null},
            "topologyFallback":false,"onMissingFact":{"unknownService":"pass","unknownPool":"pass"},"retention":"full","suppressUnchanged":true,
            "protobufLists":"padded","limits":{"frameBytes":16777216,"itemBytes":16777216,"depth":512}}"#,
    );
    assert_eq!(config, Ok(Config::openyurt()));
}

#[test]
fn every_value_is_read() {
    let config = Config::from_json(
        r#"{"membership":{"nodeLabel":"zone"},"pool":"p","rewrites":{"serviceTopology":false},
            "topologyFallback":true,"retention":"topology","suppressUnchanged":false,
            "onMissingFact":{"unknownPool":"empty","noService":"empty"},"protobufLists":"compact",
            "limits":{"itemBytes":5,"clientStateBytes":7,"deletedServices":9}}"#,
    )
    .unwrap();
    assert_eq!(config.membership, Membership::NodeLabel("zone".to_owned()));
    assert_eq!(config.pool.as_deref(), Some("p"));
    assert!(!config.service_topology);
    assert_eq!(
        config.on_missing_fact,
        OnMissingFact {
            unknown_service: MissingFactPolicy::Pass,
            no_service: MissingFactPolicy::Empty,
            unknown_pool: MissingFactPolicy::Empty
        }
    );
    assert_eq!(config.protobuf_lists, ProtobufLists::Compact);
    assert_eq!(
        config.limits,
        Limits { item_bytes: 5, client_state_bytes: 7, deleted_services: 9, ..Limits::default() }
    );
    assert_eq!(
        (config.topology_fallback, config.retention, config.suppress_unchanged),
        (true, Retention::Topology, false)
    );
    assert_eq!(Config::from_json(r#"{"retention":"none"}"#).unwrap().retention, Retention::None);
}

#[test]
fn each_dialect_has_a_constructor_and_a_name() {
    for (name, config) in [
        ("openyurt", Config::openyurt()),
        ("kubeedge", Config::kubeedge()),
        ("superedge", Config::superedge()),
        ("poolscope", Config::poolscope()),
    ] {
        assert_eq!(config.check(), Ok(()));
        assert_eq!(Config::from_json(&format!(r#"{{"dialect":"{name}"}}"#)), Ok(config.clone()));
        assert_eq!(config.dialect.name(), name);
    }
    let zone = Membership::NodeLabel("zone".to_owned());
    assert_eq!(
        Config::from_json(r#"{"dialect":"superedge","membership":{"nodeLabel":"zone"}}"#)
            .unwrap()
            .membership,
        zone
    );
    let poolscope =
        Config::from_json(r#"{"dialect":"poolscope","topologyFallback":false}"#).unwrap();
    assert_eq!((poolscope.topology_fallback, Config::poolscope().topology_fallback), (false, true));
}

#[test]
fn every_rewrite_can_be_switched() {
    let text = r#"{"clients":"yurtHub","rewrites":{"serviceTopology":false,"nodePortIsolation":true,"discardCloudService":true,
        "masterService":{"host":"169.254.2.1","port":10268},"forwardKubernetesService":{"host":"fd00::1","port":443}}}"#;
    let config = Config::from_json(text).unwrap();
    assert_eq!(config.clients, Clients::YurtHub);
    assert_eq!(
        config.master_service,
        Some(Hub { host: "169.254.2.1".parse().unwrap(), port: 10268 })
    );
    assert_eq!(
        config.forward_kubernetes_service,
        Some(Hub { host: "fd00::1".parse().unwrap(), port: 443 })
    );
    let on: Vec<_> = config.rewrites().iter().map(Rewrite::name).collect();
    assert_eq!(
        on,
        ["nodePortIsolation", "discardCloudService", "masterService", "forwardKubernetesService"]
    );
}

#[test]
fn what_cannot_be_honoured_is_refused_by_name() {
    assert_eq!(
        Config::from_json("[]"),
        Err(crate::Error::config("the document is not a JSON object".to_owned()))
    );
    let refused = |text: &str, word: &str| match Config::from_json(text) {
        Err(error) => assert!(
            error.kind() == ErrorKind::Config && error.to_string().contains(word),
            "{error}"
        ),
        other => panic!("{text}: {other:?}"),
    };
    refused(r#"{"retension":"full"}"#, "retension");
    refused(r#"{"onMissingFact":{"unknownNode":"pass"}}"#, "unknownNode");
    refused(r#"{"onMissingFact":{"unknownPool":"maybe"}}"#, "maybe");
    refused(r#"{"retention":"some"}"#, "some");
    refused(r#"{"rewrites":{"serviceTopologie":true}}"#, "serviceTopologie");
    refused(r#"{"rewrites":{"nodePortIsolation":null}}"#, "nodePortIsolation");
    refused(r#"{"rewrites":{"masterService":{"host":"hub.local","port":1}}}"#, "masterService");
    refused(
        r#"{"rewrites":{"masterService":{"host":"169.254.2.1","port":0}}}"#,
        "masterService.port",
    );
    refused(
        r#"{"rewrites":{"forwardKubernetesService":{"host":"169.254.2.1","port":65536}}}"#,
        "forwardKubernetesService",
    );
    refused(
        r#"{"rewrites":{"forwardKubernetesService":{"host":"169.254.2.1","port":1,"x":1}}}"#,
        "`x`",
    );
    refused(r#"{"dialect":"kubedge"}"#, "kubedge");
    refused(r#"{"clients":"cilium"}"#, "cilium");
    refused(r#"{"dialect":"superedge","topologyFallback":true}"#, "superedge");
    refused(r#"{"dialect":"superedge","membership":"nodePool"}"#, "nodeLabels");
    refused(r#"{"dialect":"superedge","pool":"a"}"#, "pool");
    refused(
        r#"{"dialect":"superedge","rewrites":{"nodePortIsolation":true}}"#,
        "nodePortIsolation",
    );
    refused(r#"{"membership":"nodeLabels"}"#, "openyurt");
    refused(r#"{"membership":"label"}"#, "label");
    refused(r#"{"membership":{"nodeLabel":""}}"#, "empty");
    refused(r#"{"pool":""}"#, "pool");
    refused(r#"{"limits":{"depth":0}}"#, "depth");
    refused(r#"{"limits":{"clientStateBytes":0}}"#, "clientStateBytes");
    refused(r#"{"limits":{"deletedServices":0}}"#, "deletedServices");
    refused("{", "EOF");
}

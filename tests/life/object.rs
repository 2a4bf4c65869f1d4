//! Objects and their metadata.

use super::*;

/// Metadata, from whichever form it is in.
pub(crate) fn metadata(object: &Object) -> schema::ObjectMeta {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Anything {
        #[prost(message, optional, tag = "1")]
        metadata: Option<schema::ObjectMeta>,
    }
    let typed = |metadata: &ObjectMeta| schema::ObjectMeta {
        name: metadata.name.clone().unwrap_or_default(),
        namespace: metadata.namespace.clone().unwrap_or_default(),
        resource_version: metadata.resource_version.clone().unwrap_or_default(),
        labels: metadata.labels.clone().unwrap_or_default(),
        annotations: metadata.annotations.clone().unwrap_or_default(),
        ..Default::default()
    };
    match object {
        Object::Slice(slice) => typed(&slice.metadata),
        Object::Endpoints(endpoints) => typed(&endpoints.metadata),
        Object::ProtobufSlice { slice, .. } => slice.metadata.clone().unwrap_or_default(),
        Object::ProtobufEndpoints(endpoints) => endpoints.metadata.clone().unwrap_or_default(),
        Object::Json(value) => typed(&serde_json::from_value(value["metadata"].clone()).unwrap()),
        Object::Bytes(bytes) => Anything::decode(&**bytes).unwrap().metadata.unwrap_or_default(),
        Object::Beta(_) => panic!("not in these streams"),
    }
}

/// `namespace/name`, or the name alone of what is in no namespace; empty for a bookmark.
pub(crate) fn name(metadata: &schema::ObjectMeta) -> String {
    let separator = if metadata.namespace.is_empty() { "" } else { "/" };
    format!("{}{separator}{}", metadata.namespace, metadata.name)
}

/// The object without its version, which a refresh may stamp, and without what `suppressUnchanged`
/// lets grow old.
pub(crate) fn plain(mut object: Object, suppress: bool) -> Object {
    const LAST_CHANGE: &str = "endpoints.kubernetes.io/last-change-trigger-time";
    let typed = |metadata: &mut ObjectMeta| {
        metadata.resource_version = None;
        if suppress {
            (metadata.generation, metadata.managed_fields) = (None, None);
            metadata
                .annotations
                .iter_mut()
                .for_each(|annotations| drop(annotations.remove(LAST_CHANGE)));
        }
        metadata.annotations =
            metadata.annotations.take().filter(|annotations| !annotations.is_empty());
    };
    let message = |metadata: &mut Option<schema::ObjectMeta>| {
        let metadata = metadata.as_mut().unwrap();
        metadata.resource_version.clear();
        if suppress {
            metadata.generation = 0;
            metadata.managed_fields.clear();
            metadata.annotations.remove(LAST_CHANGE);
        }
    };
    match &mut object {
        Object::Slice(slice) => typed(&mut slice.metadata),
        Object::Endpoints(endpoints) => typed(&mut endpoints.metadata),
        Object::ProtobufSlice { slice, .. } => message(&mut slice.metadata),
        Object::ProtobufEndpoints(endpoints) => message(&mut endpoints.metadata),
        other => panic!("{other:?}"),
    }
    object
}

/// The first address of each endpoint.
pub(crate) fn addresses(object: &Object) -> Vec<String> {
    match object {
        Object::Slice(slice) => {
            slice.endpoints.iter().map(|endpoint| endpoint.addresses[0].clone()).collect()
        }
        Object::ProtobufSlice { slice, .. } => {
            slice.endpoints.iter().map(|endpoint| endpoint.addresses[0].clone()).collect()
        }
        Object::Endpoints(endpoints) => {
            let subsets = endpoints.subsets.iter().flatten();
            let lists = subsets.flat_map(|subset| [&subset.addresses, &subset.not_ready_addresses]);
            lists.flatten().flatten().map(|address| address.ip.clone()).collect()
        }
        Object::ProtobufEndpoints(endpoints) => {
            let lists = endpoints
                .subsets
                .iter()
                .flat_map(|subset| [&subset.addresses, &subset.not_ready_addresses]);
            lists.flatten().map(|address| address.ip.clone()).collect()
        }
        other => panic!("{other:?}"),
    }
}

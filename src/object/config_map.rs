//! The ConfigMap in which OpenYurt keeps which client gets which filter.
//!
//! Protobuf numbers (B2): ConfigMap 2 data, repeated entries {1 key, 2 value}.

use super::go::{go_struct, read_json};
use super::metadata::{Entry, entries};
use super::selection::Selection;
use crate::hash::HashMap;
use crate::wire::encoding::Encoding;

/// Its namespace.
pub(crate) const NAMESPACE: &str = "kube-system";

/// Its name.
pub(crate) const NAME: &str = "yurt-hub-cfg";

/// The selection that shows the ConfigMap, or that there is none.
pub(crate) fn selection() -> Selection {
    let fields = [format!("metadata.name={NAME}")].into();
    Selection { namespace: Some(NAMESPACE.to_owned()), fields, ..Selection::default() }
}

/// Whether a request for ConfigMaps may be answered with it.
pub(crate) fn may_be_in(selection: &Selection) -> bool {
    let own = format!("metadata.name={NAME}");
    let by_name = |field: &&String| field.starts_with("metadata.name=");
    selection.namespace.as_deref().is_none_or(|namespace| namespace == NAMESPACE)
        && selection.fields.iter().filter(by_name).all(|field| *field == own)
}

/// `.data`: lists of components by the name of a filter. `None` if the object cannot be decoded.
pub(crate) fn data(object: &[u8], encoding: Encoding) -> Option<HashMap<String, String>> {
    match encoding {
        Encoding::Json => {
            let map: JsonConfigMap = read_json(object)?;
            Some(map.data)
        }
        Encoding::Protobuf => {
            Some(entries(<ProtobufConfigMap as prost::Message>::decode(object).ok()?.data))
        }
    }
}

go_struct!(JsonConfigMap { "data" => data: HashMap<String, String> });

#[derive(prost::Message)]
struct ProtobufConfigMap {
    #[prost(message, repeated, tag = "2")]
    data: Vec<Entry>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requests_that_may_show_it_matter() {
        let of = |namespace: Option<&str>, field: &str| {
            let fields = [field.to_owned()].into_iter().filter(|field| !field.is_empty()).collect();
            may_be_in(&Selection {
                namespace: namespace.map(str::to_owned),
                fields,
                ..Selection::default()
            })
        };
        assert!(
            of(None, "")
                && of(Some("kube-system"), "")
                && of(None, "metadata.name=yurt-hub-cfg")
                && may_be_in(&selection())
        );
        assert!(!of(Some("shop"), "") && !of(Some("kube-system"), "metadata.name=kube-proxy"));
    }
}

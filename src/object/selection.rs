//! Which objects a request asks for.

use std::collections::BTreeSet;
use std::fmt;

/// Which objects of a kind a list or watch asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Selection {
    /// `None`: all namespaces, or a kind that has none.
    pub(crate) namespace: Option<String>,
    /// Requirements of the label selector.
    pub(crate) labels: BTreeSet<String>,
    /// Requirements of the field selector.
    pub(crate) fields: BTreeSet<String>,
}

impl Selection {
    /// Whether every object that `other` asks for is asked for here too.
    pub(crate) fn covers(&self, other: &Selection) -> bool {
        (self.namespace.is_none() || self.namespace == other.namespace)
            && self.labels.is_subset(&other.labels)
            && self.fields.is_subset(&other.fields)
    }

    /// Whether the Service of every slice that `slices` asks for is asked for here. The controllers
    /// copy a Service's labels to its slices, so a selector that slices pass is one that their
    /// Services pass; labels that only slices have say nothing of Services. That one of these
    /// is absent, which cilium-agent and kube-proxy ask of both, leaves out no Service either:
    /// the label is reserved. The slices of one that carries it all the same are of a Service
    /// that is not known, and counted as such.
    pub(crate) fn covers_services_of(&self, slices: &Selection) -> bool {
        // kube-proxy leaves headless Services out by this field; their slices carry a label instead
        // (B5).
        let headless_left_out = slices.labels.contains(NOT_HEADLESS);
        let alike = |label: &String| {
            slices.labels.contains(label) && (label == NOT_HEADLESS || !is_of_slices(label))
        };
        (self.namespace.is_none() || self.namespace == slices.namespace)
            && self.labels.iter().all(alike)
            && self.fields.iter().all(|field| field == "spec.clusterIP!=None" && headless_left_out)
    }

    /// Whether a list of this selection has the object of that key, if the object exists.
    pub(crate) fn must_have(&self, key: &[u8]) -> bool {
        let slash = key.iter().position(|&byte| byte == b'/');
        let (namespace, name) =
            slash.map_or((None, key), |slash| (Some(&key[..slash]), &key[slash + 1..]));
        let in_namespace =
            self.namespace.as_ref().is_none_or(|own| namespace == Some(own.as_bytes()));
        let is_named =
            |field: &String| field.strip_prefix(NAME).is_some_and(|own| own.as_bytes() == name);
        in_namespace && self.labels.is_empty() && self.fields.iter().all(is_named)
    }

    /// An object cannot leave the selection and still be there.
    pub(crate) fn cannot_be_left(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty() || self.is_by_name_alone()
    }

    /// Asks for one object by its name, and maybe for more of it.
    pub(crate) fn is_of_one_name(&self) -> bool {
        self.fields.iter().any(|field| field.starts_with(NAME))
    }

    /// Asks for one object by its name alone: a list without it says that it does not exist.
    pub(crate) fn is_by_name_alone(&self) -> bool {
        self.labels.is_empty() && self.fields.len() == 1 && self.is_of_one_name()
    }
}

/// The requirement of a field selector that asks for one object by its name.
const NAME: &str = "metadata.name=";

/// A label requirement that slices of headless Services do not meet.
const NOT_HEADLESS: &str = "!service.kubernetes.io/headless";

/// Whether a requirement is about a label that the controllers put on slices alone.
fn is_of_slices(requirement: &str) -> bool {
    let label = requirement.trim_start_matches('!');
    ["service.kubernetes.io/headless", "kubernetes.io/service-name", "endpointslice.kubernetes.io/"]
        .iter()
        .any(|own| label.starts_with(own))
}

impl fmt::Display for Selection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(out, "namespace {namespace}")?,
            None => out.write_str("all namespaces")?,
        }
        for (name, requirements) in [("labels", &self.labels), ("fields", &self.fields)] {
            if !requirements.is_empty() {
                write!(
                    out,
                    ", {name} {}",
                    requirements.iter().map(String::as_str).collect::<Vec<_>>().join(",")
                )?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(namespace: Option<&str>, labels: &[&str], fields: &[&str]) -> Selection {
        let set = |items: &[&str]| items.iter().map(|&item| item.to_owned()).collect();
        Selection {
            namespace: namespace.map(str::to_owned),
            labels: set(labels),
            fields: set(fields),
        }
    }

    #[test]
    fn fewer_requirements_cover_more() {
        let all = selection(None, &[], &[]);
        let shop = selection(Some("shop"), &[], &[]);
        let picked = selection(None, &["a=b", "!c"], &[]);
        assert!(all.covers(&shop) && all.covers(&picked) && all.covers(&all));
        assert!(!shop.covers(&all) && !picked.covers(&all) && !shop.covers(&picked));
        assert!(selection(None, &["!c"], &[]).covers(&picked));
    }

    #[test]
    fn services_selected_like_their_slices_are_enough() {
        let services = selection(None, &["!service.kubernetes.io/service-proxy-name"], &[]);
        let alike = selection(
            None,
            &["!service.kubernetes.io/headless", "!service.kubernetes.io/service-proxy-name"],
            &[],
        );
        assert!(services.covers_services_of(&alike));
        assert!(!services.covers_services_of(&selection(
            None,
            &["!service.kubernetes.io/headless"],
            &[]
        )));
        let kube_proxy = selection(
            None,
            &["!service.kubernetes.io/service-proxy-name"],
            &["spec.clusterIP!=None"],
        );
        assert!(kube_proxy.covers_services_of(&alike));
        let headless = selection(None, &["service.kubernetes.io/headless"], &[]);
        assert!(!headless.covers_services_of(&headless), "no Service has that label");
        assert!(!kube_proxy.covers_services_of(&services));
        let cilium = selection(
            None,
            &[
                "!service.kubernetes.io/headless",
                "!service.kubernetes.io/service-proxy-name",
                "endpointslice.kubernetes.io/managed-by!=mesh",
            ],
            &[],
        );
        assert!(alike.covers_services_of(&cilium) && alike.covers_services_of(&alike));
        assert!(
            !alike.covers_services_of(&services),
            "slices of headless Services are asked for, and these are not"
        );
        assert!(
            !cilium.covers_services_of(&cilium),
            "whose slices somebody else manages says nothing of Services"
        );
    }

    #[test]
    fn a_selection_must_have_what_it_cannot_leave_out() {
        assert!(
            selection(None, &[], &[]).must_have(b"shop/web")
                && selection(None, &[], &[]).must_have(b"node-1")
        );
        assert!(selection(Some("shop"), &[], &[]).must_have(b"shop/web"));
        assert!(!selection(Some("sho"), &[], &[]).must_have(b"shop/web"));
        assert!(!selection(None, &["a=b"], &[]).must_have(b"shop/web"));
        let by_name = selection(None, &[], &["metadata.name=b"]);
        assert!(
            !by_name.must_have(b"a") && by_name.must_have(b"b") && by_name.must_have(b"shop/b")
        );
        assert!(!selection(Some("shop"), &[], &["metadata.name=b"]).must_have(b"iot/b"));
        assert!(!selection(None, &["a=b"], &["metadata.name=b"]).must_have(b"b"));
        assert!(!selection(None, &[], &["metadata.name=b", "metadata.name=c"]).must_have(b"b"));
    }
}

//! Which client gets which rewrite, as OpenYurt's yurthub chooses (C1 to C4).

use crate::config::rewrites::{Rewrite, Rewrites};
use crate::hash::HashMap;

/// The components that the ConfigMap names, by what they get.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ListedClients(Vec<(Rewrite, Vec<Box<str>>)>);

impl ListedClients {
    /// From the ConfigMap's data: a comma list under the name of each filter, blanks trimmed, case
    /// kept (C3). Keys that name no rewrite say nothing.
    pub(crate) fn of(data: &HashMap<String, String>) -> ListedClients {
        let clients = |rewrite: Rewrite| {
            let names = data
                .get(rewrite.filter())?
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty());
            let mut names: Vec<Box<str>> = names.map(Into::into).collect();
            names.sort_unstable();
            names.dedup();
            Some((rewrite, names)).filter(|(_, names)| !names.is_empty())
        };
        ListedClients(Rewrite::ALL.into_iter().filter_map(clients).collect())
    }

    /// Returns the rewrites that the ConfigMap adds for a component.
    pub(crate) fn rewrites(&self, component: &str) -> Rewrites {
        let named =
            self.0.iter().filter(|(_, names)| names.iter().any(|name| &**name == component));
        named.map(|(rewrite, _)| *rewrite).collect()
    }
}

/// Returns the rewrites that a component gets by default (C2).
pub(crate) fn defaults(component: &str) -> Rewrites {
    Rewrite::ALL
        .into_iter()
        .filter(|rewrite| rewrite.default_components().contains(&component))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewrites(key: &str, value: &str, component: &str) -> Vec<&'static str> {
        let data = [(key.to_owned(), value.to_owned())].into();
        ListedClients::of(&data).rewrites(component).iter().map(Rewrite::name).collect()
    }

    #[test]
    fn the_line_of_the_guide_names_cilium() {
        let line = "cilium,cilium-agent";
        assert_eq!(rewrites("servicetopology", line, "cilium-agent"), ["serviceTopology"]);
        assert_eq!(rewrites("servicetopology", line, "cilium"), ["serviceTopology"]);
        assert_eq!(rewrites("servicetopology", line, "cilium-operator"), [""; 0]);
    }

    #[test]
    fn names_are_trimmed_and_otherwise_exact() {
        assert_eq!(rewrites("masterservice", " , a ,b,,", "a"), ["masterService"]);
        assert_eq!(
            rewrites("forwardkubesvctraffic", "Cilium-Agent", "cilium-agent"),
            [""; 0],
            "C3"
        );
        assert_eq!(rewrites("servicetopology", "*", "cilium-agent"), [""; 0]);
        assert_eq!(rewrites("serviceTopology", "a", "a"), [""; 0], "no filter of that name");
        assert_eq!(rewrites("servicetopology", ",", ""), [""; 0]);
    }

    #[test]
    fn defaults_are_those_of_yurthub() {
        let of =
            |component| defaults(component).iter().map(Rewrite::name).collect::<Vec<_>>().join(" ");
        assert_eq!(
            of("kube-proxy"),
            "serviceTopology nodePortIsolation discardCloudService forwardKubernetesService"
        );
        assert_eq!(
            (of("coredns"), of("nginx-ingress-controller")),
            ("serviceTopology".to_owned(), "serviceTopology".to_owned())
        );
        assert_eq!(
            (of("kubelet"), of("cilium-agent"), of("")),
            ("masterService".to_owned(), String::new(), String::new())
        );
    }
}

//! Why a list could not be read, in one line.

use std::fmt;

use serde_json::Value;

use super::connection::describe;
use super::lists::Kind;
use crate::failure::Failure;

/// A request without the wanted response.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The API server answered with another status than 200.
    Status { code: u16, message: String },
    /// No whole response came.
    Broken(String),
}

impl Refusal {
    /// Reads the Status that the API server sends with an error.
    pub(crate) fn of(code: u16, body: &[u8]) -> Refusal {
        let status: Value = serde_json::from_slice(body).unwrap_or_default();
        let message = match status["message"].as_str() {
            Some(message) => message.to_owned(),
            None => String::from_utf8_lossy(body).chars().take(200).collect(),
        };
        Refusal::Status { code, message: message.replace('\n', " ") }
    }

    /// Names the cause of a failed exchange, and what to do.
    pub(super) fn of_error(error: &kube::Error) -> Refusal {
        let text = match error {
            kube::Error::Api(status) => {
                return Refusal::Status { code: status.code, message: status.message.clone() };
            }
            kube::Error::Service(cause) => describe(&**cause),
            error => describe(error),
        };
        let remedies = [
            ("Connection refused", "nothing listens there: is it the API server's address?"),
            (
                "UnknownIssuer",
                "another CA signed its certificate: check certificate-authority in \
                               the kubeconfig, or a proxy in between",
            ),
            (
                "NotValidForName",
                "its certificate is for another name: use a name that it has, or \
                                 tls-server-name in the kubeconfig",
            ),
            ("certificate expired", "its certificate has expired: renew it (kubeadm certs renew)"),
            ("CertificateExpired", "the client certificate has expired: log in again"),
            ("CertificateRequired", "it wants a client certificate: check the kubeconfig's user"),
            (
                "lookup address",
                "the name cannot be resolved: check `server` in the kubeconfig, \
                                and DNS",
            ),
            ("deadline has elapsed", "no connection in time: is the server reachable from here?"),
            ("unreachable", "there is no route: is a VPN down?"),
            ("auth exec", "the kubeconfig's login program failed: run it by hand"),
            ("auth", "the kubeconfig's credentials cannot be used: log in again"),
        ];
        let remedy = remedies.iter().find(|(part, _)| text.contains(part));
        Refusal::Broken(match remedy {
            Some((_, remedy)) => format!("{text}; {remedy}"),
            None => text,
        })
    }
}

/// Returns one line for all refused kinds: what affects every request, else the missing rights,
/// else the first refusal.
pub(super) fn to_failure(server: &str, refused: &[(Kind, Refusal)]) -> Failure {
    let broken = refused.iter().find_map(|(_, refusal)| match refusal {
        Refusal::Broken(what) => Some(what.clone()),
        Refusal::Status { code: 401, .. } => Some(
            "the API server does not know the user (401): the token or certificate of the \
             kubeconfig's user is wrong or has expired; log in again"
                .to_owned(),
        ),
        Refusal::Status { .. } => None,
    });
    if let Some(what) = broken {
        return Failure(format!("{server}: {what}"));
    }
    let mut forbidden: Vec<(Kind, &str)> = refused
        .iter()
        .filter_map(|(kind, refusal)| match refusal {
            Refusal::Status { code: 403, message } => Some((*kind, message.as_str())),
            _ => None,
        })
        .collect();
    forbidden.sort_unstable();
    if !forbidden.is_empty() {
        return forbidden_failure(server, &forbidden);
    }
    let (kind, Refusal::Status { code, message }) = &refused[0] else {
        return Failure(format!("{server}: no response"));
    };
    let (group, resource) = kind.resource();
    Failure(match (code, kind) {
        (404, Kind::NodePools | Kind::NodeBuckets) => format!(
            "{server}: {} ({resource}.{group}) are not served (404): OpenYurt's CRDs are not \
             there; where pools are a label of Nodes, give --config FILE with \
             {{\"membership\": {{\"nodeLabel\": \"KEY\"}}}}",
            kind.name()
        ),
        (404, Kind::CiliumNodes) => format!(
            "{server}: CiliumNodes are not served (404): Cilium's CRDs are not there; give \
             --config FILE with {{\"membership\": {{\"nodeLabel\": \"KEY\"}}}}"
        ),
        _ => format!("{server}: {} cannot be listed ({code}): {message}", kind.name()),
    })
}

/// Names the missing rights, and the rules that give them.
fn forbidden_failure(server: &str, forbidden: &[(Kind, &str)]) -> Failure {
    let message = forbidden[0].1;
    let user = message.split('"').nth(1).filter(|_| message.contains("User \"")).unwrap_or("you");
    let names: Vec<&str> = forbidden.iter().map(|(kind, _)| kind.name()).collect();
    let rules: Vec<String> = forbidden.iter().map(|(kind, _)| kind.rule()).collect();
    let wanted = if forbidden.iter().all(|(kind, _)| *kind == Kind::YurtHubConfig) {
        "a Role in kube-system"
    } else {
        "a ClusterRole"
    };
    Failure(format!(
        "{server}: {user} may not list {} (403): add to {wanted} that is bound to {user}: {} \
         (docs/live.md has the whole role)",
        names.join(", "),
        rules.join(", ")
    ))
}

impl Kind {
    /// Returns the rule of a Role that permits the list.
    pub(crate) fn rule(self) -> String {
        let (group, resource) = self.resource();
        let names = match self {
            Kind::YurtHubConfig => ", resourceNames: [yurt-hub-cfg]",
            _ => "",
        };
        format!("{{apiGroups: [\"{group}\"], resources: [{resource}]{names}, verbs: [list]}}")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Status { code, message } => write!(out, "status {code}: {message}"),
            Refusal::Broken(what) => out.write_str(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, message: &str) -> Refusal {
        Refusal::of(code, format!(r#"{{"kind":"Status","message":{message:?}}}"#).as_bytes())
    }

    #[test]
    fn a_forbidden_kind_gives_the_rule_that_is_missing() {
        let message = "nodes is forbidden: User \"eve\" cannot list resource \"nodes\" in API \
                       group \"\" at the cluster scope";
        let Failure(line) = to_failure(
            "https://a:6443",
            &[(Kind::Nodes, status(403, message)), (Kind::EndpointSlices, status(403, message))],
        );
        assert_eq!(
            line,
            "https://a:6443: eve may not list EndpointSlices, Nodes (403): add to a ClusterRole \
             that is bound to eve: {apiGroups: [\"discovery.k8s.io\"], resources: \
             [endpointslices], verbs: [list]}, {apiGroups: [\"\"], resources: [nodes], verbs: \
             [list]} (docs/live.md has the whole role)"
        );
    }

    #[test]
    fn kinds_that_are_not_served_lead_to_the_configuration() {
        let missing = status(404, "the server could not find the requested resource");
        let Failure(line) = to_failure("https://a:6443", &[(Kind::NodePools, missing)]);
        assert!(
            line.contains("OpenYurt's CRDs are not there") && line.contains("nodeLabel"),
            "{line}"
        );
    }

    #[test]
    fn an_expired_token_is_told_before_all_else() {
        let refused =
            [(Kind::NodePools, status(404, "")), (Kind::Nodes, status(401, "Unauthorized"))];
        let Failure(line) = to_failure("https://a:6443", &refused);
        assert!(line.contains("401") && line.contains("log in again"), "{line}");
    }
}

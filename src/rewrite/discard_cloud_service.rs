//! Services that are for the cloud alone are filtered out (D1, D2).

use super::ServiceReason;

/// OpenYurt's own tunnel, which nodes at the edge are not to use.
const TUNNEL: (&[u8], &[u8]) = (b"kube-system", b"x-tunnel-server-internal-svc");

/// Judges a Service by its name, its type and its annotation if it has one.
pub(crate) fn judge(
    namespace: &[u8],
    name: &[u8],
    r#type: &[u8],
    discard: Option<&[u8]>,
) -> ServiceReason {
    match () {
        () if r#type == b"LoadBalancer" && discard == Some(b"true") => ServiceReason::Discarded,
        () if (namespace, name) == TUNNEL => ServiceReason::CloudTunnel,
        () => ServiceReason::NoRule,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ServiceReason::*;

    #[test]
    fn every_row_of_the_table() {
        let of = |r#type: &str, discard: &str| {
            judge(b"shop", b"lb", r#type.as_bytes(), Some(discard.as_bytes()))
        };
        assert_eq!(of("LoadBalancer", "true"), Discarded, "D1");
        for (r#type, discard) in [
            ("LoadBalancer", "True"),
            ("LoadBalancer", "1"),
            ("LoadBalancer", "false"),
            ("NodePort", "true"),
            ("", "true"),
        ] {
            assert_eq!(of(r#type, discard), NoRule, "{type} {discard}");
        }
        assert_eq!(judge(b"shop", b"lb", b"LoadBalancer", None), NoRule);
        assert_eq!(
            judge(b"kube-system", b"x-tunnel-server-internal-svc", b"ClusterIP", None),
            CloudTunnel,
            "D2"
        );
        assert_eq!(judge(b"shop", b"x-tunnel-server-internal-svc", b"ClusterIP", None), NoRule);
    }
}

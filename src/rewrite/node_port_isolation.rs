//! Services with node ports are filtered out from pools that their annotation does not name (N1 to
//! N7).

use super::ServiceReason;

/// Judges a Service of a type, with its annotation if it has one, for a node in `pool`.
pub(crate) fn judge(r#type: &[u8], listen: Option<&[u8]>, pool: Option<&[u8]>) -> ServiceReason {
    let Some(listen) = listen.filter(|_| matches!(r#type, b"NodePort" | b"LoadBalancer")) else {
        return ServiceReason::NoRule;
    };
    let Some(pool) = pool else { return ServiceReason::NodeInNoPool };
    // Go trims all white space of Unicode, and names with bytes that are no UTF-8 name no pool.
    let listen = String::from_utf8_lossy(listen);
    let entries = || listen.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    // The first mention of a name counts: `-a,a` is `-a`.
    let mentioned = |name: &[u8]| {
        let sign = |entry: &str| match entry.strip_prefix('-') {
            _ if entry.as_bytes() == name => Some(true),
            Some(rest) if rest.as_bytes() == name => Some(false),
            _ => None,
        };
        entries().find_map(sign)
    };
    match (mentioned(pool), mentioned(b"*")) {
        (Some(true), _) => ServiceReason::PoolNamed,
        (Some(false), _) => ServiceReason::PoolExcluded,
        (None, Some(true)) => ServiceReason::AnyPool,
        (None, _) if entries().next().is_none() => ServiceReason::NoPoolNamed,
        (None, _) => ServiceReason::PoolNotNamed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ServiceReason::*;

    fn listens(listen: &str) -> ServiceReason {
        judge(b"NodePort", Some(listen.as_bytes()), Some(b"hangzhou"))
    }

    #[test]
    fn every_row_of_the_table() {
        assert_eq!(judge(b"ClusterIP", Some(b"shanghai"), Some(b"hangzhou")), NoRule, "N1");
        assert_eq!(judge(b"", Some(b"shanghai"), Some(b"hangzhou")), NoRule, "N1");
        assert_eq!(judge(b"NodePort", None, Some(b"hangzhou")), NoRule, "N1");
        assert_eq!(judge(b"NodePort", Some(b""), None), NodeInNoPool, "N2");
        assert_eq!(
            judge(b"LoadBalancer", Some(b"shanghai, hangzhou"), Some(b"hangzhou")),
            PoolNamed,
            "N3"
        );
        assert_eq!(listens("*,-hangzhou"), PoolExcluded, "N4");
        assert_eq!(listens("-shanghai,*"), AnyPool, "N5");
        assert_eq!(
            (listens("shanghai"), listens("-shanghai"), listens("Hangzhou"), listens("hang*")),
            (PoolNotNamed, PoolNotNamed, PoolNotNamed, PoolNotNamed),
            "N6"
        );
        assert_eq!((listens(""), listens(" , ")), (NoPoolNamed, NoPoolNamed), "N7");
    }

    #[test]
    fn the_first_mention_counts_and_blanks_do_not() {
        assert_eq!(
            (listens("-hangzhou,hangzhou"), listens("hangzhou,-hangzhou")),
            (PoolExcluded, PoolNamed)
        );
        assert_eq!(
            (listens("-*,*"), listens("*,-*"), listens("-*")),
            (PoolNotNamed, AnyPool, PoolNotNamed)
        );
        assert_eq!(
            (listens("hangzhou\n"), listens(" \thangzhou , -shanghai ")),
            (PoolNamed, PoolNamed)
        );
        assert_eq!((listens("--hangzhou"), listens("- hangzhou")), (PoolNotNamed, PoolNotNamed));
    }
}

//! resourceVersions.

use std::fmt;

/// A resourceVersion. Servers promise decimal integers that can be compared (KEP-5504); anything
/// else is never older.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Version(pub(crate) Option<u64>);

impl Version {
    pub(crate) fn parse(text: &str) -> Version {
        Version(text.parse().ok())
    }

    /// Certainly older than `other`, or the same.
    pub(crate) fn is_covered_by(self, other: Version) -> bool {
        matches!((self.0, other.0), (Some(own), Some(other)) if own <= other)
    }

    /// Certainly older than `other`.
    pub(crate) fn is_before(self, other: Version) -> bool {
        matches!((self.0, other.0), (Some(own), Some(other)) if own < other)
    }

    pub(crate) fn later(self, other: Version) -> Version {
        Version(self.0.max(other.0))
    }
}

/// The number, or nothing where there is none.
impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |version| version.fmt(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_are_no_numbers_are_never_old() {
        let nine = Version::parse("9");
        assert!(!Version::parse("abc").is_covered_by(nine));
        assert!(!nine.is_covered_by(Version::parse("")));
        assert_eq!(
            (nine.to_string(), Version::default().to_string()),
            ("9".to_owned(), String::new())
        );
    }
}

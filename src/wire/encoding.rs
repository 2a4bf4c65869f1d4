//! Which of the two encodings a body is in.

/// The encodings that can be rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Encoding {
    Json,
    Protobuf,
}

impl Encoding {
    /// From a Content-Type; parameters (`charset`, `stream=watch`) and case do not matter. `None`
    /// for any other type.
    pub(crate) fn of_content_type(value: &str) -> Option<Encoding> {
        let media = value.split(';').next().unwrap_or_default().trim();
        if media.eq_ignore_ascii_case("application/json") {
            Some(Encoding::Json)
        } else if media.eq_ignore_ascii_case("application/vnd.kubernetes.protobuf") {
            Some(Encoding::Protobuf)
        } else {
            None
        }
    }

    /// The Content-Type of a single object.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Encoding::Json => "application/json",
            Encoding::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_case_do_not_matter() {
        assert_eq!(Encoding::of_content_type("application/json"), Some(Encoding::Json));
        assert_eq!(
            Encoding::of_content_type("Application/JSON; charset=utf-8"),
            Some(Encoding::Json)
        );
        assert_eq!(
            Encoding::of_content_type("application/vnd.kubernetes.protobuf;stream=watch"),
            Some(Encoding::Protobuf)
        );
        assert_eq!(Encoding::of_content_type("application/cbor-seq"), None);
        assert_eq!(Encoding::of_content_type(""), None);
    }
}

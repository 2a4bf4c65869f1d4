//! Everything that a caller can read of an error, to be compared with expectations.

use poolscope::{Error, ErrorKind};

/// Everything that an [`Error`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    pub kind: ErrorKind,
    pub offset: Option<u64>,
    pub object: Option<String>,
    pub text: String,
}

impl std::fmt::Display for Failed {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.text)
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed {
            kind: error.kind(),
            offset: error.offset(),
            object: error.object().map(str::to_owned),
            text: error.to_string(),
        }
    }
}

impl Failed {
    fn new(kind: ErrorKind, offset: Option<u64>, object: Option<&str>, text: String) -> Failed {
        Failed { kind, offset, object: object.map(str::to_owned), text }
    }

    pub fn malformed(encoding: &str, offset: u64, object: Option<&str>, what: &str) -> Failed {
        let within = object.map(|object| format!(" in {object}")).unwrap_or_default();
        let text = format!("malformed {encoding} at byte {offset}{within}: {what}");
        Failed::new(ErrorKind::Malformed, Some(offset), object, text)
    }

    pub fn truncated(offset: u64, inside: &str) -> Failed {
        let text = format!(
            "the body ends at byte {offset} inside {inside}: the transfer was cut; repeat the \
             request"
        );
        Failed::new(ErrorKind::Truncated, Some(offset), None, text)
    }

    pub fn too_large(what: &str, offset: u64, limit: u64, key: &str) -> Failed {
        let text = format!(
            "{what} at byte {offset} exceeds the limit of {limit} bytes: raise `limits.{key}` if \
             objects of this size are expected"
        );
        Failed::new(ErrorKind::TooLarge, Some(offset), None, text)
    }

    pub fn too_deep(offset: u64, limit: usize) -> Failed {
        let text = format!(
            "values are nested deeper than {limit} at byte {offset}: raise `limits.depth` if such \
             objects are expected"
        );
        Failed::new(ErrorKind::TooDeep, Some(offset), None, text)
    }

    pub fn content_type(target: &str, content_type: &str) -> Failed {
        let text = format!(
            "the response for {target} has Content-Type {content_type:?}, which cannot be read: \
             send the request through `prepare`, which asks for JSON or protobuf"
        );
        Failed::new(ErrorKind::ContentType, None, None, text)
    }

    pub fn content_encoding(value: &str) -> Failed {
        let text = format!(
            "the response has Content-Encoding {value:?}: send the request through `prepare`, \
             which drops Accept-Encoding, or decode the body first"
        );
        Failed::new(ErrorKind::ContentEncoding, None, None, text)
    }

    pub fn closed(bytes_in: u64, bytes_out: u64) -> Failed {
        let text = format!(
            "the stream is closed after {bytes_in} bytes in and {bytes_out} bytes out: open a new \
             one for the next response"
        );
        Failed::new(ErrorKind::Closed, None, None, text)
    }
}

//! Errors: what failed, where, and what to do.

/// The result of every fallible call of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a body could not be read, a request could not be served or a configuration could not be
/// used.
///
/// The text of the error names what failed, where it failed and what to do. [`Error::kind`] is for
/// programs. After an error a [`BodyRewriter`](crate::BodyRewriter) is closed: end the response
/// towards the client there. A watch client then reconnects and a list client retries.
///
/// ```
/// use poolscope::{Cluster, Config, ErrorKind, RequestHead, ResponseHead};
///
/// let cluster = Cluster::new(Config::openyurt())?;
/// let request = RequestHead::get("/api/v1/services");
/// let mut reader = cluster.read_facts(&request, &ResponseHead::ok("application/json"))?;
/// let error = reader.push(br#"{"items":[}"#).unwrap_err();
/// assert_eq!((error.kind(), error.offset()), (ErrorKind::Malformed, Some(10)));
/// # Ok::<(), poolscope::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(Box<Detail>);

/// The kind of an [`Error`]. The C ABI and the Go module report the same kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The bytes are not what the encoding or the schema of the object allows.
    Malformed,
    /// The body ended inside a value. The output ends before that value.
    Truncated,
    /// One watch event, list item, object or list is larger than its limit.
    TooLarge,
    /// Values are nested deeper than the limit.
    TooDeep,
    /// One object holds more endpoints than the limit.
    TooMany,
    /// An object in a body cannot be decoded.
    Undecodable,
    /// The response is compressed. Never forward it: its endpoints were not filtered.
    ContentEncoding,
    /// The response is neither JSON nor protobuf. Never forward it: its endpoints were not
    /// filtered.
    ContentType,
    /// The response has a status under which endpoints cannot be filtered, such as 206 or 101.
    /// Never forward it.
    Status,
    /// The request cannot be a source of facts.
    NotAFact,
    /// The configuration cannot be used.
    Config,
    /// The rewriter or reader was used after an error or after `finish`.
    Closed,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Detail {
    #[error("malformed {encoding} at byte {offset}{}: {what}", within(.object))]
    Malformed { encoding: &'static str, offset: u64, object: Option<Box<str>>, what: &'static str },
    #[error(
        "the body ends at byte {offset} inside {inside}: the transfer was cut; repeat the request"
    )]
    Truncated { offset: u64, inside: &'static str },
    #[error(
        "{what} at byte {offset} exceeds the limit of {limit} bytes: raise `limits.{key}` if \
         objects of this size are expected"
    )]
    TooLarge { what: &'static str, offset: u64, limit: u64, key: &'static str },
    #[error(
        "values are nested deeper than {limit} at byte {offset}: raise `limits.depth` if such \
         objects are expected"
    )]
    TooDeep { offset: u64, limit: usize },
    #[error("{object} cannot be decoded from {encoding}: {why}")]
    Undecodable { encoding: &'static str, object: Box<str>, why: Box<str> },
    #[error(
        "the response has Content-Encoding {0:?}: send the request through `prepare`, which drops \
         Accept-Encoding, or decode the body first"
    )]
    ContentEncoding(Box<str>),
    #[error(
        "the response for {target} has Content-Type {content_type:?}, which cannot be read: send \
         the request through `prepare`, which asks for JSON or protobuf"
    )]
    ContentType { target: Box<str>, content_type: Box<str> },
    #[error(
        "the response for {target} has status {status}, and its endpoints cannot be filtered: send \
         the request through `prepare`, which asks for the whole body over HTTP"
    )]
    Status { target: Box<str>, status: u16 },
    #[error(
        "an object{} at byte {offset} holds more than {limit} endpoints: raise `limits.endpoints` \
         if such objects are expected",
        within(.object)
    )]
    TooMany { offset: u64, object: Option<Box<str>>, limit: usize },
    #[error("{target} is not a source of facts: {why}")]
    NotAFact { target: Box<str>, why: &'static str },
    #[error("configuration: {0}")]
    Config(String),
    #[error(
        "the stream is closed after {bytes_in} bytes in and {bytes_out} bytes out: open a new one \
         for the next response"
    )]
    Closed { bytes_in: u64, bytes_out: u64 },
}

impl Error {
    /// Returns the kind of this error.
    pub fn kind(&self) -> ErrorKind {
        match *self.0 {
            Detail::Malformed { .. } => ErrorKind::Malformed,
            Detail::Truncated { .. } => ErrorKind::Truncated,
            Detail::TooLarge { .. } => ErrorKind::TooLarge,
            Detail::TooDeep { .. } => ErrorKind::TooDeep,
            Detail::TooMany { .. } => ErrorKind::TooMany,
            Detail::Undecodable { .. } => ErrorKind::Undecodable,
            Detail::ContentEncoding(_) => ErrorKind::ContentEncoding,
            Detail::ContentType { .. } => ErrorKind::ContentType,
            Detail::Status { .. } => ErrorKind::Status,
            Detail::NotAFact { .. } => ErrorKind::NotAFact,
            Detail::Config(_) => ErrorKind::Config,
            Detail::Closed { .. } => ErrorKind::Closed,
        }
    }

    /// Returns the byte of the body at fault, counted from 0, if the error has one.
    pub fn offset(&self) -> Option<u64> {
        match &*self.0 {
            Detail::Malformed { offset, .. }
            | Detail::Truncated { offset, .. }
            | Detail::TooLarge { offset, .. }
            | Detail::TooDeep { offset, .. }
            | Detail::TooMany { offset, .. } => Some(*offset),
            _ => None,
        }
    }

    /// Returns the object at fault as far as it was read: `namespace/name`, or its kind.
    pub fn object(&self) -> Option<&str> {
        match &*self.0 {
            Detail::Malformed { object, .. } | Detail::TooMany { object, .. } => object.as_deref(),
            Detail::Undecodable { object, .. } => Some(object),
            _ => None,
        }
    }

    pub(crate) fn malformed(
        encoding: &'static str,
        offset: u64,
        object: Option<Box<str>>,
        what: &'static str,
    ) -> Error {
        Detail::Malformed { encoding, offset, object, what }.into()
    }

    pub(crate) fn truncated(offset: u64, inside: &'static str) -> Error {
        Detail::Truncated { offset, inside }.into()
    }

    /// `key` is the key under `limits` of the configuration.
    pub(crate) fn too_large(
        what: &'static str,
        offset: u64,
        limit: u64,
        key: &'static str,
    ) -> Error {
        Detail::TooLarge { what, offset, limit, key }.into()
    }

    pub(crate) fn undecodable(encoding: &'static str, object: Box<str>, why: Box<str>) -> Error {
        Detail::Undecodable { encoding, object, why }.into()
    }

    pub(crate) fn content_encoding(value: &str) -> Error {
        Detail::ContentEncoding(value.into()).into()
    }

    pub(crate) fn content_type(content_type: &str, target: &str) -> Error {
        Detail::ContentType { content_type: content_type.into(), target: target.into() }.into()
    }

    pub(crate) fn status(target: &str, status: u16) -> Error {
        Detail::Status { target: target.into(), status }.into()
    }

    pub(crate) fn not_a_fact(target: &str, why: &'static str) -> Error {
        Detail::NotAFact { target: target.into(), why }.into()
    }

    pub(crate) fn config(why: impl Into<String>) -> Error {
        Detail::Config(why.into()).into()
    }

    pub(crate) fn closed(bytes_in: u64, bytes_out: u64) -> Error {
        Detail::Closed { bytes_in, bytes_out }.into()
    }
}

impl From<Detail> for Error {
    fn from(detail: Detail) -> Error {
        Error(Box::new(detail))
    }
}

fn within(object: &Option<Box<str>>) -> String {
    object.as_ref().map_or(String::new(), |name| format!(" in {name}"))
}

/// A fault at a place of the slice at hand; [`Fault::at`] turns it into an [`Error`] that knows the
/// whole body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) offset: usize,
    pub(crate) kind: FaultKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    Json(&'static str),
    Protobuf(&'static str),
    TooDeep {
        limit: usize,
    },
    TooMany {
        limit: usize,
    },
    /// More is held back of one list than the limit.
    Held {
        limit: usize,
    },
}

impl Fault {
    pub(crate) fn json(offset: usize, what: &'static str) -> Fault {
        Fault { offset, kind: FaultKind::Json(what) }
    }

    pub(crate) fn protobuf(offset: usize, what: &'static str) -> Fault {
        Fault { offset, kind: FaultKind::Protobuf(what) }
    }

    pub(crate) fn too_many(offset: usize, limit: usize) -> Fault {
        Fault { offset, kind: FaultKind::TooMany { limit } }
    }

    pub(crate) fn held(offset: usize, limit: usize) -> Fault {
        Fault { offset, kind: FaultKind::Held { limit } }
    }

    /// Returns this fault with its offset counted from `start` bytes before its slice.
    pub(crate) fn after(self, start: usize) -> Fault {
        Fault { offset: start + self.offset, ..self }
    }

    /// The error for a fault in a slice that starts at byte `base` of the body.
    pub(crate) fn at(self, base: u64, object: Option<Box<str>>) -> Error {
        let offset = base + self.offset as u64;
        match self.kind {
            FaultKind::Json(what) => Error::malformed("JSON", offset, object, what),
            FaultKind::Protobuf(what) => Error::malformed("protobuf", offset, object, what),
            FaultKind::TooDeep { limit } => Detail::TooDeep { offset, limit }.into(),
            FaultKind::TooMany { limit } => Detail::TooMany { offset, object, limit }.into(),
            FaultKind::Held { limit } => {
                Error::too_large("a list", offset, limit as u64, "listBytes")
            }
        }
    }
}

//! Errors: what failed, where, and what to do.

/// The result of every fallible call of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a body could not be read, a request could not be served or a configuration could not be
/// used.
///
/// Offsets count the bytes of the response body from 0. After an error a [`Stream`](crate::Stream)
/// is closed: end the response towards the client; a watch client reconnects and a list client
/// retries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not what the encoding or the object's schema allows.
    #[error("malformed {encoding} at byte {offset}{}: {what}", within(.object))]
    Malformed {
        /// `JSON` or `protobuf`.
        encoding: &'static str,
        /// Offset in the body of the byte that cannot be.
        offset: u64,
        /// `namespace/name` of the object it is in, where that was already read.
        object: Option<Box<str>>,
        /// The value that was found or expected.
        what: &'static str,
    },
    /// The body ended inside a value. What was given out ends before that value.
    #[error("the body ends at byte {offset} inside {inside}: the transfer was cut; ask again")]
    Truncated {
        /// Length of the body as far as it came.
        offset: u64,
        /// The value that was incomplete.
        inside: &'static str,
    },
    /// One frame or item is larger than the limit.
    #[error(
        "{what} at byte {offset} is over the limit of {limit} bytes; raise `limits.{key}` if such objects are real"
    )]
    TooLarge {
        /// `a watch event`, `a list item`, `an object` or `a list`.
        what: &'static str,
        /// Where it starts in the body.
        offset: u64,
        /// The limit in force.
        limit: u64,
        /// The configuration key that holds it.
        key: &'static str,
    },
    /// Values are nested deeper than the limit.
    #[error(
        "values are nested deeper than {limit} at byte {offset}; raise `limits.depth` if such objects are real"
    )]
    TooDeep {
        /// Where the limit was passed.
        offset: u64,
        /// The limit in force.
        limit: usize,
    },
    /// An object in a body cannot be decoded.
    #[error("{object} cannot be decoded from {encoding}: {why}")]
    Undecodable {
        /// `JSON` or `protobuf`.
        encoding: &'static str,
        /// Kind, namespace and name.
        object: Box<str>,
        /// The decoder's message.
        why: Box<str>,
    },
    /// The response is compressed. poolscope reads plain bytes only.
    #[error(
        "the response has Content-Encoding {0:?}: send the request through `prepare`, which drops Accept-Encoding, or decode the body first"
    )]
    ContentEncoding(Box<str>),
    /// The response is neither JSON nor protobuf, so that endpoints in it could not be found.
    #[error(
        "the response for {target} has Content-Type {content_type:?}, which cannot be read: send the request through `prepare`, which asks for JSON or protobuf"
    )]
    ContentType {
        /// Path and query of the request.
        target: Box<str>,
        /// The response's Content-Type.
        content_type: Box<str>,
    },
    /// The response has a status with which the API server does not answer such a request unless
    /// asked to: a part of a body (206), another protocol (101).
    #[error(
        "the response for {target} has status {status}, and its endpoints cannot be filtered: send the request through `prepare`, which asks for the whole body over HTTP"
    )]
    Status {
        /// Path and query of the request.
        target: Box<str>,
        /// The response's status.
        status: u16,
    },
    /// One object holds more endpoints than the limit.
    #[error("an object{} at byte {offset} holds more than {limit} endpoints; raise `limits.endpoints` if such objects are real", within(.object))]
    TooMany {
        /// Where in the body the limit was passed.
        offset: u64,
        /// `namespace/name` of the object, where that was already read.
        object: Option<Box<str>>,
        /// The limit in force.
        limit: usize,
    },
    /// A feed was opened for a request that teaches nothing.
    #[error("{target} teaches nothing about the cluster: {why}")]
    NotAFact {
        /// Path and query of the request.
        target: Box<str>,
        /// The kind of request that is needed.
        why: &'static str,
    },
    /// The configuration cannot be used.
    #[error("configuration: {0}")]
    Config(String),
    /// The stream was used after an error or after `finish`.
    #[error(
        "the stream is closed: it took {taken} bytes and gave {given}; open a new one for the next response"
    )]
    Closed {
        /// Bytes of the body taken before it closed.
        taken: u64,
        /// Bytes given out before it closed.
        given: u64,
    },
}

impl Error {
    /// The byte of the body that it is about, if it is about one.
    pub fn offset(&self) -> Option<u64> {
        match self {
            Error::Malformed { offset, .. }
            | Error::Truncated { offset, .. }
            | Error::TooLarge { offset, .. }
            | Error::TooDeep { offset, .. }
            | Error::TooMany { offset, .. } => Some(*offset),
            _ => None,
        }
    }

    /// The object that it is about, as far as that was read: `namespace/name`, or its kind before
    /// that.
    pub fn object(&self) -> Option<&str> {
        match self {
            Error::Malformed { object, .. } | Error::TooMany { object, .. } => object.as_deref(),
            Error::Undecodable { object, .. } => Some(object),
            _ => None,
        }
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
            FaultKind::Json(what) => Error::Malformed { encoding: "JSON", offset, object, what },
            FaultKind::Protobuf(what) => {
                Error::Malformed { encoding: "protobuf", offset, object, what }
            }
            FaultKind::TooDeep { limit } => Error::TooDeep { offset, limit },
            FaultKind::TooMany { limit } => Error::TooMany { offset, object, limit },
            FaultKind::Held { limit } => {
                Error::TooLarge { what: "a list", offset, limit: limit as u64, key: "listBytes" }
            }
        }
    }
}

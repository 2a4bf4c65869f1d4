//! A metav1.Status of a failure (B1.7).

use serde::Deserialize;

use crate::wire::encoding::Encoding;
use crate::wire::protobuf::{put_number, put_record};

/// A metav1.Status of a failure.
pub(super) struct Status<'a> {
    pub(super) code: u16,
    reason: &'static str,
    message: &'a str,
}

const FAILURE: &str = "Failure";

impl Status<'_> {
    /// client-go's reflectors relist when they read this code and reason.
    pub(super) fn expired(message: &str) -> Status<'_> {
        Status { code: 410, reason: "Expired", message }
    }

    pub(super) fn not_found(message: &str) -> Status<'_> {
        Status { code: 404, reason: "NotFound", message }
    }

    /// client-go waits and opens the watch again, at the same version (B7).
    pub(super) fn too_many_requests(message: &str) -> Status<'_> {
        Status { code: 429, reason: "TooManyRequests", message }
    }

    pub(super) fn unavailable(message: &str) -> Status<'_> {
        Status { code: 503, reason: "ServiceUnavailable", message }
    }

    /// The object, without an envelope.
    pub(super) fn object(&self, encoding: Encoding) -> Vec<u8> {
        let Status { code, reason, message } = self;
        match encoding {
            Encoding::Json => {
                let message = serde_json::Value::from(*message);
                format!(
                    r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"{FAILURE}","message":{message},"reason":"{reason}","code":{code}}}"#
                )
                .into_bytes()
            }
            Encoding::Protobuf => {
                let mut status = Vec::new();
                put_record(&mut status, 1, b"\x0a\x00\x12\x00\x1a\x00");
                put_record(&mut status, 2, FAILURE.as_bytes());
                put_record(&mut status, 3, message.as_bytes());
                put_record(&mut status, 4, reason.as_bytes());
                put_number(&mut status, 6, u64::from(*code));
                status
            }
        }
    }
}

/// A Status that was read.
#[derive(Clone, PartialEq, Eq, Deserialize, prost::Message)]
#[serde(default)]
pub(crate) struct ReadStatus {
    /// The HTTP status that it stands for; 0 if it says none.
    #[prost(int32, tag = "6")]
    pub(crate) code: i32,
    #[prost(string, tag = "3")]
    pub(crate) message: String,
}

impl ReadStatus {
    /// Reads the object of an ERROR event; empty if no decoder would accept it.
    pub(super) fn of(object: &[u8], encoding: Encoding) -> ReadStatus {
        match encoding {
            Encoding::Json => serde_json::from_slice(object).ok(),
            Encoding::Protobuf => prost::Message::decode(object).ok(),
        }
        .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_as_it_was_written() {
        for encoding in [Encoding::Json, Encoding::Protobuf] {
            let object = Status::expired("too old: \"7\"").object(encoding);
            let expected = ReadStatus { code: 410, message: "too old: \"7\"".to_owned() };
            assert_eq!(ReadStatus::of(&object, encoding), expected);
            assert_eq!(ReadStatus::of(b"\xff", encoding), ReadStatus::default());
        }
    }
}

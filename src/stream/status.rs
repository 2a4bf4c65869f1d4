//! Replies in place of a body: a Status that gives the reason (wire 1.7).

use bytes::BytesMut;

use super::event::{put_record, put_varint, write_envelope};
use crate::cluster::Missing;
use crate::object::SubjectKind;
use crate::wire::encoding::Encoding;
use crate::wire::splice::Output;

/// A whole response to give to a client in place of the API server's.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// The HTTP status: 410 or 503.
    pub status: u16,
    /// The header `Retry-After` in seconds, if there should be one.
    pub retry_after: Option<u32>,
    /// The header `Content-Type`.
    pub content_type: &'static str,
    /// A Kubernetes Status that says why.
    pub body: Vec<u8>,
}

/// Facts that have to be known first.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotReady {
    /// The missing facts, and where to fetch them.
    pub missing: Vec<Missing>,
    /// The reply to send meanwhile: 503 with Retry-After.
    pub answer: Answer,
}

/// A metav1.Status of a failure.
pub(super) struct Status<'a> {
    code: u16,
    reason: &'static str,
    message: &'a str,
}

const FAILURE: &str = "Failure";

/// The message to a client whose watch cannot resume.
const UNKNOWN_PAST: &str = "what this watch goes on from is not known here any more: list again";

/// Facts come within moments, or not at all.
const RETRY_AFTER: u32 = 1;

impl Status<'_> {
    /// client-go's reflectors list again when they read this code and reason.
    pub(super) fn expired(message: &str) -> Status<'_> {
        Status { code: 410, reason: "Expired", message }
    }

    fn not_found(message: &str) -> Status<'_> {
        Status { code: 404, reason: "NotFound", message }
    }

    fn unavailable(message: &str) -> Status<'_> {
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
                status.push(6 << 3);
                put_varint(&mut status, u64::from(*code));
                status
            }
        }
    }

    fn answer(&self, encoding: Encoding, retry_after: Option<u32>) -> Answer {
        let object = self.object(encoding);
        let body = match encoding {
            Encoding::Json => object,
            Encoding::Protobuf => {
                let mut body = BytesMut::new();
                write_envelope("v1", "Status", object.len(), &mut Output::to(&mut body), |out| {
                    out.put(&object)
                });
                body.to_vec()
            }
        };
        Answer { status: self.code, retry_after, content_type: encoding.content_type(), body }
    }
}

/// The body that stands in the place of a single object which the client may not have. Its HTTP
/// status was given before the object was seen; clients take a Status of failure for the answer all
/// the same.
pub(super) fn not_found(kind: SubjectKind, name: &str, encoding: Encoding) -> Vec<u8> {
    let message = format!("{} \"{name}\" not found", kind.plural());
    Status::not_found(&message).answer(encoding, None).body
}

impl Answer {
    /// To a watch whose past is not known.
    pub(super) fn expired(encoding: Encoding) -> Answer {
        Status::expired(UNKNOWN_PAST).answer(encoding, None)
    }
}

impl NotReady {
    pub(super) fn of(missing: Vec<Missing>, encoding: Encoding) -> NotReady {
        let named: Vec<String> = missing.iter().map(Missing::to_string).collect();
        let message =
            format!("poolscope cannot tell yet what this node may see: {}", named.join("; "));
        NotReady {
            missing,
            answer: Status::unavailable(&message).answer(encoding, Some(RETRY_AFTER)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::FactKind;

    #[test]
    fn a_body_is_an_envelope_or_a_document() {
        let expired = Answer::expired(Encoding::Protobuf);
        assert!(expired.body.starts_with(b"k8s\0\x0a\x0c\x0a\x02v1\x12\x06Status"));
        assert_eq!(
            (expired.status, expired.retry_after, expired.content_type),
            (410, None, "application/vnd.kubernetes.protobuf")
        );
        let expired = Answer::expired(Encoding::Json);
        assert!(expired.body.starts_with(br#"{"kind":"Status""#));
        assert_eq!(expired.content_type, "application/json");
    }

    #[test]
    fn who_has_to_wait_is_told_for_what_and_how_long() {
        let path = "/api/v1/nodes/a\"b";
        let missing = vec![
            Missing { kind: FactKind::Node, path: path.into(), known: None },
            Missing {
                kind: FactKind::Service,
                path: "/api/v1/services".into(),
                known: Some("namespace shop".into()),
            },
        ];
        let not_ready = NotReady::of(missing.clone(), Encoding::Json);
        assert_eq!((not_ready.answer.status, not_ready.answer.retry_after), (503, Some(1)));
        let status: serde_json::Value = serde_json::from_slice(&not_ready.answer.body).unwrap();
        assert_eq!(
            (&status["reason"], &status["code"]),
            (&"ServiceUnavailable".into(), &503.into())
        );
        let message = status["message"].as_str().unwrap();
        assert!(missing.iter().all(|missing| message.contains(&*missing.path)), "{message}");
        assert!(message.contains("namespace shop"), "{message}");
        let protobuf = NotReady::of(missing, Encoding::Protobuf).answer.body;
        assert!(protobuf.windows(path.len()).any(|window| window == path.as_bytes()));
    }
}

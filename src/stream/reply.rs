//! Replies in place of a body: a Status that gives the reason (B1.7).

use bytes::{Bytes, BytesMut};

use super::event::write_envelope;
use super::status::Status;
use crate::cluster::MissingFact;
use crate::object::SubjectKind;
use crate::wire::encoding::Encoding;
use crate::wire::splice::Output;

/// A whole response to send to a client in place of the API server's.
///
/// ```
/// use poolscope::{Action, Cluster, Config, RequestHead, ResponseHead};
///
/// // A watch that resumes at a version of which this process knows nothing.
/// let node = Cluster::new(Config::openyurt())?.node("hz-1");
/// let request = RequestHead::get("/api/v1/services?watch=true&resourceVersion=90");
/// let response = ResponseHead::ok("application/json");
/// if let Action::Reply(reply) = node.open(&request, &response)? {
///     println!("{} {}", reply.status, String::from_utf8_lossy(&reply.body));
/// }
/// # Ok::<(), poolscope::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// The HTTP status: 410, 429 or 503.
    pub status: u16,
    /// The value of the header `Retry-After` in seconds; `None`: send no such header.
    pub retry_after: Option<u32>,
    /// The value of the header `Content-Type`.
    pub content_type: &'static str,
    /// A Kubernetes Status that gives the reason.
    pub body: Bytes,
    /// The reason.
    pub cause: ReplyCause,
}

/// The reason for a [`Reply`].
///
/// ```
/// use poolscope::{Action, Cluster, Config, ReplyCause, RequestHead, ResponseHead};
///
/// let node = Cluster::new(Config::openyurt())?.node("hz-1");
/// let request = RequestHead::get("/apis/discovery.k8s.io/v1/endpointslices");
/// let action = node.open(&request, &ResponseHead::ok("application/json"))?;
/// let Action::Reply(reply) = action else { panic!("{action:?}") };
/// let ReplyCause::MissingFacts(missing) = reply.cause else { panic!("{:?}", reply.cause) };
/// // The list of Services, the Node hz-1 and the NodePools.
/// assert_eq!(missing.len(), 3);
/// # Ok::<(), poolscope::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplyCause {
    /// These facts have to be read first (503; to a watch 429). Instead of sending the reply you may wait for the
    /// facts and open the response again.
    MissingFacts(Vec<MissingFact>),
    /// The watch asks to resume at a resourceVersion that is not known here (410). The client
    /// relists.
    UnknownResourceVersion,
}

/// The message to a client whose watch cannot resume.
const UNKNOWN_VERSION: &str = "resourceVersion is no longer known to this proxy; list again";

/// Facts come within moments, or not at all.
const RETRY_AFTER: u32 = 1;

impl Status<'_> {
    fn body(&self, encoding: Encoding) -> Bytes {
        let object = self.object(encoding);
        match encoding {
            Encoding::Json => object.into(),
            Encoding::Protobuf => {
                let mut body = BytesMut::new();
                write_envelope("v1", "Status", object.len(), &mut Output::to(&mut body), |out| {
                    out.put(&object)
                });
                body.freeze()
            }
        }
    }

    fn reply(&self, encoding: Encoding, retry_after: Option<u32>, cause: ReplyCause) -> Reply {
        Reply {
            status: self.code,
            retry_after,
            content_type: encoding.content_type(),
            body: self.body(encoding),
            cause,
        }
    }
}

/// The body in place of a single object that is filtered out. The HTTP status was sent before the
/// object was read; clients accept a Status of failure as the response all the same.
pub(super) fn not_found(kind: SubjectKind, name: &str, encoding: Encoding) -> Bytes {
    let message = format!("{} \"{name}\" not found", kind.plural());
    Status::not_found(&message).body(encoding)
}

impl Reply {
    /// The reply to a watch at an unknown resourceVersion.
    pub(super) fn unknown_version(encoding: Encoding) -> Reply {
        let cause = ReplyCause::UnknownResourceVersion;
        Status::expired(UNKNOWN_VERSION).reply(encoding, None, cause)
    }

    /// The reply while facts are missing. To a watch it is 429: client-go opens the watch again at
    /// the same version, where after ten times 503 it would read everything anew (B7.1).
    pub(super) fn missing_facts(
        missing: Vec<MissingFact>,
        is_watch: bool,
        encoding: Encoding,
    ) -> Reply {
        let named: Vec<String> = missing.iter().map(MissingFact::to_string).collect();
        let message =
            format!("poolscope does not know yet what this node may use: {}", named.join("; "));
        let cause = ReplyCause::MissingFacts(missing);
        let status = if is_watch {
            Status::too_many_requests(&message)
        } else {
            Status::unavailable(&message)
        };
        status.reply(encoding, Some(RETRY_AFTER), cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::FactKind;

    #[test]
    fn a_body_is_an_envelope_or_a_document() {
        let expired = Reply::unknown_version(Encoding::Protobuf);
        assert!(expired.body.starts_with(b"k8s\0\x0a\x0c\x0a\x02v1\x12\x06Status"));
        assert_eq!(
            (expired.status, expired.retry_after, expired.content_type),
            (410, None, "application/vnd.kubernetes.protobuf")
        );
        let expired = Reply::unknown_version(Encoding::Json);
        assert!(expired.body.starts_with(br#"{"kind":"Status""#));
        assert_eq!(expired.content_type, "application/json");
    }

    #[test]
    fn a_reply_names_each_missing_fact_and_a_delay() {
        let path = "/api/v1/nodes/a\"b";
        let missing = vec![
            MissingFact { kind: FactKind::Node, path: path.into(), known: None },
            MissingFact {
                kind: FactKind::Service,
                path: "/api/v1/services".into(),
                known: Some("namespace shop".into()),
            },
        ];
        let watch = Reply::missing_facts(missing.clone(), true, Encoding::Json);
        assert_eq!((watch.status, watch.retry_after), (429, Some(1)));
        let status: serde_json::Value = serde_json::from_slice(&watch.body).unwrap();
        assert_eq!((&status["reason"], &status["code"]), (&"TooManyRequests".into(), &429.into()));
        let not_ready = Reply::missing_facts(missing.clone(), false, Encoding::Json);
        assert_eq!((not_ready.status, not_ready.retry_after), (503, Some(1)));
        let status: serde_json::Value = serde_json::from_slice(&not_ready.body).unwrap();
        assert_eq!(
            (&status["reason"], &status["code"]),
            (&"ServiceUnavailable".into(), &503.into())
        );
        let message = status["message"].as_str().unwrap();
        assert!(missing.iter().all(|missing| message.contains(&*missing.path)), "{message}");
        assert!(message.contains("namespace shop"), "{message}");
        let protobuf = Reply::missing_facts(missing, false, Encoding::Protobuf).body;
        assert!(protobuf.windows(path.len()).any(|window| window == path.as_bytes()));
    }
}

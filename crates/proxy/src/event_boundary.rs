//! The ends of events in a watch that passes byte for byte.

use http::HeaderValue;

/// Tells whether the bytes of a watch so far end with an event.
///
/// A watch that the proxy ends should end there. Clients that drop half an event exist, and
/// client-go is one of them, but others report an error.
#[derive(Debug)]
pub enum EventBoundary {
    /// JSON: a line for each event.
    Lines {
        /// The last byte was the end of a line, or there is none yet.
        is_between: bool,
    },
    /// Protobuf: a length of four bytes before each event.
    Lengths {
        /// The bytes of the length so far.
        prefix: Vec<u8>,
        /// The bytes of the event that are still to come.
        left: u32,
    },
    /// The form of the events is unknown.
    Unknown,
}

impl EventBoundary {
    /// Returns the state before the first byte of a body with this `Content-Type`.
    pub fn new(content_type: Option<&HeaderValue>, is_encoded: bool) -> EventBoundary {
        let text = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media = text.split(';').next().unwrap_or_default().trim();
        match media {
            _ if is_encoded => EventBoundary::Unknown,
            "application/json" => EventBoundary::Lines { is_between: true },
            "application/vnd.kubernetes.protobuf" => {
                EventBoundary::Lengths { prefix: Vec::with_capacity(4), left: 0 }
            }
            _ => EventBoundary::Unknown,
        }
    }

    /// Reads bytes of the body.
    pub fn read(&mut self, mut bytes: &[u8]) {
        match self {
            EventBoundary::Lines { is_between } => {
                if let Some(last) = bytes.last() {
                    *is_between = *last == b'\n';
                }
            }
            EventBoundary::Lengths { prefix, left } => {
                while !bytes.is_empty() {
                    if *left > 0 {
                        let taken = bytes.len().min(*left as usize);
                        // At most `left`, which is a `u32`.
                        *left -= taken as u32;
                        bytes = &bytes[taken..];
                        continue;
                    }
                    prefix.push(bytes[0]);
                    bytes = &bytes[1..];
                    if let Ok(length) = <[u8; 4]>::try_from(&prefix[..]) {
                        *left = u32::from_be_bytes(length);
                        prefix.clear();
                    }
                }
            }
            EventBoundary::Unknown => {}
        }
    }

    /// Returns `true` if the bytes so far end with an event, or may do so.
    pub fn is_between_events(&self) -> bool {
        match self {
            EventBoundary::Lines { is_between } => *is_between,
            EventBoundary::Lengths { prefix, left } => prefix.is_empty() && *left == 0,
            EventBoundary::Unknown => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boundary(content_type: &'static str) -> EventBoundary {
        EventBoundary::new(Some(&HeaderValue::from_static(content_type)), false)
    }

    /// Returns the positions after which an event has ended.
    fn ends(mut boundary: EventBoundary, bytes: &[u8]) -> Vec<usize> {
        let mut ends = Vec::new();
        for (at, byte) in bytes.iter().enumerate() {
            boundary.read(&[*byte]);
            if boundary.is_between_events() {
                ends.push(at + 1);
            }
        }
        ends
    }

    #[test]
    fn events_of_both_forms_have_ends() {
        let json = boundary("application/json;stream=watch");
        assert!(json.is_between_events());
        assert_eq!(ends(json, b"{\"a\":1}\n{}\n{"), [8, 11]);
        let protobuf = || boundary("application/vnd.kubernetes.protobuf;stream=watch");
        let body = b"\0\0\0\x02ab\0\0\0\0\0\0\0\x01c\0\0";
        assert_eq!(ends(protobuf(), body), [6, 10, 15]);
        let mut whole = protobuf();
        whole.read(&body[..15]);
        assert!(whole.is_between_events());
        whole.read(&body[15..]);
        assert!(!whole.is_between_events());
    }

    #[test]
    fn other_forms_may_end_anywhere() {
        assert_eq!(ends(boundary("text/plain"), b"ab"), [1, 2]);
        let json = HeaderValue::from_static("application/json");
        assert_eq!(ends(EventBoundary::new(Some(&json), true), b"ab"), [1, 2]);
        assert_eq!(ends(EventBoundary::new(None, false), b"ab"), [1, 2]);
    }
}

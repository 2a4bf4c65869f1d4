//! Bounds on memory.

use crate::error::{Error, Result};

/// Bounds on memory. Larger input fails with [`ErrorKind::TooLarge`], [`ErrorKind::TooMany`] or
/// [`ErrorKind::TooDeep`].
///
/// ```
/// let mut config = poolscope::Config::openyurt();
/// config.limits_mut().depth = 64;
/// ```
///
/// [`ErrorKind::TooLarge`]: crate::ErrorKind::TooLarge
/// [`ErrorKind::TooMany`]: crate::ErrorKind::TooMany
/// [`ErrorKind::TooDeep`]: crate::ErrorKind::TooDeep
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one watch event; 16 MiB, as client-go has it (B6).
    pub frame_bytes: usize,
    /// Bytes of one list item or single object; 16 MiB.
    pub item_bytes: usize,
    /// Bytes of a list that is held back to be compact
    /// ([`ProtobufLists::Compact`](super::ProtobufLists)); 256 MiB.
    pub list_bytes: usize,
    /// Endpoints of one object; 100,000. The API server allows 1000.
    pub endpoints: usize,
    /// Nesting of JSON values; 512.
    pub depth: usize,
    /// Bytes of originals kept for one client stream; 1 GiB. Originals beyond it are not kept,
    /// as under [`Retention::None`](super::Retention).
    pub client_state_bytes: usize,
    /// The most deleted Services whose keys are kept. Beyond it the keys of the longest deleted
    /// Services are dropped, counted by `deletedServicesForgotten`.
    pub deleted_services: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            frame_bytes: 16 << 20,
            item_bytes: 16 << 20,
            list_bytes: 256 << 20,
            endpoints: 100_000,
            depth: 512,
            client_state_bytes: 1 << 30,
            deleted_services: 1 << 16,
        }
    }
}

impl Limits {
    pub(super) fn check(&self) -> Result<()> {
        let refuse = |why: &str| Err(Error::config(why));
        let Limits { frame_bytes, item_bytes, list_bytes, endpoints, deleted_services, .. } = *self;
        let limits = [
            ("frameBytes", frame_bytes),
            ("itemBytes", item_bytes),
            ("listBytes", list_bytes),
            ("endpoints", endpoints),
            ("deletedServices", deleted_services),
        ];
        for (key, value) in limits {
            if value == 0 || value > 1 << 30 {
                return refuse(&format!(
                    "`limits.{key}` is {value}; it must be between 1 and 1073741824"
                ));
            }
        }
        let client_state_bytes = self.client_state_bytes;
        if client_state_bytes == 0 || client_state_bytes as u64 > 1 << 40 {
            return refuse(&format!(
                "`limits.clientStateBytes` is {client_state_bytes}; it must be between 1 and \
                 1099511627776"
            ));
        }
        if self.depth == 0 {
            return refuse("`limits.depth` is 0; it must be at least 1");
        }
        Ok(())
    }
}

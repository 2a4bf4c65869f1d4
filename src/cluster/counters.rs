//! Counts of what was done and of what passed in doubt.

use crate::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident = $json:literal,)*) => {
        /// Counts since the [`Cluster`](crate::Cluster) was created. An object counts each time it passes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        #[non_exhaustive]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Every counter with its name, which never changes, in the order of this page.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$(($json, self.$name)),*].into_iter()
            }
        }

        impl serde::Serialize for Counters {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(self.iter())
            }
        }

        #[derive(Debug, Default)]
        pub(crate) struct Tally {
            $(pub(crate) $name: AtomicU64,)*
        }

        impl Tally {
            pub(crate) fn snapshot(&self) -> Counters {
                Counters { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Services judged by rewrites that may hide or change them.
    services = "services",
    /// Services filtered out, among `services`.
    services_hidden = "servicesHidden",
    /// Services and slices default/kubernetes that were made to lead to an address on the node.
    objects_redirected = "objectsRedirected",
    /// Slices and Endpoints objects judged.
    objects = "objects",
    /// Objects that lost an endpoint, among `objects`.
    objects_cut = "objectsCut",
    /// Endpoints and addresses kept.
    endpoints_kept = "endpointsKept",
    /// Endpoints and addresses dropped.
    endpoints_dropped = "endpointsDropped",
    /// Objects that passed whole because their Service is not known (O1).
    passed_unknown_service = "passedUnknownService",
    /// Objects that passed whole because they name no Service (O1).
    passed_no_service = "passedNoService",
    /// Objects that passed whole because the node's pool is not known (O9).
    passed_unknown_pool = "passedUnknownPool",
    /// Objects emptied because they name no Service and the configuration says to hide such objects.
    hidden_no_service = "hiddenNoService",
    /// Objects emptied because their Service is not known and the configuration says to hide then.
    hidden_unknown_service = "hiddenUnknownService",
    /// Objects emptied because the node's pool is not known and the configuration says to hide then.
    hidden_unknown_pool = "hiddenUnknownPool",
    /// Objects judged by the last known keys of a Service that was deleted while they stand.
    held_deleted_service = "heldDeletedService",
    /// Deleted Services whose keys were given up because `limits.deletedServices` others were deleted since.
    deleted_services_forgotten = "deletedServicesForgotten",
    /// Metadata-only objects: they carry no endpoints.
    passed_metadata_only = "passedMetadataOnly",
    /// Table responses: made for people, no proxy can read endpoints from one.
    passed_table = "passedTable",
    /// Responses that were forwarded unread although their path ends as one of Services, EndpointSlices or Endpoints does:
    /// no API root stands where it has to.
    passed_unknown_path = "passedUnknownPath",
    /// The same because their API version is not known.
    passed_unknown_version = "passedUnknownVersion",
    /// Events that were not sent because they would have told the client nothing new.
    events_quieted = "eventsQuieted",
    /// Events that changes of facts added to watches.
    events_refreshed = "eventsRefreshed",
    /// Watches that were ended, or not continued, so that the client lists again.
    streams_expired = "streamsExpired",
    /// Facts that no decoder would accept: what they say is not known.
    facts_undecodable = "factsUndecodable",
}

/// Adds to a counter.
pub(crate) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

//! Counters of decisions, and of objects that were forwarded because a fact is missing.

use crate::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident = $json:literal,)*) => {
        /// Counters since the [`Cluster`](crate::Cluster) was created. An object counts each time
        /// it passes.
        ///
        /// ```
        /// use poolscope::{Cluster, Config};
        ///
        /// let counters = Cluster::new(Config::openyurt())?.counters();
        /// assert_eq!(counters.passed_unknown_service, 0);
        /// for (name, count) in counters.iter() {
        ///     println!("poolscope_{name} {count}");
        /// }
        /// # Ok::<(), poolscope::Error>(())
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        #[non_exhaustive]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Returns every counter with its name, which never changes, in the order of this page.
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
        pub(crate) struct AtomicCounters {
            $(pub(crate) $name: AtomicU64,)*
        }

        impl AtomicCounters {
            pub(crate) fn snapshot(&self) -> Counters {
                Counters { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Services evaluated by rewrites that may filter them out or change them.
    services = "services",
    /// Services filtered out, among `services`.
    services_filtered_out = "servicesFilteredOut",
    /// Services and slices default/kubernetes that were made to lead to an address on the node.
    objects_redirected = "objectsRedirected",
    /// Slices and Endpoints objects evaluated.
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
    /// Objects emptied because they name no Service (`onMissingFact.noService` is `empty`).
    emptied_no_service = "emptiedNoService",
    /// Objects emptied because their Service is not known (`onMissingFact.unknownService` is
    /// `empty`).
    emptied_unknown_service = "emptiedUnknownService",
    /// Objects emptied because the node's pool is not known (`onMissingFact.unknownPool` is
    /// `empty`).
    emptied_unknown_pool = "emptiedUnknownPool",
    /// Objects evaluated by the last known keys of a Service that was deleted before them.
    held_deleted_service = "heldDeletedService",
    /// Deleted Services whose keys were dropped because `limits.deletedServices` others were
    /// deleted since.
    deleted_services_forgotten = "deletedServicesForgotten",
    /// Metadata-only objects: they carry no endpoints.
    passed_metadata_only = "passedMetadataOnly",
    /// Table responses: no proxy reads endpoints from a table.
    passed_table = "passedTable",
    /// Responses that were forwarded unread although their path ends as one of Services,
    /// EndpointSlices or Endpoints does: no API root stands where it has to.
    passed_unknown_path = "passedUnknownPath",
    /// Responses that were forwarded unread because their API version is not known.
    passed_unknown_version = "passedUnknownVersion",
    /// Events that were suppressed because they would have changed nothing for the client.
    events_suppressed = "eventsSuppressed",
    /// Events that were emitted after fact changes.
    events_refreshed = "eventsRefreshed",
    /// Watches that were ended or could not resume, so that the client relists.
    streams_expired = "streamsExpired",
    /// Objects that cannot be decoded, so that their facts are not known.
    facts_undecodable = "factsUndecodable",
}

/// Adds to a counter.
pub(crate) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

//! Events for the `tracing` crate (feature `tracing`). They name requests, nodes and Services, and
//! never carry bodies or header values.

/// Emits a tracing event at level DEBUG; nothing without the feature.
macro_rules! debug {
    ($($event:tt)*) => {
        #[cfg(feature = "tracing")]
        tracing::debug!($($event)*);
    };
}

//! The command without the feature `live`: files are its only source.

use clap::Args;
use poolscope::Cluster;

use super::Snapshot;
use crate::failure::Failure;

/// Printed if there is nothing to read.
pub(super) const NO_CLUSTER: &str =
    "no --facts, and this build reads files only: give --facts PATH, or build with feature `live`";

/// The options that name a live cluster: none.
#[derive(Args, Clone, Debug)]
pub(crate) struct LiveOptions {}

/// A client of no API server.
pub(crate) struct Live;

/// The lists of no cluster.
pub(crate) struct Lists;

/// A kind of objects that completion names.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Services,
    Nodes,
}

/// Returns no kinds.
pub(crate) fn needed_kinds(_: &Cluster) -> Vec<Kind> {
    Vec::new()
}

impl LiveOptions {
    /// Returns `false`.
    pub(crate) fn is_asked(&self) -> bool {
        false
    }

    /// Returns `false`.
    pub(crate) fn has_cluster(&self) -> bool {
        false
    }
}

impl Live {
    pub(crate) fn connect(_: &LiveOptions) -> Result<Live, Failure> {
        Ok(Live)
    }

    /// Fails.
    pub(crate) fn lists(&self, _: &[Kind]) -> Result<Lists, Failure> {
        Err(Failure(NO_CLUSTER.to_owned()))
    }

    pub(crate) fn lists_in_the_end(&self, _: &[Kind]) -> Lists {
        Lists
    }

    pub(crate) fn changed_kinds(&self, _: &Lists) -> Vec<Kind> {
        Vec::new()
    }

    /// Fails.
    pub(crate) fn names(&self, _: Kind) -> Result<Vec<(String, String)>, Failure> {
        Err(Failure(NO_CLUSTER.to_owned()))
    }
}

impl Lists {
    pub(crate) fn add_to(&self, _: &mut Snapshot) -> Result<(), Failure> {
        Ok(())
    }

    pub(crate) fn update(&mut self, _: Lists) {}

    pub(crate) fn summary(&self) -> String {
        NO_CLUSTER.to_owned()
    }
}

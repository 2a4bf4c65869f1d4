//! The members of pools, from whatever kind of object.

use crate::topology::Members;
use crate::topology::names::Names;

/// Pools by name, each with the nodes that the objects at hand put into it.
///
/// A pool is known as long as one object describes it, even if it names no node. Several objects
/// may describe one pool (NodeBuckets, or the Nodes themselves), and while a node moves two pools
/// may name it.
#[derive(Debug, Default)]
pub(crate) struct PoolMembers {
    pools: Names<Pool>,
    /// How often the members of any pool changed.
    revision: u64,
}

#[derive(Debug, Default)]
struct Pool {
    members: Members,
    described_by: usize,
}

impl PoolMembers {
    /// The nodes of a pool, if anything describes it.
    pub(crate) fn members(&self, pool: &[u8]) -> Option<&Members> {
        self.pools.get(pool).map(|pool| &pool.members)
    }

    /// The pools that name a node. A walk over all pools, for explanations.
    pub(crate) fn pools_of<'a>(&'a self, node: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.pools
            .iter()
            .filter(move |(_, pool)| pool.members.contains(node))
            .map(|(name, _)| &**name)
    }

    /// Adds one object that puts `nodes` into `pool`. Calls `changed` for each node that is new
    /// to the pool; true if the pool itself is.
    pub(crate) fn add(
        &mut self,
        pool: &[u8],
        nodes: &[Box<[u8]>],
        mut changed: impl FnMut(&[u8]),
    ) -> bool {
        let entry = self.pools.entry(pool.into()).or_default();
        entry.described_by += 1;
        self.revision += 1;
        entry.members.set_revision(self.revision);
        for node in nodes {
            if entry.members.add(node) {
                changed(node);
            }
        }
        entry.described_by == 1
    }

    /// Removes one such object. Calls `changed` for each node that left the pool; true if the
    /// pool itself is gone.
    pub(crate) fn remove(
        &mut self,
        pool: &[u8],
        nodes: &[Box<[u8]>],
        mut changed: impl FnMut(&[u8]),
    ) -> bool {
        let Some(entry) = self.pools.get_mut(pool) else { return false };
        self.revision += 1;
        entry.members.set_revision(self.revision);
        for node in nodes {
            if entry.members.remove(node) {
                changed(node);
            }
        }
        entry.described_by -= 1;
        let gone = entry.described_by == 0;
        if gone {
            self.pools.remove(pool);
        }
        gone
    }
}

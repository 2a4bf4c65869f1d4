//! The largest page: a browser should open it on a phone.

use maud::{Markup, html};

/// Services in the matrix.
pub(super) const MATRIX_ROWS: usize = 300;
/// Pools in the matrix.
pub(super) const MATRIX_COLUMNS: usize = 50;
/// Pools in the list of pools.
pub(super) const POOLS: usize = 200;
/// Nodes that are named for each pool.
pub(super) const NODES: usize = 20;
/// Objects for each code.
pub(super) const FINDINGS: usize = 50;
/// Services with their endpoints.
pub(super) const SERVICES: usize = 300;
/// Endpoints of each Service.
pub(super) const ENDPOINTS: usize = 50;
/// Rows of the list of doubts.
pub(super) const DOUBTS: usize = 50;

/// A line that names how much was left out, if anything was.
pub(super) fn left_out(all: usize, shown: usize, noun: &str, instead: &str) -> Markup {
    html! {
        @if all > shown {
            p.left { "Left out: " (all - shown) " of " (all) " " (noun) ". " (instead) }
        }
    }
}

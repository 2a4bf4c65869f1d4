//! From verdicts to an edit of the object's bytes.

use crate::object::outline::{Outline, Subset};
use crate::wire::splice::{Edit, json_element};

/// Cuts the endpoints of which `keep` says no. `keep` has one entry for each endpoint of `outline`.
///
/// A slice with nothing left stays, empty (O11). A subset of core/v1 Endpoints with no address left goes; the object
/// stays (O12).
pub(super) fn cut(outline: &Outline, keep: &[bool], edit: &mut Edit) {
    edit.clear();
    if outline.subset_arrays.is_empty() {
        cut_arrays(outline, &outline.arrays, keep, edit);
        return;
    }
    for &(first, end) in &outline.subset_arrays {
        let subsets = &outline.subsets[first..end];
        let mut kept_before = false;
        for (at, subset) in subsets.iter().enumerate() {
            if !has_kept(outline, subset, keep) {
                let previous = at.checked_sub(1).map(|at| subsets[at].span);
                let next = subsets.get(at + 1).map(|next| next.span);
                edit.cut(if outline.is_json() { json_element(subset.span, kept_before, previous, next) } else { subset.span });
                continue;
            }
            kept_before = true;
            match subset.length {
                None => cut_arrays(outline, arrays_of(outline, subset), keep, edit),
                Some((length, content)) => {
                    let before = edit.removed();
                    let reserved = edit.reserve_length(length);
                    cut_arrays(outline, arrays_of(outline, subset), keep, edit);
                    let removed = edit.removed() - before;
                    edit.set_length(reserved, content.len() - removed);
                }
            }
        }
    }
}

fn arrays_of<'a>(outline: &'a Outline, subset: &Subset) -> &'a [(usize, usize)] {
    &outline.arrays[subset.arrays.0..subset.arrays.1]
}

fn has_kept(outline: &Outline, subset: &Subset, keep: &[bool]) -> bool {
    arrays_of(outline, subset).iter().any(|&(first, end)| keep[first..end].contains(&true))
}

fn cut_arrays(outline: &Outline, arrays: &[(usize, usize)], keep: &[bool], edit: &mut Edit) {
    for &(first, end) in arrays {
        let endpoints = &outline.endpoints[first..end];
        let mut kept_before = false;
        for (at, endpoint) in endpoints.iter().enumerate() {
            if keep[first + at] {
                kept_before = true;
            } else if outline.is_json() {
                let previous = at.checked_sub(1).map(|at| endpoints[at].span);
                let next = endpoints.get(at + 1).map(|next| next.span);
                edit.cut(json_element(endpoint.span, kept_before, previous, next));
            } else {
                edit.cut(endpoint.span);
            }
        }
    }
}

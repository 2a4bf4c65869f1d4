//! From verdicts to an edit of the object's bytes.

use crate::object::outline::{Endpoint, Outline, Subset};
use crate::wire::Span;
use crate::wire::splice::{Edit, json_element};

/// Cuts the endpoints whose entry in `keep` is `false`. `keep` has one entry for each endpoint of
/// `outline`.
///
/// A slice with nothing left stays, empty (O11). A subset of core/v1 Endpoints with no address left
/// goes; the object stays (O12).
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
                edit.cut(element(outline, subsets, at, kept_before, |subset| subset.span));
                continue;
            }
            kept_before = true;
            match subset.length {
                None => cut_arrays(outline, arrays_of(outline, subset), keep, edit),
                Some((length, content)) => {
                    let before = edit.grown();
                    let reserved = edit.reserve_length(length);
                    cut_arrays(outline, arrays_of(outline, subset), keep, edit);
                    edit.set_length(
                        reserved,
                        content.len().saturating_add_signed(edit.grown() - before),
                    );
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
        let (endpoints, keep) = (&outline.endpoints[first..end], &keep[first..end]);
        if outline.is_json() {
            cut_runs(endpoints, keep, edit);
            continue;
        }
        for (endpoint, _) in endpoints.iter().zip(keep).filter(|(_, keep)| !**keep) {
            edit.cut(endpoint.span());
        }
    }
}

/// Cuts elements of a JSON array: those that stand side by side together.
fn cut_runs(endpoints: &[Endpoint], keep: &[bool], edit: &mut Edit) {
    let (mut at, mut kept_before) = (0, false);
    while at < keep.len() {
        let run = keep[at..].iter().take_while(|keep| !**keep).count();
        if run == 0 {
            (at, kept_before) = (at + 1, true);
            continue;
        }
        let end = at + run;
        let own = Span::new(endpoints[at].span().start, endpoints[end - 1].span().end);
        let previous = at.checked_sub(1).map(|at| endpoints[at].span());
        let next = endpoints.get(end).map(Endpoint::span);
        edit.cut(json_element(own, kept_before, previous, next));
        at = end;
    }
}

/// Returns the span to cut with the element `at` of an array: in JSON it includes a comma.
fn element<T>(
    outline: &Outline,
    elements: &[T],
    at: usize,
    kept_before: bool,
    span: impl Fn(&T) -> Span,
) -> Span {
    let own = span(&elements[at]);
    if !outline.is_json() {
        return own;
    }
    let previous = at.checked_sub(1).map(|at| span(&elements[at]));
    json_element(own, kept_before, previous, elements.get(at + 1).map(span))
}

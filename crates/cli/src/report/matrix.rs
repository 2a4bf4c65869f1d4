//! Services by pools: how many ready endpoints the nodes of a pool may use.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::bounds;
use super::page::pool_name;
use super::services::anchor;
use crate::audit::{Judged, Place, Survey};
use crate::phrase::count;

pub(super) fn section(survey: &Survey<'_>) -> Markup {
    let mut rows: Vec<(usize, &Judged)> = survey.services.iter().enumerate().collect();
    // Services with black holes are never left out for others.
    if rows.len() > bounds::MATRIX_ROWS {
        let holes = |judged: &Judged| judged.places.iter().filter(|place| place.is_hole()).count();
        rows.sort_by_key(|(at, judged)| {
            (std::cmp::Reverse(holes(judged)), !judged.is_filtered, *at)
        });
        rows.truncate(bounds::MATRIX_ROWS);
        rows.sort_by_key(|(at, _)| *at);
    }
    let names: BTreeSet<&str> = survey
        .services
        .iter()
        .filter(|judged| judged.is_filtered)
        .flat_map(|judged| &judged.places)
        .map(|place| &*place.group.name)
        .chain(survey.pools.iter().map(|pool| &*pool.name))
        .collect();
    let no_pool = names.contains("");
    let mut columns: Vec<&str> = names.into_iter().filter(|name| !name.is_empty()).collect();
    let all_columns = columns.len();
    columns.truncate(bounds::MATRIX_COLUMNS);
    columns.extend(no_pool.then_some(""));
    html! {
        section aria-labelledby="matrix" {
            h2 id="matrix" { "Services and pools" }
            p {
                "Each number is how many ready endpoints the nodes of a pool may use. "
                span.hole { "✖" } " is a black hole: the pool has nodes, and none of them has a "
                "usable endpoint, although there are some elsewhere. "
                span.part { "▲" } " some of its nodes have none, or an address of the Service has "
                "none. " span.doubt { "?" } " a fact is missing."
            }
            div.scroll role="region" aria-labelledby="matrix-caption" tabindex="0" {
                table.matrix {
                    caption id="matrix-caption" { "Ready endpoints by Service and pool" }
                    thead {
                        tr {
                            th scope="col" { "Service" }
                            th scope="col" { "Topology" }
                            @for name in &columns {
                                th scope="col" { (pool_name(name)) }
                            }
                        }
                    }
                    tbody {
                        @for (at, judged) in &rows {
                            (row(*at, judged, &columns))
                        }
                    }
                }
            }
            (bounds::left_out(survey.services.len(), rows.len(), "Services",
                "Those with black holes are shown. Use --namespace for the others."))
            (bounds::left_out(all_columns, columns.len() - usize::from(no_pool), "pools",
                "The findings name all of them."))
        }
    }
}

fn row(at: usize, judged: &Judged, columns: &[&str]) -> Markup {
    let view = &judged.view;
    html! {
        tr {
            th scope="row" {
                a href={"#" (anchor(at))} { (view.namespace) "/" (view.name) }
            }
            td { (view.topology.map_or("unknown", |topology| topology.name())) }
            @let is_same = judged.places.windows(2)
                .all(|pair| pair[0].is_visible == pair[1].is_visible);
            @if !judged.is_filtered && is_same {
                td colspan=(columns.len().max(1)) {
                    @match judged.places.first() {
                        Some(place) if !place.is_visible => { "filtered out everywhere" }
                        Some(place) => {
                            (place.ready) " everywhere"
                            @if is_in_doubt(place) { " " (doubt()) }
                        }
                        None => {}
                    }
                }
            } @else {
                @for name in columns {
                    @match judged.places.iter().find(|place| place.group.name == **name) {
                        Some(place) => (cell(place)),
                        None => { td { "–" } }
                    }
                }
            }
        }
    }
}

fn is_in_doubt(place: &Place) -> bool {
    place.verdicts.iter().any(|verdict| verdict.is_in_doubt())
}

fn doubt() -> Markup {
    html! { span.doubt { "?" span.hidden { " in doubt" } } }
}

fn cell(place: &Place) -> Markup {
    if !place.is_visible {
        return html! { td { "filtered out" } };
    }
    if place.is_hole() {
        return html! {
            td.hole.number { "✖ " (place.ready) span.hidden { " no usable endpoint: black hole" } }
        };
    }
    html! {
        td.number.part[!place.without.is_empty()] {
            @if !place.without.is_empty() { "▲ " }
            (place.ready)
            @if is_in_doubt(place) { " " (doubt()) }
            @if !place.without.is_empty() {
                small { (count(place.without.len(), "node")) " without" }
            }
        }
    }
}

//! The page. It needs no script and no network; maud escapes every text that is put in.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{bounds, findings, matrix, services};
use crate::audit::{Finding, Level, Survey};

const STYLE: &str = include_str!("style.css");

/// Returns the whole page. The title is that of the window and of the page.
pub(super) fn page(title: Option<&str>, survey: &Survey<'_>, found: &[Finding]) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // A page that loads nothing cannot be made to by what a cluster contains.
                meta http-equiv="Content-Security-Policy"
                    content="default-src 'none'; style-src 'unsafe-inline'";
                meta name="generator" content=(concat!("poolscope ", env!("CARGO_PKG_VERSION")));
                title { (title.unwrap_or("poolscope report")) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (title.unwrap_or("Services and their pools")) }
                    (summary(survey, found))
                    nav aria-label="Sections" {
                        ul {
                            @for (id, title) in [
                                ("matrix", "Services and pools"),
                                ("findings", "Findings"),
                                ("pools", "Pools and nodes"),
                                ("doubts", "Doubts"),
                                ("services", "Endpoints"),
                            ] {
                                li { a href={"#" (id)} { (title) } }
                            }
                        }
                    }
                }
                main {
                    (matrix::section(survey))
                    (findings::section(found))
                    (pools(survey))
                    (doubts(survey))
                    (services::section(survey))
                }
                footer {
                    p {
                        "Written by poolscope " (env!("CARGO_PKG_VERSION")) " from "
                        (survey.snapshot.loaded.summary()) "."
                    }
                }
            }
        }
    }
}

fn summary(survey: &Survey<'_>, found: &[Finding]) -> Markup {
    let number = |level| found.iter().filter(|finding| finding.level == level).count();
    let holes =
        survey.services.iter().flat_map(|judged| &judged.places).filter(|p| p.is_hole()).count();
    let filtered = survey.services.iter().filter(|judged| judged.is_filtered).count();
    let pools = survey.pools.iter().filter(|pool| !pool.name.is_empty()).count();
    let nodes: usize = survey.pools.iter().map(|pool| pool.nodes.len()).sum();
    html! {
        dl.summary {
            @for (name, value) in [
                ("Services", survey.services.len()),
                ("with topology keys", filtered),
                ("pools", pools),
                ("nodes", nodes),
                ("black holes", holes),
                ("errors", number(Level::Error)),
                ("warnings", number(Level::Warning)),
                ("infos", number(Level::Info)),
            ] {
                div {
                    dt { (name) }
                    dd.bad[matches!(name, "black holes" | "errors") && value > 0] { (value) }
                }
            }
        }
    }
}

/// The name of a group of nodes, for people.
pub(super) fn pool_name(name: &str) -> &str {
    if name.is_empty() { "no pool" } else { name }
}

fn pools(survey: &Survey<'_>) -> Markup {
    let shown = survey.pools.len().min(bounds::POOLS);
    html! {
        section aria-labelledby="pools" {
            h2 id="pools" { "Pools and nodes" }
            div.scroll role="region" aria-labelledby="pools-caption" tabindex="0" {
                table {
                    caption id="pools-caption" { "Nodes by their own pool" }
                    thead {
                        tr {
                            th scope="col" { "Pool" }
                            th scope="col" { "Nodes" }
                            th scope="col" { "Black holes" }
                            th scope="col" { "Names" }
                        }
                    }
                    tbody {
                        @for pool in survey.pools.iter().take(shown) {
                            @let holes = survey.services.iter().flat_map(|judged| &judged.places)
                                .filter(|place| place.is_hole() && place.group == *pool).count();
                            tr {
                                th scope="row" { (pool_name(&pool.name)) }
                                td.number { (pool.nodes.len()) }
                                td.number.bad[holes > 0] { (holes) }
                                td {
                                    (pool.nodes[..pool.nodes.len().min(bounds::NODES)].join(", "))
                                    @if pool.nodes.len() > bounds::NODES {
                                        " and " (pool.nodes.len() - bounds::NODES) " more"
                                    }
                                }
                            }
                        }
                    }
                }
            }
            (bounds::left_out(survey.pools.len(), shown, "pools", ""))
        }
    }
}

/// Services of which endpoints pass, or are dropped, because a fact is missing.
fn doubts(survey: &Survey<'_>) -> Markup {
    let mut doubts = Vec::new();
    for judged in &survey.services {
        for place in &judged.places {
            let in_doubt: Vec<_> =
                place.verdicts.iter().filter(|verdict| verdict.is_in_doubt()).collect();
            if let Some(first) = in_doubt.first() {
                doubts.push((&judged.view, place, **first, in_doubt.len()));
            }
        }
    }
    let shown = doubts.len().min(bounds::DOUBTS);
    html! {
        section aria-labelledby="doubts" {
            h2 id="doubts" { "Doubts" }
            @if doubts.is_empty() {
                p { "None: every verdict is by known facts." }
            } @else {
                div.scroll role="region" aria-labelledby="doubts-caption" tabindex="0" {
                    table {
                        caption id="doubts-caption" {
                            "Endpoints that are kept or dropped because a fact is missing."
                        }
                        thead {
                            tr {
                                th scope="col" { "Service" }
                                th scope="col" { "Pool" }
                                th scope="col" { "Endpoints" }
                                th scope="col" { "Verdict" }
                            }
                        }
                        tbody {
                            @for (view, place, verdict, number) in &doubts[..shown] {
                                tr {
                                    th scope="row" { (view.namespace) "/" (view.name) }
                                    td { (pool_name(&place.group.name)) }
                                    td.number { (number) }
                                    td {
                                        (if verdict.kept { "kept" } else { "dropped" }) ": "
                                        (services::words(verdict.reason)) " (" (verdict.rule) ")"
                                    }
                                }
                            }
                        }
                    }
                }
                (bounds::left_out(doubts.len(), shown, "doubts", ""))
            }
        }
    }
}

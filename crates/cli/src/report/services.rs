//! The endpoints of each Service, with the verdict of each pool.

use std::collections::BTreeMap;

use maud::{Markup, html};
use poolscope::Topology;

use super::bounds;
use super::page::pool_name;
use crate::audit::{Judged, Survey};
use crate::phrase::names;

/// The id of a Service on the page. Names of objects make no ids.
pub(super) fn anchor(at: usize) -> String {
    format!("service-{at}")
}

pub(super) fn section(survey: &Survey<'_>) -> Markup {
    let mut shown: Vec<(usize, &Judged)> = survey.services.iter().enumerate().collect();
    if shown.len() > bounds::SERVICES {
        shown.sort_by_key(|(at, judged)| (!judged.is_filtered, *at));
        shown.truncate(bounds::SERVICES);
        shown.sort_by_key(|(at, _)| *at);
    }
    html! {
        section aria-labelledby="services" {
            h2 id="services" { "Endpoints" }
            p {
                "Every endpoint of each Service, with the pools whose nodes may use it, and why. "
                "The rules are those of docs/openyurt.md."
            }
            @for (at, judged) in &shown { (details(*at, judged)) }
            (bounds::left_out(survey.services.len(), shown.len(), "Services",
                "Use --namespace, or `poolscope explain`."))
        }
    }
}

fn details(at: usize, judged: &Judged) -> Markup {
    let view = &judged.view;
    let shown = view.endpoints.len().min(bounds::ENDPOINTS);
    let caption = format!("{}-caption", anchor(at));
    html! {
        details id=(anchor(at)) {
            summary {
                h3 { (view.namespace) "/" (view.name) }
                " "
                (view.topology.map_or("not known", |topology| topology.name())) ", "
                (view.endpoints.len()) " endpoints"
            }
            @if !view.frontends.is_empty() {
                p {
                    "Reached at "
                    @for (at, frontend) in view.frontends.iter().enumerate() {
                        @if at > 0 { ", " }
                        code { (frontend.address) } " (" (frontend.r#type) ")"
                    }
                    "."
                }
            }
            @if view.rewrite.is_some() { p { (view.why) "." } }
            @if view.endpoints.is_empty() {
                p { "It has no endpoints." }
            } @else {
                div.scroll role="region" aria-labelledby=(caption) tabindex="0" {
                    table {
                        caption id=(caption) { "Endpoints of " (view.namespace) "/" (view.name) }
                        thead {
                            tr {
                                th scope="col" { "Endpoint" }
                                th scope="col" { "Node" }
                                th scope="col" { "Pools" }
                                th scope="col" { "State" }
                                th scope="col" { "Verdict" }
                            }
                        }
                        tbody {
                            @for (at, endpoint) in view.endpoints.iter().take(shown).enumerate() {
                                tr {
                                    th scope="row" { code { (endpoint.address) } }
                                    td { (endpoint.node.as_deref().unwrap_or("–")) }
                                    td {
                                        @if endpoint.pools.is_empty() { "–" }
                                        (endpoint.pools.join(", "))
                                    }
                                    td { (endpoint.state.word()) }
                                    td { (verdicts(judged, at)) }
                                }
                            }
                        }
                    }
                }
                (bounds::left_out(view.endpoints.len(), shown, "endpoints",
                    "Use `poolscope explain`."))
            }
        }
    }
}

/// The verdicts on one endpoint, each with its pools.
fn verdicts(judged: &Judged, at: usize) -> Markup {
    let endpoint = &judged.view.endpoints[at];
    let is_by_node = judged.view.topology == Some(Topology::Node) && judged.is_filtered;
    if let (true, Some(node)) = (is_by_node, &endpoint.node) {
        return html! {
            p { span.keep { "✔ kept" } " by " (node) ": " (words("ownNode")) " (O3)" }
            p { span.drop { "✘ dropped" } " by all others: " (words("otherNode")) " (O4)" }
        };
    }
    let mut groups: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for place in &judged.places {
        if let Some(verdict) = place.verdicts.get(at) {
            // Kept ones first.
            groups.entry((!verdict.kept, *verdict)).or_default().push(pool_name(&place.group.name));
        }
    }
    let is_one = groups.len() == 1;
    html! {
        @for ((_, verdict), pools) in &groups {
            p {
                @if verdict.kept { span.keep { "✔ kept" } } @else { span.drop { "✘ dropped" } }
                " by "
                @if is_one { "all" } @else { (names(pools)) }
                ": " (words(verdict.reason)) " (" (verdict.rule) ")"
            }
        }
    }
}

/// A reason in words that hold for every node of a pool.
pub(super) fn words(reason: &str) -> &str {
    match reason {
        "noTopologyKeys" => "no topology keys that are known",
        "serviceTopologyOff" => "the rewrite is off, or not for this client",
        "noService" => "in doubt, because the slice names no Service",
        "unknownService" => "in doubt, because the Service is not known",
        "unknownPool" => "in doubt, because no object lists the nodes of the pool",
        "poolTopologyOff" => "membership is off",
        "anyStep" => "no key before * has a usable endpoint",
        "ownNode" => "on the node itself",
        "otherNode" => "on another node",
        "ownPool" => "in the pool",
        "outsidePool" => "not in the pool",
        "noNode" => "it names no node",
        "forward" => "it stands for the API server on each node",
        "forwarded" => "an address on each node is in its place",
        "emptiedNoService" => "emptied, because the slice names no Service",
        "emptiedUnknownService" => "emptied, because the Service is not known",
        "emptiedUnknownPool" => "emptied, because no object lists the nodes of the pool",
        other => other,
    }
}

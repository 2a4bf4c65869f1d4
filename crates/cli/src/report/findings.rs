//! The findings of the audit, by code.

use maud::{Markup, html};

use super::bounds;
use crate::audit::{Finding, Level};

pub(super) fn section(found: &[Finding]) -> Markup {
    // They are sorted by level and code.
    let groups: Vec<&[Finding]> = found
        .chunk_by(|one, other| one.code.id == other.code.id && one.level == other.level)
        .collect();
    html! {
        section aria-labelledby="findings" {
            h2 id="findings" { "Findings" }
            @if groups.is_empty() { p { "None." } }
            @for group in groups {
                @let (code, level) = (group[0].code, group[0].level);
                @let shown = group.len().min(bounds::FINDINGS);
                article.finding {
                    h3 { (sign(level)) " " (code.id) ": " (code.title) }
                    p { strong { "Traffic: " } (code.traffic) }
                    p { strong { "Change: " } (code.change) }
                    ul {
                        @for finding in &group[..shown] {
                            li { strong { (finding.object) } ": " (finding.message) }
                        }
                    }
                    (bounds::left_out(group.len(), shown, "objects", "Use `poolscope audit`."))
                }
            }
        }
    }
}

fn sign(level: Level) -> Markup {
    match level {
        Level::Error => html! { span.level.error { "✖ error" } },
        Level::Warning => html! { span.level.warning { "▲ warning" } },
        Level::Info => html! { span.level.info { "● info" } },
    }
}

//! The checks; each file has those of one hundred of codes.

mod annotations;
mod pools;
mod settings;
mod slices;
mod traffic;

use super::finding::Finding;
use super::survey::Survey;

/// Returns the findings about endpoints, which depend on what runs where: errors first, then by
/// object.
pub(crate) fn run_traffic(survey: &Survey<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    traffic::check(survey, &mut found);
    sorted(found)
}

/// Returns all findings: errors first, then by object.
pub(crate) fn run(survey: &Survey<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    traffic::check(survey, &mut found);
    annotations::check(survey, &mut found);
    settings::check(survey, &mut found);
    pools::check(survey, &mut found);
    pools::nameless_buckets(survey, &mut found);
    slices::check(survey, &mut found);
    sorted(found)
}

fn sorted(mut found: Vec<Finding>) -> Vec<Finding> {
    found.sort_by(|one, other| {
        let rank = |finding: &Finding| (std::cmp::Reverse(finding.level), finding.code.id);
        rank(one).cmp(&rank(other)).then_with(|| one.object.cmp(&other.object))
    });
    found
}

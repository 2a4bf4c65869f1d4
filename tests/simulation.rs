//! Whole lives of streams, simulated: see `poolscope_testkit::simulation`.

use poolscope_testkit::found;
use poolscope_testkit::simulation::object::Kind;
use poolscope_testkit::simulation::run::{Outcome, check_bytes, run};
use poolscope_testkit::simulation::scene::{ENCODINGS, Fault, RETENTIONS, Setup, Stats};

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[test]
fn streams_keep_what_they_promise() {
    if let Some(seed) = number("POOLSCOPE_SEED") {
        return expect_good(&run(&Setup::of(seed)));
    }
    if let Some(events) = number("POOLSCOPE_EVENTS") {
        return long(events);
    }
    let seeds = number("POOLSCOPE_SEEDS").unwrap_or(200);
    let (mut sum, mut first) = (Stats::default(), None);
    for seed in 0..seeds {
        let outcome = run(&Setup::of(seed));
        sum.add(&outcome.stats);
        first = first.or(told(seed, outcome));
    }
    println!("{sum:?}");
    if let Some(violation) = first {
        panic!("{violation}");
    }
    // A simulation in which nothing happens would find nothing wrong either.
    let counts =
        [sum.refreshed, sum.expired, sum.reconnects, sum.relists, sum.restored, sum.settled];
    assert!(seeds < 60 || counts.iter().all(|&count| count > 0), "{sum:?}");
}

/// The violation of a run, if there was one; its first line is printed.
fn told(seed: u64, outcome: Outcome) -> Option<String> {
    let violation = outcome.violation?;
    println!("seed {seed}: {}", violation.lines().next().unwrap_or_default());
    Some(violation)
}

fn expect_good(outcome: &Outcome) {
    if let Some(violation) = &outcome.violation {
        panic!("{violation}");
    }
}

/// Runs until so many events were pushed, and says how that went.
fn long(events: u64) {
    let mut rows = [(0, 0, Stats::default()); RETENTIONS.len() * ENCODINGS.len()];
    let mut first = None;
    let mut seed = 0;
    while rows.iter().map(|(_, _, stats)| stats.pushed).sum::<u64>() < events {
        for row in &mut rows {
            let outcome = run(&Setup::of(seed));
            row.0 += 1;
            row.1 += u64::from(outcome.violation.is_some());
            row.2.add(&outcome.stats);
            first = first.or(told(seed, outcome));
            seed += 1;
        }
    }
    println!(
        "{:<9} {:<8} {:>7} {:>10} {:>10} {:>9} {:>8} {:>10} {:>8} {:>9} {:>8} {:>10}",
        "retention",
        "encoding",
        "seeds",
        "upstream",
        "sent",
        "refresh",
        "expired",
        "reconnects",
        "relists",
        "compared",
        "at rest",
        "violations"
    );
    for (at, (seeds, violations, stats)) in rows.iter().enumerate() {
        let (retention, encoding) =
            (RETENTIONS[at % RETENTIONS.len()], ENCODINGS[at / RETENTIONS.len()]);
        let Stats {
            pushed, sent, refreshed, expired, reconnects, relists, compared, settled, ..
        } = stats;
        println!(
            "{:<9} {:<8} {seeds:>7} {pushed:>10} {sent:>10} {refreshed:>9} {expired:>8} \
             {reconnects:>10} {relists:>8} {compared:>9} {settled:>8} {violations:>10}",
            format!("{retention:?}"),
            format!("{encoding:?}"),
        );
    }
    if let Some(violation) = first {
        panic!("the first of them: {violation}");
    }
}

/// How many of the setups that are good without it find something wrong with a fault put in, and
/// how many those are.
fn found_out(setups: impl Iterator<Item = Setup>, fault: Fault) -> (usize, usize) {
    let good = setups.filter(|setup| run(setup).violation.is_none());
    let found = good.map(|setup| run(&Setup { fault, ..setup }).violation.is_some());
    found.fold((0, 0), |(found, all), one| (found + usize::from(one), all + 1))
}

#[test]
fn what_once_failed_holds() {
    for (file, input) in found("life") {
        println!("{file}");
        check_bytes(&input);
    }
    check_bytes(&[7; 400]);
}

#[test]
fn bytes_that_pass_untouched_are_found_out() {
    let (found, all) = found_out((0..30).map(Setup::of), Fault::Untouched);
    assert!(all > 0 && found == all, "{found} of {all}");
}

#[test]
fn lost_refreshes_are_found_out() {
    // Without originals there is nothing to refresh but by ending the watch, which no client can
    // overlook.
    let seeds = (0..30).filter(|seed| seed % 3 != 2);
    for subject in [Kind::Slice, Kind::Service] {
        let services_pass = |setup: &Setup| setup.services_pass && subject == Kind::Slice;
        let long = |seed| {
            let setup = Setup::of(seed);
            Setup {
                subject,
                steps: 3000,
                facts_change: true,
                client_state_bytes: None,
                services_pass: services_pass(&setup),
                ..setup
            }
        };
        // For Services only a node that changes pools is a reason to refresh.
        let (every, tenths) = if subject == Kind::Slice { (3, 8) } else { (1, 6) };
        let (found, all) = found_out(seeds.clone().map(long), Fault::LostRefresh(every));
        assert!(all > 0 && found * 10 >= all * tenths, "{subject:?}: {found} of {all}");
    }
}

//! Runs the bodies of the fuzz targets on the inputs that once failed, and on the recordings, so
//! that a body that compares nothing is noticed.

use poolscope_testkit::fuzzing::world::{FORMS, Looked};
use poolscope_testkit::fuzzing::{facts, forms, json, keys, protobuf, request, services};
use poolscope_testkit::{Recording, found};

fn replay(target: &str, run: impl Fn(&[u8])) {
    for (file, input) in found(target) {
        println!("{file}");
        run(&input);
    }
}

#[test]
fn what_once_failed_holds() {
    for form in FORMS {
        replay(&format!("json_{form:?}").to_lowercase(), |input| {
            json::check(form, input);
        });
        replay(&format!("protobuf_{form:?}").to_lowercase(), |input| {
            protobuf::check(form, input);
        });
    }
    replay("json_forms", |input| {
        forms::check(input);
    });
    replay("facts", |input| {
        facts::check(input);
    });
    replay("request", |input| {
        request::check(input);
    });
    replay("keys", |input| {
        keys::check(input);
    });
    replay("services", |input| {
        services::check(input);
    });
}

/// A body with the bytes before it that say how it is looked at.
fn input(how: u8, body: &[u8]) -> Vec<u8> {
    [&[how, 7], body].concat()
}

#[test]
fn recordings_are_looked_at_with_both_eyes() {
    let mut seen = 0;
    for (at, folder) in ["get", "list", "watch"].into_iter().enumerate() {
        for recording in Recording::folder(folder) {
            if !recording.request.target.contains("endpointslices")
                || recording.body.len() > 200_000
                || recording.head.status != 200
            {
                continue;
            }
            let input = input(0, &recording.body);
            let looked = match recording.name.rsplit('.').next() {
                Some("json") => json::check(FORMS[at], &input),
                Some("pb") => protobuf::check(FORMS[at], &input),
                _ => continue,
            };
            seen += usize::from(looked == Looked::Compared);
        }
    }
    assert!(seen > 20, "{seen} were compared with what a decoder finds");
}

#[test]
fn bodies_of_few_forms_are_looked_at_with_both_eyes() {
    let looked: Vec<Looked> = forms::seeds().map(|input| forms::check(&input)).collect();
    assert_eq!(looked, [Looked::Compared; 16]);
}

#[test]
fn recorded_facts_are_looked_at_with_both_eyes() {
    let mut seen = 0;
    for (at, folder) in ["get", "list", "watch"].into_iter().enumerate() {
        for recording in Recording::folder(folder) {
            let kinds = ["services", "nodes", "nodepools", "nodebuckets", "ciliumnodes"];
            let kind = kinds.iter().position(|kind| recording.request.target.contains(kind));
            let (Some(kind), true) = (
                kind,
                recording.head.status == 200 && !recording.request.target.contains("continue"),
            ) else {
                continue;
            };
            let protobuf = usize::from(recording.is_protobuf());
            let how = (kind + 5 * (at + 3 * protobuf)) as u8;
            seen += usize::from(facts::check(&input(how, &recording.body)) == Looked::Compared);
        }
    }
    assert!(seen > 10, "{seen} were compared with what a decoder finds");
}

#[test]
fn recorded_services_are_looked_at_with_both_eyes() {
    let mut seen = 0;
    for (at, folder) in ["get", "list", "watch"].into_iter().enumerate() {
        for recording in Recording::folder(folder) {
            if !recording.request.target.contains("/services") || recording.head.status != 200 {
                continue;
            }
            let protobuf = usize::from(recording.is_protobuf());
            // Without the one that leads elsewhere.
            let mut body = recording.body;
            while let Some(at) = body.windows(10).position(|window| window == b"kubernetes") {
                body[at] = b'K';
            }
            for node in 0..3 {
                let how = (node + 3 * (at + 3 * protobuf)) as u8;
                seen += usize::from(services::check(&input(how, &body)) == Looked::Compared);
            }
        }
    }
    assert!(seen > 10, "{seen} were compared with what a decoder finds");
}

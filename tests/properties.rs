//! Random objects of every kind, in both encodings and every form, in random clusters.
//!
//! `POOLSCOPE_CASES` sets the number of cases for each encoding; the default is 500.

use poolscope_testkit::fuzzing::objects::{self, Case, check_json, check_protobuf};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

fn check(protobuf: bool, property: impl Fn(&Case)) {
    let cases = std::env::var("POOLSCOPE_CASES")
        .map_or(500, |cases| cases.parse().expect("POOLSCOPE_CASES is a number"));
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    };
    let any_case =
        vec(any::<u16>(), 0..1500).prop_map(move |choices| Case::new(&choices, protobuf));
    let result = TestRunner::new(config).run(&any_case, |case| {
        property(&case);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn json_is_filtered_as_the_naive_filter_does_and_not_a_byte_more() {
    check(false, check_json);
}

#[test]
fn protobuf_is_filtered_as_the_naive_filter_does_and_keeps_every_record() {
    check(true, check_protobuf);
}

/// Inputs that the fuzzer found.
#[test]
fn what_once_failed_holds() {
    for (protobuf, target) in [(false, "objects_json"), (true, "objects_protobuf")] {
        for (file, input) in poolscope_testkit::found(target) {
            println!("{file}");
            objects::check(&input, protobuf);
        }
    }
}

//! The C example over every recording: what a C program makes of it, byte for byte what Rust does.
//!
//! `make test-c` builds the program and says in `POOLSCOPE_C_FILTER` where it is.

use std::path::PathBuf;
use std::process::{Command, Output};

use poolscope::{Action, NodeView};
use poolscope_testkit::{DATA, FACTS, NODES, Recording, cluster, random_chunks, run};

/// Recordings of which the program's three words, node, target and file, say all that matters: not
/// those whose Accept asks for metadata or a Table, nor those with another status or a compressed
/// body.
fn recordings() -> Vec<Recording> {
    let plain = |recording: &Recording| {
        let asks = recording.request.headers.iter().any(|(_, value)| value.contains(";as="));
        let encoded = recording.head.headers.iter().any(|(name, value)| {
            name.eq_ignore_ascii_case("content-encoding") && value != "identity"
        });
        let whole = recording.name.ends_with(".json") || recording.name.ends_with(".pb");
        recording.request.method == "GET"
            && recording.head.status == 200
            && whole
            && !asks
            && !encoded
    };
    Recording::all().into_iter().filter(plain).collect()
}

fn file(recording: &Recording) -> PathBuf {
    PathBuf::from(DATA).join("recorded").join(&recording.name)
}

fn through_c(program: &str, node: &str, facts: &[Recording], recording: &Recording) -> Output {
    let mut command = Command::new(program);
    command.arg(node);
    for each in facts.iter().chain([recording]) {
        command.arg(&each.request.target).arg(file(each));
    }
    command.output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

fn through_rust(node: &NodeView, recording: &Recording) -> Vec<u8> {
    match node.open_stateless(&recording.request, &recording.head).unwrap() {
        Action::Forward => recording.body.clone(),
        Action::Rewrite(stream) => {
            run(stream, &recording.body, random_chunks(recording.body.len() as u64, 5000)).unwrap()
        }
        other => panic!("{}: {other:?}", recording.name),
    }
}

#[test]
#[ignore = "needs the C program; `make test-c` builds it and runs this"]
fn every_recording_comes_out_of_c_as_out_of_rust() {
    let program = std::env::var("POOLSCOPE_C_FILTER")
        .expect("POOLSCOPE_C_FILTER: where the C example `filter` is");
    let facts: Vec<Recording> =
        FACTS.iter().map(|kind| Recording::load(&format!("list/{kind}-json.json"))).collect();
    let (mut compared, mut cut) = (0, 0);
    for (number, recording) in recordings().iter().enumerate() {
        for name in NODES.iter().skip(number % 5).step_by(5) {
            let output = through_c(&program, name, &facts, recording);
            assert!(
                output.status.success(),
                "{}: {}",
                recording.name,
                String::from_utf8_lossy(&output.stderr)
            );
            // A cluster of its own, as each run of the program has: a forwarded body may change
            // facts.
            let expected = through_rust(&cluster("list").node(*name), recording);
            assert!(output.stdout == expected, "{} as {name} sees it", recording.name);
            compared += 1;
            cut += usize::from(expected != recording.body);
        }
    }
    assert!(compared > 300 && cut > 100, "{compared} compared, {cut} of them cut");
}

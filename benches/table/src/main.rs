//! Makes tables of what the benches have measured, and writes them between the two marks in the
//! page that is given: `poolscope-table TARGET_FOLDER PAGE`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const BEGIN: &str = "<!-- measured: written by `make bench` -->\n";
const END: &str = "<!-- end of what is measured -->\n";

/// In Go: a stream by itself.
const ALONE: &str = "poolscope, stateless";

const CONTENT_TYPES: [&str; 2] = ["application/json", "application/vnd.kubernetes.protobuf"];

/// Group -> function -> bytes a second.
type Measured = BTreeMap<String, BTreeMap<String, f64>>;

const JSON: [(&str, &str); 5] = [
    ("json events, drop 90 %", "events, 90 of 100 go"),
    ("json events, drop 10 %", "events, 10 of 100 go"),
    ("json events, mixed", "mixed events, 90 of 100 go"),
    ("json events, metadata-heavy", "metadata-heavy events"),
    ("json list, drop 90 %", "list of 2,000 slices"),
];
const PROTOBUF: [(&str, &str); 5] = [
    ("protobuf events, drop 90 %", "events, 90 of 100 go"),
    ("protobuf events, drop 10 %", "events, 10 of 100 go"),
    ("protobuf events, mixed", "mixed events, 90 of 100 go"),
    ("protobuf events, metadata-heavy", "metadata-heavy events"),
    ("protobuf list, drop 90 %", "list of 2,000 slices"),
];
const OURS: [&str; 7] = [
    "poolscope, an event a chunk",
    "poolscope, 64 KiB",
    "poolscope, 16 KiB",
    "poolscope, 4 KiB",
    "poolscope, 512 B",
    "poolscope, an event a chunk, with state",
    "poolscope, 16 KiB, with state",
];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (target, page) = (
        arguments.next().expect("the folder of the build"),
        arguments.next().expect("the page to write"),
    );
    let target = Path::new(&target);
    let measured = criterion(&target.join("criterion"));
    let output = fs::read_to_string(target.join("go.txt")).unwrap_or_default();
    let (events, readers) = (go(&output, "BenchmarkEvent/"), go(&output, "BenchmarkReader/"));
    let allocations = fs::read_to_string(target.join("allocations.txt")).unwrap_or_default();
    let mut text = conditions();
    table(
        &mut text,
        "JSON",
        &JSON,
        &measured,
        &[
            "serde_json Value",
            "serde_json RawValue",
            "k8s-openapi",
            "sonic-rs lazy",
            "sonic-rs Value",
            "simd-json",
            "jiter",
        ],
    );
    table(&mut text, "Protobuf", &PROTOBUF, &measured, &["prost"]);
    go_table(&mut text, &events);
    reader_table(&mut text, &events, &readers);
    goals(&mut text, &measured, &events, &readers, &allocations);
    let before = fs::read_to_string(&page).expect("the page is there");
    let (head, rest) =
        before.split_once(BEGIN).expect("the page has the mark where the tables begin");
    let (_, tail) = rest.split_once(END).expect("the page has the mark where the tables end");
    fs::write(&page, format!("{head}{BEGIN}{text}{END}{tail}")).unwrap();
}

fn criterion(folder: &Path) -> Measured {
    let mut measured = Measured::new();
    for group in fs::read_dir(folder).into_iter().flatten().flatten() {
        for function in fs::read_dir(group.path()).into_iter().flatten().flatten() {
            let read = |name: &str| -> Option<Value> {
                serde_json::from_slice(&fs::read(function.path().join("new").join(name)).ok()?).ok()
            };
            let (Some(what), Some(samples)) = (read("benchmark.json"), read("sample.json")) else {
                continue;
            };
            let numbers = |key: &str| {
                samples[key]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_f64)
                    .collect::<Vec<_>>()
            };
            // The fastest sample: whoever else uses the machine can only make one slower.
            let nanoseconds = numbers("times")
                .iter()
                .zip(numbers("iters"))
                .map(|(time, turns)| time / turns)
                .fold(f64::INFINITY, f64::min);
            let Some(bytes) =
                what["throughput"]["Bytes"].as_f64().filter(|_| nanoseconds.is_finite())
            else {
                continue;
            };
            let text = |key: &str| what[key].as_str().unwrap_or_default().to_owned();
            measured
                .entry(text("group_id"))
                .or_default()
                .insert(text("function_id"), bytes / nanoseconds * 1e9);
        }
    }
    measured
}

/// The fastest run of each row of a benchmark in Go: name -> MB/s, ns an event, allocations an
/// event.
fn go(text: &str, benchmark: &str) -> Vec<(String, f64, f64, f64)> {
    let mut rows: Vec<(String, f64, f64, f64)> = Vec::new();
    for line in text.lines() {
        let Some(line) = line.strip_prefix(benchmark) else { continue };
        let mut words = line.split_whitespace();
        let name = words.next().unwrap_or_default();
        let name = name.rsplit_once('-').map_or(name, |(name, _)| name).replace('_', " ");
        let words: Vec<&str> = words.collect();
        let value = |unit: &str| {
            words
                .windows(2)
                .find(|pair| pair[1] == unit)
                .and_then(|pair| pair[0].parse::<f64>().ok())
                .unwrap_or(0.0)
        };
        let row = (name, value("MB/s"), value("ns/event"), value("allocs/op") / 200.0);
        match rows.iter_mut().find(|(name, ..)| *name == row.0) {
            Some(before) if before.1 < row.1 => *before = row,
            Some(_) => {}
            None => rows.push(row),
        }
    }
    rows
}

/// MB/s of client-go's types for the content type that a row's name begins with.
fn typed(go: &[(String, f64, f64, f64)], name: &str) -> Option<f64> {
    let (content_type, _) = name.rsplit_once('/')?;
    let row = go
        .iter()
        .find(|(other, ..)| other.rsplit_once('/') == Some((content_type, "client-go types")));
    row.map(|(_, speed, ..)| *speed)
}

fn conditions() -> String {
    let first = |command: &mut Command| {
        let output = command
            .output()
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
            .unwrap_or_default();
        output.lines().next().unwrap_or_default().to_owned()
    };
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let processors = info.lines().filter(|line| line.starts_with("processor")).count();
    let lock = fs::read_to_string("Cargo.lock").unwrap_or_default();
    let version = |name: &str| {
        let mut lines = lock.lines().skip_while(|line| *line != format!("name = {name:?}"));
        lines
            .nth(1)
            .and_then(|line| line.strip_prefix("version = "))
            .unwrap_or("?")
            .trim_matches('"')
            .to_owned()
    };
    let versions: Vec<String> =
        ["serde_json", "k8s-openapi", "sonic-rs", "simd-json", "jiter", "prost"]
            .iter()
            .map(|name| format!("{name} {}", version(name)))
            .collect();
    format!(
        "{model}, {processors} processors, one used; {}; {};\n{};\n{}.\n\
         Built for plain x86-64, like distributed binaries.\n\n",
        first(Command::new("date").arg("+%F")),
        first(Command::new("rustc").arg("--version")),
        first(Command::new("go").arg("version")),
        versions.join(", "),
    )
}

fn table(
    text: &mut String,
    title: &str,
    groups: &[(&str, &str)],
    measured: &Measured,
    others: &[&str],
) {
    let columns: Vec<&str> = groups.iter().map(|(_, column)| *column).collect();
    writeln!(text, "### {title}: GB/s of input, and in brackets the share of memcpy\n").unwrap();
    writeln!(text, "| | {} |\n|---|{}", columns.join(" | "), "---|".repeat(columns.len())).unwrap();
    for way in ["memcpy"].iter().chain(&OURS).chain(others) {
        let cells = groups.iter().map(|(group, _)| {
            let speed = |name: &str| measured.get(*group)?.get(name).copied();
            match (speed(way), speed("memcpy")) {
                (Some(own), Some(memcpy)) if *way != "memcpy" => {
                    format!("{:.2} ({:.3})", own / 1e9, own / memcpy)
                }
                (Some(own), _) => format!("{:.2}", own / 1e9),
                _ => String::new(),
            }
        });
        writeln!(text, "| {way} | {} |", cells.collect::<Vec<_>>().join(" | ")).unwrap();
    }
    text.push('\n');
}

fn go_table(text: &mut String, go: &[(String, f64, f64, f64)]) {
    if go.is_empty() {
        return;
    }
    text.push_str(
        "### From Go: events of 100 endpoints of which 90 go\n\n| | MB/s | µs an event | times \
         client-go's types | allocations an event |\n|---|---|---|---|---|\n",
    );
    for (name, speed, nanoseconds, allocations) in go {
        let times = typed(go, name).map_or(String::new(), |typed| format!("{:.1}", speed / typed));
        writeln!(
            text,
            "| {name} | {speed:.0} | {:.1} | {times} | {allocations:.0} |",
            nanoseconds / 1e3
        )
        .unwrap();
    }
    text.push('\n');
}

/// Times client-go's types, and how fast a reader is against pushing the same pieces.
fn reader(
    go: &[(String, f64, f64, f64)],
    readers: &[(String, f64, f64, f64)],
    content_type: &str,
    source: &str,
) -> Option<(f64, f64, f64)> {
    let speed = |way: &str| {
        let name = format!("{content_type}/{way}, {source}");
        readers.iter().find(|(other, ..)| *other == name).map(|row| (row.1, row.2))
    };
    let ((pushed, _), (own, nanoseconds)) = (speed("push")?, speed("io.Reader")?);
    let typed = typed(go, &format!("{content_type}/"))?;
    Some((nanoseconds, own / typed, own / pushed))
}

fn reader_table(
    text: &mut String,
    go: &[(String, f64, f64, f64)],
    readers: &[(String, f64, f64, f64)],
) {
    if readers.is_empty() {
        return;
    }
    text.push_str(
        "### From Go: an io.Reader over one stream with client state\n\n| pieces of upstream | \
         JSON, µs an event | times client-go's types | times pushing | protobuf, µs an event | \
         times client-go's types | times pushing |\n|---|---|---|---|---|---|---|\n",
    );
    for source in ["4 KiB", "16 KiB", "32 KiB", "TCP"] {
        write!(text, "| {source} |").unwrap();
        for content_type in CONTENT_TYPES {
            match reader(go, readers, content_type, source) {
                Some((nanoseconds, typed, pushed)) => {
                    write!(text, " {:.1} | {typed:.1} | {pushed:.2} |", nanoseconds / 1e3).unwrap();
                }
                None => text.push_str(" | | |"),
            }
        }
        text.push('\n');
    }
    text.push('\n');
}

fn goals(
    text: &mut String,
    measured: &Measured,
    go: &[(String, f64, f64, f64)],
    readers: &[(String, f64, f64, f64)],
    allocations: &str,
) {
    let speed = |group: &str, way: &str| {
        measured.get(group).and_then(|group| group.get(way)).copied().unwrap_or(f64::NAN)
    };
    // Both through Go, by the same clock.
    let times = |content_type: &str, way: &str| {
        let name = format!("{content_type}/{way}");
        let own = go.iter().find(|(other, ..)| *other == name).map(|(_, speed, ..)| *speed);
        own.zip(typed(go, &name)).map_or(f64::NAN, |(own, typed)| own / typed)
    };
    text.push_str(
        "### Goals\n\n\
         In chunks of 16 KiB unless stated otherwise. Plain JSON events have a hundred endpoints \
         of\none form; a metadata-heavy event has five, and what is not an endpoint has no form to \
         learn.\n\n\
         | | aim | measured | reached |\n|---|---|---|---|\n",
    );
    let mut row = |goal: &str, found: f64, wanted: f64| {
        let met = if found.is_nan() {
            "not measured"
        } else if (found * 100.0).round() / 100.0 >= wanted {
            "yes"
        } else {
            "no"
        };
        writeln!(text, "| {goal} | {wanted} | {found:.2} | {met} |").unwrap();
    };
    let way = "poolscope, 16 KiB";
    let (json, protobuf) = (speed(JSON[0].0, way), speed(PROTOBUF[0].0, way));
    row("JSON events, share of memcpy", json / speed(JSON[0].0, "memcpy"), 0.20);
    row(
        "JSON events, times client-go's types, an event a chunk",
        times("application/json", ALONE),
        40.0,
    );
    row("protobuf events, share of memcpy", protobuf / speed(PROTOBUF[0].0, "memcpy"), 0.40);
    row(
        "the same, an event a chunk",
        speed(PROTOBUF[0].0, OURS[0]) / speed(PROTOBUF[0].0, "memcpy"),
        0.40,
    );
    row(
        "protobuf events, times client-go's types, an event a chunk",
        times("application/vnd.kubernetes.protobuf", ALONE),
        12.0,
    );
    for (content_type, wanted) in CONTENT_TYPES.into_iter().zip([90.0, 12.0]) {
        let found = reader(go, readers, content_type, "16 KiB").map_or(f64::NAN, |found| found.1);
        row(&format!("{content_type}, io.Reader, times client-go's types"), found, wanted);
        let found = reader(go, readers, content_type, "TCP").map_or(f64::NAN, |found| found.2);
        row(&format!("{content_type}, io.Reader over TCP, times pushing"), found, 0.93);
    }
    row("JSON, metadata-heavy against plain", speed(JSON[3].0, way) / json, 1.0);
    row("protobuf, metadata-heavy against plain", speed(PROTOBUF[3].0, way) / protobuf, 1.0);
    text.push('\n');
    for line in allocations.lines().filter(|line| line.contains("bytes for 500 endpoints")) {
        // The test's name may stand before it.
        writeln!(text, "- {}", line.rsplit(" ... ").next().unwrap_or(line)).unwrap();
    }
    text.push('\n');
}

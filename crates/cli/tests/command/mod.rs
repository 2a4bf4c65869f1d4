//! Runs the command as users run it.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use poolscope_testkit::DATA;

/// A recorded file or folder.
pub fn recorded(path: &str) -> String {
    format!("{DATA}/recorded/{path}")
}

pub fn run(args: &[&str], stdin: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_poolscope"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    // A command that fails early does not read its input.
    let _ = pipe.write_all(stdin);
    drop(pipe);
    child.wait_with_output().unwrap()
}

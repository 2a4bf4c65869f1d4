//! `include/poolscope.h` declares the C ABI.

use std::path::Path;

/// The files that declare something, in the order of the header.
const FILES: [&str; 12] = [
    "failure",
    "version",
    "text",
    "exchange",
    "cluster",
    "listener",
    "fact_reader",
    "node",
    "fact_sync",
    "reply",
    "stream",
    "inventory",
];

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn generated() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut config = cbindgen::Config::from_file(root.join("../../cbindgen.toml")).unwrap();
    let numbers: Vec<&str> = VERSION.split('.').collect();
    let [major, minor, patch] = numbers[..] else { panic!("{VERSION}") };
    config.after_includes = Some(format!(
        "\n/** The version of this header. poolscope_version() is the version of the library. */\n\
         #define POOLSCOPE_VERSION \"{VERSION}\"\n\
         #define POOLSCOPE_VERSION_MAJOR {major}\n\
         #define POOLSCOPE_VERSION_MINOR {minor}\n\
         #define POOLSCOPE_VERSION_PATCH {patch}\n\
         /** `major << 16 | minor << 8 | patch`. */\n\
         #define POOLSCOPE_VERSION_NUMBER \\\n    \
         (POOLSCOPE_VERSION_MAJOR << 16 | POOLSCOPE_VERSION_MINOR << 8 | \
         POOLSCOPE_VERSION_PATCH)\n\n\
         /** Marks the functions of the library. Define it before the include to change it. */\n\
         #ifndef POOLSCOPE_API\n\
         #if defined(__GNUC__)\n\
         #define POOLSCOPE_API __attribute__((visibility(\"default\")))\n\
         #else\n\
         #define POOLSCOPE_API\n\
         #endif\n\
         #endif"
    ));
    let builder = FILES.iter().fold(cbindgen::Builder::new(), |builder, file| {
        builder.with_src(root.join(format!("src/{file}.rs")))
    });
    let mut header = Vec::new();
    builder.with_config(config).generate().unwrap().write(&mut header);
    String::from_utf8(header).unwrap()
}

#[test]
fn the_header_is_the_abi() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../include/poolscope.h");
    let generated = generated();
    if std::env::var_os("POOLSCOPE_WRITE_HEADER").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        checked_in == generated,
        "include/poolscope.h differs from bindings/c/src: \
         run `make header` and look at the difference"
    );
}

#[test]
fn every_function_is_declared_and_documented() {
    let header = generated();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut functions = 0;
    for file in std::fs::read_dir(root).unwrap() {
        let source = std::fs::read_to_string(file.unwrap().path()).unwrap();
        assert_eq!(
            source.matches("unsafe(no_mangle)").count(),
            source.matches("extern \"C\" fn poolscope_").count()
        );
        for declared in source.split("extern \"C\" fn ").skip(1) {
            let name = declared.split('(').next().unwrap();
            let lines: Vec<&str> = header.lines().collect();
            let is_declaration =
                |line: &str| !line.starts_with([' ', '/']) && line.contains(&format!("{name}("));
            let at = lines
                .iter()
                .position(|line| is_declaration(line))
                .unwrap_or_else(|| panic!("{name} is not in the header"));
            // The prefix of a long declaration has a line of its own.
            let before = if lines[at - 1] == "POOLSCOPE_API" { at - 2 } else { at - 1 };
            assert_eq!(lines[before], " */", "{name} has no documentation in the header");
            functions += 1;
        }
    }
    assert!(functions > 40, "{functions}");
}

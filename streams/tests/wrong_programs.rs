//! Programs that must not compile, and the message their writer sees: a missing serde, a mismatched topic, a join of
//! unlike keys, a window that never closes, state in a closure.
//!
//! Each is compiled against the library that this test was linked with, and what the compiler says is compared with the
//! file beside it. The messages are those of the compiler in `rust-toolchain.toml`; after a change of either,
//! `WRONG_PROGRAMS=overwrite cargo test -p anabranch --test wrong_programs` writes them anew, to be read before they are
//! kept.
#![allow(clippy::unwrap_used, reason = "a test binary: what is not there fails the test")]
#![allow(clippy::disallowed_methods, reason = "reads the repository and runs the compiler, not a world")]

use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAMS: &str = "streams/tests/wrong_programs";

#[test]
fn wrong_programs_do_not_compile_and_the_message_helps() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let overwrite = std::env::var_os("WRONG_PROGRAMS").is_some();
    let directory = std::fs::read_dir(root.join(PROGRAMS)).unwrap();
    let mut programs: Vec<PathBuf> = directory.map(|entry| entry.unwrap().path()).collect();
    programs.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    programs.sort();
    assert!(!programs.is_empty());
    let mut faults = String::new();
    for program in programs {
        let (expected_in, name) = (program.with_extension("stderr"), program.file_name().unwrap());
        let said = compile(root, &Path::new(PROGRAMS).join(name));
        if overwrite {
            std::fs::write(expected_in, &said).unwrap();
        } else if std::fs::read_to_string(&expected_in).is_ok_and(|expected| expected == said) {
            continue;
        } else {
            faults += &format!("{} is not what the compiler says:\n{said}\n", expected_in.display());
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

/// What the compiler says of a program, without what changes from place to place.
fn compile(root: &Path, program: &Path) -> String {
    let (library, dependencies) = library();
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler)
        .current_dir(root)
        .args(["--edition=2024", "--crate-type=bin", "--emit=metadata", "--color=never", "-o", "/dev/null"])
        .arg(format!("--extern=anabranch={}", library.display()))
        .arg(format!("-Ldependency={}", dependencies.display()))
        .arg(program)
        .output()
        .unwrap();
    assert!(!output.status.success(), "{} compiles", program.display());
    let program = program.to_str().unwrap();
    let (mut said, mut elsewhere) = (String::new(), false);
    for line in String::from_utf8(output.stderr).unwrap().lines() {
        let line = line.trim();
        let at = line.strip_prefix("--> ").or_else(|| line.strip_prefix("::: "));
        if line.starts_with("error: aborting") || line.starts_with("error: could not compile") {
            break;
        } else if let Some(place) = at {
            elsewhere = !place.starts_with(program);
            said +=
                &if elsewhere { format!("--> {}\n", place_elsewhere(place)) } else { format!("{line}\n") };
        } else {
            let number = line.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(line.len());
            let line = if elsewhere { line[number..].trim_start() } else { line };
            said += &format!("{line}\n");
        }
    }
    said.trim_end().to_owned() + "\n"
}

/// A place in a file that is not the program's: the lines there move.
fn place_elsewhere(place: &str) -> String {
    let file = place.split(':').next().unwrap_or(place);
    match file.split_once("/library/") {
        Some((_, file)) => format!("$RUST/{file}"),
        None => file.to_owned(),
    }
}

/// The library that this test was linked with, the last one made before it, and where its dependencies are.
fn library() -> (PathBuf, PathBuf) {
    let this = std::env::current_exe().unwrap();
    let made = std::fs::metadata(&this).unwrap().modified().unwrap();
    let dependencies = this.parent().unwrap().to_owned();
    let is_library = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("libanabranch-") && name.ends_with(".rlib")
    };
    let files = std::fs::read_dir(&dependencies).unwrap().map(|entry| entry.unwrap().path());
    let libraries = files.filter(is_library).map(|path| {
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        (modified, path)
    });
    let (_, library) = libraries.filter(|(modified, _)| *modified <= made).max().unwrap();
    (library, dependencies)
}

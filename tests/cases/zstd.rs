//! A real project: zstd's C library, from the sources that cargo fetched with the crate `zstd-sys`, and a small program on it.
//!
//! The crate has the library only, not the sources of the `zstd` program; `fixtures/zstd/cli/zstd.c` is a program of ours with its
//! core: streaming compression and decompression of files, with levels.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use zako_tests::{Workspace, repository, run};

fn cargo(arguments: &[&str]) -> String {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments).current_dir(repository());
    run(cargo)
}

/// Where cargo keeps the sources of the crate `zstd-sys`.
fn crate_folder() -> PathBuf {
    // For this platform only: cargo did not fetch the crates of others.
    let about = cargo(&["-vV"]);
    let host = about
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap();
    let metadata = cargo(&[
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--offline",
        "--filter-platform",
        host,
    ]);
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages
        .iter()
        .find(|package| package["name"] == "zstd-sys")
        .unwrap();
    Path::new(package["manifest_path"].as_str().unwrap())
        .parent()
        .unwrap()
        .to_owned()
}

fn workspace() -> Workspace {
    let workspace = Workspace::bare();
    workspace.copy(&repository().join("tests/fixtures/zstd"), ".");
    for folder in ["common", "compress", "decompress", "dictBuilder"] {
        workspace.copy(
            &crate_folder().join("zstd/lib").join(folder),
            &format!("zstd/lib/{folder}"),
        );
    }
    for header in ["zstd.h", "zdict.h", "zstd_errors.h"] {
        fs::copy(
            crate_folder().join("zstd/lib").join(header),
            workspace.path("zstd/lib").join(header),
        )
        .unwrap();
    }
    workspace
}

/// The sources of the library and the program, as `compile SOURCE` names them.
fn sources(workspace: &Workspace) -> BTreeSet<String> {
    let mut found = BTreeSet::from(["cli/zstd.c".to_owned()]);
    for folder in ["common", "compress", "decompress", "dictBuilder"] {
        for entry in fs::read_dir(workspace.path("zstd/lib").join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".c") || name.ends_with(".S") {
                found.insert(format!("zstd/lib/{folder}/{name}"));
            }
        }
    }
    found
}

/// The sources that include `header`, as the compiler itself tells.
fn includers(workspace: &Workspace, header: &str) -> Vec<String> {
    let header = workspace.path(header).canonicalize().unwrap();
    let mut found = Vec::new();
    for source in sources(workspace) {
        // A rule for make: the object and a colon, then one path a word, as `zstd/lib/compress/../common/fse.h`.
        let mut cc = workspace.program("/usr/bin/env".as_ref());
        cc.args([
            "cc",
            "-MM",
            "-I.",
            "-Izstd/lib",
            "-DXXH_NAMESPACE=ZSTD_",
            &source,
        ]);
        let rule = run(cc);
        if rule
            .split_whitespace()
            .filter_map(|word| workspace.path(word).canonicalize().ok())
            .any(|path| path == header)
        {
            found.push(format!("compile {source}"));
        }
    }
    found
}

#[test]
fn zstd_is_built_and_rebuilt_as_far_as_needed() {
    let workspace = workspace();
    let first = workspace.zako("build").exits(0);
    let compiled: BTreeSet<_> = first
        .actions("ran")
        .iter()
        .filter_map(|m| m.strip_prefix("compile "))
        .map(str::to_owned)
        .collect();
    assert_eq!(compiled, sources(&workspace), "{first}");

    // A file goes through it and comes back.
    let text: String = (0..50_000)
        .map(|n| format!("{n} {}\n", n * 7919 % 1009))
        .collect();
    workspace.write("text.txt", &text);
    for level in ["-1", "-19"] {
        workspace.run("zako-out/cli/zstd", &[level, "text.txt", "text.zst"]);
        workspace.run("zako-out/cli/zstd", &["-d", "text.zst", "back.txt"]);
        assert_eq!(workspace.read("back.txt"), text);
        assert!(fs::metadata(workspace.path("text.zst")).unwrap().len() < text.len() as u64 / 2);
    }

    workspace.zako("build").exits(0).ran_nothing();

    // A header of few, and one of many.
    for header in ["zstd/lib/compress/hist.h", "zstd/lib/common/fse.h"] {
        workspace.write(
            header,
            &format!("{}\n/* Edited. */\n", workspace.read(header)),
        );
        let changed = workspace.zako("build").exits(0);
        let compiled: Vec<_> = changed
            .actions("ran")
            .into_iter()
            .filter(|m| m.starts_with("compile "))
            .collect();
        let expected = includers(&workspace, header);
        assert!(
            !expected.is_empty() && expected.len() < sources(&workspace).len(),
            "{expected:?}"
        );
        assert_eq!(compiled, expected, "{header}\n{changed}");
        workspace.zako("build").exits(0).ran_nothing();
    }
}

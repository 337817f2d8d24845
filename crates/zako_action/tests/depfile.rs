//! Depfiles: quoting, real compilers' output, and what each file counts as.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use proptest::prelude::*;
use zako_action::depfile::{Classified, DepfileError, classify, parse};
use zako_action::{ActionBody, ActionSpec, ArtifactValue, Isolation, Prepared, ToolRef};
use zako_cas::DigestFunction;
use zako_path::NeutralPath;

fn path(text: &str) -> NeutralPath {
    NeutralPath::new(text).unwrap()
}

#[test]
fn rules_and_quoting() {
    for (text, expected) in [
        ("", &[][..]),
        ("a.o:", &[]),
        ("a.o: a.c", &["a.c"]),
        ("a.o: a.c b.h a.c\n", &["a.c", "b.h"]),
        ("a.o: a.c \\\n  b.h\\\n\tc.h\n\n", &["a.c", "b.h", "c.h"]),
        ("a.o: a.c \\\r\n b.h\r\n", &["a.c", "b.h"]),
        ("a.o:\\\n a.c\n", &["a.c"]),
        ("a.o b.o : a.c", &["a.c"]),
        ("a.o: a.c\nb.h:\nc.h:\n", &["a.c"]),
        ("a.o: a.c\nb.o: b.c a.c\n", &["a.c", "b.c"]),
        ("a.o: my\\ file.h x", &["my file.h", "x"]),
        ("a.o: tail\\\\\\ s.h", &["tail\\ s.h"]),
        ("a.o: two\\\\ words", &["two\\", "words"]),
        ("a.o: a\\#b.h c#d.h", &["a#b.h", "c#d.h"]),
        ("a.o: a.c # a comment: with a colon\n", &["a.c"]),
        ("# nothing\na.o: a.c", &["a.c"]),
        ("a.o: cost$$5.h $x", &["cost$5.h", "$x"]),
        ("a.o: C:\\src\\a.c C:/b.h", &["C:\\src\\a.c", "C:/b.h"]),
        ("C:\\out\\a.o: a.c", &["a.c"]),
        ("C:/out/a.o: a.c", &["a.c"]),
        ("a\\:b.o: c\\:d.h", &["c:d.h"]),
        ("a.o:a.c", &["a.c"]),
        ("ä.o: größe.h", &["größe.h"]),
        ("a.o: b.h\\", &["b.h"]),
    ] {
        assert_eq!(parse(text.as_bytes()).unwrap(), expected, "{text:?}");
    }
}

#[test]
fn what_is_no_rule_is_an_error_with_its_line() {
    for (text, expected) in [
        (&b"a.o a.c\n"[..], DepfileError::NoTarget { line: 1 }),
        (
            b"a.o: a.c\n\nwords \\\n more\n",
            DepfileError::NoTarget { line: 3 },
        ),
        (b": a.c\n", DepfileError::NoTarget { line: 1 }),
        (b"a: b\nc: d: e\n", DepfileError::SecondColon { line: 2 }),
        (b"a: b\nc: \xff\n", DepfileError::NotUtf8 { line: 2 }),
        (b"a: b\nc: d\0e\n", DepfileError::Nul { line: 2 }),
    ] {
        assert_eq!(
            parse(text),
            Err(expected),
            "{:?}",
            String::from_utf8_lossy(text)
        );
    }
}

/// Names that compilers have to quote.
const ODD: [&str; 5] = [
    "plain.h",
    "with space.h",
    "ha#sh.h",
    "dol$lar.h",
    "back\\slash.h",
];

#[test]
fn real_compilers_are_understood() {
    let mut tried = 0;
    for compiler in ["gcc", "clang"] {
        // clang writes a slash in its place, into the depfile of Unix systems, too: there is no such file.
        let odd = ODD
            .iter()
            .filter(|name| compiler != "clang" || !name.contains('\\'));
        let dir = tempfile::tempdir().unwrap();
        let mut source = String::new();
        for name in odd.clone() {
            fs::write(dir.path().join(name), "").unwrap();
            source += &format!("#include \"{name}\"\n");
        }
        for i in 0..30 {
            let name = format!("a_long_enough_name_for_the_line_to_be_continued_{i}.h");
            fs::write(dir.path().join(&name), "").unwrap();
            source += &format!("#include \"{name}\"\n");
        }
        fs::write(dir.path().join("main file.c"), source).unwrap();
        let run = Command::new(compiler)
            .args([
                "-MD",
                "-MP",
                "-MF",
                "out.d",
                "-c",
                "main file.c",
                "-o",
                "out.o",
            ])
            .current_dir(dir.path())
            .output();
        let Ok(output) = run else { continue };
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        tried += 1;
        let found = parse(&fs::read(dir.path().join("out.d")).unwrap()).unwrap();
        assert_eq!(found[0], "main file.c");
        for name in odd {
            assert!(
                found.iter().any(|f| f == name),
                "{compiler}: {name} in {found:?}"
            );
        }
        for file in found.iter().filter(|f| !f.starts_with('/')) {
            assert!(dir.path().join(file).is_file(), "{compiler}: {file} exists");
        }
        assert_eq!(
            found
                .iter()
                .filter(|f| f.starts_with("a_long_enough"))
                .count(),
            30
        );
    }
    assert!(tried > 0, "this test needs gcc or clang");
}

fn action() -> Prepared {
    let f = DigestFunction::Blake3;
    let file = || ArtifactValue::File {
        digest: f.hash(b""),
        executable: false,
    };
    let mut spec = ActionSpec::new("//:a", "compile", ActionBody::Command { argv: Vec::new() });
    spec.tools = vec![ToolRef::Artifact(path("zako-out/gen-tool"))];
    Prepared {
        spec: Arc::new(spec),
        inputs: BTreeMap::from([(path("a.c"), file())]),
        staged: BTreeMap::from([
            (path("include/a.h"), file()),
            (path("include/b.h"), file()),
            (
                path("zako-out/gen"),
                ArtifactValue::Directory { tree: f.empty() },
            ),
            (
                path("link.h"),
                ArtifactValue::Symlink {
                    target: "include/a.h".into(),
                },
            ),
        ]),
        tools: Vec::new(),
        salt: String::new(),
        isolation: Isolation::Basic,
    }
}

#[test]
fn each_file_counts_as_what_covers_it() {
    let listed = [
        "a.c",                                      // an exact input: keyed
        "./include/../include/a.h",                 // staged
        "/ws/include/b.h",                          // staged, by its place in the workspace
        "/tmp/exec/include/a.h",                    // staged, by its place where it ran
        "zako-out/gen/deep/x.h",                    // in a staged directory: keyed
        "zako-out/gen-tool",                        // a tool: keyed
        "link.h",                                   // a link: keyed
        "include/secret.h",                         // undeclared
        "/ws/other.h",                              // undeclared
        "/usr/lib/gcc/12/../../../include/stdio.h", // below the toolchain, by text
        "/usr/local/include/z.h",                   // below no root
        "../outside.h",                             // above where it ran
        "/ws/third_party/llvm/include/stddef.h",    // a toolchain inside the workspace
    ]
    .map(str::to_owned);
    let roots = [
        PathBuf::from("/usr/include"),
        PathBuf::from("/ws/third_party/llvm"),
    ];
    let found = classify(
        &listed,
        &action(),
        Path::new("/ws"),
        Path::new("/tmp/exec"),
        &roots,
    )
    .unwrap();
    let expected = Classified {
        workspace: vec![path("include/a.h"), path("include/b.h")],
        external: vec![
            PathBuf::from("/tmp/outside.h"),
            PathBuf::from("/usr/local/include/z.h"),
        ],
        undeclared: vec![path("include/secret.h"), path("other.h")],
    };
    assert_eq!(found, expected);
}

#[test]
fn a_name_that_no_neutral_path_has_is_an_error() {
    let listed = ["back\\slash.h".to_owned()];
    let error = classify(&listed, &action(), Path::new("/ws"), Path::new("/ws"), &[]).unwrap_err();
    assert!(
        matches!(&error, DepfileError::BadName { path, .. } if path == "back\\slash.h"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(found) = parse(&bytes) {
            prop_assert!(found.iter().map(String::len).sum::<usize>() <= bytes.len());
        }
    }

    #[test]
    fn no_makefile_soup_makes_it_panic(text in "[a:\\\\ \t\r\n#$C/]{0,60}") {
        if let Ok(found) = parse(text.as_bytes()) {
            prop_assert!(found.iter().all(|f| !f.is_empty() && !f.contains('\n')));
        }
    }

    /// Whatever gcc's quoting is applied to comes back.
    #[test]
    fn quoted_names_come_back(names in prop::collection::btree_set("[a-z][a-z #$.]{0,6}[a-z]", 1..8)) {
        let quote = |name: &String| name.replace('$', "$$").replace(' ', "\\ ").replace('#', "\\#");
        let text = format!("out.o: {}\n", names.iter().map(quote).collect::<Vec<_>>().join(" \\\n  "));
        let names: Vec<String> = names.into_iter().collect();
        prop_assert_eq!(parse(text.as_bytes()).unwrap(), names);
    }
}

//! What is accepted, what is refused, and the algebra of paths.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use proptest::prelude::*;
use zako_path::{NeutralPath, PathError};

fn path(text: &str) -> NeutralPath {
    NeutralPath::new(text).unwrap()
}

/// Every rule of the form, checked apart from the code that makes paths.
fn assert_well_formed(path: &NeutralPath) {
    let text = path.as_str();
    assert!(!text.contains(['\\', '\0']), "{text:?}");
    for part in text.split('/').filter(|_| !text.is_empty()) {
        assert!(!matches!(part, "" | "." | ".."), "{text:?}");
        let mut chars = part.chars();
        let drive = chars.next().unwrap().is_ascii_alphabetic() && chars.next() == Some(':');
        assert!(!drive, "{text:?}");
    }
}

/// Text made of the pieces that paths are about, so that odd combinations turn up often.
fn pathish() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => Just("/".to_owned()),
        2 => Just(".".to_owned()),
        2 => Just("..".to_owned()),
        1 => Just("\\".to_owned()),
        1 => Just("\0".to_owned()),
        1 => Just("c:".to_owned()),
        1 => Just(":".to_owned()),
        4 => "[a-c. ]{1,3}",
        1 => any::<String>(),
    ];
    prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

fn neutral() -> impl Strategy<Value = NeutralPath> {
    prop::collection::vec("[a-c.é -]{1,3}", 0..5)
        .prop_filter_map("dots", |parts| NeutralPath::new(parts.join("/")).ok())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_input_panics_and_what_is_accepted_is_well_formed(base in neutral(), a in pathish(), b in pathish()) {
        let made = [
            NeutralPath::new(&a),
            NeutralPath::normalize(&a),
            NeutralPath::from_os_path(Path::new(&a)),
            base.resolve(&a),
            base.join(&a),
            base.with_extension(&a),
            base.with_appended(&a),
            NeutralPath::normalize(&a).and_then(|p| p.resolve(&b)),
        ];
        for path in made.into_iter().flatten() {
            assert_well_formed(&path);
            prop_assert_eq!(&NeutralPath::new(path.as_str()).unwrap(), &path);
            prop_assert_eq!(&NeutralPath::normalize(path.as_str()).unwrap(), &path);
            prop_assert_eq!(&NeutralPath::from_os_path(&path.to_os_path(Path::new(""))).unwrap(), &path);
            for up in path.ancestors() {
                assert_well_formed(&up);
                assert_well_formed(&path.strip_prefix(&up).unwrap());
            }
            let _ = (path.portability_problem(), path.case_folded(), path.extension(), path.file_stem());
        }
    }

    #[test]
    fn strict_and_lenient_agree_where_strict_accepts(text in pathish()) {
        if let Ok(strict) = NeutralPath::new(&text) {
            prop_assert_eq!(strict.as_str(), text.as_str());
            prop_assert_eq!(NeutralPath::normalize(&text), Ok(strict.clone()));
            prop_assert_eq!(NeutralPath::root().resolve(&text), Ok(strict));
        }
    }

    #[test]
    fn parts_put_together_give_the_path(p in neutral()) {
        let rebuilt = p.components().collect::<Vec<_>>().join("/");
        prop_assert_eq!(&rebuilt, p.as_str());
        let back: Vec<_> = p.components().rev().collect();
        prop_assert_eq!(back.into_iter().rev().collect::<Vec<_>>(), p.components().collect::<Vec<_>>());
        match (p.parent(), p.file_name()) {
            (Some(folder), Some(name)) => prop_assert_eq!(folder.join(name).unwrap(), p.clone()),
            (None, None) => prop_assert!(p.is_root()),
            halves => prop_assert!(false, "{:?}", halves),
        }
        if let (Some(stem), Some(extension)) = (p.file_stem(), p.extension()) {
            prop_assert_eq!(format!("{stem}.{extension}"), p.file_name().unwrap());
        }
        prop_assert_eq!(p.ancestors().count(), p.components().count() + 1);
    }

    #[test]
    fn joining_and_stripping_are_opposites(a in neutral(), b in neutral(), c in neutral()) {
        let joined = a.join_path(&b);
        prop_assert_eq!(a.join(b.as_str()).unwrap(), joined.clone());
        prop_assert!(joined.starts_with(&a));
        prop_assert_eq!(joined.strip_prefix(&a), Some(b.clone()));
        prop_assert_eq!(a.join_path(&b).join_path(&c), a.join_path(&b.join_path(&c)));
        prop_assert_eq!(a.starts_with(&b), a.ancestors().any(|up| up == b));
        // Up again as far as `b` went down.
        let up = b.components().map(|_| "..").collect::<Vec<_>>().join("/");
        prop_assert_eq!(joined.resolve(&up), Ok(a));
    }

    #[test]
    fn order_hash_and_equality_are_those_of_the_text(a in neutral(), b in neutral()) {
        prop_assert_eq!(a.cmp(&b), a.as_str().as_bytes().cmp(b.as_str().as_bytes()));
        let set = HashSet::from([a.clone()]);
        let tree = BTreeSet::from([a.clone()]);
        prop_assert_eq!(set.contains(b.as_str()), a == b);
        prop_assert_eq!(tree.contains(b.as_str()), a == b);
    }

    #[test]
    fn serde_keeps_the_text_and_checks_it(text in pathish()) {
        let json = serde_json::to_string(&text).unwrap();
        match (NeutralPath::new(&text), serde_json::from_str::<NeutralPath>(&json)) {
            (Ok(path), Ok(read)) => {
                prop_assert_eq!(serde_json::to_string(&path).unwrap(), json);
                prop_assert_eq!(read, path);
            }
            (Err(refused), Err(message)) => prop_assert_eq!(message.to_string(), refused.to_string()),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}

#[test]
fn strict_parsing_names_what_is_wrong() {
    let refused = |text: &str| NeutralPath::new(text).unwrap_err();
    let s = str::to_owned;
    assert_eq!(refused("/a"), PathError::Absolute(s("/a")));
    assert_eq!(refused("//a"), PathError::Absolute(s("//a")));
    assert_eq!(refused("a//b"), PathError::EmptyComponent(s("a//b")));
    assert_eq!(refused("a/"), PathError::EmptyComponent(s("a/")));
    assert_eq!(refused("./a"), PathError::DotComponent(s("./a")));
    assert_eq!(refused("a/../b"), PathError::DotComponent(s("a/../b")));
    assert_eq!(refused("a\\b"), PathError::Backslash(s("a\\b")));
    assert_eq!(refused("a\0"), PathError::Nul(s("a\0")));
    assert_eq!(refused("C:/a"), PathError::Drive(s("C:/a")));
    assert_eq!(refused("a/c:b"), PathError::Drive(s("a/c:b")));
    assert_eq!(
        refused("a//b").to_string(),
        r#"path "a//b" has an empty component; remove the doubled or trailing `/`"#
    );
    for good in [
        "", "a", "a/b", "...", ".git", "a b", "ab:c", "é/ü", "-", "~",
    ] {
        assert_eq!(path(good).as_str(), good);
    }
}

#[test]
fn resolving_stays_inside() {
    let base = path("a/b");
    for (spec, expected) in [
        ("", "a/b"),
        (".", "a/b"),
        ("./c/", "a/b/c"),
        ("../c", "a/c"),
        ("../..", ""),
        ("x/../../y//z", "a/y/z"),
    ] {
        assert_eq!(base.resolve(spec).unwrap().as_str(), expected, "{spec:?}");
    }
    assert_eq!(
        base.resolve("../../.."),
        Err(PathError::Escapes("../../..".into()))
    );
    // It may not leave the root even to come back.
    assert_eq!(
        base.resolve("../../../a"),
        Err(PathError::Escapes("../../../a".into()))
    );
    assert_eq!(
        base.resolve("/etc"),
        Err(PathError::Absolute("/etc".into()))
    );
    assert_eq!(
        base.resolve("..\\x"),
        Err(PathError::Backslash("..\\x".into()))
    );
    assert_eq!(
        NeutralPath::normalize("\\x"),
        Err(PathError::Absolute("\\x".into()))
    );
    assert_eq!(
        NeutralPath::normalize("./c:/x"),
        Err(PathError::Drive("./c:/x".into()))
    );
}

#[test]
fn extensions_follow_the_last_dot() {
    let parts = |text| {
        let p = path(text);
        (
            p.file_stem().map(str::to_owned),
            p.extension().map(str::to_owned),
        )
    };
    let some = |s: &str| Some(s.to_owned());
    assert_eq!(parts("d.x/a.tar.gz"), (some("a.tar"), some("gz")));
    assert_eq!(parts("d.x/a"), (some("a"), None));
    assert_eq!(parts(".gitignore"), (some(".gitignore"), None));
    assert_eq!(parts("a."), (some("a"), some("")));
    assert_eq!(parts(""), (None, None));

    assert_eq!(path("d/a").with_extension("o").unwrap().as_str(), "d/a.o");
    assert_eq!(path("d/.x").with_extension("o").unwrap().as_str(), "d/.x.o");
    assert_eq!(
        path("d/a").with_extension("o/x"),
        Err(PathError::SlashInName("o/x".into()))
    );
    assert_eq!(path("d/a").with_appended(".o").unwrap().as_str(), "d/a.o");
    assert_eq!(
        NeutralPath::root().with_appended("x"),
        Err(PathError::NoFileName("x".into()))
    );
    assert_eq!(
        NeutralPath::root().with_extension("x"),
        Err(PathError::NoFileName("x".into()))
    );
}

#[test]
fn prefixes_are_whole_components() {
    assert!(path("a/b").starts_with(&path("a")));
    assert!(!path("ab").starts_with(&path("a")));
    assert!(path("a").starts_with(&NeutralPath::root()));
    assert_eq!(path("ab/c").strip_prefix(&path("a")), None);
    assert_eq!(
        path("a").strip_prefix(&path("a")),
        Some(NeutralPath::root())
    );
}

#[cfg(unix)]
#[test]
fn os_paths_go_both_ways() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    assert_eq!(path("a/b").to_os_path(Path::new("/w")), Path::new("/w/a/b"));
    assert_eq!(
        NeutralPath::root().to_os_path(Path::new("/w")),
        Path::new("/w")
    );
    assert_eq!(
        NeutralPath::from_os_path(Path::new("./a//b/../c/")).unwrap(),
        path("a/c")
    );
    assert_eq!(
        NeutralPath::from_os_path(Path::new("a\\b")),
        Err(PathError::Backslash("a\\b".into()))
    );
    assert_eq!(
        NeutralPath::from_os_path(Path::new("/a")),
        Err(PathError::Absolute("/a".into()))
    );
    assert_eq!(
        NeutralPath::from_os_path(Path::new("..")),
        Err(PathError::Escapes("..".into()))
    );
    let bytes = Path::new(OsStr::from_bytes(b"a/\xff"));
    assert_eq!(
        NeutralPath::from_os_path(bytes),
        Err(PathError::NotUtf8(bytes.into()))
    );
}

#[test]
fn colliding_names_fold_to_the_same_text() {
    assert_eq!(
        path("Src/Main.c").case_folded(),
        path("src/main.C").case_folded()
    );
    assert_eq!(path("É").case_folded(), path("é").case_folded());
    assert_ne!(path("a").case_folded(), path("b").case_folded());
    assert!(!path("a/nul.c/b").is_portable());
    assert!(path("a/null.c/b").is_portable());
}

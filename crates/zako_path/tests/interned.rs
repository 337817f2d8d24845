//! Absolute paths, and both kinds in an interner.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::LazyLock;

use proptest::prelude::*;
use zako_interner::{InternError, Resolvable, ThreadedInterner};
use zako_path::{AbsolutePath, InternedAbsolutePath, InternedPath, NeutralPath, PathError};

static INTERNER: LazyLock<ThreadedInterner> = LazyLock::new(|| ThreadedInterner::new().unwrap());

proptest! {
    #[test]
    fn interned_paths_round_trip(parts in prop::collection::vec("[a-z.]{1,4}", 0..5)) {
        if let Ok(path) = NeutralPath::new(parts.join("/")) {
            let key = InternedPath::intern(&INTERNER, &path).unwrap();
            prop_assert_eq!(InternedPath::intern(&INTERNER, &path).unwrap(), key);
            prop_assert_eq!(key.resolve_in(&INTERNER).unwrap(), path.as_str());
            prop_assert_eq!(key.resolve(&INTERNER).unwrap(), path);
        }
    }

    #[cfg(unix)]
    #[test]
    fn absolute_paths_are_normal_and_round_trip(parts in prop::collection::vec("[a-c./\\\\:]{0,4}", 0..6)) {
        let absolute = AbsolutePath::new(format!("/{}", parts.join("/"))).unwrap();
        let text = absolute.as_str();
        prop_assert!(text == "/" || !text[1..].split('/').any(|part| matches!(part, "" | "." | "..")), "{}", text);
        prop_assert_eq!(&AbsolutePath::new(text).unwrap(), &absolute);
        let key = InternedAbsolutePath::intern(&INTERNER, &absolute).unwrap();
        prop_assert_eq!(key.resolve_in(&INTERNER).unwrap(), text);
        prop_assert_eq!(&key.resolve(&INTERNER).unwrap(), &absolute);
        if let Some(folder) = absolute.parent() {
            prop_assert!(absolute.starts_with(&folder));
            if let Some(name) = absolute.relative_to(&folder) {
                prop_assert_eq!(Some(name.as_str()), absolute.file_name());
                prop_assert_eq!(folder.join(&name), absolute);
            }
        }
    }
}

#[test]
fn a_key_of_another_interner_is_refused() {
    let other = ThreadedInterner::new().unwrap();
    let key = InternedPath::intern(&other, &NeutralPath::new("a").unwrap()).unwrap();
    let refused = InternError::ForeignKey {
        key: other.id(),
        interner: INTERNER.id(),
    };
    assert_eq!(key.resolve(&INTERNER), Err(PathError::Intern(refused)));
    assert_eq!(size_of::<Option<InternedPath>>(), 4);
    assert_eq!(size_of::<Option<InternedAbsolutePath>>(), 4);
}

#[cfg(unix)]
#[test]
fn absolute_paths_resolve_by_text() {
    let absolute = |text: &str| AbsolutePath::new(text).unwrap();
    assert_eq!(absolute("/a/./b//../c/").as_str(), "/a/c");
    assert_eq!(absolute("/../..").as_str(), "/");
    assert_eq!(absolute("/").parent(), None);
    assert_eq!(AbsolutePath::new("a"), Err(PathError::Relative("a".into())));
    assert_eq!(AbsolutePath::new(""), Err(PathError::Relative("".into())));
    assert_eq!(
        AbsolutePath::new("/a\0"),
        Err(PathError::Nul("/a\0".into()))
    );

    let root = absolute("/w");
    assert_eq!(
        root.join(&NeutralPath::new("a/b").unwrap()),
        absolute("/w/a/b")
    );
    assert_eq!(root.join(&NeutralPath::root()), root);
    assert_eq!(
        absolute("/w/a/b").relative_to(&root).unwrap().as_str(),
        "a/b"
    );
    assert_eq!(absolute("/w").relative_to(&root), Some(NeutralPath::root()));
    assert_eq!(absolute("/wx").relative_to(&root), None);
    assert!(!absolute("/wx").starts_with(&root));
}

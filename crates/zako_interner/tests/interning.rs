//! Round trips, sharing between threads, foreign keys and limits.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{HashMap, HashSet};
use std::sync::{Barrier, LazyLock};

use proptest::prelude::*;
use zako_interner::{InternError, Internable, Key, Resolvable, ThreadedInterner, Uninternable};

// Shared by all property cases: a process has only so many interner ids.
static ONE: LazyLock<ThreadedInterner> = LazyLock::new(|| ThreadedInterner::new().unwrap());
static OTHER: LazyLock<ThreadedInterner> = LazyLock::new(|| ThreadedInterner::new().unwrap());

proptest! {
    #[test]
    fn a_string_round_trips(s in any::<String>()) {
        let key = ONE.get_or_intern(&s).unwrap();
        prop_assert_eq!(ONE.resolve(key).unwrap(), s.as_str());
        prop_assert_eq!(key.resolve_in(&ONE).unwrap(), s.as_str());
        prop_assert_eq!(ONE.get(&s), Some(key));
        prop_assert_eq!(ONE.get_or_intern(&s).unwrap(), key);
        let typed = s.intern(&ONE).unwrap();
        prop_assert_eq!(s.interned(&ONE), Some(typed));
        prop_assert_eq!(String::unintern(typed, &ONE).unwrap(), s);
    }

    #[test]
    fn keys_are_equal_exactly_when_strings_are(strings in prop::collection::vec("[a-c]{0,3}", 0..40)) {
        let keys: Vec<Key> = strings.iter().map(|s| ONE.get_or_intern(s).unwrap()).collect();
        for (s, k) in strings.iter().zip(&keys) {
            for (t, l) in strings.iter().zip(&keys) {
                prop_assert_eq!(s == t, k == l, "{:?} {:?}", s, t);
            }
        }
    }

    #[test]
    fn a_foreign_key_is_always_refused(s in any::<String>()) {
        // Whether or not the other interner knows the string, or has given out the index.
        let key = ONE.get_or_intern(&s).unwrap();
        let refused = Err(InternError::ForeignKey { key: ONE.id(), interner: OTHER.id() });
        prop_assert_eq!(OTHER.resolve(key), refused);
        OTHER.get_or_intern(&s).unwrap();
        prop_assert_eq!(OTHER.resolve(key), refused);
        prop_assert_eq!(String::unintern(s.intern(&ONE).unwrap(), &OTHER), refused.map(str::to_owned));
    }

    #[test]
    fn threads_agree_on_one_key(strings in prop::collection::vec("[a-z]{0,4}", 1..60)) {
        let start = Barrier::new(4);
        let maps: Vec<HashMap<&str, Key>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|turn| {
                    let (strings, start) = (&strings, &start);
                    scope.spawn(move || {
                        start.wait();
                        let (tail, head) = strings.split_at(turn * strings.len() / 4);
                        head.iter().chain(tail).map(|s| (s.as_str(), ONE.get_or_intern(s).unwrap())).collect()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for map in &maps {
            prop_assert_eq!(map, &maps[0]);
            for (s, k) in map {
                prop_assert_eq!(ONE.resolve(*k).unwrap(), *s);
            }
        }
    }
}

#[test]
fn a_static_string_and_an_owned_one_share_a_key() {
    let interner = ThreadedInterner::new().unwrap();
    assert!(interner.is_empty());
    let key = interner.get_or_intern_static("lib").unwrap();
    assert_eq!(interner.get_or_intern(&String::from("lib")), Ok(key));
    assert_eq!((interner.len(), interner.is_empty()), (1, false));
    assert_eq!(interner.get("bin"), None);
}

#[test]
fn ids_differ_and_errors_name_both() {
    let (one, other) = (
        ThreadedInterner::new().unwrap(),
        ThreadedInterner::new().unwrap(),
    );
    assert_ne!(one.id(), other.id());
    let message = other
        .resolve(one.get_or_intern("x").unwrap())
        .unwrap_err()
        .to_string();
    assert_eq!(
        message,
        format!(
            "a key of string interner {} was used with string interner {}",
            one.id(),
            other.id()
        )
    );
}

#[test]
fn a_full_interner_keeps_what_it_has() {
    let interner = ThreadedInterner::with_limit(3).unwrap();
    let keys: Vec<Key> = ["a", "b", "c"]
        .map(|s| interner.get_or_intern(s).unwrap())
        .into();
    let full = Err(InternError::StringsExhausted {
        interner: interner.id(),
        limit: 3,
    });
    assert_eq!(interner.get_or_intern("d"), full);
    assert_eq!(interner.get_or_intern_static("d"), full);
    assert_eq!(interner.get("d"), None);
    assert_eq!(interner.len(), 3);
    for (s, key) in ["a", "b", "c"].into_iter().zip(keys) {
        assert_eq!(interner.get_or_intern(s), Ok(key));
        assert_eq!(interner.resolve(key), Ok(s));
    }

    let none = ThreadedInterner::with_limit(0).unwrap();
    assert!(none.get_or_intern("").is_err());
    assert!(none.is_empty());
}

#[test]
fn threads_racing_for_the_last_places_never_pass_the_limit() {
    let interner = ThreadedInterner::with_limit(100).unwrap();
    let start = Barrier::new(8);
    let given: HashSet<Key> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|turn| {
                let (interner, start) = (&interner, &start);
                scope.spawn(move || {
                    start.wait();
                    (0..50)
                        .filter_map(|n| interner.get_or_intern(&format!("{turn}/{n}")).ok())
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(given.len(), 100);
    assert_eq!(interner.len(), 100);
    for key in given {
        let s = interner.resolve(key).unwrap();
        assert_eq!(interner.get(s), Some(key));
    }
}

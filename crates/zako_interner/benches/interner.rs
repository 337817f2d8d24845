//! Ours against bare `lasso` and a `DashMap<Arc<str>, u32>`, on 1, 2 and 4 threads.
//!
//! Each iteration handles one string. Strings look like paths, since those are what zako interns.
#![expect(clippy::unwrap_used, reason = "a bench")]

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use dashmap::DashMap;
use divan::{Bencher, black_box};
use lasso::ThreadedRodeo;
use zako_interner::ThreadedInterner;

const THREADS: [usize; 3] = [1, 2, 4];
const KNOWN: usize = 4096;

static WORDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    (0..KNOWN)
        .map(|n| format!("crates/part_{}/src/module_{n}.rs", n % 64))
        .collect()
});
static NEXT: AtomicUsize = AtomicUsize::new(0);

fn main() {
    divan::main();
}

fn known() -> &'static str {
    &WORDS[NEXT.fetch_add(1, Ordering::Relaxed) % KNOWN]
}

fn fresh() -> String {
    format!(
        "crates/part/src/fresh_{}.rs",
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

struct Baseline {
    keys: DashMap<Arc<str>, u32>,
    strings: DashMap<u32, Arc<str>>,
    next: AtomicU32,
}

impl Baseline {
    fn new() -> Self {
        Self {
            keys: DashMap::new(),
            strings: DashMap::new(),
            next: AtomicU32::new(0),
        }
    }

    fn get_or_intern(&self, string: &str) -> u32 {
        if let Some(key) = self.keys.get(string) {
            return *key;
        }
        let shared: Arc<str> = string.into();
        *self.keys.entry(shared.clone()).or_insert_with(|| {
            let key = self.next.fetch_add(1, Ordering::Relaxed);
            self.strings.insert(key, shared);
            key
        })
    }

    fn resolve(&self, key: u32) -> Arc<str> {
        self.strings.get(&key).unwrap().clone()
    }
}

#[divan::bench_group(threads = THREADS)]
mod intern_hit {
    use super::*;

    #[divan::bench]
    fn zako(bencher: Bencher<'_, '_>) {
        let interner = ThreadedInterner::new().unwrap();
        WORDS
            .iter()
            .for_each(|w| assert!(interner.get_or_intern(w).is_ok()));
        bencher
            .with_inputs(known)
            .bench_values(|w| interner.get_or_intern(black_box(w)).unwrap());
    }

    #[divan::bench]
    fn lasso(bencher: Bencher<'_, '_>) {
        let rodeo: ThreadedRodeo = ThreadedRodeo::new();
        for w in WORDS.iter() {
            rodeo.get_or_intern(w);
        }
        bencher
            .with_inputs(known)
            .bench_values(|w| rodeo.get_or_intern(black_box(w)));
    }

    #[divan::bench]
    fn dashmap(bencher: Bencher<'_, '_>) {
        let map = Baseline::new();
        for w in WORDS.iter() {
            map.get_or_intern(w);
        }
        bencher
            .with_inputs(known)
            .bench_values(|w| map.get_or_intern(black_box(w)));
    }
}

#[divan::bench_group(threads = THREADS)]
mod intern_miss {
    use super::*;

    #[divan::bench]
    fn zako(bencher: Bencher<'_, '_>) {
        let interner = ThreadedInterner::new().unwrap();
        bencher
            .with_inputs(fresh)
            .bench_refs(|w| interner.get_or_intern(black_box(w)).unwrap());
    }

    #[divan::bench]
    fn lasso(bencher: Bencher<'_, '_>) {
        let rodeo: ThreadedRodeo = ThreadedRodeo::new();
        bencher
            .with_inputs(fresh)
            .bench_refs(|w| rodeo.get_or_intern(black_box(w)));
    }

    #[divan::bench]
    fn dashmap(bencher: Bencher<'_, '_>) {
        let map = Baseline::new();
        bencher
            .with_inputs(fresh)
            .bench_refs(|w| map.get_or_intern(black_box(w)));
    }
}

#[divan::bench_group(threads = THREADS)]
mod resolve {
    use super::*;

    fn next() -> usize {
        NEXT.fetch_add(1, Ordering::Relaxed) % KNOWN
    }

    #[divan::bench]
    fn zako(bencher: Bencher<'_, '_>) {
        let interner = ThreadedInterner::new().unwrap();
        let keys: Vec<_> = WORDS
            .iter()
            .map(|w| interner.get_or_intern(w).unwrap())
            .collect();
        bencher
            .with_inputs(|| keys[next()])
            .bench_values(|k| interner.resolve(black_box(k)).unwrap().len());
    }

    #[divan::bench]
    fn lasso(bencher: Bencher<'_, '_>) {
        let rodeo: ThreadedRodeo = ThreadedRodeo::new();
        let keys: Vec<_> = WORDS.iter().map(|w| rodeo.get_or_intern(w)).collect();
        bencher
            .with_inputs(|| keys[next()])
            .bench_values(|k| rodeo.resolve(&black_box(k)).len());
    }

    #[divan::bench]
    fn dashmap(bencher: Bencher<'_, '_>) {
        let map = Baseline::new();
        let keys: Vec<_> = WORDS.iter().map(|w| map.get_or_intern(w)).collect();
        bencher
            .with_inputs(|| keys[next()])
            .bench_values(|k| map.resolve(black_box(k)).len());
    }
}

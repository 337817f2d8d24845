//! Parsing, joining and interning of paths, each for one path of usual length.
#![expect(clippy::unwrap_used, reason = "a bench")]

use divan::{Bencher, black_box};
use zako_interner::ThreadedInterner;
use zako_path::{InternedPath, NeutralPath};

const PATH: &str = "crates/zako_path/src/neutral.rs";

fn main() {
    divan::main();
}

#[divan::bench]
fn parse_strict() -> NeutralPath {
    NeutralPath::new(black_box(PATH)).unwrap()
}

#[divan::bench]
fn normalize() -> NeutralPath {
    NeutralPath::normalize(black_box("./crates/zako_path//tests/../src/neutral.rs")).unwrap()
}

#[divan::bench]
fn from_os_path() -> NeutralPath {
    NeutralPath::from_os_path(black_box(PATH.as_ref())).unwrap()
}

#[divan::bench]
fn join(bencher: Bencher<'_, '_>) {
    let folder = NeutralPath::new("crates/zako_path").unwrap();
    bencher.bench(|| folder.join(black_box("src/neutral.rs")).unwrap());
}

#[divan::bench]
fn resolve(bencher: Bencher<'_, '_>) {
    let folder = NeutralPath::new("crates/zako_path/src").unwrap();
    bencher.bench(|| folder.resolve(black_box("../benches/path.rs")).unwrap());
}

#[divan::bench(threads = [1, 2, 4])]
fn intern(bencher: Bencher<'_, '_>) {
    let interner = ThreadedInterner::new().unwrap();
    let path = NeutralPath::new(PATH).unwrap();
    bencher.bench(|| InternedPath::intern(&interner, black_box(&path)).unwrap());
}

#[divan::bench(threads = [1, 2, 4])]
fn resolve_interned(bencher: Bencher<'_, '_>) {
    let interner = ThreadedInterner::new().unwrap();
    let key = InternedPath::intern(&interner, &NeutralPath::new(PATH).unwrap()).unwrap();
    bencher.bench(|| black_box(key).resolve(&interner).unwrap());
}

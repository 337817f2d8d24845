//! Crates from a `Cargo.lock`, with the real Cargo and compiler. The crates of others are those that this repository itself is built
//! with, which Cargo has in its cache: nothing is downloaded.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use sha2::Digest as _;
use zako_core::{BuildEvent, BuildOptions};

use crate::fetch::{Server, sha256};
use crate::fixture::{Built, Fixture, run, told};

const BUILD: &str = "import { cargoBinary, cargoLibrary } from \"zako:cargo\";\nimport { rustBinary } from \"zako:rust\";\nexport const app = cargoBinary();\nconst words = cargoLibrary({ package: \"words-core\" });\nexport const other = rustBinary({ srcs: [\"other/main.rs\"], deps: [words] });\n";

/// A Cargo workspace: a program; a library here with a build script that others may ask; crates of others with build scripts, a
/// procedural macro, another name than their own, and one for this platform alone.
const FILES: [(&str, &str); 9] = [
    ("BUILD.ts", BUILD),
    (
        "Cargo.toml",
        "[package]\nname = \"app\"\nversion = \"1.2.3\"\nedition = \"2021\"\n[workspace]\nmembers = [\"words\", \"tail\"]\nresolver = \"2\"\n[features]\ndefault = [\"loud\"]\nloud = []\n[dependencies]\nnumbers = { package = \"itoa\", version = \"1\" }\nserde = { version = \"1\", features = [\"derive\"] }\nwords-core = { path = \"words\" }\ntail = { path = \"tail\" }\n[target.'cfg(unix)'.dependencies]\nlibc = \"0.2\"\n[target.'cfg(windows)'.dependencies]\nanyhow = \"1\"\n",
    ),
    (
        "src/main.rs",
        "use serde::de::{Deserialize, IntoDeserializer, value::Error};\n#[derive(serde::Deserialize)]\nstruct Said(bool);\nfn main() {\n    let said = Said::deserialize(vec![unsafe { libc::getpid() } > 0].into_deserializer() as serde::de::value::SeqDeserializer<_, Error>);\n    let loud = cfg!(feature = \"loud\");\n    println!(\"{}, {}, {}, {loud} {} {}\", words::word(), tail::tail(), said.unwrap().0, numbers::Buffer::new().format(7), env!(\"CARGO_PKG_VERSION\"));\n}\n",
    ),
    (
        "words/Cargo.toml",
        "[package]\nname = \"words-core\"\nversion = \"0.1.0\"\nedition = \"2024\"\nlinks = \"words\"\nbuild = \"make.rs\"\n[lib]\nname = \"words\"\npath = \"words.rs\"\n[dependencies]\nserde = { version = \"1\", default-features = false }\n",
    ),
    (
        "words/make.rs",
        "fn main() {\n    let out = std::env::var(\"OUT_DIR\").unwrap();\n    std::fs::write(format!(\"{out}/word.rs\"), \"pub fn word() -> &'static str { WORD }\").unwrap();\n    std::fs::write(format!(\"{out}/far.c\"), \"int far(void) { return 5; }\").unwrap();\n    let run = |program: &str, args: &[&str]| assert!(std::process::Command::new(program).args(args).current_dir(&out).status().unwrap().success());\n    run(\"cc\", &[\"-c\", \"far.c\", \"-o\", \"far.o\"]);\n    run(\"ar\", &[\"rcs\", \"libfar.a\", \"far.o\"]);\n    println!(\"cargo:rustc-link-search=native={out}\\ncargo::rustc-link-lib=static:-bundle=far\");\n    println!(\"cargo::rustc-cfg=made\\ncargo::rustc-check-cfg=cfg(made)\\ncargo:rustc-env=MADE=from the script\\ncargo::metadata=tail=asked of words\");\n    assert_eq!(std::env::var(\"CARGO_CFG_TARGET_OS\").unwrap(), std::env::consts::OS);\n}\n",
    ),
    (
        "words/words.rs",
        "include!(concat!(env!(\"OUT_DIR\"), \"/word.rs\"));\nunsafe extern \"C\" { safe fn far() -> i32; }\npub fn distance() -> i32 { far() }\n#[cfg(made)]\nconst WORD: &str = env!(\"MADE\");\n",
    ),
    (
        "tail/Cargo.toml",
        "[package]\nname = \"tail\"\nversion = \"0.1.0\"\n[dependencies]\nwords-core = { path = \"../words\" }\n",
    ),
    (
        "tail/build.rs",
        "fn main() { println!(\"cargo:rustc-env=TAIL={}\", std::env::var(\"DEP_WORDS_TAIL\").unwrap()); }\n",
    ),
    (
        "tail/src/lib.rs",
        "pub fn tail() -> &'static str { env!(\"TAIL\") }\n",
    ),
];

fn cargo(root: &Path, args: &[&str]) {
    let output = Command::new(env!("CARGO"))
        .args(args)
        .current_dir(root)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// The Cargo workspace with what a person commits: the lock file and a folder of crates.
fn vendored() -> Fixture {
    let f = Fixture::new(&FILES);
    f.write(
        "other/main.rs",
        "fn main() { println!(\"{} {}\", words::word(), words::distance()); }\n",
    );
    cargo(&f.root(), &["vendor", "--offline", "--quiet", "vendor"]);
    f
}

async fn build(f: &Fixture) -> Built {
    let options = BuildOptions {
        environment: std::env::vars().collect::<BTreeMap<_, _>>(),
        ..BuildOptions::default()
    };
    run(&f.session, &[], options).await
}

fn output(f: &Fixture, program: &str) -> String {
    let output = Command::new(f.root().join(program)).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What ran, by what people see of it.
fn ran(built: &Built) -> Vec<String> {
    let ran = built.events.iter().filter_map(|event| match event {
        BuildEvent::ActionFinished { action, status, .. }
            if *status == zako_core::ActionStatus::Ran =>
        {
            Some(action.message.clone())
        }
        _ => None,
    });
    let mut ran: Vec<String> = ran.collect();
    ran.sort();
    ran
}

#[tokio::test(flavor = "multi_thread")]
async fn crates_of_a_lock_file_are_built() {
    let f = vendored();
    let built = build(&f).await.good();
    assert_eq!(
        output(&f, "zako-out/app"),
        "from the script, asked of words, true, true 7 1.2.3\n"
    );
    // What its build script made is found when a program of `zako:rust` is linked.
    assert_eq!(output(&f, "zako-out/other"), "from the script 5\n");
    let all = ran(&built);
    // The macro, its dependencies, and build scripts are there; what is for another platform is not.
    for (name, there) in [
        ("rustc serde_derive ", true),
        ("rustc syn ", true),
        ("build script of serde ", true),
        ("rustc libc ", true),
        ("rustc anyhow ", false),
    ] {
        let found = all.iter().any(|line| line.starts_with(name));
        assert_eq!(found, there, "{name} among {all:#?}");
    }
    assert_eq!(build(&f).await.good().lines(), [""; 0]);
    // An edit of one crate compiles that, and what uses it.
    f.write(
        "src/main.rs",
        &f.read("src/main.rs").replace("{loud} {}", "{loud}! {}"),
    );
    let again = build(&f).await.good();
    let compiled: Vec<String> = ran(&again)
        .into_iter()
        .filter(|line| line.starts_with("rustc"))
        .collect();
    assert_eq!(compiled, ["rustc app 1.2.3"]);
    assert!(output(&f, "zako-out/app").contains(" true! 7"));
}

/// A crate as registries have it: its folder in a compressed archive.
fn packed(name: &str, files: &[(&str, &str)]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        crate::fixture::write(&dir.path().join(name).join(path), text);
    }
    let packed = Command::new("tar")
        .args(["-czf", "-", name])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(packed.status.success(), "{packed:?}");
    packed.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn crates_are_fetched_and_checked_by_the_lock_file() {
    let one = packed(
        "one-0.1.0",
        &[
            (
                "Cargo.toml",
                "[package]\nname = \"one\"\nversion = \"0.1.0\"\nedition = \"2021\"\n",
            ),
            ("src/lib.rs", "pub fn one() -> u32 { 1 }\n"),
        ],
    );
    let checksum: String = sha2::Sha256::digest(&one)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let lock = |checksum: &str| {
        format!(
            "version = 4\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\n \"one\",\n]\n\n[[package]]\nname = \"one\"\nversion = \"0.1.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{checksum}\"\n"
        )
    };
    let server = Server::new(&[
        ("/one/one-0.1.0.crate", &one),
        ("/dl/one/0.1.0/download", &one),
    ]);
    let build_file = |first: &str, second: &str| {
        format!(
            "import {{ cargoBinary, cargoLibrary }} from \"zako:cargo\";\nimport {{ fetch }} from \"zako:build\";\nvoid fetch;\nexport const app = cargoBinary({{ {first} }});\nexport const lib = cargoLibrary({{ {second} }});\n"
        )
    };
    let registry = format!("registry: \"{}\"", server.url("/"));
    let f = Fixture::new(&[
        ("BUILD.ts", &build_file(&registry, &registry)),
        (
            "Cargo.toml",
            "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\none = \"0.1\"\n",
        ),
        ("Cargo.lock", &lock(&checksum)),
        (
            "src/main.rs",
            "fn main() { println!(\"{}\", app::two()); }\n",
        ),
        ("src/lib.rs", "pub fn two() -> u32 { one::one() + 1 }\n"),
    ]);
    build(&f).await.good();
    assert_eq!(output(&f, "zako-out/app"), "2\n");
    // Once, for both targets, and not again.
    assert_eq!(server.asked(), ["/one/one-0.1.0.crate"]);
    assert_eq!(build(&f).await.good().lines(), [""; 0]);
    // The address in another form, and a crate by its name: what they are is known by its digest already.
    let template = format!(
        "registry: \"{}\"",
        server.url("/dl/{crate}/{version}/download")
    );
    let single = format!(
        "crates: {{ \"one-0.1.0\": fetch({{ url: \"{}\", integrity: \"{}\", extract: {{ strip: 1 }} }}) }}",
        server.url("/one/one-0.1.0.crate"),
        sha256(&one)
    );
    f.write("BUILD.ts", &build_file(&template, &single));
    build(&f).await.good();
    assert_eq!(server.asked(), [""; 0]);
    // Other content than the lock file's is none.
    f.write(
        "Cargo.lock",
        &lock(&checksum.replace(|c: char| c.is_ascii_digit(), "0")),
    );
    f.write("BUILD.ts", &build_file(&registry, &registry));
    let text = told(build(&f).await.error());
    assert!(text.contains("is not what it should be"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_lock_file_is_told() {
    let f = vendored();
    f.write(
        "BUILD.ts",
        "import { cargoBinary } from \"zako:cargo\";\nexport const app = cargoBinary({ profile: \"release\" });\n",
    );
    std::fs::remove_dir_all(f.root().join("vendor/itoa")).unwrap();
    insta::assert_snapshot!(told(build(&f).await.error()).replace(|c: char| c.is_ascii_digit(), "0"), @r#"
    BUILD.ts:0:00: Cargo.lock names itoa 0.0.00, and it is not in vendor/: run `cargo vendor vendor`, or say where crates are fetched from as `registry`
      in package //
    "#);
    let lock = f.read("Cargo.lock");
    f.remove("Cargo.lock");
    insta::assert_snapshot!(told(build(&f).await.error()), @r#"
    BUILD.ts:2:20: cargoBinary needs the lock file Cargo.lock: run `cargo generate-lockfile` beside Cargo.toml and commit it
      caused by: BUILD.ts:2:20: there is no file Cargo.lock; did you mean Cargo.toml?
      in package //
    "#);
    f.write("Cargo.lock", "nothing\n");
    insta::assert_snapshot!(told(build(&f).await.error()), @r#"
    BUILD.ts:2:20: TypeError: Cargo.lock is no lock file of Cargo's, or one of before Cargo 1.53: make it anew by `cargo generate-lockfile`
      in package //
    "#);
    f.write("Cargo.lock", &lock);
    cargo(&f.root(), &["vendor", "--offline", "--quiet", "vendor"]);
    f.write(
        "Cargo.toml",
        &f.read("Cargo.toml")
            .replace("version = \"1.2.3\"", "version = \"1.2.4\""),
    );
    let built = build(&f).await;
    let error = built.error();
    let said = error.output.as_deref().unwrap_or_default();
    assert!(
        said.contains("zako: the lock file is not that of the manifests any more"),
        "{said}"
    );
    insta::assert_snapshot!(told(error), @r#"
    BUILD.ts:2:20: cargo resolves //:app failed: exit code 1
      in //:app
    "#);
}

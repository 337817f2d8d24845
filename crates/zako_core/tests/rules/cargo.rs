//! Crates from a `Cargo.lock`, with the real Cargo and compiler. The crates of others are those that this repository itself is built
//! with, which Cargo has in its cache: nothing is downloaded.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use zako_core::{BuildEvent, BuildOptions};

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
        "fn main() {\n    let out = std::env::var(\"OUT_DIR\").unwrap();\n    std::fs::write(format!(\"{out}/word.rs\"), \"pub fn word() -> &'static str { WORD }\").unwrap();\n    println!(\"cargo::rustc-cfg=made\\ncargo::rustc-check-cfg=cfg(made)\\ncargo:rustc-env=MADE=from the script\\ncargo::metadata=tail=asked of words\");\n    assert_eq!(std::env::var(\"CARGO_CFG_TARGET_OS\").unwrap(), std::env::consts::OS);\n}\n",
    ),
    (
        "words/words.rs",
        "include!(concat!(env!(\"OUT_DIR\"), \"/word.rs\"));\n#[cfg(made)]\nconst WORD: &str = env!(\"MADE\");\n",
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
        "fn main() { println!(\"{}\", words::word()); }\n",
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
    assert_eq!(output(&f, "zako-out/other"), "from the script\n");
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

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_lock_file_is_told() {
    let f = vendored();
    f.write(
        "BUILD.ts",
        "import { cargoBinary } from \"zako:cargo\";\nexport const app = cargoBinary({ profile: \"release\" });\n",
    );
    std::fs::remove_dir_all(f.root().join("vendor/itoa")).unwrap();
    insta::assert_snapshot!(told(build(&f).await.error()).replace(|c: char| c.is_ascii_digit(), "0"), @r#"
    BUILD.ts:0:00: Cargo.lock names itoa 0.0.00, and it is not in vendor/: run `cargo vendor vendor`
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

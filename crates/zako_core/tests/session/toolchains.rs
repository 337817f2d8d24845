//! Toolchains: tools of the machine, found on the PATH of whoever builds.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use zako_core::{BuildOptions, Fault};

use crate::fixture::{Built, Fixture, run, told, write};

/// Its two types meet in a library: `SayToolchain` is what rules and toolchains share.
const TYPES: &str = r#"import { toolchainType, type } from "zako:rule";
import type { Artifact } from "zako:rule";
export interface Say { say: Artifact; version: string; loud: Artifact | undefined }
export const SayToolchain = toolchainType("say", type<Say>());
"#;

const TOOLCHAIN: &str = r#"import { toolchain } from "zako:toolchain";
import { SayToolchain } from "./say.rule.ts";
export const say = toolchain({
  type: SayToolchain,
  resolve(host) {
    const say = host.find(["says", "say"], { version: ">=1.2, <3", install: "make it yourself" });
    return { say, version: host.version(say), loud: host.findOptional("loud") };
  },
});
"#;

const RULE: &str = r#"import { attr, rule } from "zako:rule";
import { SayToolchain } from "./say.rule.ts";
export const spoken = rule({
  attrs: { word: attr.string() },
  provides: {},
  toolchains: { say: SayToolchain },
  analyze(ctx) {
    const { say, version, loud } = ctx.tools.say;
    const out = ctx.file(`${ctx.name}.txt`);
    ctx.run({ args: [loud ?? say, ctx.attrs.word, version, out], outputs: [out], mnemonic: "say" });
    ctx.expose("default", out);
    return {};
  },
});
"#;

struct Machine {
    fixture: Fixture,
    bin: PathBuf,
}

impl Machine {
    fn new() -> Machine {
        let fixture = Fixture::new(&[
            ("build/say.rule.ts", TYPES),
            ("build/say.toolchain.ts", TOOLCHAIN),
            ("build/spoken.rule.ts", RULE),
            (
                "BUILD.ts",
                "import { spoken } from \"//build/spoken.rule.ts\";\nexport const hello = spoken({ word: \"hello\" });\n",
            ),
        ]);
        fixture.write(
            "zako.toml",
            "zako = \"0.1\"\ntoolchains = [\"//build/say.toolchain.ts\"]\n",
        );
        let bin = fixture.temp().join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        Machine { fixture, bin }
    }

    /// Puts a program there that writes its first arguments to its last.
    fn install(&self, name: &str, version: &str) {
        let text = format!(
            "#!/bin/sh\nif [ \"$1\" = --version ]; then echo \"say version {version} (test)\"; exit; fi\necho \"{name} $1 $2\" > \"$3\"\n"
        );
        let path = self.bin.join(name);
        // As package managers do: the file that is there is never written to.
        let new = self.bin.join(".new");
        write(&new, &text);
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(new, path).unwrap();
    }

    async fn build(&self) -> Built {
        let path = format!("{}:/usr/bin:/bin", self.bin.display());
        let options = BuildOptions {
            environment: BTreeMap::from([("PATH".to_owned(), path)]),
            ..BuildOptions::default()
        };
        // Each in a session of its own, as processes are.
        run(&self.fixture.reopened(), &[], options).await
    }

    fn said(&self) -> String {
        self.fixture.read("zako-out/hello.txt")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_get_tools_and_follow_them() {
    let machine = Machine::new();
    machine.install("say", "1.2.3");
    assert_eq!(
        machine.build().await.good().lines(),
        ["eval //", "Ran //:hello"]
    );
    assert_eq!(machine.said(), "say hello 1.2.3\n");
    assert_eq!(machine.build().await.good().lines(), [""; 0]);

    machine.install("say", "2.0");
    assert_eq!(machine.build().await.good().lines(), ["Ran //:hello"]);
    assert_eq!(machine.said(), "say hello 2.0\n");
    assert_eq!(machine.build().await.good().lines(), [""; 0]);

    // Another name is asked for first, and one that was not there appears.
    machine.install("says", "2.5.1");
    machine.build().await.good();
    assert_eq!(machine.said(), "says hello 2.5.1\n");
    machine.install("loud", "9.9");
    machine.build().await.good();
    assert_eq!(machine.said(), "loud hello 2.5.1\n");
    assert_eq!(machine.build().await.good().lines(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_told_with_its_cure() {
    let machine = Machine::new();
    let built = machine.build().await;
    let error = built.error();
    assert_eq!(error.fault, Fault::Environment);
    let text = told(error).replace(&machine.bin.display().to_string(), "BIN");
    assert_eq!(
        text,
        "BUILD.ts:2:22: the toolchain `say` of //build/say.toolchain.ts: `says` or `say` is not on this machine (looked in BIN:/usr/bin:/bin); install it: make it yourself\n  in //:hello"
    );

    machine.install("say", "3.1");
    let built = machine.build().await;
    let text = told(built.error()).replace(&machine.bin.display().to_string(), "BIN");
    assert!(
        text.contains("`says` or `say` is 3.1 at BIN/say, and >=1.2, <3 is needed; install it: make it yourself"),
        "{text}"
    );
    machine.install("say", "1.9");
    machine.build().await.good();
    assert_eq!(machine.said(), "say hello 1.9\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_a_toolchain_is_its_own() {
    let machine = Machine::new();
    machine.install("say", "1.2.3");
    machine.fixture.write(
        "build/say.toolchain.ts",
        &TOOLCHAIN.replace("host.version(say)", "host.version(\"say\" as any)"),
    );
    let built = machine.build().await;
    let text = told(built.error());
    assert!(
        text.starts_with(
            "build/say.toolchain.ts:7:33: TypeError: version takes a program that find gave"
        ),
        "{text}"
    );
    machine.fixture.write(
        "build/say.toolchain.ts",
        &TOOLCHAIN
            .replace("SayToolchain,\n", "SayToolchain,\n  // none of that type\n")
            .replace("toolchain({", "toolchain({ ...{},"),
    );
    machine.build().await.good();
    machine.fixture.write("zako.toml", "zako = \"0.1\"\n");
    let built = machine.build().await;
    let text = told(built.error());
    assert!(
        text.contains("no toolchain of type \"say\" is registered")
            && text.contains("`toolchains` in zako.toml"),
        "{text}"
    );
}

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

/// Options, one of which a platform sets.
const OPTIONS: &str = r#"import { option, platform } from "zako:config";
export const speech = option({ values: ["plain", "loud"], default: "plain" });
export const board = platform(platform.os.is("windows"), speech.is("loud"));
"#;

/// A toolchain of its own for this program, with the settings that it has as `target`.
fn serving(export: &str, program: &str, target: &str) -> String {
    format!(
        r#"import {{ platform }} from "zako:config";
import {{ toolchain }} from "zako:toolchain";
import {{ speech }} from "//options.config.ts";
import {{ SayToolchain }} from "//build/say.rule.ts";
void [platform, speech];
{export}toolchain({{
  type: SayToolchain,
  target: [{target}],
  resolve(host) {{
    return {{ say: host.find("{program}"), version: "1", loud: undefined }};
  }},
}});
"#
    )
}

const CONFIGURED: &str = r#"import { configured, platform } from "zako:config";
import { speech } from "//options.config.ts";
import { spoken } from "//build/spoken.rule.ts";
export const hello = spoken({ word: "hello" });
export const loud = configured(hello, speech.is("loud"));
export const windows = configured(hello, platform.os.is("windows"));
"#;

impl Machine {
    /// The toolchains serve by the option and the platform; neither serves all.
    fn with_targets() -> Machine {
        let machine = Machine::new();
        let fixture = &machine.fixture;
        fixture.write("options.config.ts", OPTIONS);
        fixture.write("BUILD.ts", CONFIGURED);
        let linux = "platform.os.is(\"linux\")";
        fixture.write(
            "build/plain.toolchain.ts",
            &serving(
                "export const plain = ",
                "plain",
                &format!("speech.is(\"plain\"), {linux}"),
            ),
        );
        fixture.write(
            "build/loud.toolchain.ts",
            &serving(
                "export const loud = ",
                "loud",
                &format!("speech.is(\"loud\"), {linux}"),
            ),
        );
        fixture.write(
            "zako.toml",
            "zako = \"0.1\"\ntoolchains = [\"//build/loud.toolchain.ts\", \"//build/plain.toolchain.ts\"]\n",
        );
        machine.install("plain", "1");
        machine.install("loud", "1");
        machine
    }

    async fn build_all(&self, patterns: &[&str]) -> Built {
        let path = format!("{}:/usr/bin:/bin", self.bin.display());
        let options = BuildOptions {
            environment: BTreeMap::from([("PATH".to_owned(), path)]),
            ..BuildOptions::default()
        };
        run(&self.fixture.reopened(), patterns, options).await
    }

    fn said_in(&self, configuration: &str) -> String {
        let path = format!("zako-out/{configuration}hello.txt");
        self.fixture.read(&path)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_toolchain_serves_where_its_settings_hold() {
    let machine = Machine::with_targets();
    machine.build_all(&[":hello", ":loud"]).await.good();
    assert_eq!(machine.said_in(""), "plain hello 1\n");
    assert_eq!(machine.said_in("@speech-loud/"), "loud hello 1\n");
    let again = machine.build_all(&[":hello", ":loud"]).await;
    assert_eq!(again.good().lines(), [""; 0], "what is known is kept");

    // One that is replaced: what the other makes stays.
    machine.install("loud", "2");
    let after = machine.build_all(&[":hello", ":loud"]).await;
    assert_eq!(after.good().lines(), ["Ran //:hello @speech-loud"]);

    // It is missing: whoever it does not serve builds.
    std::fs::remove_file(machine.bin.join("loud")).unwrap();
    machine.build_all(&[":hello"]).await.good();
    let built = machine.build_all(&[":loud"]).await;
    assert!(told(built.error()).contains("the toolchain `loud` of //build/loud.toolchain.ts"));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_toolchain_serves_those_there_are_are_told() {
    let machine = Machine::with_targets();
    let built = machine.build_all(&[":windows"]).await;
    let text = told(built.error());
    assert!(
        text.contains("BUILD.ts:4:22: no toolchain of type \"say\" serves speech=plain, os=windows")
            && text.contains("`loud` of //build/loud.toolchain.ts serves speech=loud, os=linux; `plain` of //build/plain.toolchain.ts serves speech=plain, os=linux"),
        "{text}"
    );
    // One without settings serves all, after those that are registered before it.
    machine.fixture.write(
        "zako.toml",
        "zako = \"0.1\"\ntoolchains = [\"//build/loud.toolchain.ts\", \"//build/say.toolchain.ts\"]\n",
    );
    machine.install("say", "1.2.3");
    machine.build_all(&[":windows", ":loud"]).await.good();
    // It prefers a program that is there, too; the version is its own.
    assert_eq!(machine.said_in("@os-windows/"), "loud hello 1.2.3\n");
    assert_eq!(machine.said_in("@speech-loud/"), "loud hello 1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_file_registers_toolchains_before_the_manifest() {
    let machine = Machine::with_targets();
    machine.fixture.write(
        "build/own.toolchain.ts",
        &serving("export default ", "own", "platform.os.is(\"linux\")"),
    );
    machine.install("own", "1");
    machine.build_all(&[":hello"]).await.good();
    assert_eq!(machine.said_in(""), "plain hello 1\n");
    machine.fixture.write(
        "tools.config.ts",
        "export { default as own } from \"./build/own.toolchain.ts\";\n",
    );
    machine.build_all(&[":hello"]).await.good();
    assert_eq!(machine.said_in(""), "own hello 1\n");
    assert_eq!(machine.build_all(&[":hello"]).await.good().lines(), [""; 0]);

    machine.fixture.write(
        "tools.config.ts",
        "import own from \"./build/own.toolchain.ts\";\nvoid own;\n",
    );
    machine.build_all(&[":hello"]).await.good();
    assert_eq!(machine.said_in(""), "plain hello 1\n", "not exported");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_toolchain_takes_settings_alone() {
    let machine = Machine::with_targets();
    for (target, wrong) in [
        (
            "\"linux\"",
            "target of toolchain takes settings, as mode.is(\"fast\")",
        ),
        (
            "], targets: [",
            "toolchain has no field \"targets\"; did you mean \"target\"?",
        ),
    ] {
        let text = serving("export const loud = ", "loud", target);
        machine.fixture.write("build/loud.toolchain.ts", &text);
        let built = machine.build_all(&[":hello"]).await;
        let text = told(built.error());
        assert!(text.contains(wrong), "{text}");
    }
}

/// A tool that is known by its version: other bytes of the same version run nothing again, another version does.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_may_be_the_identity() {
    for runs_it in [true, false] {
        let machine = Machine::new();
        let options = "install: \"make it yourself\"";
        machine.fixture.write(
            "build/say.toolchain.ts",
            &TOOLCHAIN.replace(options, &format!("{options}, identity: \"version\"")),
        );
        if !runs_it {
            machine.fixture.write(
                "build/spoken.rule.ts",
                &RULE.replace("args: [loud ?? say,", "args: [\"env\", loud ?? say,"),
            );
        }
        let path = machine.bin.join("say");
        let differ = |more: &str| {
            let text = std::fs::read_to_string(&path).unwrap();
            let new = machine.bin.join(".new");
            write(&new, &format!("{text}{more}"));
            std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
            std::fs::rename(new, &path).unwrap();
        };
        machine.install("say", "1.2.3");
        machine.build().await.good();
        assert_eq!(machine.said(), "say hello 1.2.3\n");
        differ("# built on another day\n");
        assert_eq!(machine.build().await.good().lines(), [""; 0], "{runs_it}");
        assert_eq!(machine.build().await.good().lines(), [""; 0]);
        machine.install("say", "1.3");
        assert_eq!(machine.build().await.good().lines(), ["Ran //:hello"]);
        assert_eq!(machine.said(), "say hello 1.3\n");
        // What is there again is known.
        machine.install("say", "1.2.3");
        differ("# built on a third day\n");
        assert_eq!(machine.build().await.good().lines(), ["FromCache //:hello"]);
    }
    let machine = Machine::new();
    machine.install("say", "1.2.3");
    machine.fixture.write(
        "build/say.toolchain.ts",
        &TOOLCHAIN.replace("install:", "identity: \"vresion\" as any, install:"),
    );
    let text = told(machine.build().await.error());
    assert!(
        text.contains("identity of find is \"content\" or \"version\""),
        "{text}"
    );
}

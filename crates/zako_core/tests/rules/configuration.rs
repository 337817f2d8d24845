//! Options, selects and configurations.

mod deprecated;
mod random;

use zako_core::{BuildEvent, BuildOptions, Glance};

use crate::fixture::{Built, Fixture, run, told};

const OPTIONS: &str = r#"import { flag, option, platform } from "zako:config";
export const mode = option({ values: ["debug", "fast", "small"], default: "debug" });
export const lto = flag();
export const board = platform(platform.os.is("windows"), platform.arch.is("aarch64"));
"#;

/// A task that says which mode it is built in, and one that says it of the first.
const BUILD: &str = r#"import { task } from "zako:build";
import { select } from "zako:config";
import { lto, mode } from "//options.config.ts";
export const lib = task({
  inputs: [select(mode, { debug: ["debug.txt"], fast: ["fast.txt"], small: ["fast.txt", "debug.txt"] })],
  outputs: { o: "lib.txt" },
  shell: 'cat $in > "$out_o"',
});
export const app = task({
  inputs: [lib.out.o],
  outputs: ["app.txt"],
  command: ["sh", "-c", 'cat "$2" > "$1"; echo "$3" >> "$1"', "x", "$out", "$in", select(lto, { true: ["lto"], false: ["plain"] })],
});
"#;

fn files<'a>(more: &[(&'a str, &'a str)]) -> Fixture {
    let own = [
        ("options.config.ts", OPTIONS),
        ("BUILD.ts", BUILD),
        ("debug.txt", "debug\n"),
        ("fast.txt", "fast\n"),
    ];
    Fixture::new(&[&own[..], more].concat())
}

fn set(pairs: &[(&str, &str)]) -> BuildOptions {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    BuildOptions {
        config: pairs.iter().map(own).collect(),
        ..BuildOptions::default()
    }
}

fn profile(name: &str) -> BuildOptions {
    BuildOptions {
        profile: Some(name.to_owned()),
        ..BuildOptions::default()
    }
}

fn labels(built: &Built) -> Vec<&str> {
    let targets = built.report.targets.iter();
    targets.map(|target| target.label.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_select_is_decided_by_its_option() {
    let f = files(&[]);
    let built = f.build(&[]).await.good();
    assert_eq!(labels(&built), ["//:app", "//:lib"]);
    assert_eq!(f.read("zako-out/app.txt"), "debug\nplain\n");
    let built = f
        .build_with(&[], set(&[("mode", "small"), ("lto", "true")]))
        .await
        .good();
    assert_eq!(
        labels(&built),
        ["//:app @lto-true+mode-small", "//:lib @lto-true+mode-small"]
    );
    assert_eq!(
        f.read("zako-out/@lto-true+mode-small/app.txt"),
        "fast\ndebug\nlto\n"
    );
    assert_eq!(f.read("zako-out/app.txt"), "debug\nplain\n", "apart");
    f.check(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manifest_sets_the_base() {
    let f = files(&[(
        "zako.toml",
        "zako = \"0.1\"\n[config]\nmode = \"fast\"\nlto = true\n[profile.release]\nmode = \"debug\"\n[profile.same]\nmode = \"fast\"\n",
    )]);
    let built = f.build(&[]).await.good();
    assert_eq!(labels(&built), ["//:app", "//:lib"]);
    assert_eq!(f.read("zako-out/app.txt"), "fast\nlto\n");
    let built = f
        .build_with(&[":app"], set(&[("lto", "false")]))
        .await
        .good();
    assert_eq!(labels(&built), ["//:app @lto-false"]);
    // What says what the base says is the base, and what says what a profile says is that.
    let built = f.build_with(&[":app"], profile("same")).await.good();
    assert_eq!(labels(&built), ["//:app"]);
    let built = f
        .build_with(&[":app"], set(&[("mode", "debug")]))
        .await
        .good();
    assert_eq!(labels(&built), ["//:app @release"]);
    let built = f.build_with(&[":app"], profile("release")).await.good();
    assert_eq!(labels(&built), ["//:app @release"]);
    assert_eq!(f.read("zako-out/@release/app.txt"), "debug\nlto\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_option_has_is_refused_with_the_nearest() {
    let f = files(&[]);
    let error = f.build_with(&[], set(&[("mode", "fsat")])).await;
    assert_eq!(
        told(error.error()),
        "\"fsat\" is no value of the option mode: it has debug, fast, small\n  help: did you mean mode=fast?"
    );
    assert_eq!(error.error().fault.exit_code(), 2);
    // What no file declares is for `config.get`.
    f.build_with(&[], set(&[("mood", "fsat")])).await.good();

    f.write(
        "zako.toml",
        "zako = \"0.1\"\n[config]\nlto = 1\n[profile.release]\nmode = \"fast\"\n",
    );
    let session = f.reopened();
    let error = run(&session, &[], BuildOptions::default()).await;
    assert_eq!(
        told(error.error()),
        "zako.toml:3:7: \"1\" is no value of the option lto: it has true, false"
    );
    f.write(
        "zako.toml",
        "zako = \"0.1\"\n[profile.release]\nmode = \"fast\"\n",
    );
    let session = f.reopened();
    let error = run(&session, &[], profile("relaese")).await;
    assert_eq!(
        told(error.error()),
        "there is no profile \"relaese\" in zako.toml\n  help: did you mean \"release\"?"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_select_has_a_case_for_each_value() {
    let f = Fixture::new(&[("options.config.ts", OPTIONS)]);
    for (cases, message) in [
        (
            "mode, { debug: 1, fast: 2 }",
            "select over the option mode has no case for \"small\"",
        ),
        (
            "mode, { debug: 1, fsat: 2, small: 3 }",
            "the option mode has no value \"fsat\"; did you mean \"fast\"?",
        ),
        (
            "mode.is(\"slow\"), {}",
            "the option mode has no value \"slow\"",
        ),
        ("1, {}", "select takes an option of a *.config.ts file"),
    ] {
        let build = format!(
            "import {{ select }} from \"zako:config\";\nimport {{ mode }} from \"//options.config.ts\";\nexport const x = select({cases} as any);\n"
        );
        f.write("BUILD.ts", &build);
        let built = f.build(&[]).await;
        let error = built.error();
        assert!(error.message.contains(message), "{error}");
        assert_eq!(error.location.as_ref().map(|at| at.line), Some(3));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_target_in_two_configurations_in_one_build() {
    let f = files(&[(
        "two/BUILD.ts",
        r#"import { task } from "zako:build";
import { configured } from "zako:config";
import { lto, mode } from "//options.config.ts";
import { app, lib } from "//BUILD.ts";
export const fast = configured(app, mode.is("fast"));
export const both = task({
  inputs: [lib, configured(lib, mode.is("fast")), configured(lib, mode.is("small"), lto.is(true))],
  outputs: ["both.txt"],
  shell: 'cat $in > "$out"; echo $in >> "$out"',
});
"#,
    )]);
    let built = f.build(&["//two/..."]).await.good();
    assert_eq!(labels(&built), ["//two:both", "//:app @mode-fast"]);
    assert_eq!(
        f.read("zako-out/two/both.txt"),
        "debug\nfast\nfast\ndebug\nzako-out/lib.txt zako-out/@mode-fast/lib.txt zako-out/@lto-true+mode-small/lib.txt\n"
    );
    assert_eq!(f.read("zako-out/@mode-fast/app.txt"), "fast\nplain\n");
    f.build(&["//two/..."]).await.good();
    assert_eq!(f.build(&["//two/..."]).await.good().lines(), [""; 0]);
    // The user's configuration goes on below what is set.
    f.build_with(&["//two:fast"], set(&[("lto", "true")]))
        .await
        .good();
    assert_eq!(
        f.read("zako-out/@lto-true+mode-fast/app.txt"),
        "fast\nlto\n"
    );
}

const RULES: &str = r#"import { attr, provider, rule, type } from "zako:rule";
import { lto, mode } from "//options.config.ts";
export const Info = provider("Info", type<{ said: string }>());
export const say = rule({
  attrs: {
    word: attr.string().default("nothing"),
    dep: attr.target(Info).optional(),
    fast: attr.target(Info).transition(mode.is("fast"), lto.is(true)).optional(),
    tool: attr.exec(Info).optional(),
  },
  provides: { info: Info },
  analyze(ctx) {
    const { word, dep, fast, tool } = ctx.attrs;
    const below = [dep, fast, tool].map((d) => d?.get(Info).said ?? "-");
    const said = `(${word} ${ctx.config(mode)} ${ctx.config(lto) ? "lto" : "plain"} ${below.join(" ")})`;
    const out = ctx.file(`${ctx.name}.txt`);
    ctx.write(out, `${said} ${ctx.outputRoot}\n`);
    ctx.expose("default", out);
    return { info: { said } };
  },
});
"#;

#[tokio::test(flavor = "multi_thread")]
async fn rules_see_options_and_set_them_for_what_they_depend_on() {
    let f = files(&[
        ("say.rule.ts", RULES),
        (
            "say/BUILD.ts",
            r#"import { select } from "zako:config";
import { mode } from "//options.config.ts";
import { Info, say } from "//say.rule.ts";
import { target } from "zako:build";
const words = { debug: "slow", fast: "quick", small: "tiny" };
export const a = say({ word: select(mode, words) });
export const b = say({ dep: a, fast: a, tool: a });
const late = target("//say:a", Info);
export const c = say({ dep: late, fast: late, tool: late });
"#,
        ),
    ]);
    f.build(&["//say:b"]).await.good();
    assert_eq!(
        f.read("zako-out/say/b.txt"),
        "(nothing debug plain (slow debug plain - - -) (quick fast lto - - -) (slow debug plain - - -)) zako-out\n"
    );
    let options = set(&[("mode", "small")]);
    f.build_with(&["//say:b", "//say:c"], options).await.good();
    assert_eq!(
        f.read("zako-out/@mode-small/say/c.txt"),
        f.read("zako-out/@mode-small/say/b.txt"),
        "a label is set as what it stands for"
    );
    assert_eq!(
        f.read("zako-out/@mode-small/say/b.txt"),
        "(nothing small plain (tiny small plain - - -) (quick fast lto - - -) (slow debug plain - - -)) zako-out/@mode-small\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn platforms_are_options_and_names_for_several() {
    let f = files(&[(
        "p/BUILD.ts",
        r#"import { task } from "zako:build";
import { platform, select } from "zako:config";
export const tool = task({ outputs: ["t"], shell: 'echo tool > "$out"' });
export const os = task({
  outputs: ["os.txt"],
  tools: [tool],
  env: { OS: select(platform.os, { linux: "l", macos: "m", windows: "w" }), ARCH: select(platform.arch, { x86_64: "x", aarch64: "a" }) },
  shell: 'echo $OS $ARCH > "$out"',
});
export const use = task({
  tools: [tool],
  inputs: [os],
  outputs: { o: "u" },
  command: (a) => ["sh", "-c", 'echo "$@" > "$0"', a.out.o, tool, os],
});
"#,
    )]);
    let built = f
        .build_with(&["//p:os"], set(&[("platform", "board")]))
        .await
        .good();
    assert_eq!(
        f.read("zako-out/@arch-aarch64+os-windows/p/os.txt"),
        "w a\n"
    );
    assert_eq!(
        built.lines(),
        [
            "eval //p",
            "Ran //p:os @arch-aarch64+os-windows",
            "Ran //p:tool"
        ],
        "tools are built for the machine that they run on"
    );
    f.build_with(&["//p:use"], set(&[("platform", "board")]))
        .await
        .good();
    assert_eq!(
        f.read("zako-out/@arch-aarch64+os-windows/p/u"),
        "zako-out/p/t zako-out/@arch-aarch64+os-windows/p/os.txt\n",
        "in a command a tool is a tool"
    );
    let error = f
        .build_with(&["//p:os"], set(&[("platform", "boart")]))
        .await;
    assert_eq!(
        told(error.error()),
        "\"boart\" is no value of the option platform: it has board\n  help: did you mean platform=board?"
    );
}

/// What is evaluated and run by the build, each as a new process would do it.
async fn again(f: &Fixture, options: &BuildOptions) -> Vec<String> {
    let session = f.reopened();
    let built = run(&session, &[], options.clone()).await;
    built.good().lines()
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_to_a_profile_evaluates_and_runs_nothing() {
    let f = files(&[
        ("say.rule.ts", RULES),
        (
            "zako.toml",
            "zako = \"0.1\"\n[profile.release]\nmode = \"fast\"\n",
        ),
        (
            "say/BUILD.ts",
            "import { say } from \"//say.rule.ts\";\nexport const a = say({});\nexport const b = say({ dep: a, fast: a });\n",
        ),
    ]);
    let (base, release) = (BuildOptions::default(), profile("release"));
    assert_eq!(again(&f, &base).await.len(), 2 + 4);
    let first = again(&f, &release).await;
    assert_eq!(
        first,
        [
            "Ran //:app @release",
            "Ran //:lib @release",
            "Ran //say:a @release",
            "Ran //say:b @release",
        ]
    );
    for options in [&base, &release, &base, &release] {
        // Neither a runtime nor V8 is there yet.
        let seen =
            Glance::new(&f.root(), &[], |_| Ok(options.clone())).map(|mut it| it.up_to_date());
        assert!(seen.unwrap().is_some(), "{options:?}");
        assert_eq!(again(&f, options).await, [""; 0]);
    }
    assert_eq!(f.read("zako-out/@release/app.txt"), "fast\nplain\n");
    // A change of one file reaches both, each when it is asked for.
    f.write("fast.txt", "faster\n");
    assert_eq!(again(&f, &base).await, [""; 0]);
    assert_eq!(
        again(&f, &release).await,
        ["Ran //:app @release", "Ran //:lib @release"]
    );
    // What is gone is gone in both.
    f.write(
        "say/BUILD.ts",
        "import { say } from \"//say.rule.ts\";\nexport const a = say({});\n",
    );
    again(&f, &base).await;
    assert!(!f.has("zako-out/say/b.txt") && !f.has("zako-out/@release/say/b.txt"));
    assert!(f.has("zako-out/say/a.txt") && f.has("zako-out/@release/say/a.txt"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_and_read_by_nobody_is_told() {
    let f = Fixture::new(&[
        (
            "zako.toml",
            "zako = \"0.1\"\n[config]\nhere = \"1\"\n[profile.p]\nthere = \"1\"\n",
        ),
        (
            "o.config.ts",
            "import { option } from \"zako:config\";\nexport const mode = option({ values: [\"slow\", \"fast\"], default: \"slow\" });\n",
        ),
        (
            "a/BUILD.ts",
            "import { config, task } from \"zako:build\";\nexport const a = task({ outputs: [\"a\"], shell: `echo ${config.get(\"word\", \"none\")} > $out` });\n",
        ),
        (
            "b/BUILD.ts",
            "import { config, task } from \"zako:build\";\nexport const b = task({ outputs: [\"b\"], shell: `echo ${config.get(\"other\", \"none\")} > $out` });\n",
        ),
    ]);
    let pairs = [
        ("mode", "fast"),
        ("modee", "fast"),
        ("word", "x"),
        ("other", "x"),
        ("os", "linux"),
        ("here", "2"),
        ("there", "2"),
    ];
    // On each build, and the null build.
    for _ in 0..2 {
        let built = f.build_with(&[], set(&pairs)).await.good();
        let warnings: Vec<String> = built.report.diagnostics.iter().map(told).collect();
        assert_eq!(
            warnings,
            [
                "the option modee, which -D sets, is read by nothing that is built\n  help: did you mean mode?"
            ]
        );
    }
    let built = f.build_with(&["//a"], set(&pairs)).await.good();
    let warnings: Vec<String> = built.report.diagnostics.iter().map(told).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[1].starts_with("the option other, which -D sets, is read by nothing"),
        "{warnings:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_to_what_packages_read_evaluates_nothing() {
    let f = Fixture::new(&[(
        "BUILD.ts",
        r#"import { config, task } from "zako:build";
const word = config.get("word", "none");
export const said = task({ outputs: ["said.txt"], env: { WORD: word }, shell: 'echo $WORD > "$out"' });
export const same = task({ outputs: ["same.txt"], shell: 'echo same > "$out"' });
"#,
    )]);
    let (base, other) = (BuildOptions::default(), set(&[("word", "other")]));
    assert_eq!(
        again(&f, &base).await,
        ["eval //", "Ran //:said", "Ran //:same"]
    );
    assert_eq!(again(&f, &other).await, ["eval //", "Ran //:said"]);
    for options in [&base, &other, &base] {
        assert_eq!(again(&f, options).await, ["FromCache //:said"]);
    }
    assert_eq!(f.read("zako-out/said.txt"), "none\n");
    // Where no output differs there is nothing at all to do.
    let one = |options: &BuildOptions| {
        let seen = Glance::new(&f.root(), &[":same".to_owned()], |_| Ok(options.clone()));
        seen.unwrap().up_to_date().is_some()
    };
    for options in [&base, &other] {
        let session = f.reopened();
        let built = run(&session, &[":same"], options.clone()).await;
        built.good();
    }
    assert!(one(&base) && one(&other) && one(&base));
    // The manifest's options are no part of a request's key.
    f.write("zako.toml", "zako = \"0.1\"\n[config]\nword = \"third\"\n");
    assert!(!one(&base));
    assert_eq!(again(&f, &base).await, ["eval //", "Ran //:said"]);
    assert_eq!(f.read("zako-out/said.txt"), "third\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_option_of_a_file_elsewhere_is_known_to_who_imports_it() {
    let f = Fixture::new(&[
        ("build/more.config.ts", OPTIONS),
        (
            "BUILD.ts",
            r#"import { task } from "zako:build";
import { configured, select } from "zako:config";
import { mode } from "//build/more.config.ts";
export const a = task({ outputs: ["a"], env: { M: select(mode, { debug: "d", fast: "f", small: "s" }) }, shell: 'echo $M > "$out"' });
export const b = configured(a, mode.is("small"));
"#,
        ),
    ]);
    let built = f.build_with(&[], set(&[("mode", "fast")])).await.good();
    let labels = labels(&built);
    assert_eq!(labels[0], "//:a", "the command line does not know it");
    let name = labels[1].strip_prefix("//:a @").unwrap();
    assert!(name.starts_with("mode-small~"), "{name}");
    assert_eq!(f.read(&format!("zako-out/@{name}/a")), "s\n");
    // Unless the manifest says so.
    f.write(
        "zako.toml",
        "zako = \"0.1\"\nconfig-files = [\"//build/more.config.ts\"]\n",
    );
    let built = run(&f.reopened(), &[":a"], set(&[("mode", "fast")])).await;
    let built = built.good();
    let labels: Vec<&str> = built.report.targets.iter().map(|t| &*t.label).collect();
    assert_eq!(labels, ["//:a @mode-fast"]);
    assert_eq!(f.read("zako-out/@mode-fast/a"), "f\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_options_is_told_where_it_stands() {
    let f = Fixture::new(&[]);
    for (config, build, message, line) in [
        (
            "import { option } from \"zako:config\";\nexport const o = option({ values: [\"a\"], default: \"b\" });\n",
            "",
            "default of option is none of its values; did you mean \"a\"?",
            2,
        ),
        (
            "import { task } from \"zako:build\";\nvoid task;\n",
            "",
            "may not import \"zako:build\"",
            1,
        ),
        (
            "",
            "import { option, select } from \"zako:config\";\nconst o = option({ values: [\"a\"], default: \"a\" });\nexport const x = select(o, { a: 1 });\n",
            "export it from the *.config.ts file that makes it",
            3,
        ),
        (
            OPTIONS,
            "import { task } from \"zako:build\";\nimport { select } from \"zako:config\";\nimport { lto } from \"//options.config.ts\";\nexport const t = task({ shell: select(lto, { true: \"true\", false: 1 as any }) });\n",
            "\"shell\" of task takes a string, not a number",
            4,
        ),
        (
            OPTIONS,
            "import { task } from \"zako:build\";\nimport { select } from \"zako:config\";\nimport { lto } from \"//options.config.ts\";\nexport const t = task({ shell: \"\", outputs: select(lto, { true: [\"a\"], false: [] }) as any });\n",
            "\"outputs\" of task cannot depend on the configuration",
            4,
        ),
    ] {
        f.write("options.config.ts", config);
        f.write("BUILD.ts", build);
        let built = f.build(&[]).await;
        let error = built.error();
        assert!(error.message.contains(message), "{error}");
        assert_eq!(
            error.location.as_ref().map(|at| at.line),
            Some(line),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_options_of_one_name_are_an_error() {
    let one = "import { flag } from \"zako:config\";\nexport const a = flag();\n";
    let two = "import { flag } from \"zako:config\";\nexport const b = flag({ name: \"a\" });\n";
    let f = Fixture::new(&[
        ("one.config.ts", one),
        ("two.config.ts", two),
        ("BUILD.ts", ""),
    ]);
    let built = f.build(&[]).await;
    let message = "two options are called a: //one.config.ts#a and //two.config.ts#b";
    assert_eq!(built.error().message, message);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_is_seen_through_what_is_declared_only() {
    let f = Fixture::new(&[
        (
            "env.config.ts",
            "import { env } from \"zako:config\";\nexport const user = env(\"USER_NAME\", { default: \"nobody\" });\nexport const home = env(\"USER_HOME\");\n",
        ),
        (
            "a/BUILD.ts",
            "import { task } from \"zako:build\";\nimport { user } from \"//env.config.ts\";\nexport const a = task({ outputs: [\"a\"], env: { U: user.get() }, shell: 'echo $U > \"$out\"' });\n",
        ),
        ("b/BUILD.ts", "export const b = 1;\n"),
    ]);
    let with = |pairs: &[(&str, &str)]| {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        BuildOptions {
            environment: pairs.iter().map(own).collect(),
            ..BuildOptions::default()
        }
    };
    let nobody = with(&[]);
    assert_eq!(
        again(&f, &nobody).await,
        ["eval //a", "eval //b", "Ran //a:a"]
    );
    assert_eq!(f.read("zako-out/a/a"), "nobody\n");
    assert_eq!(again(&f, &with(&[("OTHER", "x")])).await, [""; 0]);
    let ada = with(&[("USER_NAME", "ada")]);
    assert_eq!(again(&f, &ada).await, ["eval //a", "Ran //a:a"]);
    assert_eq!(f.read("zako-out/a/a"), "ada\n");
    assert_eq!(again(&f, &ada).await, [""; 0]);
    assert_eq!(again(&f, &nobody).await, ["eval //a", "FromCache //a:a"]);

    for (build, message) in [
        (
            "import { home } from \"//env.config.ts\";\nexport const h = home.get();\n",
            "USER_HOME is not set in the environment that zako was started in, and home of //env.config.ts has no default",
        ),
        (
            "import { env } from \"zako:config\";\nexport const h = env(\"HOME\").get();\n",
            "the variable HOME is declared in no *.config.ts file",
        ),
    ] {
        f.write("b/BUILD.ts", build);
        let built = f.build_with(&["//b"], with(&[("HOME", "/h")])).await;
        let error = built.error();
        assert!(error.message.contains(message), "{error}");
        assert_eq!(error.location.as_ref().map(|at| at.line), Some(2));
    }
    // What is not set is looked at again.
    f.write(
        "b/BUILD.ts",
        "import { home } from \"//env.config.ts\";\nexport const h = home.get();\n",
    );
    f.build_with(&["//b"], with(&[("USER_HOME", "/h")]))
        .await
        .good();
    // In a rule there is no environment, and in a configuration file neither.
    f.write(
        "env.config.ts",
        "import { env } from \"zako:config\";\nexport const user = env(\"USER_NAME\", { default: \"nobody\" });\nuser.get();\n",
    );
    let built = f.build_with(&["//b"], ada).await;
    assert!(!built.errors().is_empty(), "{built:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_configuration_file_says_is_an_input() {
    let f = files(&[]);
    again(&f, &BuildOptions::default()).await;
    f.write(
        "options.config.ts",
        &OPTIONS.replace("default: \"debug\"", "default: \"fast\""),
    );
    let lines = again(&f, &BuildOptions::default()).await;
    assert_eq!(lines, ["eval //", "Ran //:app", "Ran //:lib"]);
    assert_eq!(f.read("zako-out/app.txt"), "fast\nplain\n");
    // A new one at the root counts as soon as it is there.
    assert_eq!(again(&f, &set(&[("strip", "yes")])).await, [""; 0]);
    f.write(
        "more.config.ts",
        "import { flag } from \"zako:config\";\nexport const strip = flag();\n",
    );
    let built = f.build_with(&[], set(&[("strip", "yes")])).await;
    assert_eq!(
        built.error().message,
        "\"yes\" is no value of the option strip: it has true, false"
    );
    assert_eq!(again(&f, &BuildOptions::default()).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_place_in_two_configurations_is_a_conflict() {
    let f = files(&[(
        "place/BUILD.ts",
        r#"import { task } from "zako:build";
import { configured, select } from "zako:config";
import { mode } from "//options.config.ts";
const words = { debug: "d", fast: "f", small: "s" };
export const a = task({ outputs: ["made.txt"], place: "source", env: { W: select(mode, words) }, shell: 'echo $W > "$out"' });
export const b = configured(a, mode.is("fast"));
"#,
    )]);
    let built = f.build(&["//place:*"]).await;
    assert_eq!(
        built.error().message,
        "`place/made.txt` is written by two actions, of //place:a and of //place:a @mode-fast"
    );
    f.build(&["//place:a"]).await.good();
    assert_eq!(f.read("place/made.txt"), "d\n");
    f.build(&["//place:b"]).await.good();
    assert_eq!(f.read("place/made.txt"), "f\n");
    let built = f.build(&["//place:a"]).await.good();
    assert_eq!(built.lines(), ["FromCache //place:a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_are_kept_by_the_options_that_they_read() {
    let reads = |names: &str| {
        format!(
            "import {{ config, task }} from \"zako:build\";\nconst words = [{names}].map((name) => config.get(name, \"no\"));\nif (words[0] === \"yes\") words.push(config.get(\"more\", \"none\"));\nexport const t = task({{ outputs: [\"t\"], env: {{ WORDS: words.join(\" \") }}, shell: 'echo $WORDS > \"$out\"' }});\n"
        )
    };
    let f = Fixture::new(&[
        ("a/BUILD.ts", &reads("\"one\"")),
        ("b/BUILD.ts", &reads("\"two\"")),
        (
            "c/BUILD.ts",
            "import { t } from \"//a/BUILD.ts\";\nexport const c = t;\n",
        ),
        ("d/BUILD.ts", "export const d = 1;\n"),
    ]);
    let (base, other) = (BuildOptions::default(), set(&[("one", "yes")]));
    again(&f, &base).await;
    assert_eq!(again(&f, &other).await, ["eval //a", "Ran //a:t"]);
    assert_eq!(f.read("zako-out/a/t"), "yes none\n");
    for at in 0..3 {
        // Each time all is planned anew.
        f.write("d/BUILD.ts", &format!("export const d = {at};\n"));
        assert_eq!(
            again(&f, &base).await,
            ["eval //d", "FromCache //a:t"],
            "{at}"
        );
        assert_eq!(f.read("zako-out/a/t"), "no\n");
        f.write("d/BUILD.ts", &format!("export const d = {at}.5;\n"));
        assert_eq!(
            again(&f, &other).await,
            ["eval //d", "FromCache //a:t"],
            "{at}"
        );
        assert_eq!(f.read("zako-out/a/t"), "yes none\n");
    }
    // What only one of them reads.
    let more = set(&[("one", "yes"), ("more", "some")]);
    assert_eq!(again(&f, &more).await, ["eval //a", "Ran //a:t"]);
    assert_eq!(f.read("zako-out/a/t"), "yes some\n");
    assert_eq!(
        again(&f, &set(&[("more", "some")])).await,
        ["FromCache //a:t"]
    );
    // An edit reaches each of them.
    f.write("a/BUILD.ts", &reads("\"one\", \"two\""));
    assert_eq!(again(&f, &base).await, ["eval //a", "Ran //a:t"]);
    assert_eq!(f.read("zako-out/a/t"), "no no\n");
    assert_eq!(again(&f, &other).await, ["eval //a", "Ran //a:t"]);
    assert_eq!(f.read("zako-out/a/t"), "yes no none\n");
    let two = set(&[("two", "2")]);
    assert_eq!(
        again(&f, &two).await,
        ["eval //a", "eval //b", "Ran //a:t", "Ran //b:t"]
    );
    f.write("d/BUILD.ts", "export const d = 9;\n");
    assert_eq!(
        again(&f, &base).await,
        ["eval //d", "FromCache //a:t", "FromCache //b:t"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn analyses_are_kept_by_what_went_into_them() {
    let f = Fixture::new(&[
        (
            "say.rule.ts",
            "import { attr, rule } from \"zako:rule\";\nexport const say = rule({\n  attrs: { word: attr.string() },\n  provides: {},\n  analyze(ctx) {\n    console.log(`asked ${ctx.attrs.word}`);\n    const out = ctx.file(ctx.name);\n    ctx.write(out, ctx.attrs.word);\n    ctx.expose(\"default\", out);\n    return {};\n  },\n});\n",
        ),
        (
            "BUILD.ts",
            "import { config } from \"zako:build\";\nimport { say } from \"//say.rule.ts\";\nexport const s = say({ word: config.get(\"word\", \"none\") });\n",
        ),
        ("d/BUILD.ts", ""),
    ]);
    let (base, other) = (BuildOptions::default(), set(&[("word", "other")]));
    let asked = async |options: &BuildOptions, text: &str| {
        f.write("d/BUILD.ts", text);
        let built = run(&f.reopened(), &[], options.clone()).await.good();
        let logs = built.events.iter().filter_map(|event| match event {
            BuildEvent::Diagnostic(told) => told.message.strip_prefix("asked "),
            _ => None,
        });
        logs.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(asked(&base, "// 1").await, ["none"]);
    assert_eq!(asked(&other, "// 2").await, ["other"]);
    assert_eq!(f.read("zako-out/s"), "other");
    assert_eq!(asked(&base, "// 3").await, [""; 0]);
    assert_eq!(f.read("zako-out/s"), "none");
    assert_eq!(asked(&other, "// 4").await, [""; 0]);
    assert_eq!(f.read("zako-out/s"), "other");
}

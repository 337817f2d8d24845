//! Dynamic steps: actions that are known only when something is built.

use zako_core::{BuildEvent, BuildOptions};

use crate::fixture::{Built, Fixture, run, told};

/// A library of C that a generator makes: which sources there are is known when they are written.
const RULES: &str = r##"import { attr, dynamic, rule, type, type Artifact } from "zako:rule";
export const compileAll = dynamic({
  params: type<{ readonly sources: Artifact; readonly flag: string }>(),
  run(ctx) {
    const { sources, flag } = ctx.params;
    console.log("the step runs");
    const objects = ctx.list(sources).filter((path) => path.endsWith(".c")).map((path) => {
      const object = ctx.file(`${ctx.name}.objects/${path}.o`);
      ctx.run({ args: ["cc", flag, "-c", `${sources.path}/${path}`, "-o", object], inputs: [sources], outputs: [object], mnemonic: "cc" });
      return object;
    });
    const [library] = ctx.outputs;
    ctx.run({ args: ["ar", "rcsD", library!, ...objects], outputs: [library!], mnemonic: "ar" });
  },
});
export const generated = rule({
  attrs: { names: attr.file(), flag: attr.string().default("-O0") },
  provides: {},
  analyze(ctx) {
    const sources = ctx.dir(`${ctx.name}.sources`);
    const script = 'grep -v "^#" "$1" | while read -r name; do echo "int $name(void) { return 1; }" > "$0/$name.c"; done';
    ctx.run({ args: ["sh", "-c", `mkdir -p "$0"; ${script}`, sources, ctx.attrs.names], outputs: [sources], mnemonic: "generate" });
    const library = ctx.file(`lib${ctx.name}.a`);
    ctx.dynamic(compileAll, { reads: [sources], outputs: [library], params: { sources, flag: ctx.attrs.flag } });
    ctx.expose("default", library);
    return {};
  },
});
"##;

const BUILD: &str = "import { task } from \"zako:build\";\nimport { generated } from \"//r.rule.ts\";\n\
    export const lib = generated({ names: \"names.txt\" });\n\
    export const members = task({ inputs: [lib], outputs: [\"members\"], shell: 'ar t \"$in\" | sort > \"$out\"' });\n";

fn generated() -> Fixture {
    Fixture::new(&[
        ("r.rule.ts", RULES),
        ("p/BUILD.ts", BUILD),
        ("p/names.txt", "one\ntwo\n"),
    ])
}

/// How often the step ran.
fn steps(built: &Built) -> usize {
    let is_it = |event: &&BuildEvent| matches!(event, BuildEvent::Diagnostic(said) if said.message == "the step runs");
    built.events.iter().filter(is_it).count()
}

fn counts(built: &Built) -> (usize, usize, usize) {
    let actions = built.report.actions;
    (actions.run, actions.from_cache, actions.up_to_date)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_built_says_what_is_compiled() {
    let f = generated();
    let built = f.build(&[]).await.good();
    assert_eq!(counts(&built), (5, 0, 0), "{:?}", built.lines());
    assert_eq!(steps(&built), 1);
    assert_eq!(f.read("zako-out/p/members"), "one.c.o\ntwo.c.o\n");
    assert!(built.targets().values().all(|built| *built));
    // Nothing changed: nothing is evaluated, nothing runs, by this session and by another.
    for session in [&f.session, &f.reopened()] {
        let again = run(session, &[], BuildOptions::default()).await.good();
        assert_eq!((counts(&again), steps(&again)), ((0, 0, 5), 0));
        assert_eq!(again.lines(), [""; 0]);
    }
    // One more: it alone is compiled, the library is put together anew.
    f.write("p/names.txt", "one\ntwo\nthree\n");
    let built = f.build(&[]).await.good();
    assert_eq!(built.evaluated(), [""; 0]);
    assert_eq!(
        f.read("zako-out/p/members"),
        "one.c.o\nthree.c.o\ntwo.c.o\n"
    );
    f.check(&[]).await;
    // One less: its object is gone.
    assert!(f.has("zako-out/p/lib.objects/two.c.o"));
    f.write("p/names.txt", "one\nthree\n");
    f.build(&[]).await.good();
    assert_eq!(f.read("zako-out/p/members"), "one.c.o\nthree.c.o\n");
    assert!(!f.has("zako-out/p/lib.objects/two.c.o"));
    assert!(f.has("zako-out/p/lib.objects/three.c.o"));
    f.check(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_content_asks_no_step_again() {
    let f = generated();
    f.build(&[]).await.good();
    f.write("p/names.txt", "# a remark\none\ntwo\n");
    let built = run(&f.reopened(), &[], BuildOptions::default()).await;
    assert_eq!(built.lines(), ["Ran //p:lib"]);
    assert_eq!(steps(&built), 0);
    // Its code and its parameters count.
    f.write(
        "r.rule.ts",
        &RULES.replace("\"cc\", flag", "\"cc\", \"-g\", flag"),
    );
    let built = f.build(&[]).await.good();
    assert_eq!(
        counts(&built).0,
        4,
        "two objects, the library and its list: {:?}",
        built.lines()
    );
    f.write(
        "p/BUILD.ts",
        &BUILD.replace("\"names.txt\"", "\"names.txt\", flag: \"-O1\""),
    );
    let built = f.build(&[]).await.good();
    assert!(counts(&built).0 >= 3, "{:?}", built.lines());
    f.check(&[]).await;
    // Back to what it was: all is known.
    f.write("p/BUILD.ts", BUILD);
    f.write("r.rule.ts", RULES);
    f.write("p/names.txt", "one\ntwo\n");
    let built = f.build(&[]).await.good();
    assert_eq!(counts(&built).0, 0, "{:?}", built.lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_that_others_use_stay_when_the_step_is_not_asked_for() {
    let f = generated();
    f.build(&[]).await.good();
    f.write(
        "q/BUILD.ts",
        "import { task } from \"zako:build\";\nimport { lib } from \"//p/BUILD.ts\";\nvoid lib;\nexport const other = task({ outputs: [\"x\"], shell: 'echo > \"$out\"' });\n",
    );
    f.build(&["//q"]).await.good();
    assert!(f.has("zako-out/p/lib.objects/one.c.o"));
    // What somebody removed comes back.
    f.remove("zako-out/p/lib.objects/one.c.o");
    f.remove("zako-out/p/members");
    let built = f.build(&["//p/..."]).await.good();
    assert_eq!(counts(&built).0, 0, "{:?}", built.lines());
    assert!(f.has("zako-out/p/lib.objects/one.c.o") && f.has("zako-out/p/members"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_what_it_can() {
    let f = generated();
    let dry = BuildOptions {
        dry_run: true,
        ..BuildOptions::default()
    };
    let what = |built: &Built| -> Vec<String> {
        let reasons = built.report.would_run.iter();
        reasons.map(|reason| reason.what.clone()).collect()
    };
    let built = f.build_with(&[], dry.clone()).await;
    assert_eq!(
        what(&built),
        [
            "generate p/names.txt",
            "whatever a dynamic step of //p:lib declares then"
        ]
    );
    f.build(&[]).await.good();
    let built = f.build_with(&[], dry.clone()).await.good();
    assert_eq!(what(&built), [""; 0]);
    f.write("p/names.txt", "one\n");
    let explained = f
        .session
        .explain("//p:lib", BuildOptions::default())
        .await
        .unwrap();
    assert!(explained.would_run);
    assert_eq!(explained.actions[0].what, "generate p/names.txt");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_is_told() {
    for (from, to, wanted) in [
        (
            "const objects =",
            "throw new Error(\"no way\"); const objects =",
            "r.rule.ts:7:11: no way\n  at run (r.rule.ts:7:11)\n  in the dynamic step compileAll of //p:lib\n  //p:lib is declared at p/BUILD.ts:3:20",
        ),
        (
            "const objects =",
            "ctx.readText({ path: \"p/names.txt\" } as any); const objects =",
            "r.rule.ts:7:9: TypeError: ctx.readText takes a file that the step reads",
        ),
        (
            "const objects =",
            "ctx.readText(ctx.file(\"else\")); const objects =",
            "r.rule.ts:7:9: TypeError: the step may not read zako-out/p/else: it reads zako-out/p/lib.sources; add it to reads of ctx.dynamic",
        ),
        (
            "ctx.run({ args: [\"ar\"",
            "if (ctx.name === \"\") ctx.run({ args: [\"ar\"",
            "p/BUILD.ts:3:20: the dynamic step compileAll of //p:lib declares no action that writes `zako-out/p/liblib.a`",
        ),
        (
            "reads: [sources]",
            "reads: []",
            "TypeError: reads of ctx.dynamic takes a list of files, at least one",
        ),
        (
            "ctx.dynamic(compileAll",
            "ctx.dynamic({} as any",
            "TypeError: ctx.dynamic takes what dynamic() gave, exported from the module that makes it",
        ),
        (
            "reads: [sources]",
            "reads: [library]",
            "TypeError: ctx.dynamic reads zako-out/p/liblib.a, which it writes",
        ),
    ] {
        assert!(RULES.contains(from));
        let f = generated();
        f.write("r.rule.ts", &RULES.replacen(from, to, 1));
        let built = f.build(&[]).await;
        let error = told(built.error());
        assert!(error.contains(wanted), "{error}");
        assert!(!built.targets().get("//p:lib").copied().unwrap_or(false));
        // It heals.
        f.write("r.rule.ts", RULES);
        f.build(&[]).await.good();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_before_a_step_keeps_what_needs_it_from_being_built() {
    let f = generated();
    f.write(
        "q/BUILD.ts",
        "import { task } from \"zako:build\";\nexport const good = task({ outputs: [\"x\"], shell: 'echo > \"$out\"' });\n",
    );
    f.write("p/names.txt", "not a name\n");
    f.write(
        "r.rule.ts",
        &RULES.replace(
            "mkdir -p \"$0\"",
            "mkdir -p \"$0\"; grep -q bad \"$1\" && exit 3",
        ),
    );
    f.write("p/names.txt", "bad\n");
    let built = f.keep_going(&[]).await;
    assert!(
        built.error().message.contains("exit code 3"),
        "{}",
        built.error()
    );
    let targets = built.targets();
    assert!(!targets["//p:lib"] && !targets["//p:members"] && targets["//q:good"]);
    let stopped = f.build(&[]).await;
    assert!(!stopped.targets()["//p:lib"]);
    f.write("p/names.txt", "fine\n");
    f.build(&[]).await.good();
    assert_eq!(f.read("zako-out/p/members"), "fine.c.o\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_may_read_a_source_and_use_another_step() {
    let rules = r##"import { attr, dynamic, rule, type, type Artifact } from "zako:rule";
export const second = dynamic({
  params: type<{ readonly list: Artifact }>(),
  run(ctx) {
    const parts = ctx.readText(ctx.params.list).trim().split("\n").map((line) => {
      const part = ctx.file(`${ctx.name}.${line}`);
      ctx.write(part, `${line}!\n`);
      return part;
    });
    ctx.run({ args: ["sh", "-c", 'out=$0; cat "$@" > "$out"', ctx.outputs[0]!, ...parts], outputs: ctx.outputs });
  },
});
export const first = dynamic({
  params: type<Artifact>(),
  run(ctx) {
    const { words } = ctx.readJson(ctx.params) as { words: string[] };
    const list = ctx.file(`${ctx.name}.list`);
    ctx.write(list, words.join("\n") + "\n");
    ctx.dynamic(second, { reads: [list], outputs: ctx.outputs, params: { list } });
  },
});
export const words = rule({
  attrs: { src: attr.file() },
  provides: {},
  analyze(ctx) {
    const out = ctx.file(ctx.name);
    ctx.dynamic(first, { reads: [ctx.attrs.src], outputs: [out], params: ctx.attrs.src });
    ctx.expose("default", out);
    return {};
  },
});
"##;
    let f = Fixture::new(&[
        ("r.rule.ts", rules),
        (
            "p/BUILD.ts",
            "import { words } from \"//r.rule.ts\";\nexport const w = words({ src: \"w.json\" });\n",
        ),
        ("p/w.json", "{ \"words\": [\"a\", \"b\"] }"),
    ]);
    f.build(&[]).await.good();
    assert_eq!(f.read("zako-out/p/w"), "a!\nb!\n");
    f.check(&[]).await;
    f.write("p/w.json", "{ \"words\": [\"c\", \"b\"] }");
    let built = f.build(&[]).await.good();
    assert_eq!(built.evaluated(), [""; 0]);
    assert_eq!(f.read("zako-out/p/w"), "c!\nb!\n");
    assert!(!f.has("zako-out/p/w.a"));
    f.check(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_step_reads_counts() {
    let rules = r##"import { attr, dynamic, rule, type, type Artifact } from "zako:rule";
export const each = dynamic({
  params: type<Artifact>(),
  run(ctx) {
    ctx.write(ctx.outputs[0]!, ctx.readText(ctx.params).toUpperCase());
  },
});
export const upper = rule({
  attrs: { src: attr.file() },
  provides: {},
  analyze(ctx) {
    const list = ctx.file(`${ctx.name}.list`);
    ctx.run({ args: ["sh", "-c", 'sort "$1" > "$0"', list, ctx.attrs.src], outputs: [list] });
    const out = ctx.file(ctx.name);
    ctx.dynamic(each, { reads: [list], outputs: [out], params: list });
    ctx.expose("default", out);
    return {};
  },
});
"##;
    let f = Fixture::new(&[
        ("r.rule.ts", rules),
        (
            "p/BUILD.ts",
            "import { upper } from \"//r.rule.ts\";\nexport const u = upper({ src: \"words\" });\n",
        ),
        ("p/words", "b\na\n"),
    ]);
    let built = f.build(&[]).await.good();
    assert_eq!(counts(&built), (2, 0, 0));
    assert_eq!(f.read("zako-out/p/u"), "A\nB\n");
    let built = f.build(&[]).await.good();
    assert_eq!(counts(&built), (0, 0, 2));
    f.write("p/words", "c\na\n");
    let built = f.build(&[]).await.good();
    assert_eq!(counts(&built), (2, 0, 0), "{:?}", built.lines());
    assert_eq!(f.read("zako-out/p/u"), "A\nC\n");
    // Another order of the same: the list comes out as it was.
    f.write("p/words", "a\nc\n");
    let built = f.build(&[]).await.good();
    assert_eq!(counts(&built), (1, 0, 1), "{:?}", built.lines());
    // Somebody's edit of what it read is undone.
    f.write("zako-out/p/u.list", "x\n");
    let built = f.build(&[]).await.good();
    assert_eq!(counts(&built).0, 0, "{:?}", built.lines());
    assert_eq!(f.read("zako-out/p/u.list"), "a\nc\n");
    assert_eq!(f.read("zako-out/p/u"), "A\nC\n");
}

/// Modules of C++20: which file needs which module is found by looking into the files.
#[tokio::test(flavor = "multi_thread")]
async fn modules_of_cpp_are_scanned() {
    let rules = r##"import { attr, dynamic, rule, type, type Artifact } from "zako:rule";
interface Unit { readonly source: Artifact; readonly scan: Artifact }
export const compileModules = dynamic({
  params: type<readonly Unit[]>(),
  run(ctx) {
    const units = ctx.params.map(({ source, scan }) => {
      const found = ctx.readText(scan).split("\n").filter((line) => line !== "").map((line) => line.split(" "));
      const of = (kind: string) => found.filter(([first]) => first === kind).map(([, name]) => name!);
      return { source, provides: of("provides"), requires: of("requires"), object: ctx.file(`${source.path}.o`) };
    });
    const cmis = new Map(units.flatMap((unit) => unit.provides.map((name) => [name, { unit, cmi: ctx.file(`${name}.gcm`) }] as const)));
    const all = (names: readonly string[], seen: Set<string> = new Set()): Set<string> => {
      for (const name of names) {
        const module = cmis.get(name);
        if (module === undefined) throw new Error(`no source gives the module ${name}`);
        if (!seen.has(name)) {
          seen.add(name);
          all(module.unit.requires, seen);
        }
      }
      return seen;
    };
    for (const unit of units) {
      const needed = [...all(unit.requires)].sort().map((name) => [name, cmis.get(name)!.cmi] as const);
      const given = unit.provides.map((name) => [name, cmis.get(name)!.cmi] as const);
      const map = ctx.file(`${unit.source.path}.map`);
      ctx.write(map, [...needed, ...given].map(([name, cmi]) => `${name} ${cmi.path}\n`).join(""));
      ctx.run({
        args: ["c++", "-std=c++20", "-fmodules-ts", `-fmodule-mapper=${map.path}`, "-x", "c++", "-c", unit.source, "-o", unit.object],
        inputs: [map, ...needed.map(([, cmi]) => cmi)],
        outputs: [unit.object, ...given.map(([, cmi]) => cmi)],
        mnemonic: "compile",
      });
    }
    ctx.run({ args: ["c++", "-o", ctx.outputs[0]!, ...units.map((unit) => unit.object)], outputs: ctx.outputs, mnemonic: "link" });
  },
});
const SCAN = String.raw`sed -n -e 's/^export module \(.*\);/provides \1/p' -e 's/^import \([a-z]*\);/requires \1/p' "$1" > "$0"`;
export const modules = rule({
  attrs: { srcs: attr.files() },
  provides: {},
  analyze(ctx) {
    const units = ctx.attrs.srcs.map((source) => {
      const scan = ctx.file(`${source.path}.scan`);
      ctx.run({ args: ["sh", "-c", SCAN, scan, source], outputs: [scan], mnemonic: "scan" });
      return { source, scan };
    });
    const program = ctx.file(ctx.name);
    ctx.dynamic(compileModules, { reads: units.map((unit) => unit.scan), outputs: [program], params: units });
    ctx.expose("default", program);
    return {};
  },
});
"##;
    let f = Fixture::new(&[
        ("cpp.rule.ts", rules),
        (
            "p/BUILD.ts",
            "import { modules } from \"//cpp.rule.ts\";\nexport const program = modules({ srcs: [\"main.cpp\", \"high.cpp\", \"low.cpp\"] });\n",
        ),
        (
            "p/main.cpp",
            "import high;\nint main() { return high() == 42 ? 0 : 1; }\n",
        ),
        (
            "p/high.cpp",
            "export module high;\nimport low;\nexport int high() { return low() + 1; }\n",
        ),
        (
            "p/low.cpp",
            "export module low;\nexport int low() { return 41; }\n",
        ),
    ]);
    f.build(&[]).await.good();
    let works = || {
        let program = f.root().join("zako-out/p/program");
        std::process::Command::new(program)
            .status()
            .unwrap()
            .success()
    };
    assert!(works());
    f.check(&[]).await;
    // What is said of modules stays: the step is not asked, and its order holds.
    f.write(
        "p/low.cpp",
        "export module low;\nexport int low() { return 40 + 1; }\n",
    );
    let built = f.build(&[]).await.good();
    // One is scanned and compiled; whether a compiled module is the same again is the compiler's affair.
    assert!(works());
    let ran = built.report.actions;
    assert!(ran.run >= 2, "{ran:?} {:?}", built.lines());
    // A module that is not needed any more.
    f.write(
        "p/high.cpp",
        "export module high;\nexport int high() { return 42; }\n",
    );
    f.build(&[]).await.good();
    assert!(works());
    f.check(&[]).await;
    f.write(
        "p/high.cpp",
        "export module high;\nimport lost;\nexport int high() { return 42; }\n",
    );
    let built = f.build(&[]).await;
    assert!(
        told(built.error()).contains("no source gives the module lost"),
        "{}",
        told(built.error())
    );
}

/// A step sees the options of its target's configuration, and is asked again when they are others.
#[tokio::test(flavor = "multi_thread")]
async fn steps_have_the_configuration() {
    let f = Fixture::new(&[
        (
            "o.config.ts",
            "import { flag, option } from \"zako:config\";\nexport const mode = option({ values: [\"slow\", \"fast\"], default: \"slow\" });\nexport const loud = flag();\n",
        ),
        (
            "r.rule.ts",
            "import { attr, dynamic, rule, type } from \"zako:rule\";\nimport { loud, mode } from \"./o.config.ts\";\nexport const say = dynamic({\n  params: type<null>(),\n  run(ctx) {\n    console.log(\"the step runs\");\n    const value: \"slow\" | \"fast\" = ctx.config(mode);\n    ctx.write(ctx.outputs[0]!, `${value} ${ctx.config(loud)}\\n`);\n  },\n});\nexport const said = rule({\n  attrs: { src: attr.file() },\n  provides: {},\n  analyze(ctx) {\n    const out = ctx.file(ctx.name);\n    ctx.dynamic(say, { reads: [ctx.attrs.src], outputs: [out], params: null });\n    ctx.expose(\"default\", out);\n    return {};\n  },\n});\n",
        ),
        (
            "BUILD.ts",
            "import { configured } from \"zako:config\";\nimport { mode } from \"./o.config.ts\";\nimport { said } from \"./r.rule.ts\";\nexport const plain = said({ src: \"src\" });\nexport const fast = configured(plain, mode.is(\"fast\"));\n",
        ),
        ("src", "text\n"),
    ]);
    let built = f.build(&[]).await.good();
    assert_eq!(steps(&built), 2);
    assert_eq!(f.read("zako-out/plain"), "slow false\n");
    assert_eq!(f.read("zako-out/@mode-fast/plain"), "fast false\n");
    let built = f.build(&[]).await.good();
    assert_eq!(steps(&built), 0);
    let loud = BuildOptions {
        config: std::collections::BTreeMap::from([("loud".to_owned(), "true".to_owned())]),
        ..BuildOptions::default()
    };
    let built = f.build_with(&["//:plain"], loud).await.good();
    assert_eq!(steps(&built), 1);
    assert_eq!(f.read("zako-out/@loud-true/plain"), "slow true\n");
}

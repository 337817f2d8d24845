//! Options, selects and configurations, as authors type them and as the command line sets them.

use zako_tests::Workspace;

use super::types::tsc;

const OPTIONS: &str = r#"import { env, flag, option, platform } from "zako:config";
export const mode = option({ values: ["debug", "fast"], default: "debug" });
export const lto = flag({ default: false });
export const board = platform(platform.os.is("linux"), platform.arch.is("aarch64"));
export const prefix = env("PREFIX", { default: "/usr/local" });
"#;

const HEAD: &str = r#"import { task } from "zako:build";
import { ccBinary, ccLibrary } from "zako:cc";
import { configured, option, platform, select } from "zako:config";
import { attr, provider, rule, type } from "zako:rule";
import { board, lto, mode, prefix } from "//options.config.ts";
const Info = provider("Info", type<{ n: number }>());
const lib = ccLibrary({
  srcs: ["a.c", select(mode, { debug: ["debug.c"], fast: [] })],
  copts: select(lto, { true: ["-flto"], false: [] }),
});
const fast = configured(lib, mode.is("fast"), lto.is(true), board);
const app = ccBinary({ srcs: select(platform.os, { linux: ["a.c"], macos: ["a.c"], windows: ["a.c"] }), deps: [fast, select(lto, { true: [lib], false: [] })] });
const t = task({ outputs: { o: "o" }, shell: select(mode, { debug: "true", fast: "false" }), env: { P: prefix.get() }, tools: [app] });
const has = rule({
  attrs: { word: attr.enum("a", "b"), ok: attr.bool().default(false), dep: attr.target(Info).transition(mode.is("fast")).optional() },
  provides: { info: Info },
  analyze(ctx) {
    const word: "debug" | "fast" = ctx.config(mode);
    const on: boolean = ctx.config(lto);
    const n: number | undefined = ctx.attrs.dep?.get(Info).n;
    return { info: { n: (n ?? 0) + word.length + (on ? 1 : 0) } };
  },
});
const h = has({ word: select(mode, { debug: "a", fast: "b" }), ok: select(lto, { true: true, false: false }) });
has({ word: "a", dep: configured(h, mode.is("fast")) });
configured(t, lto.is(true)).out.o;
"#;

#[test]
fn what_depends_on_options_is_typed() {
    let workspace = Workspace::package(HEAD).file("options.config.ts", OPTIONS);
    assert_eq!(tsc(&workspace), "", "the head alone is right");
    for wrong in [
        "mode.is(\"slow\");",
        "lto.is(\"true\");",
        "select(mode, { debug: 1 });",
        "select(mode, { debug: 1, fast: 2, slow: 3 });",
        "select(lto, { true: 1 });",
        "select(platform.os, { linux: 1, macos: 2 });",
        "select(\"mode\", { debug: 1, fast: 2 });",
        "option({ values: [\"a\", \"b\"], default: \"c\" });",
        "option({ values: [\"a\"] });",
        "configured(lib, \"fast\");",
        "configured(\"//a:b\", mode.is(\"fast\"));",
        "configured(t, mode.is(\"fast\")).out.p;",
        "has({ word: select(mode, { debug: \"a\", fast: \"c\" }) });",
        "has({ word: \"a\", ok: select(mode, { debug: true, fast: \"no\" }) });",
        "has({ word: \"a\", dep: lib });",
        "ccLibrary({ srcs: select(mode, { debug: \"a.c\", fast: \"b.c\" }) });",
        "task({ shell: select(mode, { debug: 1, fast: 2 }) });",
        "task({ shell: \"\", outputs: select(mode, { debug: [\"a\"], fast: [\"b\"] }) });",
        "attr.string().transition(lto.is(true));",
        "const n: number = prefix.get(); void n;",
        "rule({ attrs: {}, provides: {}, analyze(ctx) { const x: \"slow\" = ctx.config(mode); void x; return {}; } });",
    ] {
        let line = HEAD.lines().count() + 1;
        workspace.write("BUILD.ts", &format!("{HEAD}{wrong}\n"));
        let said = tsc(&workspace);
        assert!(
            said.contains(&format!("BUILD.ts({line},")),
            "tsc takes this: {wrong}\n{said}"
        );
    }
}

#[test]
fn the_command_line_chooses_a_configuration() {
    let workspace = Workspace::bare()
        .file(
            "zako.toml",
            "zako = \"0.1\"\n[profile.release]\nmode = \"fast\"\n",
        )
        .file("options.config.ts", OPTIONS)
        .file("a.c", "int main(void) { return VALUE; }\n")
        .file(
            "BUILD.ts",
            r#"import { ccBinary } from "zako:cc";
import { select } from "zako:config";
import { mode } from "//options.config.ts";
export const app = ccBinary({ srcs: ["a.c"], defines: select(mode, { debug: ["VALUE=1"], fast: ["VALUE=2"] }) });
"#,
        );
    workspace.zako("run //:app").exits(1);
    let release = workspace.zako("run --profile release //:app").exits(2);
    assert_eq!(
        release.actions("ran"),
        [
            "compile a.c (release)",
            "link zako-out/@release/app (release)"
        ],
        "{release}"
    );
    assert!(workspace.has("zako-out/app") && workspace.has("zako-out/@release/app"));
    workspace
        .zako("run -D mode=fast //:app")
        .exits(2)
        .ran_nothing();
    workspace.zako("run //:app").exits(1).ran_nothing();
    workspace.zako("build -D mode=fsat").exits(2).says(&[
        "\"fsat\" is no value of the option mode",
        "did you mean mode=fast?",
    ]);
    workspace.zako("build --profile relese").exits(2).says(&[
        "there is no profile \"relese\" in zako.toml",
        "did you mean \"release\"?",
    ]);
    workspace
        .zako_args(&["build", "//:app @release"])
        .exits(2)
        .says(&["--profile"]);
    let listed = workspace.zako("targets --profile release").exits(0);
    assert_eq!(listed.stdout, "//:app @release\n");
    workspace.zako("explain --profile release //:app").exits(0);
}

//! Where errors stand that are found long after the line that they are about has run.

use crate::fixture::{Fixture, told};

async fn error_of(files: &[(&str, &str)]) -> String {
    told(Fixture::new(files).build(&[]).await.error())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_no_output_is_told_at_the_string() {
    let build = "import { task } from \"zako:build\";\n\
        export const t = task({\n  outputs: { header: \"t.h\", source: \"t.c\" },\n  command: [\"touch\", \"$out.heder\"],\n});\n";
    assert_eq!(
        error_of(&[("BUILD.ts", build)]).await,
        "BUILD.ts:4:22: TypeError: the command uses the output \"heder\", which the task does not declare\n  in package //"
    );
    // What is not written out in the call is told at the call.
    for list in ["command", "command: [\"touch\", `$out.${\"what\"}`]"] {
        let apart = format!(
            "import {{ task }} from \"zako:build\";\nconst command = [\"touch\", \"$out.what\"];\nvoid command;\n\
             export const t = task({{ outputs: {{ header: \"t.h\" }}, {list} }});\n"
        );
        let error = error_of(&[("BUILD.ts", &apart)]).await;
        assert!(error.starts_with("BUILD.ts:4:18: "), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_there_is_told_where_it_is_named() {
    let task = "import { task } from \"zako:build\";\n";
    let of_variable = format!(
        "{task}const srcs = [\"a.txt\", `gone.txt`];\nexport const t = task({{ inputs: srcs, shell: \"true\" }});\n"
    );
    let error = error_of(&[("p/BUILD.ts", &of_variable), ("p/a.txt", "")]).await;
    assert!(error.starts_with("p/BUILD.ts:2:24: "), "{error}");
    assert!(error.contains("p/gone.txt does not exist"), "{error}");

    // What a function of a library gives.
    let library = "export const srcs = (): readonly string[] => [\"gone.txt\"];\n";
    let of_library = format!(
        "{task}import {{ srcs }} from \"//lib/index.ts\";\nexport const t = task({{ inputs: srcs(), shell: \"true\" }});\n"
    );
    let between = "export * from \"./srcs.ts\";\n";
    let files = [
        ("p/BUILD.ts", &*of_library),
        ("lib/index.ts", between),
        ("lib/srcs.ts", library),
    ];
    let error = error_of(&files).await;
    assert!(error.starts_with("lib/srcs.ts:1:47: "), "{error}");
    assert!(error.contains("in //p:t"), "{error}");

    // A macro that makes the target.
    let macros = format!(
        "{task}export const made = (name: string) => task({{ inputs: [name], shell: \"true\" }});\n"
    );
    let of_macro =
        "import { made } from \"//lib/made.ts\";\nexport const t = made(\"gone.txt\");\n";
    let files = [("p/BUILD.ts", of_macro), ("lib/made.ts", &*macros)];
    let error = error_of(&files).await;
    assert!(error.starts_with("p/BUILD.ts:2:23: "), "{error}");

    // A name that stands nowhere, and one that stands twice: the call has it.
    for name in ["`${\"go\"}ne.txt`", "\"gone.txt\".slice(0) + \"\""] {
        let built = format!(
            "{task}const name = {name};\nvoid (\"gone.txt\" + 1);\nexport const t = task({{ inputs: [name, ...[\"a\"].slice(1)], shell: \"true\" }});\nvoid [\"gone.txt\"];\n"
        );
        let error = error_of(&[("p/BUILD.ts", &built)]).await;
        assert!(error.starts_with("p/BUILD.ts:4:18: "), "{error}");
        assert!(error.contains("p/gone.txt does not exist"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_line_of_the_user_did_is_told_at_the_target() {
    let rules = "import { dynamic, rule, type } from \"zako:rule\";\n\
        export const x: any = rule({ attrs: {}, provides: {}, analyze: (() => ({ nope: 1 })) as any });\n\
        export const d = dynamic({ params: type<null>(), run: (() => 7) as any });\n";
    let build = "import { x } from \"//r.rule.ts\";\nexport const t = x({});\n";
    let error = error_of(&[("r.rule.ts", rules), ("BUILD.ts", build)]).await;
    assert!(error.starts_with("BUILD.ts:2:18: "), "{error}");
    assert!(error.contains("nope"), "{error}");
    assert!(error.contains("in the analysis of //:t by x"), "{error}");
    assert!(!error.contains("zako:"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_known_by_its_id() {
    let twice = "import { provider, rule, type } from \"zako:rule\";\n\
        const a = provider(\"Info\", type<string>());\nconst b = provider(\"Info\", type<string>());\n\
        export const x = rule({ attrs: {}, provides: { a, b }, analyze: () => ({ a: \"1\", b: \"2\" }) });\n";
    let build = "import { x } from \"//r.rule.ts\";\nexport const t = x({});\n";
    let error = error_of(&[("r.rule.ts", twice), ("BUILD.ts", build)]).await;
    assert!(
        error.starts_with(
            "r.rule.ts:4:18: TypeError: provides of rule has the provider Info twice, as a and as b"
        ),
        "{error}"
    );
    // Two modules that say the same mean the same.
    let gives = "import { provider, rule, type } from \"zako:rule\";\nconst Info = provider(\"Info\", type<string>());\n\
        export const gives = rule({ attrs: {}, provides: { Info }, analyze: () => ({ Info: \"told\\n\" }) });\n";
    let takes = "import { attr, provider, rule, type } from \"zako:rule\";\nconst Info = provider(\"Info\", type<string>());\n\
        export const takes = rule({ attrs: { of: attr.target(Info) }, provides: {}, analyze(ctx) {\n\
        const out = ctx.file(\"out\");\nctx.write(out, ctx.attrs.of.get(Info));\nctx.expose(\"default\", out);\nreturn {};\n} });\n";
    let build = "import { gives } from \"//g.rule.ts\";\nimport { takes } from \"//t.rule.ts\";\nexport const t = takes({ of: gives({}) });\n";
    let f = Fixture::new(&[
        ("g.rule.ts", gives),
        ("t.rule.ts", takes),
        ("BUILD.ts", build),
    ]);
    f.build(&[]).await.good();
    assert_eq!(f.read("zako-out/out"), "told\n");
}

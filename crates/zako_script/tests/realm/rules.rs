//! Rules: declared in a package's realm, analysed in another.

use super::{ENGINE, TestHost, evaluate_with, evaluation, modules};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use zako_path::NeutralPath;
use zako_script::engine::Entry;
use zako_script::{Evaluation, ScriptErrorKind, Specifier};

const RULE: &str = r#"
import { attr, provider, rule, type } from "zako:rule";
export const Info = provider("Info", type<{ names: readonly string[] }>());
export const concat = rule({
  attrs: { srcs: attr.files(), deps: attr.list(attr.target(Info)).default([]), mode: attr.enum("a", "b").default("a") },
  provides: { info: Info },
  outputs: ["index"],
  analyze(ctx) {
    const out = ctx.file(`${ctx.name}.txt`);
    const index = ctx.file("index.json");
    const names = [...ctx.attrs.srcs.map((s) => s.path), ...ctx.attrs.deps.flatMap((d) => d.get(Info).names)];
    ctx.run({ args: ["cat", ...ctx.attrs.srcs, "-o", out], outputs: [out], mnemonic: "concat" });
    ctx.write(index, JSON.stringify(names));
    ctx.expose("default", out);
    ctx.expose("index", index);
    return { info: { names } };
  },
});
"#;

#[tokio::test]
async fn calling_a_rule_declares_a_target_at_its_line() {
    let host = TestHost::default();
    let out = evaluate_with(
        &[
            ("pkg/BUILD.ts", "import { concat } from \"./concat.rule.ts\";\nexport const a = concat({ srcs: [\"x.txt\"] });\nexport const b = concat({ srcs: [], deps: [a], mode: \"b\" });\n"),
            ("pkg/concat.rule.ts", RULE),
        ],
        host.clone(),
        None,
    )
    .await
    .unwrap();
    let seen = host.seen.lock();
    let (declared, place) = &seen.declared[0];
    assert_eq!(place.as_deref(), Some("pkg/BUILD.ts:2:18"));
    assert_eq!(
        declared["rule"],
        json!({ "module": "//pkg/concat.rule.ts", "export": "concat" })
    );
    assert_eq!(
        declared["attrs"]["srcs"],
        json!([{ "$zako": ["file", "pkg/x.txt", false] }])
    );
    assert_eq!(declared["attrs"]["mode"], json!("a"));
    let shape = json!({ "rule": "//pkg/concat.rule.ts#concat", "provides": ["Info"], "outputs": ["index"] });
    assert_eq!(
        seen.declared[1].0["attrs"]["deps"],
        json!([{ "$zako": ["target", 0, shape] }])
    );
    assert_eq!(
        out.exports[0].1.to_json(),
        json!({ "$zako": ["target", 0, shape] })
    );
}

#[tokio::test]
async fn wrong_attributes_are_errors_at_the_caller() {
    for (call, message) in [
        (
            "concat({ src: [] } as any)",
            "concat has no attribute \"src\"; did you mean \"srcs\"?",
        ),
        ("concat({} as any)", "concat needs the attribute \"srcs\""),
        (
            "concat({ srcs: [1 as any] })",
            "attribute \"srcs[0]\" of concat takes a path, a file or a target, not number 1",
        ),
        (
            "concat({ srcs: [], mode: \"c\" as any })",
            "attribute \"mode\" of concat takes one of \"a\", \"b\", not \"c\"",
        ),
        (
            "concat({ srcs: [], deps: [task({ shell: \"true\" })] as any })",
            "attribute \"deps[0]\" of concat takes a target that provides Info, not a target that lacks it",
        ),
    ] {
        let build = format!(
            "import {{ concat }} from \"./concat.rule.ts\";\nimport {{ task }} from \"zako:build\";\n\nexport const a = {call};\n"
        );
        let files = [
            ("pkg/BUILD.ts", build.as_str()),
            ("pkg/concat.rule.ts", RULE),
        ];
        let error = evaluate_with(&files, TestHost::default(), None)
            .await
            .unwrap_err();
        assert_eq!(error.message, format!("TypeError: {message}"));
        assert_eq!(
            (
                error.place.as_ref().unwrap().file.as_str(),
                error.place.as_ref().unwrap().line
            ),
            ("pkg/BUILD.ts", 4),
            "{call}"
        );
    }
}

#[tokio::test]
async fn analysis_gives_actions_and_providers() {
    let request = |name: &str, deps: serde_json::Value, srcs: serde_json::Value| {
        json!({
            "label": format!("//pkg:{name}"), "package": "pkg", "name": name, "outputRoot": "zako-out/pkg", "configuration": 0,
            "rule": { "module": "//pkg/concat.rule.ts", "export": "concat" },
            "attrs": { "srcs": srcs, "deps": deps, "mode": "a" },
        })
    };
    let shape = json!({ "rule": "//pkg/concat.rule.ts#concat", "provides": ["Info"], "outputs": ["index"] });
    let target = |label: &str| json!({ "$zako": ["target", label, shape] });
    let file = |path: &str| json!({ "$zako": ["file", path, false] });
    let host = TestHost {
        analysis: json!({
            "requests": [
                request("a", json!([target("//ext:e")]), json!([file("pkg/x.txt")])),
                request("b", json!([target("//pkg:a")]), json!([target("//pkg:a")])),
            ],
            "configurations": [{ "outputRoot": "zako-out", "values": {}, "toolchains": {} }],
            "dependencies": { "//ext:e": { "files": [], "providers": { "Info": { "names": ["far"] } }, "outputs": {} } },
        }),
        ..TestHost::default()
    };
    let module = Specifier::File(NeutralPath::new("pkg/concat.rule.ts").unwrap());
    let evaluation = Evaluation {
        modules: modules(&[("pkg/concat.rule.ts", RULE)]).await.unwrap(),
        entry: Entry::Analysis(vec![module]),
        host: Box::new(host.clone()),
        limits: None,
    };
    ENGINE
        .evaluate(evaluation, &CancellationToken::new())
        .await
        .unwrap();
    let seen = host.seen.lock();
    let a = &seen.analyzed[0];
    assert_eq!(a["providers"]["Info"]["names"], json!(["pkg/x.txt", "far"]));
    assert_eq!(a["files"], json!([file("zako-out/pkg/a.txt")]));
    assert_eq!(
        a["actions"][0]["args"],
        json!(["cat", file("pkg/x.txt"), "-o", file("zako-out/pkg/a.txt")])
    );
    assert_eq!(
        a["actions"][1]["work"]["text"],
        json!("[\"pkg/x.txt\",\"far\"]")
    );
    let b = &seen.analyzed[1];
    assert_eq!(
        b["providers"]["Info"]["names"],
        json!(["zako-out/pkg/a.txt", "pkg/x.txt", "far"])
    );
}

#[tokio::test]
async fn rules_outside_packages_are_refused_by_name() {
    let files = [(
        "a.ts",
        "import { task } from \"zako:build\";\ntask({ shell: \"true\" });\n",
    )];
    let evaluation = evaluation(&files, zako_script::engine::NoHost, None)
        .await
        .unwrap();
    let error = ENGINE
        .evaluate(evaluation, &CancellationToken::new())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ScriptErrorKind::Throw);
    assert!(
        error
            .message
            .contains("task can be called only while a BUILD.ts file is evaluated"),
        "{error}"
    );
    assert_eq!(error.place.unwrap().to_string(), "a.ts:2:1");
}

const GATHER: &str = r#"
import { attr, depset, provider, rule, type, type Artifact, type Depset } from "zako:rule";
export const Info = provider("Info", type<{ readonly headers: Depset<Artifact> }>());
export const lib = rule({
  attrs: { srcs: attr.files(), deps: attr.list(attr.target(Info)).default([]) },
  provides: { info: Info },
  analyze(ctx) {
    const headers = depset({ direct: ctx.attrs.srcs, transitive: ctx.attrs.deps.map((d) => d.get(Info).headers) });
    const out = ctx.file(ctx.name);
    ctx.run({ args: ["cc", headers, "-o", out], inputs: headers, staged: [headers], outputs: [out] });
    ctx.expose("default", out);
    return { info: { headers } };
  },
});
"#;

/// What analysing a chain of `count` libraries hands to the engine: sets, and bytes in all.
async fn chain(count: usize) -> (usize, usize) {
    let shape = json!({ "rule": "//pkg/gather.rule.ts#lib", "provides": ["Info"], "outputs": [] });
    let requests: Vec<_> = (0..count)
        .map(|at| {
            let deps = at
                .checked_sub(1)
                .map(|before| json!({ "$zako": ["target", format!("//pkg:l{before:05}"), shape] }));
            json!({
                "label": format!("//pkg:l{at:05}"), "package": "pkg", "name": format!("l{at:05}"), "outputRoot": "zako-out/pkg", "configuration": 0,
                "rule": { "module": "//pkg/gather.rule.ts", "export": "lib" },
                "attrs": { "srcs": [{ "$zako": ["file", format!("pkg/l{at:05}.h"), false] }], "deps": Vec::from_iter(deps) },
            })
        })
        .collect();
    let host = TestHost {
        analysis: json!({
            "requests": requests,
            "dependencies": {},
            "configurations": [{ "outputRoot": "zako-out", "values": {}, "toolchains": {} }],
        }),
        ..TestHost::default()
    };
    let module = Specifier::File(NeutralPath::new("pkg/gather.rule.ts").unwrap());
    let evaluation = Evaluation {
        modules: modules(&[("pkg/gather.rule.ts", GATHER)]).await.unwrap(),
        entry: Entry::Analysis(vec![module]),
        host: Box::new(host.clone()),
        limits: None,
    };
    ENGINE
        .evaluate(evaluation, &CancellationToken::new())
        .await
        .unwrap();
    let seen = host.seen.lock();
    assert_eq!(seen.analyzed.len(), count);
    let bytes = |all: &[serde_json::Value]| all.iter().map(|v| v.to_string().len()).sum::<usize>();
    let last = &seen.depsets[seen.depsets.len() - 1];
    assert_eq!(last["direct"].as_array().map(Vec::len), Some(1));
    assert_eq!(last["transitive"].as_array().map(Vec::len), Some(1));
    (
        seen.depsets.len(),
        bytes(&seen.analyzed) + bytes(&seen.depsets),
    )
}

#[tokio::test]
async fn what_gathers_along_a_chain_costs_the_same_at_each_link() {
    let (few_sets, few_bytes) = chain(1_000).await;
    let (many_sets, many_bytes) = chain(10_000).await;
    assert_eq!((few_sets, many_sets), (1_000, 10_000));
    // All names have the same length.
    assert!(
        many_bytes < few_bytes * 10 + 10_000,
        "{few_bytes} bytes for a thousand, {many_bytes} for ten thousand"
    );
}

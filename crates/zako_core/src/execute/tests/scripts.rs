//! Script actions, and actions that write a text.

use std::collections::HashMap;

use zako_script::{CompiledModule, TranspileRequest, Transpiler};

use super::*;

static TRANSPILER: LazyLock<Transpiler> = LazyLock::new(|| Transpiler::new(1));

async fn script(source: &str, inputs: &[&str], outputs: &[&str]) -> PlannedAction {
    let module = Specifier::File(path("gen.script.ts"));
    let request = TranspileRequest {
        file: "gen.script.ts".into(),
        source: format!("import {{ script }} from \"zako:script\";\nexport default script((ctx) => {{\n{source}\n}});\n").into(),
        identity: Some(module.to_string()),
        frozen: false,
    };
    let out = TRANSPILER.transpile(request).await.unwrap();
    let imports: HashMap<_, _> = out
        .imports
        .iter()
        .map(|i| (i.specifier.clone(), module.resolve(&i.specifier).unwrap()))
        .collect();
    let mut modules = ModuleSet::default();
    modules.insert(Arc::new(CompiledModule {
        specifier: module.clone(),
        js: out.js.clone(),
        map: out.map.clone(),
        source: out.source.clone(),
        imports,
    }));
    let mut spec = sh("", inputs, outputs);
    spec.mnemonic = "script".into();
    spec.body = ActionBody::Script {
        module: path("gen.script.ts"),
        args: serde_json::Value::Null,
    };
    spec.env.insert("NAME".into(), "zako".into());
    PlannedAction {
        script: Some(Arc::new(ScriptProgram { module, modules })),
        ..PlannedAction::new(spec)
    }
}

impl World {
    async fn run_script(&self, source: &str) -> Built {
        let action = script(
            source,
            &["in.txt", "data"],
            &["zako-out/o.h", "zako-out/dir/"],
        )
        .await;
        self.execute(vec![action], &CancellationToken::new()).await
    }
}

const FILES: &[(&str, &str)] = &[
    ("in.txt", "hello"),
    ("data/x.json", "{\"n\": 7}"),
    ("secret", "s"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_script_reads_its_inputs_and_writes_its_outputs() {
    let world = World::new(FILES);
    let source = r#"
        console.log("working");
        ctx.writeText(ctx.outputs[0], `${ctx.readText(ctx.inputs[0])} ${ctx.readJson("data/x.json").n} ${ctx.env.NAME}`);
        ctx.writeBytes("zako-out/dir/sub/b", ctx.readBytes("in.txt"));
    "#;
    let built = world.run_script(source).await;
    assert_eq!(
        built.summary.statuses,
        [Ran],
        "{:#?}",
        built.summary.diagnostics
    );
    assert_eq!(built.output(0), Some("working\n"));
    assert_eq!(world.read("zako-out/o.h"), "hello 7 zako");
    assert_eq!(world.read("zako-out/dir/sub/b"), "hello");
    assert_eq!(world.run_script(source).await.summary.statuses, [UpToDate]);
    world.write("data/x.json", "{\"n\": 8}");
    assert_eq!(world.run_script(source).await.summary.statuses, [Ran]);
    let changed = source.replace("working", "still working");
    assert_eq!(
        world.run_script(&changed).await.summary.statuses,
        [Ran],
        "the code is part of the key"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_reaches_nothing_else() {
    let world = World::new(FILES);
    for (source, message) in [
        (
            "ctx.readText('secret')",
            "`secret` is not an input of //t:zako-out_o.h; add it to `inputs`",
        ),
        (
            "ctx.readBytes('data/../secret')",
            "`secret` is not an input of",
        ),
        ("ctx.readText('../x')", "is not a path in the workspace"),
        (
            "ctx.writeText('zako-out/other', '')",
            "`zako-out/other` is not an output of",
        ),
        (
            "ctx.writeText('zako-out/dir', '')",
            "`zako-out/dir` is not an output of",
        ),
        ("", "ended well, but did not write `zako-out/o.h`"),
        ("throw new Error('oops')", "script gen.script.ts failed: "),
    ] {
        let built = world.run_script(source).await;
        assert_eq!(built.summary.statuses, [Failed], "{source}");
        let error = built.error();
        assert!(error.message.contains(message), "{source}: {error:?}");
        assert_eq!(error.fault, Fault::Build, "{source}");
        if !source.is_empty() {
            assert_eq!(
                error.location.as_ref().map(|l| (l.file.as_str(), l.line)),
                Some(("gen.script.ts", 3)),
                "{error:?}"
            );
        }
    }
    assert!(!world.place("zako-out/o.h").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_does_not_end_is_ended() {
    let world = World::new(FILES);
    let mut action = script("while (true) {}", &[], &["zako-out/x"]).await;
    let mut spec = (*action.spec).clone();
    spec.timeout = Some(std::time::Duration::from_millis(200));
    action.spec = Arc::new(spec);
    let built = world.execute(vec![action], &CancellationToken::new()).await;
    assert_eq!(
        built.error().message,
        "script zako-out/x timed out after 200ms"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_text_is_written_without_a_process() {
    let world = World::new(&[]);
    let write = |text: &str| PlannedAction {
        work: Some(Arc::new(FileWork::Write {
            text: text.into(),
            executable: false,
        })),
        ..PlannedAction::new(sh("exit 1", &[], &["zako-out/x"]))
    };
    for (text, status) in [
        ("one", Ran),
        ("one", UpToDate),
        ("two", Ran),
        ("one", FromCache),
    ] {
        let built = world
            .execute(vec![write(text)], &CancellationToken::new())
            .await;
        assert_eq!(built.summary.statuses, [status], "{text}");
        assert_eq!(world.read("zako-out/x"), text);
    }
}

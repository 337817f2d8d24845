//! Keys: what is in them, what is not, and their bytes.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bazel_remote_apis::build::bazel::remote::execution::v2 as api;
use proptest::prelude::*;
use prost::Message;
use zako_action::{
    ActionBody, ActionSpec, ArtifactValue, Isolation, OutputSpec, Prepared, ResolvedTool,
    RetryCauses, RetryPolicy, Stdin, ToolRef, WorkerProtocol, WorkerSpec,
};
use zako_cas::{Digest, DigestFunction, TreeBuilder};
use zako_path::NeutralPath;

const F: DigestFunction = DigestFunction::Blake3;

fn path(text: &str) -> NeutralPath {
    NeutralPath::new(text).unwrap()
}

fn file(content: &str) -> ArtifactValue {
    ArtifactValue::File {
        digest: F.hash(content.as_bytes()),
        executable: false,
    }
}

fn compile() -> Prepared {
    let argv = ["cc", "-c", "a.c", "-o", "zako-out/a.o"]
        .map(str::to_owned)
        .to_vec();
    let mut spec = ActionSpec::new("//:a", "compile", ActionBody::Command { argv });
    spec.inputs = vec![path("a.c")];
    spec.staged = vec![path("include/a.h"), path("include/b.h")];
    spec.tools = vec![ToolRef::Host("cc".into())];
    spec.outputs = vec![OutputSpec::file(path("zako-out/a.o"))];
    spec.depfile = Some(path("zako-out/a.d"));
    spec.env = BTreeMap::from([
        ("PATH".into(), "/usr/bin".into()),
        ("LANG".into(), "C".into()),
    ]);
    spec.timeout = Some(Duration::from_millis(90_500));
    Prepared {
        spec: Arc::new(spec),
        inputs: BTreeMap::from([(path("a.c"), file("int a;"))]),
        staged: BTreeMap::from([
            (path("include/a.h"), file("a")),
            (path("include/b.h"), file("b")),
        ]),
        tools: vec![ResolvedTool {
            name: "cc".into(),
            path: "/usr/bin/gcc-12".into(),
            digest: F.hash(b"gcc"),
        }],
        salt: "workspace".into(),
        isolation: Isolation::Basic,
    }
}

fn strong(action: &Prepared) -> Digest {
    action.strong_key(F, None).unwrap().0
}

fn narrow(action: &Prepared) -> Digest {
    action.narrow_key(F, None).unwrap().unwrap().0
}

#[test]
fn the_strong_key_is_an_action_of_the_api() {
    let action = compile();
    let key = action.remote_action(F, None).unwrap();
    let digest = |d: Digest| {
        Some(api::Digest {
            hash: d.hex(),
            size_bytes: d.size as i64,
        })
    };

    let command = api::Command::decode(&key.command.1[..]).unwrap();
    assert_eq!(
        command.encode_to_vec(),
        key.command.1.to_vec(),
        "nothing that the API does not know"
    );
    assert_eq!(command.arguments, ["cc", "-c", "a.c", "-o", "zako-out/a.o"]);
    assert_eq!(command.output_paths, ["zako-out/a.d", "zako-out/a.o"]);
    assert_eq!(command.working_directory, "");
    let env: Vec<_> = command
        .environment_variables
        .iter()
        .map(|v| (&v.name[..], &v.value[..]))
        .collect();
    assert_eq!(env, [("LANG", "C"), ("PATH", "/usr/bin")]);

    let message = api::Action::decode(&key.action[..]).unwrap();
    assert_eq!(
        message.encode_to_vec(),
        key.action.to_vec(),
        "nothing that the API does not know"
    );
    assert_eq!(message.command_digest, digest(F.hash(&key.command.1)));
    let mut tree = TreeBuilder::new(F);
    for (name, content) in [
        ("a.c", "int a;"),
        ("include/a.h", "a"),
        ("include/b.h", "b"),
    ] {
        tree.file(&path(name), F.hash(content.as_bytes()), false);
    }
    assert_eq!(
        message.input_root_digest,
        digest(tree.build().unwrap().root)
    );
    let timeout = message.timeout.unwrap();
    assert_eq!((timeout.seconds, timeout.nanos), (90, 500_000_000));
    assert!(!message.do_not_cache && message.platform.is_none());
    assert_eq!(key.key.0, F.hash(&key.action));
    assert_eq!(action.strong_key(F, None).unwrap(), key.key);
}

/// If this fails, results recorded by older versions are lost to this one: raise `KEY_VERSION`
/// and say so in the change log, or mend what changed by accident.
#[test]
fn key_bytes_are_a_contract() {
    let action = compile();
    let got = [strong(&action).to_string(), narrow(&action).to_string()];
    let expected = [
        "blake3:db4e63e4dd16122f6310056adc4cf12a0e671e5a8e6cc6ebb6f09b09b50ebda0/283",
        "blake3:b7d0857ac4009b4a20932da7f4d1e0aef78c65b6b6061611ece343a5d76a3d08/329",
    ];
    assert_eq!(got, expected);
    let mut shell = compile();
    let spec = Arc::make_mut(&mut shell.spec);
    spec.body = ActionBody::Shell {
        script: "cp $in $out".into(),
    };
    spec.stdin = Some(Stdin::Text("hi".into()));
    let mut script = compile();
    let args = serde_json::json!({"b": [1, 2.5, null], "a": "x\"y"});
    Arc::make_mut(&mut script.spec).body = ActionBody::Script {
        module: path("g.script.ts"),
        args,
    };
    let got = [strong(&shell).hex(), strong(&script).hex()];
    let expected = [
        "ce9d6309861c280502136f6063561e275769e074627cafb10f85e7584be2094b",
        "0f07459e5c1abd7fe8bac86d3a69fdc1c05aeefb754b5a379740af3ab67df601",
    ];
    assert_eq!(got, expected);
}

type Change = (&'static str, fn(&mut Prepared));

fn spec(action: &mut Prepared) -> &mut ActionSpec {
    Arc::make_mut(&mut action.spec)
}

/// Each changes one thing that results may depend on.
const KEYED: &[Change] = &[
    ("argument", |a| {
        spec(a).body = ActionBody::Command {
            argv: vec!["cc".into()],
        }
    }),
    ("kind of body", |a| {
        spec(a).body = ActionBody::Shell {
            script: String::new(),
        };
    }),
    ("env value", |a| {
        drop(spec(a).env.insert("LANG".into(), "de".into()))
    }),
    ("env name", |a| {
        drop(spec(a).env.insert("X".into(), String::new()))
    }),
    ("another output", |a| {
        spec(a).outputs.push(OutputSpec::file(path("zako-out/b")))
    }),
    ("kind of output", |a| {
        spec(a).outputs = vec![OutputSpec::directory(path("zako-out/a.o"))]
    }),
    ("no depfile", |a| spec(a).depfile = None),
    ("depfile", |a| {
        spec(a).depfile = Some(path("zako-out/other.d"))
    }),
    ("depfile as output", |a| {
        let depfile = spec(a).depfile.take().unwrap();
        spec(a).outputs.push(OutputSpec::file(depfile));
    }),
    ("stdin", |a| {
        spec(a).stdin = Some(Stdin::Text(String::new()))
    }),
    ("stdin file", |a| {
        spec(a).stdin = Some(Stdin::File(path("a.c")))
    }),
    ("network", |a| spec(a).network = true),
    ("timeout", |a| {
        spec(a).timeout = Some(Duration::from_secs(1))
    }),
    ("no timeout", |a| spec(a).timeout = None),
    ("cache", |a| spec(a).cache = false),
    ("content of an input", |a| {
        drop(a.inputs.insert(path("a.c"), file("int b;")))
    }),
    ("executable input", |a| {
        let digest = F.hash(b"int a;");
        a.inputs.insert(
            path("a.c"),
            ArtifactValue::File {
                digest,
                executable: true,
            },
        );
    }),
    ("input as link", |a| {
        drop(a.inputs.insert(
            path("a.c"),
            ArtifactValue::Symlink {
                target: "b.c".into(),
            },
        ))
    }),
    ("another input", |a| {
        drop(a.inputs.insert(path("c.c"), file("")))
    }),
    ("another staged file", |a| {
        drop(a.staged.insert(path("include/c.h"), file("")))
    }),
    ("one staged file fewer", |a| {
        drop(a.staged.remove(&path("include/b.h")))
    }),
    ("staged file renamed", |a| {
        let value = a.staged.remove(&path("include/b.h")).unwrap();
        a.staged.insert(path("include/B.h"), value);
    }),
    ("staged executable", |a| {
        a.staged.insert(
            path("include/a.h"),
            ArtifactValue::File {
                digest: F.hash(b"a"),
                executable: true,
            },
        );
    }),
    ("tool content", |a| a.tools[0].digest = F.hash(b"gcc 2")),
    ("tool place", |a| a.tools[0].path = "/opt/bin/gcc-12".into()),
    ("tool name", |a| a.tools[0].name = "gcc".into()),
    ("no tool", |a| a.tools.clear()),
    ("salt", |a| a.salt = String::new()),
];

/// Each changes one thing that results may not depend on.
const UNKEYED: &[Change] = &[
    ("owner", |a| spec(a).owner = "//other:b".into()),
    ("mnemonic", |a| spec(a).mnemonic = "cc".into()),
    ("message", |a| {
        spec(a).message = Some("Compiling a.c".into())
    }),
    ("cpu", |a| spec(a).resources.cpu_millis = 8000),
    ("memory", |a| spec(a).resources.memory = Some(1 << 30)),
    ("slots", |a| spec(a).resources.network_slots = 3),
    ("named", |a| {
        _ = spec(a).resources.named.insert("gpu".into(), 1)
    }),
    ("retries", |a| {
        spec(a).retries = Some(Box::new(RetryPolicy::default().with_retries(5)))
    }),
    ("worker", |a| {
        spec(a).worker = Some(WorkerSpec::new(WorkerProtocol::Json))
    }),
    ("level asked for", |a| {
        spec(a).isolation = Some(Isolation::Maximum)
    }),
    ("level", |a| a.isolation = Isolation::Enhanced),
];

#[test]
fn what_is_keyed_changes_both_keys() {
    let base = compile();
    let mut seen = vec![(strong(&base), "base")];
    for (name, change) in KEYED {
        let mut action = compile();
        change(&mut action);
        let key = strong(&action);
        if let Some((_, other)) = seen.iter().find(|(k, _)| *k == key) {
            panic!("`{name}` has the strong key of `{other}`");
        }
        seen.push((key, name));
        assert_ne!(
            action.key_fields(F),
            base.key_fields(F),
            "{name} shows in the description"
        );
        if action.spec.depfile.is_some() {
            assert_ne!(narrow(&action), narrow(&base), "{name}");
        }
    }
}

#[test]
fn what_is_not_keyed_changes_neither_key() {
    let base = compile();
    for (name, change) in UNKEYED {
        let mut action = compile();
        change(&mut action);
        assert_ne!(action, base, "{name} is a change");
        assert_eq!(strong(&action), strong(&base), "{name}");
        assert_eq!(narrow(&action), narrow(&base), "{name}");
        assert_eq!(action.key_fields(F), base.key_fields(F), "{name}");
    }
}

#[test]
fn the_narrow_key_leaves_out_the_content_of_staged_files_only() {
    let base = compile();
    let mut action = compile();
    action.staged.insert(path("include/a.h"), file("a, edited"));
    assert_eq!(narrow(&action), narrow(&base));
    assert_ne!(strong(&action), strong(&base));

    let with_directory = |content: &str| {
        let mut action = compile();
        action.staged.insert(
            path("gen"),
            ArtifactValue::Directory {
                tree: F.hash(content.as_bytes()),
            },
        );
        narrow(&action)
    };
    assert_ne!(
        with_directory("1"),
        with_directory("2"),
        "names within are known by the digest alone"
    );

    let mut without = compile();
    spec(&mut without).depfile = None;
    assert_eq!(without.narrow_key(F, None).unwrap(), None);
}

#[test]
fn a_shell_sees_order_and_names_and_so_does_its_key() {
    let shell = |change: fn(&mut ActionSpec)| {
        let mut action = compile();
        let s = spec(&mut action);
        s.body = ActionBody::Shell { script: "x".into() };
        s.inputs = vec![path("a.c"), path("b.c")];
        s.outputs = vec![OutputSpec::file(path("o1")), OutputSpec::file(path("o2"))];
        change(s);
        action.inputs = s.inputs.iter().map(|p| (p.clone(), file(""))).collect();
        action
    };
    let base = shell(|_| {});
    let env = base.spec.environment();
    assert_eq!((&env["in"][..], &env["out"][..]), ("a.c b.c", "o1 o2"));
    let changes: [fn(&mut ActionSpec); 3] = [
        |s| s.inputs.reverse(),
        |s| s.outputs.reverse(),
        |s| s.outputs[0].name = Some("header".into()),
    ];
    for change in changes {
        assert_ne!(strong(&shell(change)), strong(&base));
    }
    assert_eq!(shell(changes[2]).spec.environment()["out_header"], "o1");

    let many = |s: &mut ActionSpec| {
        s.inputs = (0..4000)
            .map(|i| path(&format!("folder/of/file{i}.c")))
            .collect()
    };
    let long = shell(many);
    let list = long.spec.in_list().unwrap();
    assert!(!long.spec.environment().contains_key("in"));
    assert_eq!(list.iter().filter(|b| **b == 0).count(), 4000);
    let reversed = shell(|s| {
        s.inputs = (0..4000)
            .rev()
            .map(|i| path(&format!("folder/of/file{i}.c")))
            .collect()
    });
    assert_ne!(
        strong(&reversed),
        strong(&long),
        "the order counts when it is in a file, too"
    );
}

#[test]
fn json_arguments_are_keyed_by_value_not_by_spelling() {
    let script = |args: &str| {
        let mut action = compile();
        let args = serde_json::from_str(args).unwrap();
        spec(&mut action).body = ActionBody::Script {
            module: path("g.script.ts"),
            args,
        };
        strong(&action)
    };
    assert_eq!(
        script(r#"{"a":{"x":1,"y":2},"b":[]}"#),
        script(r#"{ "b": [], "a": {"y":2, "x":1} }"#)
    );
    assert_ne!(script("[1,2]"), script("[2,1]"));
    assert_ne!(script(r#"["1"]"#), script("[1]"));
}

#[test]
fn inputs_that_exclude_each_other_are_an_error() {
    let mut action = compile();
    action.staged.insert(path("a.c/x"), file(""));
    let message = action.strong_key(F, None).unwrap_err().to_string();
    assert_eq!(message, "`a.c` is both a file and a directory");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// Words, variables and paths that flow into one another must not be confused.
    #[test]
    fn different_specs_have_different_keys(
        (argv_a, env_a, salt_a) in parts(),
        (argv_b, env_b, salt_b) in parts(),
    ) {
        let make = |argv: &[String], env: &BTreeMap<String, String>, salt: &str| {
            let mut action = compile();
            spec(&mut action).body = ActionBody::Command { argv: argv.to_vec() };
            spec(&mut action).env = env.clone();
            action.salt = salt.to_owned();
            action
        };
        let (a, b) = (make(&argv_a, &env_a, &salt_a), make(&argv_b, &env_b, &salt_b));
        prop_assert_eq!(strong(&a) == strong(&b), a == b);
        prop_assert_eq!(narrow(&a) == narrow(&b), a == b);
        prop_assert_eq!(a.key_fields(F) == b.key_fields(F), a == b);
    }

    #[test]
    fn unkeyed_fields_never_matter(cpu in any::<u32>(), memory in any::<Option<u64>>(), (retries, codes, timeout) in any::<(u32, Vec<i32>, bool)>(), owner in ".*") {
        let mut action = compile();
        let s = spec(&mut action);
        s.resources.cpu_millis = cpu;
        s.resources.memory = memory;
        let causes = RetryCauses { codes, timeout, ..RetryCauses::default() };
        s.retries = Some(Box::new(RetryPolicy { causes, ..RetryPolicy::default().with_retries(retries) }));
        s.message = Some(owner.clone());
        s.owner = owner;
        prop_assert_eq!(strong(&action), strong(&compile()));
        prop_assert_eq!(narrow(&action), narrow(&compile()));
    }

    #[test]
    fn specs_survive_json(argv in prop::collection::vec(".*", 0..4), text in proptest::option::of(".*"), ms in any::<Option<u32>>()) {
        let mut s = ActionSpec::clone(&compile().spec);
        s.body = ActionBody::Command { argv };
        s.stdin = text.map(Stdin::Text);
        s.timeout = ms.map(|ms| Duration::from_millis(ms.into()));
        let json = serde_json::to_string(&s).unwrap();
        prop_assert_eq!(serde_json::from_str::<ActionSpec>(&json).unwrap(), s);
    }
}

fn parts() -> impl Strategy<Value = (Vec<String>, BTreeMap<String, String>, String)> {
    (
        prop::collection::vec("[ab]{0,2}", 0..3),
        prop::collection::btree_map("[ab]{1,2}", "[ab]{0,1}", 0..2),
        "[ab]{0,1}",
    )
}

//! Actions as they are declared, and fingerprints that tell whether one is still the same.
//!
//! ```text
//! lowered: deed, told
//! deed:    body, env, inputs, staged, tools, outputs, depfile, stdin, network, timeout, cache, script, work, test
//! told:    owner, mnemonic, message, resources, retries (option), isolation, worker (option)
//! retries: times, any code, codes, any signal, signals, time-out, first pause, longest pause
//! worker:  protocol, multiplex, sandbox dir
//! ```
//!
//! The *deed* decides what the action does and what comes of it; the rest says how it is called, admitted and run.

use std::time::Duration;

use serde_json::Value as Json;
use zako_action::{
    ActionBody, ActionSpec, Isolation, OutputKind, OutputSpec, Resources, RetryCauses, RetryPolicy,
    Stdin, ToolRef, WorkerProtocol, WorkerSpec,
};
use zako_path::NeutralPath;

use super::{Coded, Fingerprint, decoded, fingerprint};
use crate::fetch::Fetch;
use crate::files::{Decoder, Encoder};
use crate::target::{FileWork, Lowered};

/// Two fingerprints of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ActionFingerprint {
    /// Over what it does: equal ones do the same, given the same inputs. Leaves out owner, mnemonic, message,
    /// resources, retries and isolation, as keys of the action cache do.
    pub(crate) deed: Fingerprint,
    /// Over everything: equal ones are the same to the last word.
    pub(crate) whole: Fingerprint,
}

/// The action's encoding, and its fingerprints.
pub(crate) fn encode_lowered(action: &Lowered) -> (Vec<u8>, ActionFingerprint) {
    let mut out = Encoder::default();
    encode_deed(action, &mut out);
    let deed = fingerprint(out.as_bytes());
    encode_told(&action.spec, &mut out);
    let bytes = out.finish();
    let whole = fingerprint(&bytes);
    (bytes, ActionFingerprint { deed, whole })
}

/// The action that `bytes` are the encoding of.
pub(crate) fn decode_lowered(bytes: &[u8]) -> Option<Lowered> {
    decoded(bytes)
}

/// The action's fingerprints.
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the null path is not built on it yet")
)]
pub(crate) fn fingerprints(action: &Lowered) -> ActionFingerprint {
    encode_lowered(action).1
}

fn encode_deed(action: &Lowered, out: &mut Encoder) {
    let Lowered {
        spec,
        script,
        work,
        test,
    } = action;
    let ActionSpec {
        owner: _,
        mnemonic: _,
        message: _,
        body,
        env,
        inputs,
        staged,
        tools,
        outputs,
        depfile,
        stdin,
        resources: _,
        network,
        timeout,
        retries: _,
        isolation: _,
        cache,
        worker: _,
    } = spec;
    body.encode(out);
    env.encode(out);
    inputs.encode(out);
    staged.encode(out);
    tools.encode(out);
    outputs.encode(out);
    depfile.encode(out);
    stdin.encode(out);
    network.encode(out);
    timeout.encode(out);
    cache.encode(out);
    script.encode(out);
    work.encode(out);
    test.encode(out);
}

fn encode_told(spec: &ActionSpec, out: &mut Encoder) {
    out.text(&spec.owner);
    out.text(&spec.mnemonic);
    spec.message.encode(out);
    spec.resources.encode(out);
    spec.retries.encode(out);
    spec.isolation.encode(out);
    spec.worker.encode(out);
}

impl Coded for Lowered {
    fn encode(&self, out: &mut Encoder) {
        encode_deed(self, out);
        encode_told(&self.spec, out);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        let mut spec = ActionSpec::new("", "", ActionBody::decode(body)?);
        spec.env = Coded::decode(body)?;
        spec.inputs = Coded::decode(body)?;
        spec.staged = Coded::decode(body)?;
        spec.tools = Coded::decode(body)?;
        spec.outputs = Coded::decode(body)?;
        spec.depfile = Coded::decode(body)?;
        spec.stdin = Coded::decode(body)?;
        spec.network = Coded::decode(body)?;
        spec.timeout = Coded::decode(body)?;
        spec.cache = Coded::decode(body)?;
        let script = Coded::decode(body)?;
        let work = Coded::decode(body)?;
        let test = Coded::decode(body)?;
        spec.owner = Coded::decode(body)?;
        spec.mnemonic = Coded::decode(body)?;
        spec.message = Coded::decode(body)?;
        spec.resources = Coded::decode(body)?;
        spec.retries = Coded::decode(body)?;
        spec.isolation = Coded::decode(body)?;
        spec.worker = Coded::decode(body)?;
        Some(Lowered {
            spec,
            script,
            work,
            test,
        })
    }
}

impl Coded for ActionBody {
    fn encode(&self, out: &mut Encoder) {
        match self {
            ActionBody::Command { argv } => {
                out.u8(0);
                argv.encode(out);
            }
            ActionBody::Shell { script } => {
                out.u8(1);
                out.text(script);
            }
            ActionBody::Script { module, args } => {
                out.u8(2);
                module.encode(out);
                out.text(&args.to_string());
            }
        }
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(match body.u8()? {
            0 => ActionBody::Command {
                argv: Vec::decode(body)?,
            },
            1 => ActionBody::Shell {
                script: String::decode(body)?,
            },
            2 => ActionBody::Script {
                module: NeutralPath::decode(body)?,
                args: json(body.text()?)?,
            },
            _ => return None,
        })
    }
}

/// The JSON that `text` is, if it is written as zako writes it.
fn json(text: &str) -> Option<Json> {
    let json: Json = serde_json::from_str(text).ok()?;
    let written = json.to_string();
    (written == text).then_some(json)
}

impl Coded for ToolRef {
    fn encode(&self, out: &mut Encoder) {
        match self {
            ToolRef::Artifact(path) => {
                out.u8(0);
                path.encode(out);
            }
            ToolRef::Host(name) => {
                out.u8(1);
                out.text(name);
            }
            ToolRef::Versioned { path, version } => {
                out.u8(2);
                out.text(path);
                out.text(version);
            }
        }
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(match body.u8()? {
            2 => ToolRef::Versioned {
                path: String::decode(body)?,
                version: String::decode(body)?,
            },
            0 => ToolRef::Artifact(NeutralPath::decode(body)?),
            1 => ToolRef::Host(String::decode(body)?),
            _ => return None,
        })
    }
}

impl Coded for OutputSpec {
    fn encode(&self, out: &mut Encoder) {
        let OutputSpec { path, kind, name } = self;
        path.encode(out);
        out.u8(match kind {
            OutputKind::File => 0,
            OutputKind::Directory => 1,
        });
        name.encode(out);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(OutputSpec {
            path: NeutralPath::decode(body)?,
            kind: match body.u8()? {
                0 => OutputKind::File,
                1 => OutputKind::Directory,
                _ => return None,
            },
            name: Option::decode(body)?,
        })
    }
}

impl Coded for Stdin {
    fn encode(&self, out: &mut Encoder) {
        match self {
            Stdin::File(path) => {
                out.u8(0);
                path.encode(out);
            }
            Stdin::Text(text) => {
                out.u8(1);
                out.text(text);
            }
        }
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(match body.u8()? {
            0 => Stdin::File(NeutralPath::decode(body)?),
            1 => Stdin::Text(String::decode(body)?),
            _ => return None,
        })
    }
}

impl Coded for Resources {
    fn encode(&self, out: &mut Encoder) {
        let Resources {
            cpu_millis,
            memory,
            network_slots,
            named,
        } = self;
        out.u32(*cpu_millis);
        memory.encode(out);
        out.u32(*network_slots);
        named.encode(out);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(Resources {
            cpu_millis: body.u32()?,
            memory: Option::decode(body)?,
            network_slots: body.u32()?,
            named: Coded::decode(body)?,
        })
    }
}

impl Coded for Isolation {
    fn encode(&self, out: &mut Encoder) {
        out.u8(match self {
            Isolation::None => 0,
            Isolation::Basic => 1,
            Isolation::Enhanced => 2,
            Isolation::Maximum => 3,
        });
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(match body.u8()? {
            0 => Isolation::None,
            1 => Isolation::Basic,
            2 => Isolation::Enhanced,
            3 => Isolation::Maximum,
            _ => return None,
        })
    }
}

impl Coded for Box<RetryPolicy> {
    fn encode(&self, out: &mut Encoder) {
        let RetryPolicy {
            retries,
            causes,
            first_pause,
            longest_pause,
        } = &**self;
        let RetryCauses {
            any_code,
            codes,
            any_signal,
            signals,
            timeout,
        } = causes;
        out.u32(*retries);
        any_code.encode(out);
        codes.encode(out);
        any_signal.encode(out);
        signals.encode(out);
        timeout.encode(out);
        first_pause.encode(out);
        longest_pause.encode(out);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        let retries = body.u32()?;
        let causes = RetryCauses {
            any_code: bool::decode(body)?,
            codes: Vec::decode(body)?,
            any_signal: bool::decode(body)?,
            signals: Vec::decode(body)?,
            timeout: bool::decode(body)?,
        };
        Some(Box::new(RetryPolicy {
            retries,
            causes,
            first_pause: Duration::decode(body)?,
            longest_pause: Duration::decode(body)?,
        }))
    }
}

/// Exit codes and signals, by their bits.
impl Coded for i32 {
    fn encode(&self, out: &mut Encoder) {
        out.u32(self.cast_unsigned());
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        body.u32().map(u32::cast_signed)
    }
}

impl Coded for WorkerSpec {
    fn encode(&self, out: &mut Encoder) {
        let WorkerSpec {
            protocol,
            multiplex,
            sandbox_dir,
        } = self;
        out.u8(match protocol {
            WorkerProtocol::Json => 0,
        });
        multiplex.encode(out);
        sandbox_dir.encode(out);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        let protocol = match body.u8()? {
            0 => WorkerProtocol::Json,
            _ => return None,
        };
        Some(WorkerSpec {
            protocol,
            multiplex: bool::decode(body)?,
            sandbox_dir: bool::decode(body)?,
        })
    }
}

impl Coded for FileWork {
    fn encode(&self, out: &mut Encoder) {
        match self {
            FileWork::Write { text, executable } => {
                out.u8(0);
                out.text(text);
                executable.encode(out);
            }
            FileWork::Copy { from } => {
                out.u8(1);
                from.encode(out);
            }
            FileWork::Symlink { to } => {
                out.u8(2);
                to.encode(out);
            }
            FileWork::Tree { entries } => {
                out.u8(3);
                entries.encode(out);
            }
            FileWork::Fetch(Fetch {
                url,
                integrity,
                strip,
                executable,
            }) => {
                out.u8(4);
                out.text(url);
                integrity.encode(out);
                strip.encode(out);
                executable.encode(out);
            }
        }
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(match body.u8()? {
            0 => FileWork::Write {
                text: String::decode(body)?,
                executable: bool::decode(body)?,
            },
            1 => FileWork::Copy {
                from: NeutralPath::decode(body)?,
            },
            2 => FileWork::Symlink {
                to: NeutralPath::decode(body)?,
            },
            3 => FileWork::Tree {
                entries: Vec::decode(body)?,
            },
            4 => FileWork::Fetch(Fetch {
                url: String::decode(body)?,
                integrity: Option::decode(body)?,
                strip: Option::decode(body)?,
                executable: bool::decode(body)?,
            }),
            _ => return None,
        })
    }
}

impl Coded for Duration {
    fn encode(&self, out: &mut Encoder) {
        out.u64(self.as_secs());
        out.u32(self.subsec_nanos());
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        let (seconds, nanos) = (body.u64()?, body.u32()?);
        (nanos < 1_000_000_000).then(|| Duration::new(seconds, nanos))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::encoded;
    use super::super::tests::{is_total, survives};
    use super::*;
    use std::sync::Arc;

    use proptest::collection::{btree_map, vec};
    use proptest::option;
    use proptest::prelude::*;

    fn paths() -> impl Strategy<Value = NeutralPath> {
        "[a-z]{1,3}(/[a-z]{1,3}){0,2}".prop_map(|path| NeutralPath::new(path).expect("a path"))
    }

    fn works() -> impl Strategy<Value = FileWork> {
        prop_oneof![
            ("[a-z ]{0,4}", any::<bool>())
                .prop_map(|(text, executable)| FileWork::Write { text, executable }),
            paths().prop_map(|from| FileWork::Copy { from }),
            paths().prop_map(|to| FileWork::Symlink { to }),
            vec((paths(), paths()), 0..3).prop_map(|entries| FileWork::Tree { entries }),
            (
                "[a-z:/]{0,6}",
                option::of("[a-z0-9-]{0,6}"),
                any::<Option<u32>>(),
                any::<bool>()
            )
                .prop_map(|(url, integrity, strip, executable)| FileWork::Fetch(
                    Fetch {
                        url,
                        integrity,
                        strip,
                        executable,
                    }
                )),
        ]
    }

    fn policies() -> impl Strategy<Value = Box<RetryPolicy>> {
        let causes = any::<(bool, Vec<i32>, bool, Vec<i32>, bool)>();
        let causes =
            causes.prop_map(
                |(any_code, codes, any_signal, signals, timeout)| RetryCauses {
                    any_code,
                    codes,
                    any_signal,
                    signals,
                    timeout,
                },
            );
        let pauses = any::<(Duration, Duration)>();
        (any::<u32>(), causes, pauses).prop_map(
            |(retries, causes, (first_pause, longest_pause))| {
                Box::new(RetryPolicy {
                    retries,
                    causes,
                    first_pause,
                    longest_pause,
                })
            },
        )
    }

    pub(crate) fn actions() -> impl Strategy<Value = Lowered> {
        let text = "[a-z $\"]{0,6}";
        let body = prop_oneof![
            vec(text, 0..4).prop_map(|argv| ActionBody::Command { argv }),
            text.prop_map(|script| ActionBody::Shell { script }),
            (paths(), any::<Option<u32>>()).prop_map(|(module, arg)| ActionBody::Script {
                module,
                args: serde_json::json!(arg)
            }),
        ];
        let tools = prop_oneof![
            paths().prop_map(ToolRef::Artifact),
            text.prop_map(ToolRef::Host),
            (text, text).prop_map(|(path, version)| ToolRef::Versioned { path, version })
        ];
        let outputs =
            (paths(), any::<bool>(), option::of(text)).prop_map(|(path, folder, name)| {
                OutputSpec {
                    path,
                    kind: if folder {
                        OutputKind::Directory
                    } else {
                        OutputKind::File
                    },
                    name,
                }
            });
        let stdin = prop_oneof![paths().prop_map(Stdin::File), text.prop_map(Stdin::Text)];
        let resources = (
            any::<u32>(),
            any::<Option<u64>>(),
            any::<u32>(),
            btree_map(text, any::<u32>(), 0..3),
        )
            .prop_map(|(cpu_millis, memory, network_slots, named)| Resources {
                cpu_millis,
                memory,
                network_slots,
                named,
            });
        let isolation = prop::sample::select(vec![
            Isolation::None,
            Isolation::Basic,
            Isolation::Enhanced,
            Isolation::Maximum,
        ]);
        let told = (
            (text, text, option::of(text)),
            resources,
            option::of(policies()),
            (option::of(isolation), option::of(any::<(bool, bool)>())),
        );
        let files = (
            vec(paths(), 0..3),
            vec(paths(), 0..3),
            vec(tools, 0..3),
            vec(outputs, 0..3),
            option::of(paths()),
            option::of(stdin),
        );
        let flags = (any::<bool>(), any::<bool>(), any::<bool>());
        let rest = (
            btree_map(text, text, 0..3),
            any::<Option<Duration>>(),
            option::of(paths()),
            option::of(works()),
        );
        (body, told, files, flags, rest).prop_map(
            |(
                body,
                ((owner, mnemonic, message), resources, retries, (isolation, worker)),
                (inputs, staged, tools, outputs, depfile, stdin),
                (network, cache, test),
                (env, timeout, script, work),
            )| Lowered {
                spec: ActionSpec {
                    owner,
                    mnemonic,
                    message,
                    body,
                    env,
                    inputs,
                    staged,
                    tools,
                    outputs,
                    depfile,
                    stdin,
                    resources,
                    network,
                    timeout,
                    retries,
                    isolation,
                    cache,
                    worker: worker.map(|(multiplex, sandbox_dir)| WorkerSpec {
                        protocol: WorkerProtocol::Json,
                        multiplex,
                        sandbox_dir,
                    }),
                },
                script,
                work: work.map(Arc::new),
                test,
            },
        )
    }

    proptest! {
        #[test]
        fn actions_survive(action in actions()) {
            survives(&action);
            prop_assert_eq!(decode_lowered(&encode_lowered(&action).0), Some(action));
        }

        #[test]
        fn any_bytes_are_an_action_or_none(bytes in vec(0_u8..4, 0..128)) {
            is_total::<Lowered>(&bytes);
        }
    }

    fn example() -> Lowered {
        let path = |text: &str| NeutralPath::new(text).expect("a path");
        let mut spec = ActionSpec::new(
            "//a:b",
            "cc",
            ActionBody::Command {
                argv: vec!["cc".into(), "x.c".into()],
            },
        );
        spec.message = Some("m".into());
        spec.env.insert("K".into(), "V".into());
        spec.inputs = vec![path("x.c")];
        spec.staged = vec![path("x.h")];
        spec.tools = vec![ToolRef::Host("cc".into())];
        spec.outputs = vec![OutputSpec {
            name: Some("o".into()),
            ..OutputSpec::file(path("x.o"))
        }];
        spec.depfile = Some(path("x.d"));
        spec.stdin = Some(Stdin::Text("s".into()));
        spec.resources.memory = Some(9);
        spec.resources.named.insert("gpu".into(), 1);
        spec.timeout = Some(Duration::from_millis(1500));
        spec.retries = Some(Box::new(RetryPolicy {
            causes: RetryCauses {
                codes: vec![75],
                signals: vec![11],
                ..RetryCauses::default()
            },
            ..RetryPolicy::default().with_retries(2)
        }));
        spec.worker = Some(WorkerSpec {
            multiplex: true,
            ..WorkerSpec::new(WorkerProtocol::Json)
        });
        spec.isolation = Some(Isolation::Basic);
        Lowered {
            spec,
            script: None,
            work: Some(Arc::new(FileWork::Write {
                text: "w".into(),
                executable: true,
            })),
            test: true,
        }
    }

    #[test]
    fn the_encoding_is_a_contract() {
        let action = example();
        let golden = concat!(
            "0002000000020000006363",
            "03000000782e63",
            "01000000010000004b0100000056",
            "0100000003000000782e63",
            "0100000003000000782e68",
            "0100000001020000006363",
            "0100000003000000782e6f0001010000006f",
            "0103000000782e64",
            "01010100000073",
            "00",
            "0101000000000000000065cd1d",
            "01",
            "00",
            "01000100000077",
            "01",
            "01",
            "050000002f2f613a62",
            "020000006363",
            "01010000006d",
            "e8030000010900000000000000000000000100000003000000677075",
            "01000000",
            "010200000000010000004b00000000010000000b00000000",
            "000000000000000000e1f505",
            "0a0000000000000000000000",
            "0101",
            "01000100",
        );
        let (bytes, prints) = encode_lowered(&action);
        assert_eq!(
            hex::encode(&bytes),
            golden,
            "raise CODEC_VERSION with any change"
        );
        assert_eq!(encoded(&action), bytes);
        assert_eq!(prints.whole, fingerprint(&bytes));
        assert_eq!(hex::encode(prints.whole).len(), 32);
    }

    /// One change of an action, and whether it changes what the action does.
    type Change = (fn(&mut Lowered), bool);

    #[test]
    fn each_field_is_in_its_fingerprint() {
        let path = || NeutralPath::new("other").expect("a path");
        let base = example();
        let changes: [Change; 21] = [
            (|a| a.spec.owner.push('x'), false),
            (|a| a.spec.mnemonic.push('x'), false),
            (|a| a.spec.message = None, false),
            (|a| a.spec.resources.cpu_millis += 1, false),
            (|a| a.spec.retries = None, false),
            (|a| a.spec.isolation = None, false),
            (|a| a.spec.body = ActionBody::Command { argv: vec![] }, true),
            (|a| a.spec.env.clear(), true),
            (|a| a.spec.inputs.clear(), true),
            (|a| a.spec.staged.clear(), true),
            (|a| a.spec.tools.clear(), true),
            (|a| a.spec.outputs.clear(), true),
            (|a| a.spec.depfile = None, true),
            (|a| a.spec.stdin = None, true),
            (|a| a.spec.network = true, true),
            (|a| a.spec.timeout = None, true),
            (|a| a.spec.cache = false, true),
            (|a| a.script = Some(NeutralPath::root()), true),
            (|a| a.work = None, true),
            (|a| a.spec.worker = None, false),
            (|a| a.test = false, true),
        ];
        for (at, (change, is_deed)) in changes.into_iter().enumerate() {
            let mut other = base.clone();
            change(&mut other);
            let (old, new) = (fingerprints(&base), fingerprints(&other));
            assert_ne!(old.whole, new.whole, "change {at}");
            assert_eq!(old.deed != new.deed, is_deed, "change {at}");
        }
        let mut moved = base.clone();
        moved.spec.staged.push(path());
        assert_ne!(fingerprints(&base).deed, fingerprints(&moved).deed);
    }
}

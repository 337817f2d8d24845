//! Why an action ran, or would run.
//!
//! ```text
//! 0 never before | 1 declared otherwise: count (u32), each difference (text) | 2 read: path (text), change (u8)
//! 3 tool: name (text) | 4 output: path (text), change (u8) | 5 not cached | 6 its result is gone
//! change   0 appeared | 1 changed | 2 disappeared
//! ```

use serde::Serialize;

use crate::files::{Decoder, Encoder};

/// How many differences of a declaration are kept.
const MAX_DIFFERENCES: usize = 20;

/// How something that an action has to do with is not as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It is there now.
    Appeared,
    /// It is another.
    Changed,
    /// It is gone.
    Disappeared,
}

/// Why an action ran, or would run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "cause", rename_all = "kebab-case")]
pub enum Cause {
    /// It has no result from any earlier build in this workspace.
    First,
    /// It is declared otherwise than when it last ran.
    Declared {
        /// Each difference, as `argument 3: -O1 → -O2`.
        differences: Vec<String>,
    },
    /// Something that it reads is not as it was.
    Read {
        /// Its path: relative to the workspace's root, absolute for a file of the machine.
        path: String,
        /// How.
        change: Change,
    },
    /// A program of the machine that it uses is another one.
    Tool {
        /// As the action names it.
        name: String,
    },
    /// What it wrote is not as it left it.
    Output {
        /// Its path, relative to the workspace's root.
        path: String,
        /// How.
        change: Change,
    },
    /// It runs each time, because it asks for that (`cache: false`).
    Uncached,
    /// What it made is in the store no more.
    ResultGone,
}

impl Cause {
    pub(super) fn encode(&self, out: &mut Encoder) {
        match self {
            Cause::First => out.u8(0),
            Cause::Declared { differences } => {
                out.u8(1);
                let kept = &differences[..differences.len().min(MAX_DIFFERENCES)];
                out.u32(u32::try_from(kept.len()).unwrap_or(u32::MAX));
                kept.iter().for_each(|difference| out.text(difference));
            }
            Cause::Read { path, change } => {
                out.u8(2);
                out.text(path);
                out.u8(*change as u8);
            }
            Cause::Tool { name } => {
                out.u8(3);
                out.text(name);
            }
            Cause::Output { path, change } => {
                out.u8(4);
                out.text(path);
                out.u8(*change as u8);
            }
            Cause::Uncached => out.u8(5),
            Cause::ResultGone => out.u8(6),
        }
    }

    pub(super) fn decode(body: &mut Decoder<'_>) -> Option<Cause> {
        let change = |byte: u8| match byte {
            0 => Some(Change::Appeared),
            1 => Some(Change::Changed),
            2 => Some(Change::Disappeared),
            _ => None,
        };
        Some(match body.u8()? {
            0 => Cause::First,
            1 => {
                let count = body.u32()?;
                let mut differences = Vec::new();
                for _ in 0..count {
                    differences.push(body.text()?.to_owned());
                }
                Cause::Declared { differences }
            }
            2 => Cause::Read {
                path: body.text()?.to_owned(),
                change: change(body.u8()?)?,
            },
            3 => Cause::Tool {
                name: body.text()?.to_owned(),
            },
            4 => Cause::Output {
                path: body.text()?.to_owned(),
                change: change(body.u8()?)?,
            },
            5 => Cause::Uncached,
            6 => Cause::ResultGone,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_a_contract() {
        let read = |change| Cause::Read {
            path: "a".to_owned(),
            change,
        };
        let golden = [
            (Cause::First, "00"),
            (
                Cause::Declared {
                    differences: vec!["x".to_owned()],
                },
                "01010000000100000078",
            ),
            (read(Change::Appeared), "02010000006100"),
            (read(Change::Changed), "02010000006101"),
            (read(Change::Disappeared), "02010000006102"),
            (
                Cause::Tool {
                    name: "cc".to_owned(),
                },
                "03020000006363",
            ),
            (
                Cause::Output {
                    path: "o".to_owned(),
                    change: Change::Disappeared,
                },
                "04010000006f02",
            ),
            (Cause::Uncached, "05"),
            (Cause::ResultGone, "06"),
        ];
        for (cause, golden) in golden {
            let mut out = Encoder::default();
            cause.encode(&mut out);
            let bytes = out.finish();
            assert_eq!(
                hex::encode(&bytes),
                golden,
                "raise the ledger's format with any change"
            );
            assert_eq!(Cause::decode(&mut Decoder::new(&bytes)), Some(cause));
        }
        assert_eq!(Cause::decode(&mut Decoder::new(&[7])), None);
    }
}

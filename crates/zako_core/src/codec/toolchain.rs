//! Toolchains, and what was asked of programs to find them.
//!
//! ```text
//! question:   the program and its arguments, the files that the answer depends on
//! answer:     the exit code (u32, its bits), standard output, standard error
//! toolchain:  the export, what must hold for it to serve (list of option, value, whether that is its default), then 0 and what is lacking, or 1 and what was found (wire text)
//! ```

use super::Coded;
use crate::evaluate::{Answer, Need, Question, Toolchain};
use crate::files::{Decoder, Encoder};

impl Coded for Question {
    fn encode(&self, out: &mut Encoder) {
        let Question { argv, reads } = self;
        argv.encode(out);
        reads.encode(out);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(Question {
            argv: Vec::decode(body)?,
            reads: Vec::decode(body)?,
        })
    }
}

impl Coded for Answer {
    fn encode(&self, out: &mut Encoder) {
        let Answer {
            status,
            stdout,
            stderr,
        } = self;
        out.u32(status.cast_unsigned());
        out.text(stdout);
        out.text(stderr);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(Answer {
            status: body.u32()?.cast_signed(),
            stdout: String::decode(body)?,
            stderr: String::decode(body)?,
        })
    }
}

impl Coded for Need {
    fn encode(&self, out: &mut Encoder) {
        let Need {
            option,
            value,
            is_default,
        } = self;
        out.text(option);
        out.text(value);
        is_default.encode(out);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(Need {
            option: String::decode(body)?,
            value: String::decode(body)?,
            is_default: bool::decode(body)?,
        })
    }
}

impl Coded for Toolchain {
    fn encode(&self, out: &mut Encoder) {
        let Toolchain {
            name,
            target,
            found,
        } = self;
        out.text(name);
        target.encode(out);
        found.encode(out);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(Toolchain {
            name: String::decode(body)?,
            target: Vec::decode(body)?,
            found: Result::decode(body)?,
        })
    }
}

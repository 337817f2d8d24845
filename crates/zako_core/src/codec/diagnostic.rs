//! Places, and what is told with them. The text of a place's file is never kept: it is read when it is told.

use zako_script::Place;

use super::Coded;
use crate::diagnostic::{Diagnostic, Fault, Location, Severity};
use crate::files::{Decoder, Encoder};

impl Coded for Place {
    fn encode(&self, out: &mut Encoder) {
        let Place {
            file,
            line,
            column,
            length,
        } = self;
        out.text(file);
        out.u32(*line);
        out.u32(*column);
        out.u32(*length);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(Place {
            file: String::decode(body)?,
            line: body.u32()?,
            column: body.u32()?,
            length: body.u32()?,
        })
    }
}

/// As a [`Place`].
impl Coded for Location {
    fn encode(&self, out: &mut Encoder) {
        let Location {
            file,
            line,
            column,
            length,
            source: _,
        } = self;
        out.text(file);
        out.u32(*line);
        out.u32(*column);
        out.u32(*length);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Place::decode(body).map(|place| Location::new(&place, None))
    }
}

impl Coded for Severity {
    fn encode(&self, out: &mut Encoder) {
        out.u8(match self {
            Severity::Debug => 0,
            Severity::Info => 1,
            Severity::Warning => 2,
            Severity::Error => 3,
        });
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(match body.u8()? {
            0 => Severity::Debug,
            1 => Severity::Info,
            2 => Severity::Warning,
            3 => Severity::Error,
            _ => return None,
        })
    }
}

impl Coded for Fault {
    fn encode(&self, out: &mut Encoder) {
        out.u8(match self {
            Fault::Build => 0,
            Fault::User => 1,
            Fault::Environment => 2,
            Fault::Bug => 3,
            Fault::Interrupted => 4,
        });
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(match body.u8()? {
            0 => Fault::Build,
            1 => Fault::User,
            2 => Fault::Environment,
            3 => Fault::Bug,
            4 => Fault::Interrupted,
            _ => return None,
        })
    }
}

impl Coded for Diagnostic {
    fn encode(&self, out: &mut Encoder) {
        let Diagnostic {
            severity,
            fault,
            message,
            location,
            trace,
            help,
            output,
        } = self;
        severity.encode(out);
        fault.encode(out);
        out.text(message);
        location.encode(out);
        trace.encode(out);
        help.encode(out);
        output.encode(out);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(Diagnostic {
            severity: Severity::decode(body)?,
            fault: Fault::decode(body)?,
            message: String::decode(body)?,
            location: Option::decode(body)?,
            trace: Vec::decode(body)?,
            help: Option::decode(body)?,
            output: Option::decode(body)?,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::encoded;
    use super::super::tests::{is_total, survives};
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn places() -> impl Strategy<Value = Place> {
        ("[a-z/.]{0,6}", any::<u32>(), 0..100_u32, 0..9_u32).prop_map(
            |(file, line, column, length)| Place {
                file,
                line,
                column,
                length,
            },
        )
    }

    pub(crate) fn diagnostics() -> impl Strategy<Value = Diagnostic> {
        let severities = prop::sample::select(vec![
            Severity::Debug,
            Severity::Info,
            Severity::Warning,
            Severity::Error,
        ]);
        let faults = prop::sample::select(vec![
            Fault::Build,
            Fault::User,
            Fault::Environment,
            Fault::Bug,
            Fault::Interrupted,
        ]);
        (
            severities,
            faults,
            any::<String>(),
            prop::option::of(places()),
            prop::collection::vec(any::<String>(), 0..3),
            any::<Option<String>>(),
            any::<Option<String>>(),
        )
            .prop_map(|(severity, fault, message, place, trace, help, output)| {
                Diagnostic {
                    severity,
                    fault,
                    message,
                    location: place.map(|place| Location::new(&place, None)),
                    trace,
                    help,
                    output,
                }
            })
    }

    proptest! {
        #[test]
        fn diagnostics_survive(diagnostic in diagnostics()) {
            survives(&diagnostic);
        }

        #[test]
        fn any_bytes_are_a_diagnostic_or_none(bytes in prop::collection::vec(0_u8..5, 0..64)) {
            is_total::<Diagnostic>(&bytes);
        }
    }

    #[test]
    fn the_encoding_is_a_contract() {
        let place = Place {
            file: "a".into(),
            line: 2,
            column: 3,
            length: 4,
        };
        let mut diagnostic = Diagnostic::user("m")
            .at(Location::new(
                &place,
                Some("a text that is not kept".into()),
            ))
            .with_help("h")
            .with_trace("t");
        diagnostic.severity = Severity::Warning;
        let golden = concat!(
            "0201",
            "010000006d",
            "01",
            "0100000061020000000300000004000000",
            "010000000100000074",
            "010100000068",
            "00",
        );
        assert_eq!(
            hex::encode(encoded(&diagnostic)),
            golden,
            "raise CODEC_VERSION with any change"
        );
    }
}

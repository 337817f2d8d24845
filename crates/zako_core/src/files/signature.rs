//! What the file system says of a file without its content being read: equal signatures, equal content.
//!
//! Two edits within one tick of the file system's clock can leave the same times; [`Signature::is_settled`] tells
//! when that can no longer happen.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::state_file::{Decoder, Encoder};

/// How much older than the moment of its hashing a file's times must be, where the file system keeps fractions of
/// seconds. The kernel's clock for them ticks at least every 10 ms.
const FINE_MARGIN: Duration = Duration::from_millis(20);

/// The same where times are whole seconds (or, on FAT, two).
const COARSE_MARGIN: Duration = Duration::from_secs(3);

/// Whether a path is a source or what an action writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    /// Written by people: every change counts, ctime included.
    Source,
    /// Written by zako: its ctime moves when blobs are linked.
    Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Time {
    seconds: i64,
    nanos: u32,
}

impl Time {
    fn is_before(self, moment: SystemTime) -> bool {
        let margin = if self.nanos == 0 {
            COARSE_MARGIN
        } else {
            FINE_MARGIN
        };
        let Some(limit) = moment
            .checked_sub(margin)
            .and_then(|m| m.duration_since(UNIX_EPOCH).ok())
        else {
            return false;
        };
        let limit = (
            i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            limit.subsec_nanos(),
        );
        (self.seconds, self.nanos) < limit
    }

    fn encode(self, out: &mut Encoder) {
        out.i64(self.seconds);
        out.u32(self.nanos);
    }

    fn decode(body: &mut Decoder<'_>) -> Option<Time> {
        Some(Time {
            seconds: body.i64()?,
            nanos: body.u32()?,
        })
    }
}

/// The signature of a file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signature {
    /// Kind and permissions, as the system has them.
    mode: u32,
    size: u64,
    modified: Time,
    /// Zero for outputs.
    changed: Time,
    inode: u64,
    device: u64,
}

impl Signature {
    /// The signature that `metadata` says.
    pub(crate) fn of(metadata: &Metadata, role: Role) -> Self {
        let time = |seconds, nanos: i64| Time {
            seconds,
            nanos: u32::try_from(nanos).unwrap_or(0),
        };
        Signature {
            mode: metadata.mode(),
            size: metadata.len(),
            modified: time(metadata.mtime(), metadata.mtime_nsec()),
            changed: match role {
                Role::Source => time(metadata.ctime(), metadata.ctime_nsec()),
                Role::Output => Time::default(),
            },
            inode: metadata.ino(),
            device: metadata.dev(),
        }
    }

    /// Whether a later edit is bound to give another signature, when the content was read at `moment`.
    pub(crate) fn is_settled(&self, moment: SystemTime) -> bool {
        self.modified.is_before(moment)
            && (self.changed == Time::default() || self.changed.is_before(moment))
    }

    /// Whether it has the owner's executable bit.
    pub(crate) fn is_executable(&self) -> bool {
        self.mode & 0o100 != 0
    }

    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.u32(self.mode);
        out.u64(self.size);
        self.modified.encode(out);
        self.changed.encode(out);
        out.u64(self.inode);
        out.u64(self.device);
    }

    pub(crate) fn decode(body: &mut Decoder<'_>) -> Option<Self> {
        Some(Signature {
            mode: body.u32()?,
            size: body.u64()?,
            modified: Time::decode(body)?,
            changed: Time::decode(body)?,
            inode: body.u64()?,
            device: body.u64()?,
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn at(nanos: u32) -> Signature {
        let time = Time {
            seconds: 1000,
            nanos,
        };
        Signature {
            mode: 0o100_644,
            size: 1,
            modified: time,
            changed: time,
            inode: 1,
            device: 1,
        }
    }

    #[test]
    fn a_file_hashed_in_the_tick_of_its_edit_is_not_settled() {
        let moment = |millis| UNIX_EPOCH + Duration::from_millis(millis);
        assert!(!at(5).is_settled(moment(1_000_000)));
        assert!(!at(5).is_settled(moment(1_000_019)));
        assert!(at(5).is_settled(moment(1_000_021)));
        assert!(
            !at(0).is_settled(moment(1_001_000)),
            "whole seconds need more"
        );
        assert!(at(0).is_settled(moment(1_004_000)));
        assert!(!at(5).is_settled(moment(900_000)), "from the future");
        let later = Signature {
            changed: Time {
                seconds: 2000,
                nanos: 1,
            },
            ..at(5)
        };
        assert!(!later.is_settled(moment(1_500_000)), "ctime counts");
    }

    #[test]
    fn signatures_survive_encoding() {
        let mut out = Encoder::default();
        at(7).encode(&mut out);
        let body = out.finish();
        let time = "e80300000000000007000000";
        let golden = [
            "a4810000",
            "0100000000000000",
            time,
            time,
            "0100000000000000",
            "0100000000000000",
        ];
        assert_eq!(
            hex::encode(&body),
            golden.concat(),
            "raise the format's version with any change"
        );
        assert_eq!(Signature::decode(&mut Decoder::new(&body)).unwrap(), at(7));
    }

    #[test]
    fn outputs_have_no_ctime() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let metadata = file.as_file().metadata().unwrap();
        assert_eq!(
            Signature::of(&metadata, Role::Output).changed,
            Time::default()
        );
        assert_ne!(
            Signature::of(&metadata, Role::Source).changed,
            Time::default()
        );
    }
}

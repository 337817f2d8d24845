//! What the file system says of a file without its content being read: equal signatures, equal content.
//!
//! Two edits within one tick of the file system's clock can leave the same times; [`Signature::is_settled`] tells
//! when that can no longer happen.

use std::fs::Metadata;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::encoding::{Decoder, Encoder};
use crate::system::Facts;

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

    fn decode(body: &mut Decoder<'_>) -> Option<Time> {
        Some(Time {
            seconds: body.i64()?,
            nanos: body.u32()?,
        })
    }
}

/// How finely a file system tells times.
///
/// Linux gives a file whose times were asked for a fresh time of nanoseconds at its next change, since 6.13 and on ext4,
/// btrfs, xfs and tmpfs ("multigrain timestamps", Documentation/filesystems/multigrain-ts.rst). A signature that was read
/// before the content is then settled at once.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Clock {
    /// The device on which that is so.
    fine: Option<u64>,
}

impl Clock {
    /// The clock of the file system that `folder` is on.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn of(_folder: &Path) -> Clock {
        Clock::default()
    }

    /// The clock of the file system that `folder` is on.
    #[cfg(target_os = "linux")]
    pub(crate) fn of(folder: &Path) -> Clock {
        const EXT4: u64 = 0xEF53;
        const BTRFS: u64 = 0x9123_683E;
        const XFS: u64 = 0x5846_5342;
        const TMPFS: u64 = 0x0102_1994;
        let release = rustix::system::uname();
        let is_new = version_of(&release.release().to_string_lossy()) >= (6, 13);
        let magic = rustix::fs::statfs(folder).map(|found| found.f_type as u64);
        let is_known = magic.is_ok_and(|magic| [EXT4, BTRFS, XFS, TMPFS].contains(&magic));
        if !is_new || !is_known {
            return Clock::default();
        }
        Clock {
            fine: std::fs::metadata(folder)
                .ok()
                .map(|found| Facts::of(&found).device),
        }
    }

    fn is_fine_on(self, device: u64) -> bool {
        self.fine == Some(device)
    }
}

/// The first two numbers of a kernel's release.
#[cfg(any(test, target_os = "linux"))]
fn version_of(release: &str) -> (u32, u32) {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// How many bytes a signature has on disk.
pub(crate) const SIGNATURE_BYTES: usize = 52;

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
        let facts = Facts::of(metadata);
        let time = |(seconds, nanos): (i64, i64)| Time {
            seconds,
            nanos: u32::try_from(nanos).unwrap_or(0),
        };
        Signature {
            mode: facts.mode,
            size: metadata.len(),
            modified: time(facts.modified),
            changed: match role {
                Role::Source => time(facts.changed),
                Role::Output => Time::default(),
            },
            inode: facts.inode,
            device: facts.device,
        }
    }

    /// The signature that a system call gave.
    #[cfg(unix)]
    #[expect(
        clippy::allow_attributes,
        reason = "whether a cast is needed depends on the system"
    )]
    #[allow(
        clippy::unnecessary_cast,
        clippy::cast_sign_loss,
        trivial_numeric_casts,
        reason = "on macOS the fields have other widths and signs"
    )]
    pub(crate) fn of_stat(stat: &rustix::fs::Stat, role: Role) -> Self {
        let time = |seconds: i64, nanos: i64| Time {
            seconds,
            nanos: u32::try_from(nanos).unwrap_or(0),
        };
        Signature {
            mode: stat.st_mode as u32,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: time(stat.st_mtime, stat.st_mtime_nsec as i64),
            changed: match role {
                Role::Source => time(stat.st_ctime, stat.st_ctime_nsec as i64),
                Role::Output => Time::default(),
            },
            inode: stat.st_ino,
            device: stat.st_dev as u64,
        }
    }

    /// As [`encode`](Self::encode) writes it.
    pub(crate) fn to_bytes(self) -> [u8; SIGNATURE_BYTES] {
        let mut bytes = [0; SIGNATURE_BYTES];
        let mut at = 0;
        let mut put = |part: &[u8]| {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        };
        put(&self.mode.to_le_bytes());
        put(&self.size.to_le_bytes());
        for time in [self.modified, self.changed] {
            put(&time.seconds.to_le_bytes());
            put(&time.nanos.to_le_bytes());
        }
        put(&self.inode.to_le_bytes());
        put(&self.device.to_le_bytes());
        bytes
    }

    /// Whether a later edit is bound to give another signature, when the content was read at `moment`, after the signature.
    pub(crate) fn is_settled(&self, moment: SystemTime, clock: Clock) -> bool {
        if clock.is_fine_on(self.device) {
            return true;
        }
        self.modified.is_before(moment)
            && (self.changed == Time::default() || self.changed.is_before(moment))
    }

    /// The size in bytes.
    #[cfg_attr(windows, expect(dead_code, reason = "for the quick second look"))]
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Whether it has the owner's executable bit.
    pub(crate) fn is_executable(&self) -> bool {
        self.mode & 0o100 != 0
    }

    pub(crate) fn encode(&self, out: &mut Encoder) {
        out.raw(&self.to_bytes());
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
        assert!(!at(5).is_settled(moment(1_000_000), Clock::default()));
        assert!(!at(5).is_settled(moment(1_000_019), Clock::default()));
        assert!(at(5).is_settled(moment(1_000_021), Clock::default()));
        assert!(
            !at(0).is_settled(moment(1_001_000), Clock::default()),
            "whole seconds need more"
        );
        assert!(at(0).is_settled(moment(1_004_000), Clock::default()));
        assert!(
            !at(5).is_settled(moment(900_000), Clock::default()),
            "from the future"
        );
        let later = Signature {
            changed: Time {
                seconds: 2000,
                nanos: 1,
            },
            ..at(5)
        };
        assert!(
            !later.is_settled(moment(1_500_000), Clock::default()),
            "ctime counts"
        );
    }

    #[test]
    fn on_a_fine_clock_every_signature_is_settled() {
        let clock = Clock { fine: Some(1) };
        let moment = UNIX_EPOCH + Duration::from_secs(1000);
        assert!(at(5).is_settled(moment, clock));
        let elsewhere = Signature { device: 2, ..at(5) };
        assert!(!elsewhere.is_settled(moment, clock));
        let releases = ["6.13.0-rc1", "6.18", "7.0.1-generic", "6.1.0-28-amd64", "x"];
        let new: Vec<bool> = releases.iter().map(|r| version_of(r) >= (6, 13)).collect();
        assert_eq!(new, [true, true, true, false, false]);
    }

    #[cfg(unix)]
    #[test]
    fn both_ways_of_asking_give_one_signature() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for role in [Role::Source, Role::Output] {
            let metadata = file.as_file().metadata().unwrap();
            let stat = rustix::fs::fstat(file.as_file()).unwrap();
            assert_eq!(
                Signature::of(&metadata, role),
                Signature::of_stat(&stat, role)
            );
        }
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

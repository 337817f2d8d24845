//! Witnesses: what a leaf leaves behind so that a later process can tell, without reading, that its value still holds.
//!
//! ```text
//! file, folder:    nothing there: 0;  there: its signature;  not to be told by that: empty
//! is it there:     0 no  1 yes
//! option, variable, ignored: the fingerprint of what it is
//! program:         0 none  1 its path;  its answer: a fingerprint of all that it depends on (see `machine.rs`)
//! ```
//!
//! **Invariant:** a witness was true before and after the value was read. An empty one never holds.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use zako_graph::archive::{Archive, Id, Kind};

use super::kinds;
use super::machine::{answer_witness, program_witness};
use super::shelved::is_shelved;
use crate::codec::{Coded as _, Fingerprint, decoded, encoded, fingerprint};
use crate::files::{Clock, Decoder, Encoder, Role, Signature};
use crate::manifest::Manifest;

/// How often something is read again because it changed meanwhile.
const MAX_READS: usize = 3;

/// Beyond any clock's tick.
const FAR: Duration = Duration::from_secs(3600);

/// The witness of a path at which there is nothing.
const MISSING: &[u8] = &[0];

/// Whether what was kept still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// The value is what it was.
    Same,
    /// It has to be found out.
    Unknown,
}

/// What is at a path, by signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    There(Signature),
    /// The system refuses to say.
    Refused,
}

impl Seen {
    /// What is at `place`; links are followed.
    fn at(place: &Path) -> Seen {
        match fs::metadata(place) {
            Ok(metadata) => Seen::There(Signature::of(&metadata, Role::Source)),
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Seen::Nothing
            }
            Err(_) => Seen::Refused,
        }
    }

    /// Its witness, when it was read from `moment` on.
    fn witness(&self, moment: SystemTime, clock: Clock) -> Vec<u8> {
        match self {
            Seen::Nothing => MISSING.to_vec(),
            Seen::There(signature) if signature.is_settled(moment, clock) => {
                let mut out = Encoder::default();
                signature.encode(&mut out);
                out.finish()
            }
            Seen::There(_) | Seen::Refused => Vec::new(),
        }
    }
}

/// What tells whether the file at `path` is another; `None` when that can't be told, or (with `since`) when it may have been
/// written since that moment without a trace.
pub(super) fn seen_at(path: &Path, since: Option<(SystemTime, Clock)>) -> Option<Vec<u8>> {
    let seen = Seen::at(path);
    let (moment, clock) = since.unwrap_or((SystemTime::now() + FAR, Clock::default()));
    Some(seen.witness(moment, clock)).filter(|witness| !witness.is_empty())
}

/// Reads what is at `place`, until it stood still meanwhile; gives it with its witness, empty if it never did.
pub(super) fn witnessed<T>(
    clock: Clock,
    place: &Path,
    mut read: impl FnMut() -> T,
) -> (T, Vec<u8>) {
    let mut before = Seen::at(place);
    let mut tries = 1;
    loop {
        let moment = SystemTime::now();
        let value = read();
        let after = Seen::at(place);
        if before == after {
            return (value, before.witness(moment, clock));
        }
        if tries == MAX_READS {
            return (value, Vec::new());
        }
        tries += 1;
        before = after;
    }
}

/// The witness of whether there is a file.
pub(super) fn there(there: bool) -> Vec<u8> {
    vec![u8::from(there)]
}

/// The witness of an option.
pub(super) fn option(value: Option<&str>) -> Fingerprint {
    let mut out = Encoder::default();
    value.is_some().encode(&mut out);
    out.raw(value.unwrap_or_default().as_bytes());
    fingerprint(out.as_bytes())
}

/// The witness of a list in the manifest.
pub(super) fn words(words: &[String]) -> Fingerprint {
    fingerprint(&encoded(&words.to_vec()))
}

/// What an invocation gives to scripts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Given<'a> {
    /// The options that scripts see.
    pub(crate) config: &'a BTreeMap<String, String>,
    /// The environment of whoever builds, for toolchains.
    pub(crate) environment: &'a BTreeMap<String, String>,
}

/// Checks witnesses, by `stat` alone; each thread has its own.
pub(crate) struct Checker<'a> {
    root: &'a Path,
    given: Given<'a>,
    ignored: Fingerprint,
    registered: Fingerprint,
    /// The path that is looked at; kept for its memory.
    place: PathBuf,
}

impl<'a> Checker<'a> {
    /// For the workspace at `root`, with what the invocation gives and the manifest.
    pub(crate) fn new(root: &'a Path, given: Given<'a>, manifest: &Manifest) -> Checker<'a> {
        Checker {
            root,
            given,
            ignored: words(&manifest.searches()),
            registered: words(&manifest.registering()),
            place: PathBuf::new(),
        }
    }

    /// Whether the leaf of that kind and key, which had this witness, has the same value now.
    pub(crate) fn still_holds(&mut self, kind: Kind, key: &[u8], witness: &[u8]) -> Check {
        if witness.is_empty() {
            return Check::Unknown;
        }
        match self.holds(kind, key, witness) {
            Some(true) => Check::Same,
            Some(false) | None => Check::Unknown,
        }
    }

    /// Says of each leaf of `archive` whether it still holds.
    pub(crate) fn of(mut self, archive: &'a Archive) -> impl FnMut(Id) -> bool + use<'a> {
        move |id| {
            let (kind, key, witness) = (archive.kind(id), archive.key(id), archive.witness(id));
            self.still_holds(kind, key, witness) == Check::Same
        }
    }

    fn holds(&mut self, kind: Kind, key: &[u8], witness: &[u8]) -> Option<bool> {
        if kind == kinds::IGNORED {
            return Some(witness == self.ignored);
        }
        if kind == kinds::REGISTERED {
            return Some(witness == self.registered);
        }
        let Given {
            config,
            environment,
        } = self.given;
        if kind == kinds::PROGRAM_ANSWER {
            return Some(answer_witness(&decoded(key)?, environment, None) == witness);
        }
        if kind == kinds::SHELVED {
            return Some(is_shelved(witness));
        }
        let key = std::str::from_utf8(key).ok()?;
        Some(match kind {
            kinds::SOURCE_TEXT | kinds::LISTING => match Seen::at(self.place(key)) {
                Seen::Nothing => witness == MISSING,
                Seen::There(now) => {
                    let mut body = Decoder::new(witness);
                    Signature::decode(&mut body) == Some(now) && body.is_empty()
                }
                Seen::Refused => false,
            },
            kinds::FILE_THERE => witness == [u8::from(self.place(key).is_file())],
            kinds::CONFIG_VALUE => witness == option(config.get(key).map(String::as_str)),
            kinds::VARIABLE => witness == option(environment.get(key).map(String::as_str)),
            kinds::PROGRAM_PATH => witness == program_witness(key, environment),
            _ => return None,
        })
    }

    fn place(&mut self, path: &str) -> &Path {
        let place = self.place.as_mut_os_string();
        place.clear();
        place.push(self.root);
        if !path.is_empty() {
            place.push("/");
            place.push(path);
        }
        &self.place
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Makes what stands at `place` older than any clock's tick.
    fn age(place: &Path) {
        let file = fs::File::open(place).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(10))
            .unwrap();
    }

    /// A witness as it is once it is settled, without waiting for the clock.
    fn settled(place: &Path) -> Vec<u8> {
        Seen::at(place).witness(
            SystemTime::now() + Duration::from_secs(60),
            Clock::default(),
        )
    }

    struct Room {
        folder: tempfile::TempDir,
        config: BTreeMap<String, String>,
    }

    impl Room {
        fn new() -> Room {
            Room {
                folder: tempfile::tempdir().unwrap(),
                config: BTreeMap::from([("set".to_owned(), "yes".to_owned())]),
            }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn check(&self, kind: Kind, key: &str, witness: &[u8]) -> Check {
            let manifest = Manifest {
                ignore: vec!["x".to_owned()],
                ..Manifest::default()
            };
            let given = Given {
                config: &self.config,
                environment: &BTreeMap::new(),
            };
            let mut checker = Checker::new(self.folder.path(), given, &manifest);
            // Something else first: nothing of it must stay.
            checker.still_holds(kinds::FILE_THERE, b"some/other/path", &[1]);
            checker.still_holds(kind, key.as_bytes(), witness)
        }
    }

    #[test]
    fn a_file_holds_until_it_changes() {
        let room = Room::new();
        let place = room.path("a");
        assert_eq!(room.check(kinds::SOURCE_TEXT, "a", MISSING), Check::Same);
        fs::write(&place, "one").unwrap();
        assert_eq!(room.check(kinds::SOURCE_TEXT, "a", MISSING), Check::Unknown);
        let witness = settled(&place);
        assert_eq!(room.check(kinds::SOURCE_TEXT, "a", &witness), Check::Same);
        let mut longer = witness.clone();
        longer.push(0);
        assert_eq!(room.check(kinds::SOURCE_TEXT, "a", &longer), Check::Unknown);
        age(&place);
        assert_eq!(
            room.check(kinds::SOURCE_TEXT, "a", &witness),
            Check::Unknown
        );
        fs::remove_file(&place).unwrap();
        assert_eq!(
            room.check(kinds::SOURCE_TEXT, "a", &witness),
            Check::Unknown
        );
        assert_eq!(room.check(kinds::SOURCE_TEXT, "a", MISSING), Check::Same);
    }

    #[test]
    fn a_link_is_what_it_leads_to() {
        let room = Room::new();
        fs::write(room.path("one"), "1").unwrap();
        fs::write(room.path("two"), "2").unwrap();
        let link = room.path("link");
        std::os::unix::fs::symlink("one", &link).unwrap();
        let witness = settled(&link);
        assert_eq!(
            room.check(kinds::SOURCE_TEXT, "link", &witness),
            Check::Same
        );
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink("two", &link).unwrap();
        assert_eq!(
            room.check(kinds::SOURCE_TEXT, "link", &witness),
            Check::Unknown
        );
    }

    #[test]
    fn a_folder_holds_until_a_name_in_it_changes() {
        let room = Room::new();
        let folder = room.path("d");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("a"), "").unwrap();
        age(&folder);
        let witness = settled(&folder);
        fs::write(folder.join("a"), "more").unwrap();
        assert_eq!(room.check(kinds::LISTING, "d", &witness), Check::Same);
        fs::rename(folder.join("a"), folder.join("b")).unwrap();
        assert_eq!(room.check(kinds::LISTING, "d", &witness), Check::Unknown);
    }

    #[test]
    fn the_rest_is_told_by_itself() {
        let room = Room::new();
        fs::write(room.path("f"), "").unwrap();
        fs::create_dir(room.path("d")).unwrap();
        for (kind, key, witness, holds) in [
            (kinds::FILE_THERE, "f", there(true), true),
            (kinds::FILE_THERE, "f", there(false), false),
            (kinds::FILE_THERE, "d", there(false), true),
            (kinds::FILE_THERE, "none", there(false), true),
            (kinds::FILE_THERE, "none", there(true), false),
            (
                kinds::CONFIG_VALUE,
                "set",
                option(Some("yes")).to_vec(),
                true,
            ),
            (
                kinds::CONFIG_VALUE,
                "set",
                option(Some("no")).to_vec(),
                false,
            ),
            (kinds::CONFIG_VALUE, "set", option(None).to_vec(), false),
            (kinds::CONFIG_VALUE, "unset", option(None).to_vec(), true),
            (
                kinds::CONFIG_VALUE,
                "unset",
                option(Some("")).to_vec(),
                false,
            ),
            (kinds::IGNORED, "", words(&["x".into()]).to_vec(), true),
            (kinds::IGNORED, "", words(&[]).to_vec(), false),
            (kinds::HOST_ANSWER, "f", there(true), false),
            (kinds::FILE_THERE, "f", Vec::new(), false),
        ] {
            let expected = if holds { Check::Same } else { Check::Unknown };
            assert_eq!(room.check(kind, key, &witness), expected, "{kind:?} {key}");
        }
    }

    #[test]
    fn what_changes_while_it_is_read_is_read_again() {
        let room = Room::new();
        let place = room.path("a");
        fs::write(&place, "0").unwrap();
        let mut reads = 0;
        let (value, witness) = witnessed(Clock::default(), &place, || {
            reads += 1;
            let text = fs::read_to_string(&place).unwrap();
            if reads < MAX_READS {
                fs::write(&place, format!("{reads} and more")).unwrap();
                fs::write(&place, "x".repeat(reads * 100)).unwrap();
            }
            text
        });
        assert_eq!((reads, value), (MAX_READS, "x".repeat(200)));
        // Whether it is settled already is the clock's to say; if so it is this file's.
        assert!(witness.is_empty() || witness == settled(&place));
        let mut reads = 0;
        let (_, witness) = witnessed(Clock::default(), &place, || {
            reads += 1;
            fs::write(&place, "y".repeat(reads)).unwrap();
        });
        assert_eq!((reads, witness), (MAX_READS, Vec::new()));
        fs::remove_file(&place).unwrap();
        let (_, witness) = witnessed(Clock::default(), &place, || ());
        assert_eq!(witness, MISSING);
    }
}

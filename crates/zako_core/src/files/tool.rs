//! Programs of the machine, found on a PATH: which file a name means now.

use std::fs;
use std::path::{Path, PathBuf};

use zako_exec::find_program;

use super::encoding::Encoder;
use super::signature::{Role, Signature};

/// How to tell that `name` on `path` still is the same program (the file's real path and signature), and that file; `None`
/// when there is no such program.
pub(crate) fn tool_witness(name: &str, path: &str) -> Option<(Vec<u8>, PathBuf)> {
    let place = match Path::new(name).is_absolute() {
        true => PathBuf::from(name),
        false => find_program(name, path)?,
    };
    let real = fs::canonicalize(place).ok()?;
    let found = fs::metadata(&real).ok().filter(fs::Metadata::is_file)?;
    let mut witness = Encoder::default();
    witness.raw(&Signature::of(&found, Role::Source).to_bytes());
    witness.raw(real.as_os_str().as_encoded_bytes());
    Some((witness.finish(), real))
}
